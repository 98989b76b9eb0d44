"""What counts as a session, what belongs to it, and what is left over: in every store and layout."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._sessions import prune_home, survey
from support.modules import run_module
from support.sessions import DAY, Workspace, gone, prune, workspaces_root
from support.settings import usual_umask

NOW = time.time()


@pytest.fixture
def workspace():
    """One of this process's own user; for root, of another."""
    with workspaces_root() as root:
        yield Workspace(root, "acme", os.geteuid() or 61_401)


def put(workspace: Workspace, path: str, days: float, content: str = "{}\n") -> Path:
    """A file of the workspace that was last changed so many days ago."""
    file = workspace.home / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    os.utime(file, (NOW - days * DAY,) * 2)
    for below in (file, *file.parents):
        if below == workspace.home:
            break
        os.chown(below, workspace.uid, workspace.uid)
    return file


def identity() -> str:
    return str(uuid.uuid4())


def rollout(session: str, suffix: str = ".jsonl", date: str = "2026/01/02") -> str:
    return f".codex/sessions/{date}/rollout-{date.replace('/', '-')}T03-04-05-{session}{suffix}"


def left(workspace: Workspace) -> set[str]:
    return {str(path.relative_to(workspace.home)) for path in workspace.home.rglob("*") if not path.is_dir()}


def root_of(workspace: Workspace) -> Path:
    return workspace.home.parent


def test_every_layout_of_codex_is_known(workspace):
    aged = {name: identity() for name in ("plain", "compressed", "archived", "directory")}
    put(workspace, rollout(aged["plain"]), 40)
    put(workspace, rollout(aged["compressed"], ".jsonl.zst"), 40)
    put(workspace, f".codex/archived_sessions/rollout-2026-01-02T03-04-05-{aged['archived']}.jsonl", 40)
    put(workspace, f".codex/sessions/{aged['directory']}/deep/down/history.json", 40)
    fresh = identity()
    put(workspace, f".codex/sessions/{fresh}/a.json", 40)
    put(workspace, f".codex/sessions/{fresh}/b.json", 1)
    others = {"config.toml", "auth.json", "history.jsonl", "sessions/notes.txt", "sessions/2026/01/02/rollout-x.jsonl"}
    for name in others:
        put(workspace, f".codex/{name}", 400)
    result = prune(root_of(workspace))
    assert result["problems"] == []
    assert gone(result) == set(aged.values())
    assert left(workspace) == {f".codex/{name}" for name in others} | {
        f".codex/sessions/{fresh}/a.json",
        f".codex/sessions/{fresh}/b.json",
    }


def test_a_session_in_two_files_is_as_young_as_the_younger(workspace):
    session = identity()
    put(workspace, rollout(session), 1)
    put(workspace, rollout(session, ".jsonl.zst"), 40)
    assert gone(prune(root_of(workspace))) == set()
    os.utime(workspace.home / rollout(session), (NOW - 35 * DAY,) * 2)
    assert gone(prune(root_of(workspace))) == {session}
    assert left(workspace) == set()


def zstd_frame(content: bytes) -> bytes:
    """A zstd stream of one block that is stored as it is (RFC 8878)."""
    return b"\x28\xb5\x2f\xfd\x20" + bytes([len(content)]) + (len(content) << 3 | 1).to_bytes(3, "little") + content


def test_a_compressed_fork_keeps_its_base(workspace):
    base, fork = identity(), identity()
    put(workspace, rollout(base), 40)
    line = json.dumps({"type": "session_meta", "payload": {"id": fork, "forked_from_id": base}}) + "\n"
    put(workspace, rollout(fork, ".jsonl.zst"), 10).write_bytes(zstd_frame(line.encode()))
    os.utime(workspace.home / rollout(fork, ".jsonl.zst"), (NOW - 10 * DAY,) * 2)
    result = prune(root_of(workspace))
    assert (gone(result), result["totals"]["needed"], result["problems"]) == (set(), 1, [])
    assert gone(prune(root_of(workspace), max_age="9d")) == {base, fork}


