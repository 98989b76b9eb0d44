"""Which sessions go: the planner, for any sessions, rules and dependencies."""

from __future__ import annotations

import json
import math
import random

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats import text as words
from ansible_collections.alive.codex.plugins.module_utils._formats import units
from ansible_collections.alive.codex.plugins.module_utils._sessions import plan as plans
from ansible_collections.alive.codex.plugins.module_utils._sessions.plan import Rest, Rules, Session
from hypothesis import given
from hypothesis import strategies as st

NOW = 1000.0
DAY = 86400.0
IDS = [f"00000000-0000-7000-8000-{number:012x}" for number in range(12)]


@st.composite
def situations(draw):
    ids = draw(st.lists(st.sampled_from(IDS), unique=True, max_size=len(IDS)))
    sessions = [
        Session(
            draw(st.sampled_from(plans.STORES)),
            name,
            float(draw(st.integers(0, 1100))),  # some in the future
            draw(st.integers(0, 100)),
            (name,),
        )
        for name in ids
    ]
    some = st.sets(st.sampled_from(IDS), max_size=3)
    return {
        "sessions": sessions,
        "rules": Rules(
            draw(st.none() | st.integers(0, 1000).map(float)),
            draw(st.integers(0, 4)),
            draw(st.none() | st.integers(0, 600)),
        ),
        "now": NOW,
        "in_use": draw(some),
        "needed": draw(some),
        "parents": {name: draw(some) - {name} for name in ids},  # circles too
        "rest": Rest(dict.fromkeys(plans.STORES, draw(st.integers(0, 3))), draw(st.integers(0, 100))),
    }


def going(situation) -> set[str]:
    return {session.id for session in plans.plan(**situation).prune}


@given(situations())
def test_nothing_that_stays_misses_what_it_needs(situation):
    gone = going(situation)
    for session in situation["sessions"]:
        if session.id not in gone:
            assert not situation["parents"][session.id] & gone


@given(situations())
def test_what_must_stay_stays(situation):
    gone = going(situation)
    assert not gone & (situation["in_use"] | situation["needed"])
    keep_last = situation["rules"].keep_last
    for store in plans.STORES:
        own = [session for session in situation["sessions"] if session.store == store]
        room = max(keep_last - situation["rest"].counts[store], 0)
        newest = sorted(own, key=lambda session: (session.activity, session.id), reverse=True)[:room]
        assert not gone & {session.id for session in newest}


@given(situations())
def test_nothing_goes_without_a_reason(situation):
    rules = situation["rules"]
    plan = plans.plan(**situation)
    left = situation["rest"].bytes + sum(session.bytes for session in situation["sessions"])
    for session in plan.prune:
        aged = rules.max_age is not None and NOW - session.activity > rules.max_age
        assert aged or (rules.max_bytes is not None and left > rules.max_bytes)
        left -= session.bytes


@given(situations().filter(lambda situation: situation["rules"].max_bytes is not None))
def test_the_limit_holds_unless_all_that_is_left_must_stay(situation):
    situation["parents"] = {}
    plan = plans.plan(**situation)
    gone = {session.id for session in plan.prune}
    left = [session for session in situation["sessions"] if session.id not in gone]
    if situation["rest"].bytes + sum(session.bytes for session in left) > situation["rules"].max_bytes:
        again = plans.plan(**dict(situation, sessions=left))
        assert not again.prune


@given(situations(), st.randoms())
def test_the_order_of_finding_does_not_matter(situation, rng: random.Random):
    shuffled = list(situation["sessions"])
    rng.shuffle(shuffled)
    assert plans.plan(**situation) == plans.plan(**dict(situation, sessions=shuffled))


@given(situations())
def test_a_second_run_finds_nothing_to_do(situation):
    # A circle of dependencies stays whole at first, and may yet go when what surrounded it has gone.
    situation["parents"] = {name: {p for p in ids if p < name} for name, ids in situation["parents"].items()}
    gone = going(situation)
    left = [session for session in situation["sessions"] if session.id not in gone]
    assert not going(dict(situation, sessions=left))


@given(situations())
def test_where_parents_do_not_matter_they_do_not(situation):
    parents = situation.pop("parents")
    matter = plans.parents_matter(**situation)
    assert matter or plans.plan(**situation).prune != [] or not situation["sessions"]
    if not matter:
        gone = {session.id for session in plans.plan(**situation, parents=parents).prune}
        assert gone == {session.id for session in situation["sessions"]}


def session(number: int, activity: float, size: int = 1, store: str = plans.CODEX) -> Session:
    return Session(store, IDS[number], activity, size, (IDS[number],))


