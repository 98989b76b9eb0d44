"""Pruning what hostile tenants own: nothing of anybody else is touched, the run ends, and everybody else is pruned."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import re
import signal
import sqlite3
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from support.sessions import DAY, Workspace, gone, prune

pytestmark = pytest.mark.root
TRIALS = int(os.environ.get("ALIVE_TRIALS", "30"))
LEVELS = [".codex", ".codex/sessions", ".codex/sessions/2026", ".codex/sessions/2026/01", ".codex/sessions/2026/01/02"]


def plant(workspace: Workspace, days: float = 40, name: str = "", directory: str = LEVELS[-1]) -> Path:
    """A rollout that was last used so many days ago, with all of its directories the tenant's."""
    above = workspace.home / directory
    above.mkdir(parents=True, exist_ok=True)
    path = above / (name or f"rollout-2026-01-02T03-04-05-{uuid.uuid4()}.jsonl")
    path.write_text('{"type": "session_meta", "payload": {}}\n')
    when = time.time() - days * DAY
    os.utime(path, (when, when))
    for below in (path, *path.parents):
        if below == workspace.home:
            break
        os.chown(below, workspace.uid, workspace.uid)
    return path


@pytest.fixture
def hostile(root):
    return Workspace(root, "hostile", 61_201)


@pytest.fixture
def bystander(root):
    """Another tenant, sorted behind the hostile one, with a session that is due."""
    workspace = Workspace(root, "victim", 61_202)
    plant(workspace)
    return workspace


@pytest.fixture
def canary(root):
    """A tree like a store's that everybody may write to, outside of every HOME."""
    outside = root.parent / f"{root.name}-canary"
    subprocess.run(["rm", "-rf", outside], check=True)
    tree = outside / "sessions" / "2026" / "01" / "02"
    tree.mkdir(parents=True)
    files = [tree / f"rollout-2026-01-02T03-04-05-{uuid.uuid4()}.jsonl" for _number in range(3)]
    for path in files:
        path.write_text("canary")
        os.utime(path, (1, 1))
        path.chmod(0o666)
    for directory in (outside, *tree.parents[:3], tree):
        directory.chmod(0o777)
    yield outside
    try:
        assert all(path.read_text() == "canary" for path in files)
    finally:
        subprocess.run(["rm", "-rf", outside], check=True)


def report_of(result, workspace):
    return next(report for report in result["workspaces"] if report["name"] == workspace.home.name)


def assert_pruned(result, workspace):
    assert report_of(result, workspace)["pruned"] == 1
    assert report_of(result, workspace)["problems"] == []
    assert not workspace.rollouts()


@pytest.mark.parametrize("level", LEVELS)
def test_a_link_is_not_followed_and_is_reported(root, hostile, bystander, canary, level):
    plant(hostile)
    target = canary / os.path.relpath(level, ".codex")
    subprocess.run(["rm", "-rf", hostile.home / level], check=True)
    (hostile.home / level).symlink_to(target)
    result = prune(root)
    assert "is a symbolic link" in " ".join(report_of(result, hostile)["problems"])
    assert_pruned(result, bystander)


def swap_for_ever(workspace: Workspace, level: str, canary: Path) -> None:
    """As the tenant: a directory and a link in its place, in turn, as fast as possible."""
    os.setgroups([])
    os.setresgid(workspace.uid, workspace.uid, workspace.uid)
    os.setresuid(workspace.uid, workspace.uid, workspace.uid)
    os.chdir((workspace.home / level).parent)
    name = os.path.basename(level)
    os.symlink(canary / os.path.relpath(level, ".codex"), "link")
    while True:
        os.rename(name, "aside")
        os.rename("link", name)
        os.rename(name, "link")
        os.rename("aside", name)