def test_a_session_of_claude_goes_with_all_that_belongs_to_it(workspace):
    aged, fresh, orphan = identity(), identity(), identity()

    def session(name, days):
        project = ".claude/projects/-work-app"
        return {
            put(workspace, path, days, content)
            for path, content in {
                f"{project}/{name}.jsonl": "{}\n",
                f"{project}/{name}/subagents/agent-a1.jsonl": "{}\n",
                f"{project}/agent-{name[:8]}.jsonl": json.dumps({"sessionId": name}) + "\n",
                f".claude/todos/{name}-agent-{name}.json": "[]",
                f".claude/tasks/{name}/1.json": "{}",
                f".claude/debug/{name}.txt": "",
                f".claude/session-env/{name}/hook.sh": "",
                f".claude/file-history/{name}/backup@v1": "",
                f"{project}/{name}.cast": "",
                f"{project}/{name}.ccr-tip.json": "",
                f".claude/image-cache/{name}/1.png": "",
                f".claude/uploads/{name}/a.pdf": "",
                f".claude/dump-prompts/{name}.jsonl": "",
                f".claude/usage-data/session-meta/{name}.json": "",
                f".claude/jobs/{name}/state.json": "{}",
                f".claude/jobs/{name}.json": "{}",
                f".claude/jobs/{name[:8]}/state.json": json.dumps({"sessionId": name}),
                f".claude/jobs/{name[:8]}/tmp/x": "",
                f".claude/jobs/settled/{name[:8]}.json": json.dumps({"sessionId": name}),
                f".claude/daemon/gateway-routed/{name[:8]}": "",
                f".claude/sessions/{2**22 + days}.json": json.dumps({"pid": 2**22 + days, "sessionId": name}),
                f".claude/sessions/{2**22 + days}.0123abcd.key": "{}",
            }.items()
        }

    session(aged, 40)
    kept = session(fresh, 1)
    put(workspace, f".claude/todos/{orphan}-agent-{orphan}.json", 40)
    for path in (
        ".claude/projects/-work-app/memory/MEMORY.md",
        ".claude/settings.json",
        ".claude/.credentials.json",
        ".claude/history.jsonl",
        ".claude/plans/plan.md",
        ".claude/debug/latest",
        ".claude/jobs/pins.json",
        ".claude/paste-cache/0123456789abcdef.txt",
        ".claude/daemon/roster.json",
        ".claude.json",
    ):
        kept.add(put(workspace, path, 400))
    result = prune(root_of(workspace))
    assert result["problems"] == []
    assert gone(result) == {aged, orphan}
    assert left(workspace) == {str(path.relative_to(workspace.home)) for path in kept}
    assert not list(workspace.home.rglob(f"*{aged[:8]}*"))


def process(workspace: Workspace, pid: int, session: str, ticks: str | None) -> None:
    """What Claude's process writes of itself."""
    document = {"pid": pid, "sessionId": session, "procStart": ticks}
    put(workspace, f".claude/sessions/{pid}.json", 40, json.dumps(document))


def test_a_session_stays_while_the_process_that_names_it_lives(workspace):
    running, reused, ended, worker = (identity() for _number in range(4))
    for session in (running, reused, ended, worker):
        put(workspace, f".claude/projects/-work/{session}.jsonl", 40)
    with contextlib.ExitStack() as stack:
        sleepers = [stack.enter_context(subprocess.Popen(**workspace.command("sleep", "100"))) for _number in range(3)]
        ticks = [Path(f"/proc/{sleeper.pid}/stat").read_text().split()[21] for sleeper in sleepers]
        process(workspace, sleepers[0].pid, running, ticks[0])
        process(workspace, sleepers[1].pid, reused, str(int(ticks[1]) - 1))
        process(workspace, 2**22 + 1, ended, None)
        workers = {"a": {"pid": sleepers[2].pid, "sessionId": worker}, "b": "nonsense", "c": {"sessionId": 5}}
        put(workspace, ".claude/daemon/roster.json", 40, json.dumps({"workers": workers}))
        result = prune(root_of(workspace))
        assert (gone(result), result["totals"]["in_use"], result["problems"]) == ({reused, ended}, 2, [])
        for sleeper in sleepers:
            sleeper.kill()
    assert gone(prune(root_of(workspace))) == {running, worker}