def test_age_counts_from_the_last_activity_and_the_limit_itself_is_young_enough():
    sessions = [session(0, 0.0), session(1, 1.0), session(2, 2.0)]
    plan = plans.plan(sessions, Rules(max_age=30 * DAY), 30 * DAY + 1)
    assert [s.id for s in plan.prune] == [IDS[0]]


def test_an_aged_base_stays_with_the_young_fork_and_goes_with_the_aged_one():
    sessions = [session(0, 0.0), session(1, 10.0), session(2, 990.0)]
    young = plans.plan(sessions, Rules(max_age=500.0), NOW, parents={IDS[2]: {IDS[0]}})
    assert [s.id for s in young.prune] == [IDS[1]]
    assert [s.id for s in young.needed] == [IDS[0]]
    aged = plans.plan(sessions, Rules(max_age=5.0), NOW, parents={IDS[2]: {IDS[0]}})
    assert {s.id for s in aged.prune} == set(IDS[:3])


def test_the_oldest_go_until_the_rest_fits():
    sessions = [session(number, float(number), 10) for number in range(5)]
    plan = plans.plan(sessions, Rules(max_bytes=25), NOW)
    assert [s.id for s in plan.prune] == IDS[:3]


def test_a_deep_chain_of_forks_is_planned():
    ids = [f"{number:08x}-0000-7000-8000-000000000000" for number in range(20_000)]
    sessions = [Session("codex", name, float(number), 1, (name,)) for number, name in enumerate(ids)]
    parents = {child: {parent} for parent, child in zip(ids, ids[1:])}
    plan = plans.plan(sessions, Rules(max_age=1.0), 1e6, in_use={ids[-1]}, parents=parents)
    assert not plan.prune


def header(**payload) -> bytes:
    return json.dumps({"type": "session_meta", "payload": {"id": IDS[0], **payload}}).encode()


@pytest.mark.parametrize(
    ("line", "parents"),
    [
        (header(cwd="/"), set()),
        (header(forked_from_id=IDS[1]), {IDS[1]}),
        (header(forked_from_id=IDS[1], history_base={"thread_id": IDS[2]}), {IDS[1], IDS[2]}),
        (header(source={"subagent": {"thread_spawn": {"parent_thread_id": IDS[3], "depth": 1}}}), {IDS[3]}),
        (header(parent_thread_id=IDS[4]), {IDS[4]}),
        (header(forked_from_id=None, history_base=[]), set()),
        (header(forked_from_id=IDS[0]), set()),
        (b'{"forked_from_id": ', set()),
        (b'"forked_from_id"', set()),
        (b'{"payload": ["forked_from_id"]}', set()),
        (b'{"forked_from_id"' * 100_000, set()),
        (b'["forked_from_id",' + b"[" * 100_000, set()),
        (b"\xff\xfe", set()),
        (b"", set()),
    ],
)
def test_a_header_names_what_its_session_depends_on(line, parents):
    assert plans.parents_in_header(line) == parents


def test_the_name_of_a_rollout_has_its_session():
    name = f"rollout-2026-01-02T03-04-05-{IDS[3]}.jsonl.zst"
    assert plans.ROLLOUT.fullmatch(name) and name[plans.ROLLOUT_ID] == IDS[3]


def test_in_a_long_header_all_that_it_names_is_needed():
    long = header(forked_from_id=IDS[1], cwd="x" * 2**20)
    assert plans.parents_in_header(long) == {IDS[1]}
    nonsense = b'{"forked_from_id": "%s", "thread_id":\t"%s", "id": "%s" %s'
    ids = [name.encode() for name in IDS[:3]]
    assert plans.parents_in_header(nonsense % (*ids, b" " * 2**20)) == {IDS[0], IDS[1]}
    assert plans.parents_in_header(nonsense % (*ids, b"")) == set()


def test_only_what_is_older_may_have_to_go():
    assert Rules().cutoff(NOW) == -math.inf and Rules(max_age=DAY, max_bytes=0).cutoff(NOW) == math.inf
    assert Rules(max_age=300.0).cutoff(NOW) == 700.0
    assert [Rules(max_age=300.0).is_aged(activity, NOW) for activity in (699.0, 700.0)] == [True, False]
    assert not Rules().is_aged(0.0, NOW) and not Rules(max_bytes=5).is_due(0.0, NOW, 5)
    assert Rules(max_bytes=5).is_due(NOW, NOW, 6)


