"""A session is pruned whole, file and rows, or not at all; what was not pruned is counted and said."""

from __future__ import annotations

import os
import re
import sqlite3

import pytest
from ansible_collections.alive.codex.plugins.module_utils._sessions import codex_delete
from support.packages import native_codex
from support.sessions import Workspace, gone, prune
from support.stub import ResponsesStub

pytestmark = pytest.mark.root
DUE = int(os.environ.get("ALIVE_SESSIONS", "24"))
SAID = re.compile(r".*: codex: (\d+) sessions? that should have gone did not: .*")


@pytest.fixture(scope="module")
def stub():
    with ResponsesStub() as server:
        yield server


@pytest.fixture(params=["0.169.0", "0.171.0"])
def acme(request, root):
    return Workspace(root, "acme", 61_601, request.param)


def pruned(workspace: Workspace, **options):
    given = {"codex_path": str(native_codex(workspace.version)), "sweep": False, **options}
    return prune(workspace.home.parent, **given)


def assert_whole(workspace: Workspace, threads: set[str], result) -> None:
    """Each of the threads has both its file and its rows, or neither, and those that stay are counted."""
    left = set(workspace.rollouts()) & threads
    assert gone(result) == threads - left
    assert {mention[-36:] for mention in workspace.mentions(threads)} == left
    assert sum(int(SAID.fullmatch(problem)[1]) for problem in result["problems"]) == len(left)
    assert result["totals"]["pruned"] == len(threads - left)


def unknown_column(workspace: Workspace) -> None:
    workspace.sql("state_5.sqlite", "CREATE TABLE of_tomorrow (other_thread_uuid TEXT)")


def virtual_table(workspace: Workspace) -> None:
    workspace.sql("thread_history_1.sqlite", "CREATE VIRTUAL TABLE of_tomorrow USING fts4 (body)")


def trigger(workspace: Workspace) -> None:
    workspace.sql("state_5.sqlite", "CREATE TABLE of_tomorrow (n)")
    statement = "INSERT INTO of_tomorrow SELECT value FROM json_each('[1]')"
    workspace.sql("state_5.sqlite", f"CREATE TRIGGER t AFTER DELETE ON threads BEGIN {statement}; END")


def break_page(workspace: Workspace, database: str, index: str) -> None:
    """That of an index, which whoever deletes a session has to change."""
    workspace.sql(database, "PRAGMA wal_checkpoint(TRUNCATE)")
    path = workspace.codex / database
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [index]).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


@pytest.mark.parametrize(
    ("acme", "make_strange"),
    [("0.169.0", unknown_column), *(("0.171.0", make) for make in (unknown_column, virtual_table, trigger))],
    indirect=["acme"],
)
def test_what_time_does_not_suffice_for_stays_whole_for_the_next_run(acme, stub, monkeypatch, make_strange):
    thread = acme.turn(stub)
    due = {thread, *acme.multiply(thread, DUE - 1)}
    young = acme.turn(stub)
    acme.age(*due)
    make_strange(acme)
    monkeypatch.setattr(codex_delete, "SECONDS", 1.0)
    result = pruned(acme)
    assert_whole(acme, due, result)
    assert "came as far as" in " ".join(result["problems"]) or len(gone(result)) == DUE
    monkeypatch.undo()
    while result["problems"]:
        left = set(acme.rollouts()) & due
        result = pruned(acme)
        assert_whole(acme, left, result)
        assert gone(result)
    assert set(acme.rollouts()) == {young}
    assert acme.mentions(due) == []
    assert acme.parity() == "ok"


PAGES = [("state_5.sqlite", "idx_threads_updated_at"), ("thread_history_1.sqlite", "idx_thread_items_page")]


@pytest.mark.parametrize(("database", "index"), PAGES)
def test_a_broken_page_costs_no_session_its_other_half(acme, stub, database, index):
    thread = acme.turn(stub)
    due = {thread, *acme.multiply(thread, 20)}
    acme.age(*due)
    break_page(acme, database, index)
    result = pruned(acme)
    left = set(acme.rollouts()) & due
    assert gone(result) == due - left
    assert sum(int(SAID.fullmatch(problem)[1]) for problem in result["problems"]) == len(left)
    # The CLI itself moves a broken database aside and makes it again, or else the message says how: nothing runs here.
    if not (acme.codex / "db-backups").exists():
        assert "moved aside while nothing runs there" in result["problems"][0]
        for path in acme.codex.glob(f"{database}*"):
            path.rename(f"{path}.broken")
    result = pruned(acme)
    assert result["problems"] == []
    assert not set(acme.rollouts()) & due
    assert acme.turn(stub)
    assert acme.parity() == "ok"
    assert acme.mentions(due) == []


def test_one_that_the_cli_refuses_keeps_none_of_the_others(acme, stub, root):
    threads = [acme.turn(stub) for _number in range(4)]
    acme.age(*threads)
    unknown_column(acme)
    refused = threads[1]
    codex = root / "codex"
    codex.write_text(
        f'#!/bin/sh\n[ "$3" != {refused} ] || {{ echo "not this one" >&2; exit 1; }}\n'
        f'exec {native_codex(acme.version)} "$@"\n'
    )
    codex.chmod(0o755)
    result = pruned(acme, codex_path=str(codex))
    assert_whole(acme, set(threads), result)
    assert set(acme.rollouts()) == {refused}
    assert "delete fails (not this one)" in result["problems"][0]


def test_without_the_cli_all_that_is_strange_stays(acme, stub):
    threads = {acme.turn(stub) for _number in range(7)}
    acme.age(*threads)
    unknown_column(acme)
    result = pruned(acme, codex_path="/nonexistent/codex")
    assert_whole(acme, threads, result)
    assert set(acme.rollouts()) == threads
    (problem,) = result["problems"]
    assert "of_tomorrow.other_thread_uuid" in problem and "/nonexistent/codex delete fails" in problem
    assert "a newer alive.codex" in problem


def test_rows_without_a_file_that_cannot_go_are_counted(acme, stub):
    threads = [acme.turn(stub) for _number in range(3)]
    unknown_column(acme)
    for thread in threads[:2]:
        acme.rollouts()[thread].unlink()
    result = pruned(acme, sweep=True, now=os.times().elapsed + 10**10)
    assert any("rows of 2 sessions without a file stay" in problem for problem in result["problems"])