def test_a_session_goes_out_of_the_list_of_its_project(workspace):
    aged, fresh = identity(), identity()
    for session, days in ((aged, 40), (fresh, 1)):
        put(workspace, f".claude/projects/-work/{session}.jsonl", days)
    entries = [{"sessionId": aged, "summary": "a"}, {"sessionId": fresh, "summary": "b"}, "nonsense", {"sessionId": []}]
    index = put(
        workspace, ".claude/projects/-work/sessions-index.json", 1, json.dumps({"entries": entries, "version": 1})
    )
    assert gone(prune(root_of(workspace))) == {aged}
    assert json.loads(index.read_text()) == {"entries": entries[1:], "version": 1}
    assert (index.stat().st_uid, index.stat().st_mode & 0o077) == (workspace.uid, 0)


def test_images_go_with_their_thread_and_are_counted(workspace):
    aged, drawing, fresh, gone_before = (identity() for _number in range(4))
    for session, days in ((aged, 40), (drawing, 40), (fresh, 0.5)):
        put(workspace, rollout(session), days, "x" * 100)
    for session, days in ((aged, 40), (drawing, 1), (fresh, 40), (gone_before, 40)):
        put(workspace, f".codex/generated_images/{session}/ig_1.png", days, "x" * 1000)
    put(workspace, ".codex/generated_images/readme.txt", 40)
    result = prune(root_of(workspace))
    assert (gone(result), result["problems"]) == ({aged, gone_before}, [])
    assert (result["totals"]["pruned_bytes"], result["totals"]["kept_bytes"]) == (2100, 2200)
    assert {path.name for path in (workspace.codex / "generated_images").iterdir()} == {drawing, fresh, "readme.txt"}
    assert gone(prune(root_of(workspace), max_age="0", max_bytes="1500", dry_run=True)) == {drawing}


def test_names_of_threads_without_a_file_go(workspace):
    named, nobody, young, other = (identity() for _number in range(4))
    put(workspace, rollout(named), 1)

    def line(thread, time):
        return json.dumps({"id": thread, "thread_name": "x", "updated_at": time}) + "\n"

    times = {named: "2020-01-01T00:00:00.1Z", nobody: "2020-01-01T00:00:00Z", young: "2999-01-01T00:00:00Z", other: "?"}
    lines = [line(thread, time) for thread, time in times.items()]
    index = put(workspace, ".codex/session_index.jsonl", 1, "".join([*lines, "nonsense\n"]))
    assert prune(root_of(workspace), dry_run=True)["totals"]["swept"] == 1
    result = prune(root_of(workspace))
    assert (result["totals"]["swept"], result["problems"]) == (1, [])
    assert index.read_text() == "".join([lines[0], *lines[2:], "nonsense\n"])
    assert not prune(root_of(workspace))["changed"]


HOSTILE_LISTS = {
    "a link": lambda path: path.symlink_to("/etc/hostname"),
    "a FIFO": os.mkfifo,
    "a directory": os.mkdir,
    "huge": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**40),
    "nested": lambda path: path.write_text("[" * 100_000),
    "no text": lambda path: path.write_bytes(b"\xff\0" * 100),
}


@pytest.mark.parametrize("make", HOSTILE_LISTS.values(), ids=HOSTILE_LISTS.keys())
def test_a_list_that_is_hostile_keeps_no_session(workspace, make):
    before = Path("/etc/hostname").read_bytes()
    codex, claude = identity(), identity()
    put(workspace, rollout(codex), 40)
    put(workspace, f".claude/projects/-work/{claude}.jsonl", 40)
    stale = put(workspace, ".codex/shell_snapshots/x.sh", 40)
    put(workspace, ".claude/sessions/x", 40)
    for path in ("projects/-work/sessions-index.json", "sessions/1.json", "daemon/roster.json", "jobs/0123abcd"):
        (workspace.home / ".claude" / path).parent.mkdir(exist_ok=True)
        os.chown((workspace.home / ".claude" / path).parent, workspace.uid, workspace.uid)
        make(workspace.home / ".claude" / path)
    make(workspace.codex / "session_index.jsonl")
    result = prune(root_of(workspace))
    assert gone(result) == {codex, claude} and not stale.exists()
    assert all("list of sessions" in problem or "names of sessions" in problem for problem in result["problems"])
    assert Path("/etc/hostname").read_bytes() == before


