"""What happens to a session between the plan that it goes and the lock under which it goes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._sessions import codex_databases, codex_store
from support.sessions import Workspace, gone, prune, workspaces_root

DUE = str(uuid.uuid4())
PATH = f".codex/sessions/2026/01/02/rollout-2026-01-02T03-04-05-{DUE}.jsonl"


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """With one session that is due, and the directory of locks that the CLI has."""
    with workspaces_root() as root:
        made = Workspace(root, "acme", 61_241)
        (made.home / ".codex/thread-writer-locks").mkdir(parents=True)
        (made.home / PATH).parent.mkdir(parents=True)
        (made.home / PATH).write_text('{"type": "session_meta", "payload": {}}\n')
        os.utime(made.home / PATH, (1, 1))
        for path in (made.home, *made.home.rglob("*")):
            os.chown(path, made.uid, made.uid)
        yield made


@pytest.mark.root
def test_a_session_that_is_opened_after_the_plan_stays(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = codex_store.CodexStore.closed

    @contextlib.contextmanager
    def closed_and_opened(store: codex_store.CodexStore) -> Iterator[None]:
        with closed(store):
            os.open(PATH, os.O_RDONLY, dir_fd=os.open(workspace.home, os.O_PATH))  # its time stays what it was
            yield

    monkeypatch.setattr(codex_store.CodexStore, "closed", closed_and_opened)
    result = prune(workspace.home.parent, max_age="1d")
    assert gone(result) == set() and (workspace.home / PATH).exists()
    monkeypatch.undo()
    assert gone(prune(workspace.home.parent, max_age="1d")) == {DUE}


@pytest.mark.root
def test_nothing_goes_while_the_cli_keeps_its_lock(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codex_store, "_LOCK_SECONDS", 0.1)
    lock = workspace.home / ".codex/thread-writer-locks/.coordination.lock"
    with lock.open("w") as held:
        os.chown(lock, workspace.uid, workspace.uid)
        fcntl.flock(held, fcntl.LOCK_EX)
        result = prune(workspace.home.parent, max_age="1d")
    assert gone(result) == set() and (workspace.home / PATH).exists()
    assert ["kept it locked" in problem for problem in result["problems"]] == [True]
    assert gone(prune(workspace.home.parent, max_age="1d")) == {DUE}


def test_what_a_trigger_of_the_clis_notes_of_a_deletion_goes_too(tmp_path: Path) -> None:
    """In a table that had its turn before."""
    database = tmp_path / "state_5.sqlite"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            f"""CREATE TABLE notes (thread_id TEXT);
            CREATE TABLE threads (id TEXT PRIMARY KEY, rollout_path TEXT NOT NULL);
            CREATE TRIGGER t AFTER DELETE ON threads BEGIN INSERT INTO notes VALUES (old.id); END;
            INSERT INTO threads VALUES ('{DUE}', 'x'), ('another', 'y');"""
        )
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    back = os.open(".", os.O_PATH)
    try:
        with codex_databases.StateDatabases([directory]) as state:
            state.forget({DUE})
    finally:
        os.fchdir(back)
        os.close(back)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT id FROM threads").fetchall() == [("another",)]
        assert connection.execute("SELECT * FROM notes").fetchall() == []
