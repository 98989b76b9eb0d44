# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codex's own databases: the rows that name a session. Private to the collection alive.codex.

Their schema is private to the CLI and changes often, so nothing is taken for granted: tables and columns are looked up
in the files that are there, and anything that looks like a session's id in a way not understood here makes the whole
of it ``Strange``, for the CLI itself to deal with. What is in the files is the tenant's: this runs as the tenant.
"""

from __future__ import annotations

import os
import re
import stat
from types import TracebackType
from typing import Any, Iterable, Iterator

try:
    import sqlite3
except ImportError:  # distributions that split Python up may lack it
    sqlite3 = None  # type: ignore[assignment]  # asked for before use

BUSY_SECONDS = 10.0
_DATABASE = re.compile(r"[a-z_]+_[0-9]+\.sqlite")
_FILE = re.compile(rf"{_DATABASE.pattern}(?:-wal|-shm|-journal)?")
# Rows that are read at a time.
_ROWS = 10_000
# What SQLite attaches to one connection, besides its main database.
_MAX_DATABASES = 10
_THREAD_COLUMNS = frozenset({"thread_id", "parent_thread_id", "child_thread_id"})
# Columns that mention threads, but no session of their own: a list's place, a migration's place, and the parent that
# stays as long as its child does.
_OTHER_COLUMNS = frozenset({"thread_section_id", "last_checked_thread_id", "attached_thread_parent_id"})
# How far a background job of the CLI has come: empty, it looks again.
_CURSORS = frozenset({"last_watermark", "last_checked_thread_id"})
_MENTIONS_THREAD = re.compile(r".*thread.*id")


class Strange(Exception):
    """The databases are not as this file knows them; the text says what and where."""


class Locked(Exception):
    """Another process has kept a database locked for longer than we wait."""


class StateDatabases:
    """All the databases in ``.codex`` as one connection, so that one transaction covers them."""

    def __init__(self, codex_fd: int) -> None:
        # SQLite opens what lies beside a database too, and would wait for a FIFO there.
        for name in filter(_FILE.fullmatch, os.listdir(codex_fd)):
            if _is_other(name, codex_fd):
                raise Strange(f"{name} is not a regular file")
        self.names = names = sorted(filter(_DATABASE.fullmatch, os.listdir(codex_fd)))
        self._columns: dict[str, set[str]] = {}
        if not names:
            return
        if sqlite3 is None:
            raise Strange("Python has no sqlite3 module on this host")
        if len(names) > _MAX_DATABASES:
            raise Strange(f"there are {len(names)} databases")
        # SQLite wants a path, and opens files beside it; a bare name in this directory passes through no link.
        os.fchdir(codex_fd)
        self._connection = sqlite3.connect(":memory:", timeout=BUSY_SECONDS, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        self._run("PRAGMA trusted_schema = OFF")
        for index, name in enumerate(self.names):
            self._run(f"ATTACH DATABASE ? AS d{index}", [name])
        self._run("PRAGMA foreign_keys = ON")
        for index, name in enumerate(self.names):
            for table, sql in self._run(
                f"SELECT name, sql FROM d{index}.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            ):
                self._inspect(index, name, table, sql or "")
        for index, name in enumerate(self.names):
            columns = self._columns.get(_quoted(index, "threads"), set())
            if name.startswith("state_") and not columns >= {"id", "rollout_path"}:
                raise Strange(f"{name} has no table of threads as it is known")

    def _inspect(self, index: int, database: str, table: str, sql: str) -> None:
        if "virtual table" in sql.lower():
            raise Strange(f"{database} has a virtual table {table}")
        columns = {row[1] for row in self._run(f"PRAGMA d{index}.table_info({_identifier(table)})")}
        for column in columns - _THREAD_COLUMNS - _OTHER_COLUMNS:
            if _MENTIONS_THREAD.fullmatch(column):
                raise Strange(f"{database} has a column {table}.{column} that is not known")
        self._columns[_quoted(index, table)] = columns

    def __enter__(self) -> StateDatabases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.names:
            self._connection.close()

    def spawned(self) -> Iterator[tuple[str, str]]:
        """Pairs of a session and the one that it was spawned by, or is attached to."""
        for table, columns in self._columns.items():
            if {"child_thread_id", "parent_thread_id"} <= columns:
                yield from self._texts(f"SELECT child_thread_id, parent_thread_id FROM {table}")
            if {"id", "attached_thread_parent_id"} <= columns:
                query = f"SELECT id, attached_thread_parent_id FROM {table} WHERE attached_thread_parent_id NOT NULL"
                yield from self._texts(query)

    def listed_before(self, when: float) -> Iterator[list[tuple[str, str]]]:
        """The sessions that the CLI lists and last noted anything about before ``when``, each with the path of its file
        as noted; some at a time, and nothing is locked between these."""
        for table, columns in self._columns.items():
            if {"id", "rollout_path", "updated_at"} <= columns:
                due = "updated_at < ? AND id > ?"
                query = f"SELECT id, rollout_path FROM {table} WHERE {due} ORDER BY id LIMIT {_ROWS}"
                last: Any = ""
                while True:
                    rows = self._run(query, [int(when), last])
                    if not rows:
                        break
                    last = rows[-1][0]
                    yield [row for row in rows if all(isinstance(value, str) for value in row)]

    def forget(self, ids: Iterable[str]) -> int:
        """Deletes every row that names one of the sessions, in one transaction; how many went."""
        if not self.names:
            return 0
        self._run("PRAGMA temp_store = MEMORY")
        self._run("DROP TABLE IF EXISTS temp.gone")
        self._run("CREATE TEMP TABLE gone (id TEXT PRIMARY KEY) WITHOUT ROWID")
        self._many("INSERT OR IGNORE INTO temp.gone VALUES (?)", ((id_,) for id_ in ids))
        self._run("BEGIN IMMEDIATE")
        try:
            before = self._connection.total_changes
            statements = list(self._deletions())
            # The CLI's own triggers may note a deletion in a table that had its turn already.
            for _turn in range(2):
                for statement in statements:
                    self._run(statement)
            rows = self._connection.total_changes - before
            self._run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise
        return rows

    def _deletions(self) -> Iterator[str]:
        last: list[str] = []
        for table, columns in self._columns.items():
            for column in sorted(columns & _THREAD_COLUMNS):
                yield f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM temp.gone)"
            if {"kind", "job_key"} <= columns:
                yield f"DELETE FROM {table} WHERE job_key IN (SELECT id FROM temp.gone)"
            if {"id", "rollout_path"} <= columns:
                last.append(f"DELETE FROM {table} WHERE id IN (SELECT id FROM temp.gone)")
            for column in sorted(columns & _CURSORS):
                yield (
                    f"UPDATE {table} SET {column} = NULL WHERE EXISTS"
                    f" (SELECT 1 FROM temp.gone WHERE instr({column}, temp.gone.id))"
                )
            if "rollout_path" in columns and "id" not in columns:
                yield (
                    f"DELETE FROM {table} WHERE EXISTS"
                    " (SELECT 1 FROM temp.gone WHERE instr(rollout_path, temp.gone.id))"
                )
        yield from last

    def checkpoint(self) -> None:
        """Moves what the write-ahead logs hold into the databases, and empties them where nobody reads them now."""
        for index in range(len(self.names)):
            self._run(f"PRAGMA d{index}.wal_checkpoint(TRUNCATE)")

    def _texts(self, query: str) -> Iterator[tuple[str, str]]:
        try:
            for first, second in self._connection.execute(query):
                if isinstance(first, str) and isinstance(second, str):
                    yield first, second
        except sqlite3.Error as error:
            raise _understood(error) from None

    def _run(self, statement: str, values: Iterable[Any] = ()) -> list[Any]:
        try:
            return self._connection.execute(statement, list(values)).fetchall()
        except sqlite3.Error as error:
            raise _understood(error) from None

    def _many(self, statement: str, values: Iterable[tuple[str]]) -> None:
        try:
            self._connection.executemany(statement, values)
        except sqlite3.Error as error:
            raise _understood(error) from None


def _understood(error: sqlite3.Error) -> Exception:
    text = str(error)
    if isinstance(error, sqlite3.OperationalError) and ("locked" in text or "busy" in text):
        return Locked(f"a database of Codex has been locked for {BUSY_SECONDS:.0f} s")
    return Strange(f"SQLite says: {text}")


def _is_other(name: str, dir_fd: int) -> bool:
    """Whether it is there, and no regular file. The CLI removes its logs when it closes a database."""
    try:
        return not stat.S_ISREG(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(index: int, table: str) -> str:
    return f"d{index}.{_identifier(table)}"