def link(path: Path, uid: int) -> None:
    path.symlink_to("/etc")
    os.chown(path, uid, uid, follow_symlinks=False)


def file(path: Path, uid: int) -> None:
    path.write_text("")
    os.chown(path, uid, uid)


def of_another(path: Path, uid: int) -> None:
    path.mkdir()
    path.chmod(0o755)
    os.chown(path, uid + 1, uid + 1)


@pytest.mark.root
@pytest.mark.parametrize("place", [".codex", ".codex/sessions", ".claude", ".claude/projects", ".claude/todos"])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (link, "is a symbolic link, not a directory"),
        (file, "is a regular file, not a directory"),
        (of_another, "belongs to UID 61402, not to UID 61401"),
    ],
)
def test_a_store_that_is_no_directory_of_the_tenants_own_is_told_of_once(workspace, place, make, said):
    path = workspace.home / place
    if path.parent != workspace.home:
        path.parent.mkdir(mode=0o700)
        os.chown(path.parent, workspace.uid, workspace.uid)
    make(path, workspace.uid)
    (problem,) = prune(root_of(workspace))["problems"]
    assert problem.startswith(f"{workspace.home}/{place}: {said}") or f": {place}: {said}" in problem
    result = survey.survey(str(root_of(workspace)), None, ["codex", "claude"], details=True, empty=True, homes={})
    (problem,) = result["problems"]
    assert said in problem


def test_sessions_below_other_homes_of_the_clis_are_pruned_where_named_and_told_of_where_not(workspace):
    threads = {place: identity() for place in (".codex", "agents/a1", "agents/a2", "deep/down/here", ".codex.old")}
    for place, thread in threads.items():
        put(workspace, rollout(thread).replace(".codex", place), 40)
        put(workspace, f"{place}/installation_id", 40)
    put(workspace, "work/sessions/notes.txt", 40)  # no home of Codex
    named = ["agents/*", "missing"]
    problems = prune(root_of(workspace), codex_homes=named, dry_run=True)["problems"]
    assert sorted(problem.split(" ")[1] for problem in problems) == [".codex.old", "deep/down/here"]
    homes = {"codex": named}
    info = survey.survey(str(root_of(workspace)), None, ["codex"], details=True, empty=False, homes=homes)
    assert {session["id"] for session in info["workspaces"][0]["sessions"]} == {
        threads[place] for place in (".codex", "agents/a1", "agents/a2")
    }
    assert info["totals"]["sessions"] == 3 and len(info["problems"]) == 2
    assert gone(prune(root_of(workspace), codex_homes=named)) == {
        threads[place] for place in (".codex", "agents/a1", "agents/a2")
    }
    every = [*named, "deep/down/here", ".codex.old", "*"]
    result = prune(root_of(workspace), codex_homes=every, claude_homes=["*"])
    assert (gone(result), result["problems"]) == ({threads["deep/down/here"], threads[".codex.old"]}, [])


def test_a_copy_of_a_home_of_codex_has_sessions_of_its_own(workspace):
    thread = identity()
    for place, days in ((".codex", 1), ("copy", 40)):
        put(workspace, rollout(thread).replace(".codex", place), days)
    result = prune(root_of(workspace), codex_homes=["copy"])
    assert (gone(result), result["totals"]["kept"]) == ({thread}, 1)
    assert left(workspace) == {rollout(thread)}


def test_a_session_of_claude_is_as_young_as_its_youngest_part(workspace):
    session = identity()
    put(workspace, f".claude/projects/-work/{session}.jsonl", 40)
    put(workspace, f".claude/projects/-work/{session}/subagents/agent-a.jsonl", 1)
    assert gone(prune(root_of(workspace))) == set()