@pytest.mark.parametrize("level", LEVELS)
def test_a_swap_leads_nowhere(root, hostile, bystander, canary, level):
    plant(hostile)
    swapper = multiprocessing.get_context("fork").Process(target=swap_for_ever, args=(hostile, level, canary))
    swapper.start()
    try:
        for _trial in range(max(TRIALS // len(LEVELS), 1)):
            prune(root, workspaces=["hostile"])
    finally:
        swapper.kill()
        swapper.join()
    assert_pruned(prune(root), bystander)


def test_strange_files_are_left_alone(root, hostile, bystander):
    kept = plant(hostile, days=1)
    aged = plant(hostile)
    directory = aged.parent
    linked = hostile.home / "linked"
    linked.write_text("mine")
    os.link(linked, directory / f"rollout-2026-01-02T03-04-05-{uuid.uuid4()}.jsonl")
    os.utime(linked, (1, 1))
    fifo = directory / f"rollout-2026-01-02T03-04-06-{uuid.uuid4()}.jsonl"
    os.mkfifo(fifo)
    os.utime(fifo, (1, 1))
    made = os.fsencode(directory) + b"/rollout-2026-01-02T03-04-05-\xff\n.jsonl"
    os.close(os.open(made, os.O_CREAT))
    directory.joinpath("line\nbreak").mkdir()
    result = prune(root)
    assert report_of(result, hostile)["problems"] == []
    assert not aged.exists()
    assert linked.read_text() == "mine"  # its other name has gone, as a session of 1970
    assert kept.exists() and fifo.exists() and os.path.exists(made)
    assert_pruned(result, bystander)


def test_a_sparse_rollout_counts_what_it_takes(root, hostile):
    path = plant(hostile)
    os.truncate(path, 10 * 2**30)
    other = plant(hostile, days=1)
    os.utime(path, (time.time() - 2 * DAY,) * 2)
    result = prune(root, max_bytes="1M")
    assert path.exists() and other.exists()
    assert report_of(result, hostile)["kept_bytes"] < 2**20


def test_many_empty_directories_do_not_hold_up_anybody(root, hostile, bystander):
    plant(hostile)
    for number in range(100_000 if TRIALS >= 200 else 2_000):
        os.makedirs(hostile.codex / "sessions" / f"{number % 1000:04}" / f"{number // 1000:02}")
    subprocess.run(["chown", "-R", f"{hostile.uid}:{hostile.uid}", hostile.codex], check=True)
    result = prune(root)
    assert report_of(result, hostile)["pruned"] == 1
    assert_pruned(result, bystander)


@pytest.mark.parametrize("when", [0, 2**33])
def test_odd_times_are_taken_as_they_are(root, hostile, bystander, when):
    path = plant(hostile)
    os.utime(path, (when, when))
    result = prune(root)
    assert path.exists() == (when != 0)
    assert_pruned(result, bystander)


def test_a_clock_that_was_set_back_prunes_nothing(root, bystander):
    result = prune(root, now=time.time() - 3650 * DAY)
    assert gone(result) == set()
    assert len(bystander.rollouts()) == 1


def databases(workspace: Workspace, *statements: str, name: str = "state_5.sqlite") -> Path:
    path = workspace.codex / name
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    os.chown(path, workspace.uid, workspace.uid)
    return path


THREADS = "CREATE TABLE threads (id TEXT PRIMARY KEY, rollout_path TEXT NOT NULL)"


NOT_GONE = "codex: 1 session that should have gone did not: "


def test_what_a_corrupt_database_lists_stays_whole(root, hostile, bystander):
    rollout = plant(hostile)
    path = databases(hostile, THREADS)
    path.write_bytes(b"SQLite format 3\0" + os.urandom(8000))
    result = prune(root)
    assert rollout.exists() and report_of(result, hostile)["kept"] == 1
    problems = report_of(result, hostile)["problems"]
    assert problems[0].startswith(f"{NOT_GONE}Codex's databases are not as known here (SQLite says: file is not a d")
    assert len(problems) == 3 and {problem.split(": ")[-1] for problem in problems[1:]} == {"file is not a database"}
    assert_pruned(result, bystander)


def test_a_locked_database_costs_that_tenants_turn(root, hostile, bystander, monkeypatch):
    from ansible_collections.alive.codex.plugins.module_utils._sessions import codex_databases

    monkeypatch.setattr(codex_databases, "BUSY_SECONDS", 0.2)
    rollout = plant(hostile)
    path = databases(hostile, THREADS)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        result = prune(root)
    finally:
        holder.close()
    assert "locked" in " ".join(report_of(result, hostile)["problems"])
    assert rollout.exists()
    assert_pruned(result, bystander)
    assert_pruned(prune(root), hostile)


@pytest.mark.parametrize("suffix", ["", "-wal", "-journal"])
@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_database_costs_that_tenants_turn(root, hostile, bystander, monkeypatch, put, suffix):
    from ansible_collections.alive.codex.plugins.module_utils._sessions import codex_delete

    monkeypatch.setattr(codex_delete, "CALL_SECONDS", 0.5)  # the CLI itself waits for a FIFO
    rollout = plant(hostile)
    if suffix:
        databases(hostile, THREADS)
    put(hostile.codex / f"state_5.sqlite{suffix}")
    result = prune(root)
    # The CLI may come to terms with it.
    assert rollout.exists() == (report_of(result, hostile)["pruned"] == 0)
    assert f"state_5.sqlite{suffix} is not a regular file" in " ".join(report_of(result, hostile)["problems"])
    assert_pruned(result, bystander)


# What a CLI could do that a tenant's configuration leads astray: a daemon with its pipes, and one in a further session.
ASTRAY = """#!/bin/sh
setsid sh -c 'echo $$ >>"$HOME/left"; exec sleep 300' &
(setsid setsid sh -c 'echo $$ >>"$HOME/left"; exec sleep 300' >/dev/null 2>&1 &)
cat /proc/self/limits >"$HOME/limits"
while [ "$(wc -l <"$HOME/left")" -lt 2 ]; do sleep 0.01; done
"""


def test_nothing_that_the_cli_starts_outlives_it(root, hostile, bystander, open_dir, monkeypatch):
    from ansible_collections.alive.codex.plugins.module_utils._sessions import codex_delete

    monkeypatch.setattr(codex_delete, "CALL_SECONDS", 2.0)  # the daemon holds the CLI's pipes open
    monkeypatch.setattr(codex_delete, "FAILURES", 1)
    cli = open_dir / "codex"
    cli.write_text(ASTRAY)
    cli.chmod(0o755)
    plant(hostile)
    os.mkfifo(hostile.codex / "state_5.sqlite")
    result = prune(root, codex_path=str(cli))
    assert "took more than 2 s" in " ".join(report_of(result, hostile)["problems"])
    left = (hostile.home / "left").read_text().split()
    assert len(left) == 2 and not any(os.path.exists(f"/proc/{pid}") for pid in left)
    limit = re.search(r"^Max processes +(\S+)", (hostile.home / "limits").read_text(), re.MULTILINE)
    assert int(limit[1]) <= 2048
    assert_pruned(result, bystander)


def test_a_log_that_goes_while_we_look_is_no_problem(root, hostile, monkeypatch):
    """A CLI that closes a database removes what lies beside it."""
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*listdir(path), *(["state_5.sqlite-wal"] * isinstance(path, int))])
    plant(hostile)
    databases(hostile, THREADS)
    assert_pruned(prune(root), hostile)


