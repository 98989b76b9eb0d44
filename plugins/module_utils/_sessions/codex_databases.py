# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Codex's own databases: the rows that name a session.

Their schema is private to the CLI and changes often, so nothing is taken for granted: tables and columns are looked up
in the files that are there, and anything that looks like a session's id in a way not understood here makes the whole
of it ``Strange``, for the CLI itself to deal with. What is in the files is the tenant's: this runs as the tenant.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from types import TracebackType
from typing import AbstractSet, Any, Iterable, Iterator, NamedTuple

from .home import used
from .sqlite import Connection, Strange

BUSY_SECONDS = 10.0
# What one statement may take: to delete the rows of 20,000 sessions takes some seconds.
STATEMENT_SECONDS = 60.0
_DATABASE = re.compile(r"[a-z_]+_[0-9]+\.sqlite")
_FILE = re.compile(rf"{_DATABASE.pattern}(?:-wal|-shm|-journal)?")
_LOG = re.compile(rf"{_DATABASE.pattern}-wal")
# PRAGMA auto_vacuum: free pages stay until somebody asks for them. From how many bytes on that is done, and how many
# pages in one transaction: some milliseconds.
_INCREMENTAL = 2
_WORTH = 2**20
_PAGES = 1000
# Rows that are read at a time.
_ROWS = 10_000
# What SQLite attaches to one connection, besides its main database.
_MAX_DATABASES = 10
# A thread and those spawned by it are a session, which has the first one's id.
_THREAD_COLUMNS = frozenset({"thread_id", "parent_thread_id", "child_thread_id", "session_id"})
# Columns that mention threads, but no session of their own: a list's place, a migration's place, and the parent that
# stays as long as its child does.
_OTHER_COLUMNS = frozenset({"thread_section_id", "last_checked_thread_id", "attached_thread_parent_id"})
# How far a background job of the CLI has come: empty, it looks again.
_CURSORS = frozenset({"last_watermark", "last_checked_thread_id"})
_MENTIONS_THREAD = re.compile(r".*(?:thread|session).*id", re.IGNORECASE)
_SPACE = r"(?:\s|--[^\n]*\n|/\*.*?\*/)"
_VIRTUAL = re.compile(rf"{_SPACE}*create{_SPACE}+virtual\b", re.IGNORECASE | re.DOTALL)


class _Change(NamedTuple):
    """A statement in parts: ``UPDATE`` or ``DELETE FROM``, the table, what comes behind it, and which rows."""

    verb: str
    table: str
    values: str
    where: str

    def statement(self) -> str:
        return f"{self.verb} {self.table}{self.values} WHERE {self.where}"


class StateDatabases:
    """All the databases in some directories, given as descriptors. All of it may raise Strange, or Unavailable where
    they may well be as known. ``strange`` says what in them is not as known: they can be read all the same."""

    def __init__(self, directories: Iterable[int]) -> None:
        self._stores: list[_Directory] = []
        try:
            for fd in directories:
                self._stores.append(_Directory(fd))
        except BaseException:
            self.close()
            raise
        self.strange = next((store.strange for store in self._stores if store.strange), "")

    def __enter__(self) -> StateDatabases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def spawned(self) -> Iterator[tuple[str, str]]:
        """Pairs of a session and the one that it was spawned by, or is attached to."""
        for store in self._stores:
            yield from store.spawned()

    def listed_before(self, when: float) -> Iterator[list[tuple[str, str]]]:
        """The sessions that the CLI lists and last noted anything about before ``when``, each with the path of its file
        as noted; some at a time, and nothing is locked between these."""
        for store in self._stores:
            yield from store.listed_before(when)

    def forget(self, ids: AbstractSet[str]) -> int:
        """Deletes every row that names one of the sessions, or, where anything is raised, none; how many went. Strange
        where one stays, whatever keeps it."""
        if self.strange:
            raise Strange(self.strange)
        try:
            rows = sum(store.delete(ids) for store in self._stores)
            for store in self._stores:
                store.commit()
        except BaseException:
            for store in self._stores:
                store.rollback()
            raise
        return rows

    def forgotten_logs(self, before: float) -> list[int]:
        """The bytes of each write-ahead log that nobody had written to since ``before`` when this was opened."""
        logs = (info for store in self._stores for info in store.logs)
        return [used(info) for info in logs if info.st_size and info.st_mtime < before]

    def checkpoint(self) -> None:
        """Moves what the write-ahead logs hold into the databases, and empties them where nobody reads them now."""
        for store in self._stores:
            store.checkpoint()

    def room(self) -> list[int]:
        """The bytes that each of the databases keeps for nothing and can give back, where they are worth it."""
        return [size for store in self._stores for size in store.room().values()]

    def give_back(self, deadline: float) -> None:
        """Gives these back to the file system, until the monotonic clock says ``deadline``. Others wait for a moment
        only."""
        for store in self._stores:
            store.give_back(deadline)


