"""The drift report: two descriptions in, what differs and which rule it meets out; and what is recorded of releases."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats import version as cli_version
from canary import drift
from canary.__main__ import TESTS, TRIED, before, known, report
from hypothesis import given
from hypothesis import strategies as st

KNOWN = known()
NAMES = st.text("abc", min_size=1, max_size=2)
DESCRIPTIONS = st.dictionaries(NAMES, st.dictionaries(NAMES, st.lists(NAMES, unique=True, max_size=3), max_size=3))


def differences(older, newer):
    return {(one.kind, one.section, one.text): one.rule() for one in drift.compare(KNOWN[older], KNOWN[newer])}


def names(found, kind, section, pattern):
    return [
        text for (kind_, section_, text) in found if (kind_, section_) == (kind, section) and re.search(pattern, text)
    ]


def test_what_0_171_brought_is_named_with_its_rule():
    found = differences("0.169.0", "0.171.0")
    indexes = names(found, "new", "indexes", r"thread_history_1\.sqlite .*json_extract\(")
    assert len(indexes) == 3
    assert all("SQLite 3.38 to 3.40" in found["new", "indexes", text] for text in indexes)
    [session] = names(found, "new", "tables", "session_model_ids: session_id")
    assert "may name a thread under another name" in found["new", "tables", session]
    assert len(names(found, "new", "tables", "session_model_ids: ")) == 5
    for command in ("exec", "exec resume", "exec review"):
        assert names(found, "new", "flags", rf"^codex {command}: --remote <") != []
        assert names(found, "new", "flags", rf"^codex {command}: --remote-auth-token-env <") != []
    assert names(found, "new", "home_without_defaults", r"\.codex/\.tmp/\.staging: directory") != []
    [lock] = names(found, "new", "home_without_defaults", r"\.codex/\.tmp/\.staging\.lock")
    assert "whether it tells that a session is in use" in found["new", "home_without_defaults", lock]
    assert names(found, "new", "requirements", "OtelRequirements: headers_helper$") != []
    assert len(names(found, "new", "migrations", "state_5.sqlite")) == 2
    assert len(names(found, "new", "migrations", "thread_history_1.sqlite")) == 1


def test_what_0_169_brought_is_named_with_its_rule():
    found = differences("0.160.0", "0.169.0")
    [seen] = names(found, "new", "thread_columns", "thread_read_receipts")
    assert "rows of pruned sessions stay here" in found["new", "thread_columns", seen]
    [column] = names(found, "new", "tables", "guardian_review_feedback: thread_id")
    assert "it stops using SQL" in found["new", "tables", column]
    [resource] = names(found, "gone", "package", "zsh")
    assert "every layout" in found["gone", "package", resource]


@pytest.mark.parametrize("version", KNOWN)
def test_each_release_is_as_its_own_description(version):
    assert drift.compare(KNOWN[version], json.loads(json.dumps(KNOWN[version]))) == []


def test_every_section_has_a_rule():
    for section, name_and_details in drift.union(KNOWN.values()).items():
        for name in name_and_details:
            assert "there is no rule" not in drift.Difference("new", section, name, "").rule()
    assert "there is no rule" in drift.Difference("new", "unheard of", "x", "").rule()


def test_a_release_that_is_not_known_is_held_against_all_that_are(capsys):
    """What an older release had is not new; what the nearest had and it lacks is gone."""
    found = json.loads(json.dumps(KNOWN["0.171.0"]))
    found["tables"]["state_5.sqlite threads"].append("forked_thread_id TEXT")
    found["items"]["hologram"] = []
    found["package"] |= {name: d for name, d in KNOWN["0.160.0"]["package"].items() if name.endswith("bin/zsh")}
    del found["flags"]["codex delete"]
    assert report("0.999.0", found)
    printed = capsys.readouterr().out
    assert "+ state_5.sqlite threads: forked_thread_id TEXT" in printed
    assert "+ hologram" in printed
    assert "- codex delete: --force" in printed
    assert "zsh" not in printed
    assert "0.999.0 is newer than" in printed and "make canary-record CLI=0.999.0" in printed


def test_a_known_release_that_differs_from_its_description_has_drifted(capsys):
    newest = list(KNOWN)[-1]
    assert not report(newest, KNOWN[newest])
    assert "no drift" in capsys.readouterr().out
    assert report(newest, {**KNOWN[newest], "leftovers": {}})


@given(DESCRIPTIONS, DESCRIPTIONS)
def test_everything_that_only_one_side_has_is_in_the_report_once(one, other):
    def facts(description):
        return {
            (section, name, detail)
            for section, named in description.items()
            for name, details in named.items()
            for detail in details or [""]
        }

    found = drift.compare(one, other)
    new = {difference[1:] for difference in found if difference.kind == "new"}
    gone = {difference[1:] for difference in found if difference.kind == "gone"}
    assert len(found) == len(new) + len(gone)
    # A name that both have is not told where only one of them says more of it.
    assert {fact for fact in new if fact[2]} == {fact for fact in facts(other) - facts(one) if fact[2]}
    assert {fact for fact in gone if fact[2]} == {fact for fact in facts(one) - facts(other) if fact[2]}
    assert drift.compare(other, one) == [
        *(difference._replace(kind="new") for difference in found if difference.kind == "gone"),
        *(difference._replace(kind="gone") for difference in found if difference.kind == "new"),
    ]
    assert all(difference.text in drift.report("", found) for difference in found)


def test_the_range_that_is_proven_is_recorded_and_in_the_readme():
    recorded = list(KNOWN)
    assert (recorded[0], recorded[-1]) == (cli_version.OLDEST_PROVEN, cli_version.NEWEST_PROVEN)
    assert cli_version.DEFAULT in recorded
    readme = (TESTS.parent / "README.md").read_text()
    rows = re.findall(r"^\| ([0-9.]+) \|", readme, re.MULTILINE)
    assert rows == [
        cli_version.DEFAULT,
        cli_version.NEWEST_PROVEN,
        cli_version.OLDEST_PROVEN,
        cli_version.OLDEST_THAT_SERVES,
    ]


def test_the_nearest_release_is_the_newest_older_one():
    assert before("0.171.0", ["0.160.0", "0.169.0", "0.171.0"]) == "0.169.0"
    assert before("0.100.0", ["0.160.0", "0.169.0"]) == "0.160.0"


def test_what_is_tried_is_there():
    assert [name for name in TRIED if not (TESTS / "system" / f"{name}.py").is_file()] == []