ENDLESS = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n, n FROM t"
LONG = "SELECT count(*), 1 FROM " + ", ".join(f"threads AS t{number}" for number in range(30))


@pytest.mark.parametrize(("query", "why"), [(ENDLESS, "not authorized"), (LONG, "without an end")])
def test_a_database_that_fights_back_is_stopped(root, hostile, bystander, monkeypatch, query, why):
    """A trigger without end, and a view in a table's place."""
    from ansible_collections.alive.codex.plugins.module_utils._sessions import codex_databases

    monkeypatch.setattr(codex_databases, "STATEMENT_SECONDS", 0.5)
    rollout = plant(hostile)
    thread = rollout.name[-42:-6]
    databases(
        hostile,
        THREADS,
        f"INSERT INTO threads VALUES ('{thread}', ''), ('1', ''), ('2', ''), ('3', '')",
        f"CREATE TRIGGER never AFTER DELETE ON threads BEGIN INSERT INTO threads {query}; END",
    )
    databases(hostile, f"CREATE VIEW threads AS {ENDLESS}", name="goals_1.sqlite")
    result = prune(root)
    assert report_of(result, hostile)["problems"][0].startswith(NOT_GONE)
    assert why in report_of(result, hostile)["problems"][0]
    assert rollout.exists()
    assert_pruned(result, bystander)