class _Directory:
    """The databases in one directory as one connection."""

    def __init__(self, fd: int) -> None:
        # SQLite opens what lies beside a database too, and would wait for a FIFO there.
        for name in filter(_FILE.fullmatch, os.listdir(fd)):
            if _is_other(name, fd):
                raise Strange(f"{name} is not a regular file")
        self.names = names = sorted(filter(_DATABASE.fullmatch, os.listdir(fd)))
        self.logs = list(_infos(filter(_LOG.fullmatch, os.listdir(fd)), fd))
        self.strange = ""
        self._columns: dict[str, set[str]] = {}
        if len(names) > _MAX_DATABASES:
            raise Strange(f"there are {len(names)} databases")
        # SQLite wants a path, and opens files beside it; a bare name in this directory passes through no link.
        os.fchdir(fd)
        self._connection = Connection(names, BUSY_SECONDS, STATEMENT_SECONDS) if names else None
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        for index, name in enumerate(self.names):
            for table, sql in self._run(
                f"SELECT name, sql FROM d{index}.sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'"
            ):
                self._inspect(index, name, table, sql or "")
        for index, name in enumerate(self.names):
            columns = self._columns.get(_quoted(index, "threads"), set())
            if name.startswith("state_") and not columns >= {"id", "rollout_path"}:
                raise Strange(f"{name} has no table of threads as it is known")

    def _inspect(self, index: int, database: str, table: str, sql: str) -> None:
        if _VIRTUAL.match(sql):
            self.strange = f"{database} has a virtual table {table}"
            return
        columns = {row[1] for row in self._run(f"PRAGMA d{index}.table_xinfo({_identifier(table)})")}
        for column in columns - _THREAD_COLUMNS - _OTHER_COLUMNS:
            if _MENTIONS_THREAD.fullmatch(column):
                self.strange = f"{database} has a column {table}.{column} that is not known"
        self._columns[_quoted(index, table)] = columns

    def close(self) -> None:
        if self._connection:
            self._connection.close()

    def _run(self, statement: str, values: Iterable[Any] = ()) -> list[Any]:
        return self._connection.run(statement, values) if self._connection else []

    def spawned(self) -> Iterator[tuple[str, str]]:
        for table, columns in self._columns.items():
            if {"child_thread_id", "parent_thread_id"} <= columns:
                yield from self._texts(f"SELECT child_thread_id, parent_thread_id FROM {table}")
            if {"id", "attached_thread_parent_id"} <= columns:
                query = f"SELECT id, attached_thread_parent_id FROM {table} WHERE attached_thread_parent_id NOT NULL"
                yield from self._texts(query)

    def listed_before(self, when: float) -> Iterator[list[tuple[str, str]]]:
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

    def delete(self, ids: AbstractSet[str]) -> int:
        """Begins a transaction that deletes every row that names one of the sessions; how many."""
        if not self._connection:
            return 0
        self._run("DELETE FROM temp.gone")
        self._connection.many("INSERT INTO temp.gone VALUES (?)", ((id_,) for id_ in ids))
        self._run("BEGIN IMMEDIATE")
        before = self._connection.changes()
        changes = list(self._changes())
        for change in changes:
            self._run(change.statement())
        # The CLI's own triggers may note a deletion in a table that had its turn already.
        for change in filter(self._is_due, changes):
            self._run(change.statement())
        for change in filter(self._is_due, changes):
            raise Strange(f"something keeps rows of sessions in {self._plain(change.table)}")
        return self._connection.changes() - before

    def commit(self) -> None:
        self._run("COMMIT")

    def rollback(self) -> None:
        if self._connection:
            self._connection.rollback()

    def _is_due(self, change: _Change) -> bool:
        return bool(self._run(f"SELECT EXISTS (SELECT 1 FROM {change.table} WHERE {change.where})")[0][0])

    def _changes(self) -> Iterator[_Change]:
        """All that names the sessions in ``temp.gone`` goes, the lists of them at the end."""
        gone = "IN (SELECT id FROM temp.gone)"
        last: list[_Change] = []
        for table, columns in self._columns.items():
            for column in sorted(columns & _THREAD_COLUMNS):
                yield _Change("DELETE FROM", table, "", f"{column} {gone}")
            if {"kind", "job_key"} <= columns:
                yield _Change("DELETE FROM", table, "", f"job_key {gone}")
            if {"id", "rollout_path"} <= columns:
                last.append(_Change("DELETE FROM", table, "", f"id {gone}"))
            for column in sorted(columns & _CURSORS):
                yield _Change("UPDATE", table, f" SET {column} = NULL", _names_one(column))
            if "rollout_path" in columns and "id" not in columns:
                yield _Change("DELETE FROM", table, "", _names_one("rollout_path"))
        yield from last

    def checkpoint(self) -> None:
        for index in range(len(self.names)):
            self._run(f"PRAGMA d{index}.wal_checkpoint(TRUNCATE)")

    def room(self) -> dict[int, int]:
        """The bytes to give back, by the number of the database."""
        found = {}
        for index in range(len(self.names)):
            if self._value(index, "auto_vacuum") == _INCREMENTAL:
                size = self._value(index, "freelist_count") * self._value(index, "page_size")
                if size >= _WORTH:
                    found[index] = size
        return found

    def give_back(self, deadline: float) -> None:
        if not self._connection:
            return
        for index in self.room():
            while self._value(index, "freelist_count") and time.monotonic() < deadline:
                self._connection.to_its_end(f"PRAGMA d{index}.incremental_vacuum({_PAGES})")
            self._run(f"PRAGMA d{index}.wal_checkpoint(TRUNCATE)")

    def _value(self, index: int, pragma: str) -> int:
        return int(self._run(f"PRAGMA d{index}.{pragma}")[0][0])

    def _texts(self, query: str) -> Iterator[tuple[str, str]]:
        for first, second in self._connection.rows(query) if self._connection else ():
            if isinstance(first, str) and isinstance(second, str):
                yield first, second

    def _plain(self, table: str) -> str:
        """A table as a person would name it."""
        database, _dot, name = table.partition(".")
        return f"{self.names[int(database[1:])]}: {name}"


def _infos(names: Iterable[str], dir_fd: int) -> Iterator[os.stat_result]:
    """What is there of the files. The CLI removes its logs when it closes a database."""
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            yield os.stat(name, dir_fd=dir_fd, follow_symlinks=False)


def _is_other(name: str, dir_fd: int) -> bool:
    """Whether it is there, and no regular file."""
    return not all(stat.S_ISREG(info.st_mode) for info in _infos([name], dir_fd))


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(index: int, table: str) -> str:
    return f"d{index}.{_identifier(table)}"


def _names_one(column: str) -> str:
    return f"EXISTS (SELECT 1 FROM temp.gone WHERE instr({column}, temp.gone.id))"