def test_an_open_file_keeps_its_session(workspace):
    session = identity()
    with put(workspace, f".claude/projects/-work/{session}.jsonl", 40).open():
        result = prune(root_of(workspace))
    assert gone(result) == set() and result["totals"]["in_use"] == 1
    assert gone(prune(root_of(workspace))) == {session}


def test_a_store_that_is_not_asked_for_is_not_touched(workspace):
    codex, claude = identity(), identity()
    put(workspace, rollout(codex), 40)
    put(workspace, f".claude/projects/-work/{claude}.jsonl", 40)
    assert gone(prune(root_of(workspace), stores=["claude"])) == {claude}
    assert gone(prune(root_of(workspace), stores=["codex"])) == {codex}


def test_the_newest_of_each_store_stay(workspace):
    codex, claude = [identity() for _number in range(4)], [identity() for _number in range(2)]
    for days, session in enumerate(codex, 40):
        put(workspace, rollout(session), days)
    for days, session in enumerate(claude, 60):
        put(workspace, f".claude/projects/-work/{session}.jsonl", days)
    assert gone(prune(root_of(workspace), keep_last=2)) == {*codex[2:]}


def test_the_oldest_go_until_the_workspace_is_small_enough(workspace):
    sessions = [identity() for _number in range(4)]
    for days, session in enumerate(sessions):
        put(workspace, rollout(session), days, "x" * 1000)
    result = prune(root_of(workspace), max_age="0", max_bytes="2500")
    assert gone(result) == set(sessions[2:])
    assert (result["totals"]["kept"], result["totals"]["kept_bytes"]) == (2, 2000)
    assert not prune(root_of(workspace), max_age="0", max_bytes="2500")["changed"]


def test_more_sessions_than_are_planned_at_a_time(workspace, monkeypatch):
    monkeypatch.setattr(prune_home, "WINDOW", 3)
    sessions = [identity() for _number in range(20)]
    for days, session in enumerate(sessions):
        put(workspace, rollout(session), 24.5 + days)
    expected = set(sessions[6:])  # more than 30 days ago
    dry = prune(root_of(workspace), dry_run=True)
    assert gone(dry) == expected and dry["totals"]["kept"] == 6
    small = prune(root_of(workspace), max_age="0", max_bytes="45", dry_run=True)
    assert gone(small) == set(sessions[15:]) and small["totals"]["kept"] == 15
    assert gone(prune(root_of(workspace), keep_last=10)) == set(sessions[10:])
    result = prune(root_of(workspace))
    assert gone(result) == expected - set(sessions[10:]) and result["totals"]["kept"] == 6


def test_leftovers_go_at_an_age_of_their_own(workspace):
    session = identity()
    stale = {
        f".codex/shell_snapshots/{identity()}.1.sh": 2,
        ".codex/.tmp/git-abc/HEAD": 2,
        ".codex/.tmp/plugins-clone-xyz/deep/file": 2,
        ".codex/.tmp/.staging/marketplace-linux-abc/checkout/HEAD": 2,
        ".codex/..alive-codex-lineage.json.0123456789abcdef": 2,
        ".codex/.session_index.jsonl.0123456789abcdef": 2,
        ".codex/db-backups/state_5.sqlite.1.bak": 31,
        ".claude/shell-snapshots/snapshot-bash-1.sh": 31,
    }
    kept = {
        f".codex/shell_snapshots/{session}.1.sh": 0.5,
        ".codex/.tmp/git-def/HEAD": 0.5,
        ".codex/db-backups/state_5.sqlite.2.bak": 20,
        ".codex/.tmp/.staging/marketplace-linux-def/.lock": 0.5,
        ".codex/.tmp/.staging.lock": 90,
        ".codex/.tmp/app-server.sock.lock": 90,
        ".claude/shell-snapshots/snapshot-bash-2.sh": 20,
        rollout(session, date="2026/02/03"): 1,
    }
    for path, days in {**stale, **kept}.items():
        put(workspace, path, days)
    empty = put(workspace, ".codex/sessions/2020/01/02/gone", 40)
    empty.unlink()
    today = workspace.codex / "sessions" / time.strftime("%Y/%m/%d", time.gmtime(NOW))
    with usual_umask():
        today.mkdir(parents=True)
    expected = len(stale) + len(["2020/01/02", "2020/01", "2020"])
    assert prune(root_of(workspace), sweep=False)["totals"]["swept"] == 0
    assert prune(root_of(workspace), dry_run=True)["totals"]["swept"] == expected
    result = prune(root_of(workspace))
    assert result["totals"]["swept"] == expected and result["problems"] == []
    assert left(workspace) == set(kept)
    assert not (workspace.codex / "sessions/2020").exists()
    assert today.is_dir()
    assert not prune(root_of(workspace))["changed"]