def test_the_newest_that_stay_are_counted_with_those_that_are_not_up_for_it():
    sessions = [session(number, float(number)) for number in range(4)]
    sessions.append(session(4, 0.0, store=plans.CLAUDE))
    rules = Rules(max_age=1.0, keep_last=2)
    for others, gone in ((0, IDS[:2]), (1, IDS[:3]), (2, IDS[:4]), (9, IDS[:4])):
        plan = plans.plan(sessions, rules, NOW, rest=Rest({plans.CODEX: others}, 0))
        assert {s.id for s in plan.prune} == set(gone)


def test_what_is_counted_adds_up():
    tally = plans.Tally()
    for each in ((2, 100), (0, 0), (3, 11)):
        tally.add(*each)
    assert (tally.count, tally.bytes) == (5, 111)


@given(situations())
def test_why_one_that_is_due_stays_is_told(situation):
    plan = plans.plan(**situation)
    stays = {session.id for session in (*plan.in_use, *plan.needed)}
    assert not stays & {session.id for session in plan.prune}
    assert {session.id for session in plan.in_use} <= situation["in_use"]
    assert not {session.id for session in plan.needed} & situation["in_use"]


@given(st.binary(max_size=200))
def test_any_bytes_may_be_a_header(line):
    plans.parents_in_header(b'"history_base"' + line)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30d", 30 * DAY), ("12h", 43200.0), ("45m", 2700.0), ("90s", 90.0), ("2w", 14 * DAY), ("0", None), (" 1d ", DAY)],
)
def test_ages(text, seconds):
    assert units.parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30 days", "1d12h", "٣d"])
def test_what_is_no_age_is_refused(text):
    with pytest.raises(ValueError, match="is not an age"):
        units.parse_age(text)


@pytest.mark.parametrize("text", ["0d", "00s", "0w"])
def test_an_age_of_nothing_is_refused_as_only_0_is_off(text):
    with pytest.raises(ValueError, match="is an age of nothing: give 0 alone for off"):
        units.parse_age(text)


@pytest.mark.parametrize("text", ["0K", "00", "0.0", "0 GiB", "0.0001K"])
def test_a_size_of_nothing_is_refused_as_only_0_is_off(text):
    with pytest.raises(ValueError, match="is a size of nothing: give 0 alone for off"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("10G", 10 * 2**30), ("1.5 GiB", 3 * 2**29), ("500MB", 500 * 2**20), ("4096", 4096), ("2t", 2**41), ("0", None)],
)
def test_sizes(text, size):
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1e3", "1P", "one"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is not a size"):
        units.parse_size(text)


@pytest.mark.parametrize(("text", "part"), [("50%", 999), ("1%", 19), ("100%", 1999), ("0", None), ("2K", 2048)])
def test_parts_of_a_whole(text, part):
    assert units.parse_part(text, 1999) == part


@pytest.mark.parametrize("text", ["0%", "101%", "-1%", "1.5%", "%", "50 %", "9" * 400 + "%"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a (share|size)"):
        units.parse_part(text, 1000)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**40, "1.0 TiB"), (2**51, "2048.0 TiB")]
)
def test_sizes_for_people(count, text):
    assert units.format_size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1764408605.987, "2025-11-29T09:30:05Z"),
        (-62135596800, "0001-01-01T00:00:00Z"),
        (1e30, "9999-12-31T23:59:59Z"),
        (2**62, "9999-12-31T23:59:59Z"),
        (-1e30, "0001-01-01T00:00:00Z"),
    ],
)
def test_times_for_people(seconds, text):
    assert units.format_time(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 sessions"), (1, "1 session"), (2, "2 sessions")])
def test_numbers_of_things_are_written_as_people_do(number, text):
    assert words.counted(number, "session") == text


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (f".codex/sessions/2026/01/02/rollout-2026-01-02T03-04-05-{IDS[0]}.jsonl", "rollout"),
        (f".codex/sessions/rollout-2026-01-02T03-04-05-{IDS[0]}.jsonl", "rollout"),
        (f".codex/archived_sessions/rollout-2026-01-02T03-04-05-{IDS[0]}.jsonl.zst", "archived"),
        (f".codex/sessions/{IDS[0]}", "directory"),
        (f".codex/sessions/2026/{IDS[0]}", "remains"),
        (f".codex/sessions/{IDS[0]}x", "remains"),
        (f".claude/{IDS[0]}.jsonl", "remains"),
        (f".claude/projects/-work/{IDS[0]}.jsonl", "transcript"),
        (f".claude/todos/{IDS[0]}-agent-{IDS[1]}.json", "remains"),
        (f".claude/tasks/{IDS[0]}", "remains"),
    ],
)
def test_what_a_session_is_shows_in_its_path(path, kind):
    assert plans.session_kind(path) == kind
