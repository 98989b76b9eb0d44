# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""An SQLite connection to databases whose schema is not to be trusted.

A schema is a program: triggers and views run statements, indexes, checks and generated columns call functions. They may
do to their own database what a plain trigger does, and nothing else, for a limited time.
"""

from __future__ import annotations

import re
import time
from typing import Any, Iterable, Iterator

try:
    import sqlite3
except ImportError:  # distributions that split Python up may lack it
    sqlite3 = None  # type: ignore[assignment]  # asked for before use

# From CPython's sqlite3, which has not all of them by name in every version: what SQLite asks the authorizer.
_DELETE, _INSERT, _PRAGMA, _READ, _SELECT, _TRANSACTION, _UPDATE, _FUNCTION = 9, 18, 19, 20, 21, 22, 23, 31
_ALLOWED, _DENIED = 0, 1
_PRAGMAS = frozenset(
    {"auto_vacuum", "freelist_count", "incremental_vacuum", "page_size", "table_xinfo", "wal_checkpoint"}
)
_FUNCTIONS = frozenset(
    {"coalesce", "count", "glob", "ifnull", "instr", "json_extract", "json_valid", "length", "like", "lower", "max"}
    | {"min", "nullif", "strftime", "substr", "typeof", "unixepoch", "upper"}
)
# PRAGMA trusted_schema = OFF lets a schema call innocuous functions only. These versions take the JSON functions for
# others, which Codex has in its indexes: there, what else is not innocuous is taken away.
_TAKES_JSON_FOR_UNSAFE = ((3, 38), (3, 41))
_JSON = re.compile(r"json(?:_\w+)?|->>?")
_INNOCUOUS = 0x200000
# Instructions of SQLite's virtual machine between two looks at the clock: about a millisecond.
_INSTRUCTIONS = 20_000


class Strange(Exception):
    """The databases are not as this collection knows them; the text says what and where."""


class Unavailable(Exception):
    """Another process keeps a database locked, or a statement takes longer than is waited for."""


class Connection:
    """Databases as one connection, attached as ``d0``, ``d1``, ...; ``paths`` are their files. There is a table
    ``temp.gone`` with a text ``id``. A locked one is waited for ``busy`` seconds; a statement may take ``seconds``. All
    of it may raise Strange or Unavailable."""

    def __init__(self, paths: Iterable[str], busy: float, seconds: float) -> None:
        if sqlite3 is None:
            raise Strange("Python has no sqlite3 module on this host")
        self._busy = busy
        self._seconds = seconds
        self._deadline = 0.0
        self._names = {"temp"}
        self._connection = sqlite3.connect(":memory:", timeout=busy, isolation_level=None)
        try:
            self._distrust()
            self.run("PRAGMA temp_store = MEMORY")
            self.run("PRAGMA foreign_keys = ON")
            self.run("CREATE TEMP TABLE gone (id TEXT PRIMARY KEY) WITHOUT ROWID")
            self._connection.set_progress_handler(self._is_late, _INSTRUCTIONS)
            for index, path in enumerate(paths):
                self.run(f"ATTACH DATABASE ? AS d{index}", [path])
                self._names.add(f"d{index}")
            self._connection.set_authorizer(self._authorize)
        except BaseException:
            self._connection.close()
            raise

    def _distrust(self) -> None:
        first, beyond = _TAKES_JSON_FOR_UNSAFE
        if not first <= sqlite3.sqlite_version_info < beyond:
            self.run("PRAGMA trusted_schema = OFF")
            return
        functions = self.run("PRAGMA function_list")
        if not functions:
            raise Strange(f"SQLite {sqlite3.sqlite_version} does not say which functions it has")
        for name, _builtin, _kind, _encoding, arguments, flags in functions:
            if not flags & _INNOCUOUS and not _JSON.fullmatch(name):
                self._connection.create_function(name, arguments, _no_function)

    def _authorize(self, action: int, first: str | None, second: str | None, database: str | None, _by: Any) -> int:
        if action in (_READ, _INSERT, _UPDATE, _DELETE):
            # It does not say which database's table counts where no column of it is read.
            allowed = database in self._names or (action == _READ and database is None and second == "")
        elif action == _FUNCTION:
            allowed = second in _FUNCTIONS
        elif action == _PRAGMA:
            allowed = first in _PRAGMAS
        else:
            allowed = action in (_SELECT, _TRANSACTION)
        return _ALLOWED if allowed else _DENIED

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def run(self, statement: str, values: Iterable[Any] = ()) -> list[Any]:
        """All rows that a statement yields."""
        return list(self.rows(statement, values))

    def rows(self, statement: str, values: Iterable[Any] = ()) -> Iterator[Any]:
        """The rows that a statement yields, one after the other."""
        self._deadline = time.monotonic() + self._seconds
        try:
            yield from self._connection.execute(statement, list(values))
        except sqlite3.Error as error:
            raise self._understood(error) from None

    def many(self, statement: str, values: Iterable[tuple[Any, ...]]) -> None:
        """Runs a statement for each of the values."""
        self._deadline = time.monotonic() + self._seconds
        try:
            self._connection.executemany(statement, values)
        except sqlite3.Error as error:
            raise self._understood(error) from None

    def to_its_end(self, statement: str) -> None:
        """Runs a statement that yields no rows and takes many steps, of which Python's ``execute`` makes one."""
        self._deadline = time.monotonic() + self._seconds
        try:
            self._connection.executescript(statement)
        except sqlite3.Error as error:
            raise self._understood(error) from None

    def changes(self) -> int:
        """How many rows have been changed since the connection was opened."""
        return self._connection.total_changes

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.rollback()

    def close(self) -> None:
        self._connection.close()

    def _understood(self, error: sqlite3.Error) -> Exception:
        text = str(error)
        if isinstance(error, sqlite3.OperationalError):
            if "locked" in text or "busy" in text:
                return Unavailable(f"a database of Codex has been locked for {self._busy:.0f} s")
            if text == "interrupted":
                return Unavailable(f"a database of Codex was worked on for {self._seconds:.0f} s without an end")
        return Strange(f"SQLite says: {text}")


def _no_function(*_arguments: Any) -> None:
    raise ValueError
