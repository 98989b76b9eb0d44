# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Prunes the sessions of one HOME. Runs as the owner of that HOME."""

from __future__ import annotations

import os
from collections import Counter
from typing import AbstractSet, Any, Mapping, NamedTuple, Sequence, Union

from .._formats.text import counted
from .._formats.zstd import Unreadable
from .._host.jobs import Channel
from .._host.proc import open_names
from .._host.safefs import printable
from . import sqlite_home
from .archive import write_archive
from .aside import Aside
from .claude_store import ClaudeStore
from .codex_databases import StateDatabases
from .codex_delete import CodexDelete
from .codex_store import CodexStore
from .codex_upkeep import Upkeep
from .elsewhere import roots, unknown
from .home import Home, split
from .plan import CLAUDE, CODEX, UUID, Plan, Rest, Rules, Session, Tally, parents_matter, plan
from .sqlite import Strange, Unavailable

# Sessions planned at a time, oldest first: bounds the memory, whatever a HOME holds.
WINDOW = 20_000
# Sessions that a report names; all are counted.
MAX_LISTED = 1000
_MAX_PROBLEMS = 20
_DAY = 86400.0
# Sessions that the CLI removes after one last look at them all.
_AT_ONCE = 20
# What a file system has at the least that is not full: SQLite makes files beside a database.
_ROOM = 2**20
_FILES = 16
_NEXT_RUN = "The next run tries again"
_STRANGE = (
    "The next run goes on; a newer alive.codex may know them; broken ones, moved aside while nothing runs there, Codex"
    " makes again from its sessions"
)

SessionStore = Union[CodexStore, ClaudeStore]
STORE_CLASSES: dict[str, type[CodexStore] | type[ClaudeStore]] = {CODEX: CodexStore, CLAUDE: ClaudeStore}


class Orders(NamedTuple):
    """What to do in each HOME. ``now`` is seconds since the epoch; ``codex`` the CLI that deletes where the schema of
    its databases is not known here; ``sqlite_home`` where they are by the environment; ``homes``, by store, where else
    than in the usual directory sessions are."""

    stores: tuple[str, ...]
    rules: Rules
    sweep: bool
    now: float
    dry_run: bool
    codex: str
    sqlite_home: str = ""
    homes: Mapping[str, Sequence[str]] = {}