def test_what_a_killed_run_has_put_aside_comes_back(root, hostile, canary):
    due, young = plant(hostile), plant(hostile, days=1)
    away = (hostile.codex / "sessions/2026/01/03/rollout-2026-01-03T03-04-05-").with_name(
        f"rollout-2026-01-03T03-04-05-{uuid.uuid4()}.jsonl"
    )
    aside = hostile.codex / ".alive-codex-aside"
    aside.mkdir()
    os.chown(aside, hostile.uid, hostile.uid)
    young.rename(aside / str(young.relative_to(hostile.codex)).replace("/", ","))
    due.rename(aside / str(away.relative_to(hostile.codex)).replace("/", ","))  # its directory has gone
    for name in ("..,..,..,x", "sessions,..,x", ",x", "sessions", "."):
        (aside / name).mkdir(exist_ok=True)
    (aside / "link,x").symlink_to(canary)
    (hostile.codex / "link").symlink_to(canary)
    result = prune(root)
    assert gone(result) == {away.name[-42:-6]}
    assert list(hostile.rollouts().values()) == [young]
    assert not (root / "x").exists() and not (root.parent / "x").exists()


def test_what_lies_in_a_directory_that_is_closed_stays_whole(root, hostile):
    """Its rows would go, and its file stay, run after run."""
    thread = (rollout := plant(hostile)).name[-42:-6]
    path = databases(hostile, THREADS, f"INSERT INTO threads VALUES ('{thread}', '{rollout}')")
    rollout.parent.chmod(0o500)
    result = prune(root)
    (problem,) = report_of(result, hostile)["problems"]
    assert problem == f"{NOT_GONE}{LEVELS[-1]} cannot be written to. Its owner has to allow that"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id FROM threads").fetchall() == [(thread,)]
    rollout.parent.chmod(0o700)
    assert_pruned(prune(root), hostile)


def test_a_lock_that_is_never_given_back_costs_that_tenants_turn(root, hostile, bystander, monkeypatch):
    from ansible_collections.alive.codex.plugins.module_utils._sessions import codex_store

    monkeypatch.setattr(codex_store, "_LOCK_SECONDS", 0.2)
    rollout = plant(hostile)
    lock = plant(hostile, name=".coordination.lock", directory=".codex/thread-writer-locks")
    with open(lock) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = prune(root)
    assert "locked" in report_of(result, hostile)["problems"][0]
    assert rollout.exists()
    assert_pruned(result, bystander)


def test_a_child_that_its_tenant_kills_is_reported(root, hostile, bystander, monkeypatch):
    from ansible_collections.alive.codex.plugins.module_utils._sessions import prune_home

    plant(hostile)
    run = prune_home.HomePruner.run

    def killed(self):
        if self.path.endswith("hostile"):
            os.kill(os.getpid(), signal.SIGKILL)
        return run(self)

    monkeypatch.setattr(prune_home.HomePruner, "run", killed)
    result = prune(root)
    assert report_of(result, hostile)["problems"] == ["was killed by SIGKILL, and left no report"]
    assert_pruned(result, bystander)


@pytest.mark.parametrize("report", [{"pruned": "many"}, {"problems": "none"}, {"sessions": 5}, {"name": "victim"}])
def test_a_child_that_was_taken_over_speaks_for_itself_only(root, hostile, bystander, monkeypatch, report):
    from ansible_collections.alive.codex.plugins.module_utils._sessions import prune_home

    run = prune_home.HomePruner.run
    monkeypatch.setattr(
        prune_home.HomePruner, "run", lambda self: {**run(self), **(report if "hostile" in self.path else {})}
    )
    result = prune(root)
    assert bool(report_of(result, hostile)["problems"]) == ("name" not in report)
    assert_pruned(result, bystander)


def test_a_home_of_root_and_a_linked_home_are_refused(root, bystander):
    (root / "roots").mkdir()
    (root / "linked").symlink_to(bystander.home)
    result = prune(root, workspaces=["roots", "linked", "..", "a/b", "missing", "victim"])
    problems = {report["name"]: " ".join(report["problems"]) for report in result["workspaces"]}
    assert "belongs to root" in problems["roots"]
    assert "is a symbolic link" in problems["linked"]
    assert "one plain path component" in problems[".."] and "one plain path component" in problems["a/b"]
    assert "No such file" in problems["missing"]
    assert_pruned(result, bystander)