def test_what_sessions_there_are(workspace):
    small, big, claude = identity(), identity(), identity()
    put(workspace, rollout(small), 40, "x")
    put(workspace, rollout(big), 2, "x" * 5000)
    put(workspace, f".claude/projects/-work/{claude}.jsonl", 3)
    with (workspace.home / rollout(small)).open():
        result = run_module("codex_sessions_info", {"root": str(root_of(workspace)), "details": True})
    (report,) = result["workspaces"]
    assert report["owner"] == f"{workspace.uid}:{workspace.uid}"
    codex = report["stores"]["codex"]
    assert (codex["sessions"], codex["bytes"], codex["largest"]["id"]) == (2, 5001, big)
    assert (codex["oldest"], codex["newest"]) == pytest.approx((NOW - 40 * DAY, NOW - 2 * DAY))
    assert codex["oldest_utc"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(codex["oldest"]))
    assert report["sessions"][2]["last_activity_utc"] == codex["newest_utc"]
    assert [(s["id"], s["kind"], s["in_use"]) for s in report["sessions"]] == [
        (small, "rollout", True),
        (claude, "transcript", False),
        (big, "rollout", False),
    ]
    assert result["totals"] == {"workspaces": 1, "sessions": 3, "bytes": 5004}


def test_a_store_without_sessions_is_told_of_where_asked_for(workspace):
    put(workspace, rollout(identity()), 40, "x")
    names = str(root_of(workspace)), None, ["codex", "claude"]
    (report,) = survey.survey(*names, details=False, empty=False, homes={})["workspaces"]
    assert list(report["stores"]) == ["codex"]
    (report,) = survey.survey(*names, details=False, empty=True, homes={})["workspaces"]
    assert list(report["stores"]) == ["codex", "claude"]
    assert report["stores"]["claude"] == {
        "sessions": 0,
        "bytes": 0,
        **dict.fromkeys(("oldest", "oldest_utc", "newest", "newest_utc", "largest")),
    }


def test_a_time_that_no_calendar_has_stops_no_survey(workspace):
    put(workspace, rollout(identity()), 0)
    (file,) = workspace.home.rglob("rollout-*")
    os.utime(file, (2**33, 2**33))  # what every file system here can hold
    (report,) = survey.survey(str(root_of(workspace)), None, ["codex"], details=False, empty=False, homes={})[
        "workspaces"
    ]
    assert report["stores"]["codex"]["newest_utc"] == "2242-03-16T12:56:32Z"


def test_a_workspace_is_one_whatever_its_name_and_what_the_host_puts_there_is_none(workspace):
    hidden = Workspace(root_of(workspace), ".hidden", workspace.uid)
    session = identity()
    put(hidden, rollout(session), 40)
    if os.geteuid() == 0:
        for name in ("lost+found", ".snapshots"):
            (root_of(workspace) / name).mkdir()
    result = prune(root_of(workspace))
    assert (gone(result), result["problems"]) == ({session}, [])
    assert [report["name"] for report in result["workspaces"]] == [".hidden", "acme"]


def test_an_empty_root_and_an_empty_home(workspace):
    assert prune(root_of(workspace))["totals"]["workspaces"] == 1
    workspace.home.rmdir()
    assert prune(root_of(workspace))["workspaces"] == []
    workspace.home.mkdir()  # for the root to be removed as it was made