class HomePruner:
    """One HOME, once. ``open_ids``: sessions that a process is known to have open. ``archive`` takes what goes."""

    def __init__(
        self, fd: int, path: str, orders: Orders, open_ids: AbstractSet[str], archive: Channel | None = None
    ) -> None:
        self.home = Home(fd)
        self.path = path
        self.orders = orders
        self.open_ids = open_ids
        self.archive = archive
        known = {name: roots(self.home, name, orders.homes.get(name, ())) for name in orders.stores}
        self.stores: list[SessionStore] = [
            STORE_CLASSES[name](self.home, root) for name, places in known.items() for root in places
        ]
        self.counts = {"pruned": 0, "pruned_bytes": 0, "kept": 0, "kept_bytes": 0, "in_use": 0, "needed": 0}
        self.listed: list[dict[str, Any]] = []
        self.problems = list(unknown(self.home, known))
        # How many sessions should have gone and did not, by their store and the reason, which ends in the cure.
        self.left: Counter[tuple[str, str]] = Counter()
        # How many parts went from which directory since it was last looked into.
        self.taken: Counter[str] = Counter()
        self.codex: dict[str, CodexDelete] = {}
        self.swept = self.swept_bytes = 0

    def run(self) -> dict[str, Any]:
        """Prunes, sweeps and reports."""
        for store in self.stores:
            if store.name == CODEX and not self.orders.dry_run:
                self._end(Aside(self.home, store.root))  # a run that was killed may have left some
        lower = (-float("inf"), "")
        kept_bytes = 0
        more = True
        while more:
            window, rest, more = self._window(lower, kept_bytes)
            if not window:
                break
            lower = max((session.activity, session.id) for session in window)
            gone = self._prune_window(window, rest)
            kept_in_window = sum(session.bytes for session in window if session not in gone)
            if more and not self.orders.rules.is_due(lower[0], self.orders.now, rest.bytes + kept_in_window):
                self.counts["kept"] += sum(rest.counts.values())
                self.counts["kept_bytes"] += rest.bytes - kept_bytes
                break
            kept_bytes += kept_in_window
        for store in self.stores:
            if not self.orders.dry_run:
                store.remember()
            if self.orders.sweep:
                try:
                    self._sweep(store)
                except OSError as error:
                    self._problem(f"{store.name}: leftovers stay: {error}")
            for problem in store.problems:
                self._problem(problem)
        left = [
            f"{store}: {counted(number, 'session')} that should have gone did not: {why}"
            for (store, why), number in self.left.items()
        ]
        unsaid = len(self.problems) - _MAX_PROBLEMS
        shown = self.problems[:_MAX_PROBLEMS] + ([f"and {counted(unsaid, 'more problem')}"] if unsaid > 0 else [])
        return {
            **self.counts,
            "swept": self.swept,
            "swept_bytes": self.swept_bytes,
            "sessions": self.listed,
            "problems": left + shown,
        }

    def _window(self, lower: tuple[float, str], kept_bytes: int) -> tuple[list[Session], Rest, bool]:
        """The oldest sessions past ``lower`` that may have to go, at most WINDOW; what is newer; whether it may have
        to go too."""
        cutoff = self.orders.rules.cutoff(self.orders.now)
        found: dict[tuple[str, str], Session] = {}
        newer = {store.key: Tally() for store in self.stores}
        overflow = False
        if not self.orders.dry_run:
            self.taken.clear()  # what went is not come by again
        for store in self.stores:
            key = store.key
            for thread, activity, size, parts in store.scan(cutoff, newer[key]):
                if (activity, thread) > lower:
                    session = Session(key, thread, activity, size, parts)
                    other = found.get((key, thread))
                    found[key, thread] = _joined(session, other) if other else session
                    if len(found) >= 2 * WINDOW:
                        overflow = True
                        found = self._oldest(found, newer)
        if len(found) > WINDOW:
            overflow = True
            found = self._oldest(found, newer)
        newer_bytes = sum(tally.bytes for tally in newer.values())
        if not overflow:
            self.counts["kept"] += sum(tally.count for tally in newer.values())
            self.counts["kept_bytes"] += newer_bytes
        counts = {key: tally.count for key, tally in newer.items()}
        return list(found.values()), Rest(counts, kept_bytes + newer_bytes), overflow

    def _oldest(
        self, found: dict[tuple[str, str], Session], newer: Mapping[str, Tally]
    ) -> dict[tuple[str, str], Session]:
        """The oldest WINDOW of what was found; the others count as newer."""
        order = sorted(found.items(), key=lambda item: (item[1].activity, item[1].id))
        for _key, session in order[WINDOW:]:
            newer[session.store].add(1, session.bytes)
        return dict(order[:WINDOW])

    def _prune_window(self, window: list[Session], rest: Rest) -> set[Session]:
        """Plans and removes; the sessions that went, or would."""
        decided, blocked = self._plan(window, rest)
        gone: set[Session] = set()
        for store in self.stores:
            sessions = [session for session in decided.prune if session.store == store.key]
            if sessions and store.key in blocked:
                self._stay(store, len(sessions), blocked[store.key])
            elif sessions:
                removed = sessions if self.orders.dry_run else self._remove(store, sessions)
                gone.update(removed)
                self.counts["pruned"] += len(removed)
                self.counts["pruned_bytes"] += sum(session.bytes for session in removed)
                self.listed += [_described(store.name, each) for each in removed[: MAX_LISTED - len(self.listed)]]
                self.taken.update(split(part)[0] for session in removed for part in session.parts)
        kept = [session for session in window if session not in gone]
        self.counts["kept"] += len(kept)
        self.counts["kept_bytes"] += sum(session.bytes for session in kept)
        self.counts["in_use"] += len(decided.in_use)
        self.counts["needed"] += len(decided.needed)
        return gone

    def _plan(self, window: list[Session], rest: Rest) -> tuple[Plan, dict[str, str]]:
        """Which sessions go, but of the stores that the second names, with the reason. Reads no more headers than that
        takes: they are spread all over the disk."""
        rules, now = self.orders.rules, self.orders.now
        total = rest.bytes + sum(session.bytes for session in window)
        if not rules.is_due(min(session.activity for session in window), now, total):
            return Plan([], [], []), {}
        in_use = set(self.open_ids).union(*(store.in_use() for store in self.stores))
        blocked: dict[str, str] = {}
        needed: set[str] = set()
        parents: dict[str, set[str]] = {}
        for store in self.stores:
            parts = {session.id: session.parts for session in window if session.store == store.key}
            try:
                spawned = self._spawned(store, parts.keys())
                needed |= _needed_by_others(store, parts, spawned)
                if parents_matter(window, rules, now, in_use, needed, rest):
                    for thread, _path, ids in store.parents():
                        parents.setdefault(thread, set()).update(ids)
                for child, bases in spawned.items():
                    parents.setdefault(child, set()).update(bases)
            except (Unavailable, Unreadable) as error:
                blocked[store.key] = _told(error)
        return plan(window, rules, now, in_use, needed, parents, rest), blocked

    def _databases(self, store: SessionStore) -> StateDatabases:
        directories = sqlite_home.directories(self.home, store.root, self.path, self.orders.sqlite_home)
        return StateDatabases(directories)

    def _spawned(self, store: SessionStore, due: AbstractSet[str]) -> dict[str, set[str]]:
        """What Codex's databases know of the sessions that need one that is ``due``."""
        found: dict[str, set[str]] = {}
        if store.name != CODEX or not due:
            return found
        try:
            with self._databases(store) as state:
                for child, parent in state.spawned():
                    if parent in due:
                        found.setdefault(child, set()).add(parent)
        except (FileNotFoundError, NotADirectoryError):
            pass  # there are none
        except Strange as strange:
            self._problem(f"codex: which sessions were spawned by others, their own files alone say: {strange}")
        return found

    def _remove(self, store: SessionStore, sessions: list[Session]) -> list[Session]:
        """Removes what nobody has touched since it was planned, each session whole or not at all; what went."""
        try:
            sessions = self._removable(store, sessions)
            if self.archive and sessions:
                write_archive(self.home, [part for session in sessions for part in session.parts], self.archive)
                self.archive.commit()
            try:
                gone = self._remove_at_once(store, sessions)
            except Strange as strange:
                gone = self._remove_with_codex(store, sessions, str(strange))
        except (OSError, Unavailable, Unreadable) as error:
            self._stay(store, len(sessions), _told(error))
            return []
        try:
            store.forget(gone)
        except OSError as error:
            self._problem(f"{store.name}: a list of sessions still names some that went: {error}")
        return gone

    def _remove_at_once(self, store: SessionStore, sessions: list[Session]) -> list[Session]:
        with store.closed():
            due = self._still_due(store, sessions)
            if store.name == CODEX:
                # Rows first: whatever stops us now, the next run finds the file, and forgets it again.
                with self._databases(store) as state:
                    state.forget({session.id for session in due})
            return [session for session in due if self._unlink(store, session)]

    def _remove_with_codex(self, store: SessionStore, sessions: list[Session], strange: str) -> list[Session]:
        """Has the CLI remove the rows of one after the other; what went. It takes the lock that keeps turns from
        beginning for itself: meanwhile they find no file."""
        if store.root not in self.codex:
            places = {"CODEX_HOME": f"{self.path}/{store.root}", sqlite_home.VARIABLE: self.orders.sqlite_home}
            self.codex[store.root] = CodexDelete(self.orders.codex, self.path, places)
        codex = self.codex[store.root]
        aside = Aside(self.home, store.root)
        gone: list[Session] = []
        left = 0
        for start in range(0, len(sessions), _AT_ONCE):
            due = sessions[start : start + _AT_ONCE]
            if codex.is_over:
                left += len(due)
                continue
            try:
                with store.closed():
                    due = self._still_due(store, due)
                    for session in due:
                        aside.put(session.parts)
            except (OSError, Unavailable, Unreadable) as error:
                self._stay(store, len(sessions) - start, _told(error))
                break
            for session in due:
                if not codex.is_over and codex.delete(session.id):
                    aside.remove(session.parts)
                    gone.append(session)
                else:
                    aside.bring_back(session.parts)
                    left += 1
        self._end(aside)
        if left:
            self._stay(store, left, f"Codex's databases are not as known here ({strange}), and {codex}. {_STRANGE}")
        return gone

    def _end(self, aside: Aside) -> None:
        try:
            aside.end()
        except OSError as error:
            self._problem(f"codex: sessions are left in {aside.place}: {error}. {_NEXT_RUN}")

    def _still_due(self, store: SessionStore, due: list[Session]) -> list[Session]:
        """Without those that were resumed, forked or opened since it was planned, and what these depend on."""
        running = store.in_use() | open_names(UUID).get(os.geteuid(), set())
        while True:
            parts = {session.id: session.parts for session in due}
            spawned = self._spawned(store, parts.keys())
            stay = running | _needed_by_others(store, parts, spawned)
            left = [session for session in due if session.id not in stay and self._untouched(session)]
            if len(left) == len(due):
                return due
            due = left

    def _untouched(self, session: Session) -> bool:
        try:
            return all(self.home.size(part).modified <= session.activity for part in session.parts)
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def _removable(self, store: SessionStore, sessions: list[Session]) -> list[Session]:
        """Those whose files can be removed: their directories may have been closed to their owner."""
        closed = set(filter(self._is_closed, {split(part)[0] for session in sessions for part in session.parts}))
        removable = []
        for session in sessions:
            stay = closed.intersection(split(part)[0] for part in session.parts) if closed else None
            if stay:
                self._stay(store, 1, f"{printable(min(stay))} cannot be written to. Its owner has to allow that")
            else:
                removable.append(session)
        return removable

    def _is_closed(self, path: str) -> bool:
        try:
            return not os.access(".", os.W_OK | os.X_OK, dir_fd=self.home.directory(path), effective_ids=True)
        except FileNotFoundError:
            return False

    def _unlink(self, store: SessionStore, session: Session) -> bool:
        for part in session.parts:
            try:
                self.home.remove(part)
            except OSError as error:
                self._stay(store, 1, f"{printable(part)}: {error.strerror}. {_NEXT_RUN}")
                return False
        return True

    def _sweep(self, store: SessionStore) -> None:
        live = set(self.open_ids) | store.in_use()
        for path, size in list(store.leftovers(self.orders.now, live)):
            try:
                if not self.orders.dry_run:
                    self.home.remove(path)
                self.swept += 1
                self.swept_bytes += size
            except OSError as error:
                self._problem(f"{printable(path)}: {error.strerror}")
        if isinstance(store, CodexStore):
            self.swept += store.remove_empty_dates(self.orders.now, self.taken, self.orders.dry_run)
            self._unname(store)
            upkeep = Upkeep(store, lambda: self._databases(store), self.orders.now, self.orders.dry_run)
            upkeep.run()
            self.swept += upkeep.swept
            self.swept_bytes += upkeep.swept_bytes
            for problem in upkeep.problems:
                self._problem(problem)

    def _unname(self, store: CodexStore) -> None:
        """Takes threads without a file out of the list of names."""
        try:
            nobody = store.names_of_nobody(self.orders.now)
            if nobody and not self.orders.dry_run:
                store.unname(nobody)
            self.swept += len(nobody)
        except OSError as error:
            self._problem(f"codex: names of sessions without a file may stay: {error.strerror}")

    def _stay(self, store: SessionStore, number: int, why: str) -> None:
        place = os.fstatvfs(self.home.directory(""))
        if place.f_bavail * place.f_frsize < _ROOM or (place.f_files and place.f_favail < _FILES):
            why = f"{why}. The file system is full, and a database needs room to forget: remove something else first"
        self.left[store.name, why] += number

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


def _told(error: Exception) -> str:
    """What stopped us, and what to do."""
    return str(error) if isinstance(error, Unreadable) else f"{error}. {_NEXT_RUN}"


def _needed_by_others(
    store: SessionStore, parts: Mapping[str, tuple[str, ...]], spawned: Mapping[str, AbstractSet[str]]
) -> set[str]:
    """The sessions of ``parts`` that one which is not among them depends on, or that have another, newer file."""
    others = spawned.keys() - parts.keys()
    needed: set[str] = set()
    needed.update(*(spawned[child] for child in others - store.without_rollout(others)))
    for thread, path, ids in store.parents(unread=parts):
        if thread not in parts:
            needed |= parts.keys() & ids
        elif path not in parts[thread]:
            needed.add(thread)
    return needed


def _joined(one: Session, other: Session) -> Session:
    """One session of two parts of it."""
    activity = max(one.activity, other.activity)
    return one._replace(activity=activity, bytes=one.bytes + other.bytes, parts=other.parts + one.parts)


def _described(store: str, session: Session) -> dict[str, Any]:
    return {
        "store": store,
        "id": session.id,
        "path": printable(session.parts[-1]),
        "bytes": session.bytes,
        "last_activity": session.activity,
    }
