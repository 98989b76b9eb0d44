"""Pruning, judged by the real CLI: sessions that it made, resumes, lists and checks."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._sessions import codex_upkeep
from support.packages import native_codex
from support.sessions import DAY, Workspace, gone, prune
from support.stub import FAKE_KEY, ResponsesStub
from support.turns import wait_until

pytestmark = pytest.mark.root
SESSIONS = int(os.environ.get("ALIVE_SESSIONS", "30"))
STRANGE = "CREATE TABLE of_tomorrow (other_thread_uuid TEXT)"


@pytest.fixture(scope="module")
def stub():
    with ResponsesStub() as server:
        yield server


@pytest.fixture(params=["0.169.0", "0.171.0"])
def version(request):
    """The CLI that makes the sessions."""
    return request.param


def start_turn(workspace, stub, *arguments, prompt):
    """A turn that is under way: its first event has come."""
    command = workspace.command(*workspace.exec_argv(stub, *arguments), CODEX_API_KEY=FAKE_KEY)
    process = subprocess.Popen(
        **command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    process.stdin.write(prompt.encode())
    process.stdin.close()
    assert select.select([process.stdout], [], [], 30)[0]
    assert b"thread.started" in process.stdout.readline()
    return process


def start_resume(workspace, stub, thread):
    """A whole turn, which may find that its session has gone."""
    command = workspace.command(*workspace.exec_argv(stub, "resume", thread), CODEX_API_KEY=FAKE_KEY)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    turn = subprocess.Popen(**command, stdin=subprocess.PIPE, **quiet)
    turn.stdin.write(b"hello")
    turn.stdin.close()
    return turn


def test_exactly_the_aged_and_idle_sessions_go(root, stub, version):
    workspace = Workspace(root, "acme", 61_101, version)
    threads = [workspace.turn(stub) for _number in range(SESSIONS)]
    archived, base, running = threads[0], threads[1], threads[2]
    resumed = threads[3:6]
    aged = threads[: SESSIONS // 3 + 1]
    assert workspace.cli("archive", archived).returncode == 0
    workspace.age(*aged)
    fork = workspace.turn(stub, "fork", base)
    workspace.age(base)
    for thread in resumed:
        assert workspace.turn(stub, "resume", thread) == thread
    turn = start_turn(workspace, stub, "resume", running, prompt="[[stall]]")
    try:
        # Until then, it writes to its rollout.
        wait_until(lambda: "[[stall]]" in stub.recorded() and "[[stall]]" in workspace.rollouts()[running].read_text())
        workspace.age(running)
        expected = set(aged) - {base, running, *resumed}

        assert gone(prune(root, dry_run=True)) == expected
        assert set(workspace.rollouts()) == {*threads, fork}

        meanwhile = {thread: start_resume(workspace, stub, thread) for thread in aged[6:9]}
        result = prune(root)
        saved = {thread for thread, each in meanwhile.items() if each.wait(60) == 0}
        expected -= saved
        assert result["problems"] == []
        assert gone(result) == expected
        assert set(workspace.rollouts()) == {*threads, fork} - expected
        counts = result["workspaces"][0]
        assert (counts["pruned"], counts["kept"]) == (len(expected), SESSIONS + 1 - len(expected))
        # One that was resumed in time was held open at that moment, or young already.
        assert 1 <= counts["in_use"] <= 1 + len(saved) and counts["needed"] == 1
    finally:
        turn.kill()
        turn.wait()
        turn.stdout.close()

    # A resume that failed may have noted its session again, after it had gone.
    prune(root, max_age="0", now=time.time() + 2 * DAY)
    assert workspace.mentions(expected) == []
    assert workspace.integrity() == {"ok"}
    assert workspace.parity() == "ok"
    assert workspace.foreign_files() == []
    for thread in workspace.rollouts():
        assert workspace.turn(stub, "resume", thread) == thread
    assert not prune(root, sweep=False)["changed"]


def test_what_a_session_has_shown_the_model_goes_with_it(root, stub):
    """The CLI keeps the thread's id as the session's: its own deletion takes these rows along."""
    workspace = Workspace(root, "acme", 61_109, "0.171.0")
    threads = [workspace.turn(stub) for _number in range(3)]
    for thread in threads:
        workspace.sql("state_5.sqlite", f"INSERT INTO session_model_ids VALUES ('{thread}', 'kind', 'key', 0, 'state')")
    assert workspace.cli("delete", "--force", threads[0]).returncode == 0
    workspace.age(threads[1])
    assert gone(prune(root)) == {threads[1]}
    rows = [mention for mention in workspace.mentions(set(threads)) if "session_model_ids" in mention]
    assert rows == [f"state_5.sqlite: session_model_ids: {threads[2]}"]


def test_the_naive_cron_line_deletes_sessions_in_use(root, stub, version):
    """Why this collection has a pruner. The line is the one that deployments copy from each other."""
    workspace = Workspace(root, "acme", 61_102, version)
    threads = [workspace.turn(stub) for _number in range(3)]
    workspace.age(threads[0])
    aged = time.time() - 40 * DAY
    os.utime(workspace.codex / "sessions", (aged, aged))  # a year directory was last added long ago
    subprocess.run(f"find {root}/*/.codex/sessions/ -maxdepth 1 -mtime +30 -exec rm -rf {{}} +", shell=True, check=True)
    assert workspace.rollouts() == {}


@pytest.mark.parametrize("strange", [False, True])
@pytest.mark.parametrize("trial", range(int(os.environ.get("ALIVE_TRIALS", "4"))))
def test_a_session_that_is_resumed_while_it_is_due_is_never_torn(root, stub, version, trial, strange):
    """Either it goes and the resume fails, or it is resumed and stays: no turn writes to a file that has gone."""
    workspace = Workspace(root, "acme", 61_103, version)
    threads = [workspace.turn(stub)]
    threads += workspace.multiply(threads[0], 2)
    if strange:
        workspace.sql("state_5.sqlite", STRANGE)
    workspace.age(*threads)
    with start_resume(workspace, stub, threads[0]) as turn:
        time.sleep(0.03 * trial)  # the point in the resume's start that this trial tries
        result = prune(root, codex_path=str(native_codex(version)))
        assert turn.wait(60) == (1 if threads[0] in gone(result) else 0)
    assert set(workspace.rollouts()) == set(threads) - gone(result)
    if strange:
        workspace.sql("state_5.sqlite", "DROP TABLE of_tomorrow")
    # The failed resume may have noted the session again, after it had gone: what was noted a day ago is looked at.
    prune(root, now=time.time() + 2 * DAY)
    assert workspace.parity() == "ok"


def test_a_strange_schema_is_left_to_the_cli(root, stub, version):
    workspace = Workspace(root, "acme", 61_104, version)
    threads = [workspace.turn(stub) for _number in range(3)]
    workspace.sql("state_5.sqlite", STRANGE)
    workspace.age(*threads[:2])
    result = prune(root, codex_path=str(native_codex(version)))
    assert result["problems"] == []
    assert gone(result) == set(threads[:2])
    assert set(workspace.rollouts()) == {threads[2]}
    assert workspace.mentions(set(threads[:2])) == []


def test_what_goes_can_be_brought_back(root, stub, version):
    workspace = Workspace(root, "acme", 61_105, version)
    threads = [workspace.turn(stub) for _number in range(2)]
    workspace.age(threads[0])
    result = prune(root, archive=str(root / ".archive"))
    assert gone(result) == {threads[0]}
    assert result["problems"] == []
    (archive,) = map(Path, result["workspaces"][0]["archives"])
    for path, mode in ((archive, 0o600), (archive.parent, 0o700)):
        info = path.stat()
        assert (info.st_uid, info.st_mode & 0o777) == (0, mode)
    tar = workspace.command("tar", "--extract", "--gzip", "--touch", f"--directory={workspace.home}")
    with archive.open("rb") as packed:
        subprocess.run(**tar, stdin=packed, check=True)
    assert workspace.turn(stub, "resume", threads[0]) == threads[0]
    assert workspace.parity() == "ok"
    assert workspace.foreign_files() == []


def test_without_an_archive_nothing_goes(root, stub, version):
    workspace = Workspace(root, "acme", 61_106, version)
    thread = workspace.turn(stub)
    workspace.age(thread)
    (root / "file").write_text("")
    result = prune(root, archive=str(root / "file"))
    assert "archive could not be written" in result["problems"][0]
    assert set(workspace.rollouts()) == {thread}


@pytest.mark.parametrize("older", ["0.44.0", "0.98.0", "0.120.0", "0.140.0"])
def test_sessions_of_older_releases_are_pruned_under_the_current_one(root, stub, version, older):
    workspace = Workspace(root, "acme", 61_107, version)
    threads = [workspace.turn(stub, version=older) for _number in range(3)]
    workspace.age(*threads[:2])
    assert workspace.turn(stub, "resume", threads[1]) == threads[1]
    result = prune(root)
    assert result["problems"] == []
    assert gone(result) == {threads[0]}
    assert workspace.mentions({threads[0]}) == []
    assert workspace.integrity() == {"ok"}
    assert workspace.parity() == "ok"
    for thread in threads[1:]:
        assert workspace.turn(stub, "resume", thread) == thread


def test_rows_of_sessions_that_somebody_else_removed_go(root, stub, version):
    workspace = Workspace(root, "acme", 61_108, version)
    threads = [workspace.turn(stub) for _number in range(2)]
    workspace.rollouts()[threads[0]].unlink()
    assert prune(root)["totals"]["swept"] == 0  # a turn that begins has rows before it has a file
    later = time.time() + 2 * DAY
    assert prune(root, now=later, dry_run=True)["totals"]["swept"] == 1
    assert prune(root, now=later)["totals"]["swept"] == 1
    assert workspace.mentions({threads[0]}) == []
    assert workspace.parity() == "ok"
    assert not prune(root, now=later)["changed"]


def name_threads(workspace, names):
    """Gives threads names, as an app that drives the CLI does."""
    command = workspace.command(native_codex(workspace.version), "app-server", CODEX_API_KEY=FAKE_KEY)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(**command, **pipes, text=True) as server:

        def call(method, **params):
            server.stdin.write(json.dumps({"id": method, "method": method, "params": params}) + "\n")
            server.stdin.flush()
            assert any('"result"' in line for line in server.stdout if f'"{method}"' in line)

        call("initialize", clientInfo={"name": "test", "version": "1"})
        for thread, name in names.items():
            call("thread/resume", threadId=thread)
            call("thread/name/set", threadId=thread, name=name)
        server.kill()


def test_the_name_of_a_session_goes_with_it_as_the_cli_does_it(root, stub, version):
    workspace = Workspace(root, "acme", 61_101, version)
    aged, deleted, fresh = threads = [workspace.turn(stub) for _number in range(3)]
    name_threads(workspace, {thread: f"name of {thread}" for thread in threads})
    index = workspace.codex / "session_index.jsonl"
    assert all(f"name of {thread}" in index.read_text() for thread in threads)
    assert workspace.cli("delete", "--force", deleted).returncode == 0
    mode = index.stat().st_mode
    workspace.age(aged)
    result = prune(root, codex_path=str(native_codex(version)))
    assert (gone(result), result["problems"]) == ({aged}, [])
    lines = list(map(json.loads, index.read_text().splitlines()))
    assert {line["id"] for line in lines} == {fresh} and index.stat().st_mode == mode
    assert workspace.foreign_files() == []


def fill_logs(workspace, thread, rows):
    """So many rows about a session, of 20 KB each, in the database itself and not in its log."""
    program = (
        "import sqlite3, sys, time; path, thread, rows = sys.argv[1:]; log = sqlite3.connect(path); log.executemany("
        "'INSERT INTO logs (ts, ts_nanos, level, target, feedback_log_body, thread_id, estimated_bytes)"
        " VALUES (?, 0, ?, ?, ?, ?, 20000)', [(int(time.time()), 'INFO', 'x', 'x' * 20000, thread)] * int(rows));"
        " log.commit(); log.execute('PRAGMA wal_checkpoint(TRUNCATE)')"
    )
    argv = ("/usr/bin/python3", "-c", program, workspace.codex / "logs_2.sqlite", thread, str(rows))
    subprocess.run(**workspace.command(*argv), check=True)


def test_room_that_the_logs_do_not_need_is_given_back(root, stub, version, monkeypatch):
    workspace = Workspace(root, "acme", 61_101, version)
    aged, running = workspace.turn(stub), workspace.turn(stub)
    logs = workspace.codex / "logs_2.sqlite"
    fill_logs(workspace, aged, 500)
    before = logs.stat().st_size
    workspace.age(aged)
    options = {"codex_path": str(native_codex(version))}
    assert gone(prune(root, sweep=False, **options)) == {aged}
    assert logs.stat().st_size == before
    assert prune(root, dry_run=True, **options)["totals"]["swept_bytes"] > before / 2
    with monkeypatch.context() as hurried:
        hurried.setattr(codex_upkeep, "GIVE_BACK_SECONDS", 0.0)
        (problem,) = prune(root, **options)["problems"]
        assert "that databases do not need stay: 0 s did not suffice. The next run goes on" in problem
    # A turn that writes meanwhile loses nothing, and the room is back when it has ended.
    turn = start_turn(workspace, stub, "resume", running, prompt="[[stall]]")
    result = prune(root, **options)
    assert result["problems"] == [] and result["totals"]["swept_bytes"] > before / 2
    turn.terminate()
    turn.wait(30)
    assert workspace.turn(stub, "resume", running) == running
    prune(root, **options)
    assert logs.stat().st_size < before / 2
    assert workspace.integrity() == {"ok"} and workspace.parity() == "ok"
    assert not prune(root, **options)["totals"]["swept"]


def test_sessions_where_the_operator_had_codex_home_are_pruned_with_their_rows(root, stub, version):
    workspace = Workspace(root, "acme", 61_101, version)
    place = workspace.home / "agents" / "a1"
    subprocess.run(**workspace.command("mkdir", "--parents", place), check=True)
    command = workspace.command
    workspace.command = lambda *argv, **more: command(*argv, CODEX_HOME=str(place), **more)
    aged, fresh = workspace.turn(stub), workspace.turn(stub)
    (rollout,) = place.rglob(f"*{aged}*.jsonl")
    os.utime(rollout, (time.time() - 40 * DAY,) * 2)
    options = {"codex_path": str(native_codex(version))}
    (problem,) = prune(root, **options)["problems"]
    assert "agents/a1 looks like a home of codex" in problem and rollout.exists()
    result = prune(root, codex_homes=["agents/*"], **options)
    assert (gone(result), result["problems"]) == ({aged}, [])
    assert workspace.mentions({aged}) == [] and workspace.mentions({fresh})
    assert workspace.parity() == "ok" and workspace.foreign_files() == []
    # The CLI, where it has to do it, works there too.
    program = f"import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute({STRANGE!r})"
    subprocess.run(**command("/usr/bin/python3", "-c", program, next(place.glob("state_*.sqlite"))), check=True)
    os.utime(next(place.rglob(f"*{fresh}*.jsonl")), (time.time() - 40 * DAY,) * 2)
    assert gone(prune(root, codex_homes=["agents/*"], **options)) == {fresh}
    assert workspace.mentions({fresh}) == []
