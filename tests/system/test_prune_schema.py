"""Databases whose schema is the tenant's: it is read and pruned, and what it would have SQLite do is not done."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._sessions import codex_databases, sqlite
from support.packages import pip_package

REAL = "test_what_a_session_has_shown_the_model_goes_with_it"
GONE, STAYS = str(uuid.uuid4()), str(uuid.uuid4())
# A function that a build of SQLite may have, and that does something: the command-line shell has one of this name.
CALL = "writefile('/tmp/x', 'x')"
TABLE = "CREATE TABLE threads (id TEXT PRIMARY KEY, rollout_path TEXT NOT NULL, title TEXT {})"
PLAIN = TABLE.format("")
OTHER = "CREATE TABLE other (n)"
ENDLESS = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t"
HOSTILE = {
    "a trigger": (PLAIN, OTHER, f"CREATE TRIGGER t AFTER DELETE ON threads BEGIN SELECT {CALL}; END"),
    "a trigger's condition": (PLAIN, f"CREATE TRIGGER t BEFORE DELETE ON threads WHEN {CALL} BEGIN SELECT 1; END"),
    "a view that a trigger reads": (
        PLAIN,
        OTHER,
        f"CREATE VIEW v AS SELECT {CALL} AS n",
        "CREATE TRIGGER t AFTER DELETE ON threads BEGIN INSERT INTO other SELECT n FROM v; END",
    ),
    "a default that a trigger uses": (
        PLAIN,
        f"CREATE TABLE other (n, d DEFAULT ({CALL}))",
        "CREATE TRIGGER t AFTER DELETE ON threads BEGIN INSERT INTO other (n) VALUES (1); END",
    ),
    "a check that a trigger meets": (
        PLAIN,
        f"CREATE TABLE other (n CHECK ({CALL}))",
        "CREATE TRIGGER t AFTER DELETE ON threads BEGIN INSERT INTO other (n) VALUES (1); END",
    ),
    "an index on an expression": (PLAIN, "CREATE INDEX i ON threads (writefile('/tmp/x', title))"),
    "a partial index": (PLAIN, "CREATE INDEX i ON threads (title) WHERE writefile('/tmp/x', title)"),
    "a generated column": (TABLE.format(", g AS (writefile('/tmp/x', title))"), "CREATE INDEX i ON threads (g)"),
    "a generated column of ids": (
        PLAIN,
        "CREATE TABLE other (n, thread_id AS (writefile('/tmp/x', n)))",
        "INSERT INTO other VALUES (1)",
    ),
}


@contextlib.contextmanager
def connected(path: Path, called: list[tuple]):
    """A plain connection, as the CLI would have one, to which the function is known."""

    def writefile(*values):
        called.append(values)
        return 1

    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.create_function("writefile", 2, writefile, deterministic=True)
        yield connection


@pytest.fixture
def codex():
    with tempfile.TemporaryDirectory() as path:
        here = os.open(".", os.O_RDONLY)
        yield Path(path)
        os.fchdir(here)  # the product goes to the databases
        os.close(here)


def make(codex: Path, *statements: str, name: str = "state_5.sqlite") -> None:
    with connected(codex / name, []) as connection:
        for statement in statements:
            connection.execute(statement)
        for thread in (GONE, STAYS):
            connection.execute("INSERT INTO threads (id, rollout_path, title) VALUES (?, 'x', 'y')", [thread])


def forget(codex: Path) -> int:
    fd = os.open(codex, os.O_RDONLY)
    try:
        with codex_databases.StateDatabases([fd]) as state:
            return state.forget({GONE})
    finally:
        os.close(fd)


def listed(codex: Path) -> set[str]:
    with connected(codex / "state_5.sqlite", []) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM threads")}


@pytest.mark.parametrize("statements", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_a_schema_calls_is_not_called(codex, monkeypatch, statements):
    make(codex, *statements)
    called: list[tuple] = []
    with connected(codex / "state_5.sqlite", called) as plain:  # what a connection that trusts it does
        plain.execute("BEGIN")
        plain.execute("DELETE FROM threads WHERE id = ?", [GONE])
        for table in ("threads", "other") if "other" in " ".join(statements) else ():
            plain.execute(f"SELECT * FROM {table}").fetchall()
        plain.execute("ROLLBACK")
    assert called
    called.clear()

    connect = sqlite3.connect

    def knowing(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.create_function("writefile", 2, lambda *values: called.append(values) or 1, deterministic=True)
        return connection

    monkeypatch.setattr(sqlite.sqlite3, "connect", knowing)
    with pytest.raises(sqlite.Strange, match=DENIED):
        forget(codex)
    monkeypatch.undo()
    assert called == []
    assert listed(codex) == {GONE, STAYS}


AFTER = "CREATE TRIGGER t AFTER DELETE ON threads BEGIN"
DENIED = "not authorized|unsafe use of|prohibited|constructor failed|raised exception"
STRANGE = {
    "a recursion": (DENIED, OTHER, f"{AFTER} INSERT INTO other {ENDLESS}; END"),
    "a table of pragmas": (DENIED, OTHER, f"{AFTER} INSERT INTO other SELECT name FROM pragma_database_list; END"),
    "a table of pragmas, uncounted": (
        DENIED,
        OTHER,
        f"{AFTER} INSERT INTO other SELECT 1 FROM pragma_quick_check; END",
    ),
    "a table of JSON": (DENIED, OTHER, f"{AFTER} INSERT INTO other SELECT value FROM json_each('[1]'); END"),
    "an extension": (DENIED, f"{AFTER} SELECT load_extension('/tmp/x'); END"),
    "a bomb": (DENIED, f"{AFTER} SELECT zeroblob(1000000000); END"),
    "a tokenizer": (DENIED, f"{AFTER} SELECT fts3_tokenizer('simple'); END"),
    "a search": ("virtual table", "CREATE VIRTUAL TABLE other USING fts4 (body)"),
    "a search, hidden": ("virtual table", "CREATE/**/VIRTUAL -- no\n TABLE other USING fts4 (body)"),
    "a tree": ("virtual table", "CREATE VIRTUAL TABLE other USING rtree (id, a, b)"),
    "a row that is put back": ("keeps rows", f"{AFTER} INSERT INTO threads VALUES (OLD.id, 'x', 'y'); END"),
    "a row that does not go": (
        "keeps rows",
        "CREATE TRIGGER t BEFORE DELETE ON threads BEGIN SELECT RAISE(IGNORE); END",
    ),
    "a refusal": ("says: no", "CREATE TRIGGER t BEFORE DELETE ON threads BEGIN SELECT RAISE(ABORT, 'no'); END"),
    "a column": ("not known", "CREATE TABLE other (Some_Thread_UUID TEXT)"),
    "a generated column": ("not known", "CREATE TABLE other (n, some_thread_uuid AS (n))"),
    "a table that hides": ("not known", "CREATE TABLE sqlitex (some_thread_uuid TEXT)"),
}


@pytest.mark.parametrize(("why", "statements"), [(why, rest) for why, *rest in STRANGE.values()], ids=STRANGE.keys())
def test_what_is_not_understood_changes_nothing(codex, why, statements):
    make(codex, PLAIN, *statements)
    with pytest.raises(sqlite.Strange, match=why):
        forget(codex)
    assert listed(codex) == {GONE, STAYS}


# What SQLite itself would not write, but reads: (type, name, table, sql) of a row in the schema.
FORGED = {
    "a view for a table": ("table", "other", "other", f"CREATE VIEW other AS {ENDLESS}"),
    "a view for the threads": (
        "table",
        "threads2",
        "threads2",
        "CREATE VIEW threads2 AS SELECT zeroblob(9) AS thread_id",
    ),
    "a search for a table": ("table", "other", "other", "CREATE VIRTUAL TABLE other USING fts4 (body)"),
    "no statement": ("table", "other", "other", "DROP TABLE threads"),
    "a table of another": ("table", "other", "threads", "CREATE TABLE threads (thread_id)"),
}


@pytest.mark.parametrize("row", FORGED.values(), ids=FORGED.keys())
def test_a_forged_schema_changes_nothing(codex, row):
    make(codex, PLAIN)
    with connected(codex / "state_5.sqlite", []) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql) VALUES (?, ?, ?, 0, ?)", row
        )
    with pytest.raises(sqlite.Strange):
        forget(codex)
    with connected(codex / "state_5.sqlite", []) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_master WHERE rootpage = 0 AND type = 'table'")
    assert listed(codex) == {GONE, STAYS}


def test_what_takes_too_long_is_given_up(codex, monkeypatch):
    monkeypatch.setattr(codex_databases, "STATEMENT_SECONDS", 0.1)
    many = "CREATE TABLE other (n)", "INSERT INTO other VALUES " + ",".join(f"({n})" for n in range(500))
    joined = ", ".join(f"other AS o{number}" for number in range(6))
    trigger = (
        f"CREATE TRIGGER t AFTER DELETE ON threads BEGIN UPDATE other SET n = (SELECT max(o1.n) FROM {joined}); END"
    )
    make(codex, PLAIN, *many, trigger)
    with pytest.raises(sqlite.Unavailable, match="without an end"):
        forget(codex)
    assert listed(codex) == {GONE, STAYS}


def test_what_codex_has_of_its_own_works(codex):
    """Triggers, cascades, partial indexes, and indexes on JSON, as the CLI 0.171 has them."""
    make(
        codex,
        PLAIN,
        "CREATE TABLE thread_tools (thread_id TEXT REFERENCES threads(id) ON DELETE CASCADE, name TEXT)",
        f"INSERT INTO thread_tools SELECT '{GONE}', 'x' WHERE 0",
        "CREATE TABLE queued_items (thread_id TEXT, item_json TEXT)",
        f"INSERT INTO queued_items VALUES ('{GONE}', '{{\"at\": 1}}'), ('{STAYS}', '{{\"at\": 2}}')",
        "CREATE INDEX i ON queued_items (thread_id, json_extract(item_json, '$.at'))"
        " WHERE json_extract(item_json, '$.at') IS NOT NULL",
        "CREATE TABLE a_revisions (revision INTEGER PRIMARY KEY AUTOINCREMENT, thread_id TEXT NOT NULL UNIQUE)",
        "CREATE TRIGGER t AFTER DELETE ON queued_items BEGIN INSERT INTO a_revisions (thread_id)"
        " VALUES (OLD.thread_id) ON CONFLICT(thread_id) DO UPDATE"
        " SET revision = (SELECT COALESCE(MAX(revision), 0) + 1 FROM a_revisions); END",
    )
    assert forget(codex) > 0
    assert listed(codex) == {STAYS}
    with connected(codex / "state_5.sqlite", []) as connection:
        assert connection.execute("SELECT thread_id FROM queued_items").fetchall() == [(STAYS,)]
        assert connection.execute("SELECT thread_id FROM a_revisions").fetchall() == []


# Of 3.38 to 3.40 and another, each as this Python's package of CPython's module and that SQLite.
OTHERS = {"3.39.4": "0.4.7.post8", "3.51.1": "0.5.4.post2"}


@pytest.mark.skipif("ALIVE_SQLITE" in os.environ, reason="runs with another SQLite already")
@pytest.mark.parametrize(("sqlite_version", "package"), OTHERS.items())
def test_with_another_sqlite(sqlite_version, package):
    """All of this file, and pruning what the newest CLI makes."""
    try:
        place = pip_package("pysqlite3-binary", package)
    except FileNotFoundError as error:
        pytest.skip(f"NOT RUN: {error}")
    here = Path(__file__)
    tests = [here, *([f"{here.with_name('test_prune_cli.py')}::{REAL}"] if os.geteuid() == 0 else [])]
    program = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environment = {**os.environ, "ALIVE_SQLITE": str(place), "EXPECTED": sqlite_version}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.skipif("EXPECTED" not in os.environ, reason="is for the run with another SQLite")
def test_it_is_the_other_sqlite():
    assert sqlite.sqlite3.sqlite_version == os.environ["EXPECTED"]
