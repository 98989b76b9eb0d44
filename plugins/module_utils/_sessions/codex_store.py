# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Codex's sessions in one HOME. Runs as the owner of that HOME."""

from __future__ import annotations

import contextlib
import itertools
import operator
import os
import re
from datetime import datetime, timezone
from typing import AbstractSet, Container, Iterator, Mapping, Tuple

from .._host.locks import is_locked, locked
from .._host.safefs import printable
from .home import Home, split, used
from .lineage import FILE as LINEAGE
from .lineage import NOBODY, ROOT, Lineage
from .plan import ARCHIVED, CODEX, ROLLOUT, ROLLOUT_ID, UUID, Tally

_TREES = ((".codex/sessions", 0), (ARCHIVED, 3))
_LOCKS = ".codex/thread-writer-locks"
_LOCK_OF_LOCKS = ".coordination.lock"
_LOCK_SECONDS = 10.0
_DATES = (re.compile("[0-9]{4}"), re.compile("[0-9]{2}"), re.compile("[0-9]{2}"))
_DAY = 86400.0
# Entries of one directory that are held at a time: bounds the memory, whatever it holds.
_AT_ONCE = 4096

# What is stale when, in seconds: (directory, names, age). A snapshot serves the turn that made it; what is below .tmp,
# the start of a process. A run that was killed may leave the lineage half written.
_STALE = (
    (".codex/shell_snapshots", re.compile(r".*\.sh"), _DAY),
    (".codex/.tmp", re.compile(r"(?:git|plugins-clone)-.*"), _DAY),
    (".codex/.tmp/.staging", re.compile(r"marketplace-.*"), _DAY),
    (ROOT, re.compile(rf"\.{re.escape(LINEAGE)}\..*"), _DAY),
)
_WAL = re.compile(r"[a-z_]+_[0-9]+\.sqlite-wal")
_WAL_AGE = 3600.0

# A session, or a part of one: its id, last activity, bytes, and paths below HOME.
Entry = Tuple[str, float, int, Tuple[str, ...]]


class CodexStore:
    name = CODEX

    def __init__(self, home: Home) -> None:
        self.home = home
        self.problems: list[str] = []
        # What the last walk came by: threads in the older layout, and how many entries each directory had.
        self._single: list[str] = []
        self._held: dict[str, int] = {}
        self._lineage = Lineage(home)

    def scan(self, cutoff: float, newer: Tally) -> Iterator[Entry]:
        """Every session whose last activity lies before ``cutoff``; ``newer`` counts the others, which are nearly all
        there are, and get no closer look. One that is just being compressed or archived may come twice, with different
        parts."""
        for path, _dir_fd, rollouts in self._rollouts():
            count = total = 0
            for rollout in rollouts:
                try:
                    info = rollout.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if info.st_mtime >= cutoff:
                    count += 1
                    total += used(info)
                else:
                    yield rollout.name[ROLLOUT_ID], info.st_mtime, used(info), (f"{path}/{rollout.name}",)
            newer.add(count, total)
        for path in self._single:
            with contextlib.suppress(FileNotFoundError):
                size = self.home.size(path)
                if size.modified < cutoff:
                    yield split(path)[1], size.modified, size.bytes, (path,)
                else:
                    newer.add(1, size.bytes)

    def parents(self, unread: Container[str] = ()) -> Iterator[tuple[str, str, frozenset[str]]]:
        """A rollout's session, its path, and the sessions that it depends on: each that depends on something, and each
        of the sessions ``unread``, of which none is said to.

        Raises Unreadable where one is compressed and this host has nothing to read it with.
        """
        for path, batches in itertools.groupby(self._rollouts(), key=operator.itemgetter(0)):
            with self._lineage.directory(path) as directory:
                for _path, dir_fd, rollouts in batches:
                    directory.listed(dir_fd)
                    for rollout in rollouts:
                        thread = rollout.name[ROLLOUT_ID]
                        if thread in unread:
                            directory.leave_out()
                            yield thread, f"{path}/{rollout.name}", NOBODY
                        else:
                            ids = directory.ids(rollout.name, dir_fd)
                            if ids:
                                yield thread, f"{path}/{rollout.name}", ids

    def remember(self) -> None:
        """Keeps what was learnt of rollouts for the next run."""
        self._lineage.save()

    def in_use(self) -> set[str]:
        """Sessions whose turn runs: the CLI holds a lock for each."""
        return {name[:-5] for name in self.home.names(_LOCKS) if self._is_running(name)}

    def _is_running(self, name: str) -> bool:
        named_so = name.endswith(".lock") and UUID.fullmatch(name[:-5])
        return bool(named_so) and is_locked(name, self.home.directory(_LOCKS))

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Lets no turn begin meanwhile: the CLI waits for this lock before it takes a session's own."""
        try:
            locks = self.home.directory(_LOCKS)
        except (FileNotFoundError, NotADirectoryError):
            yield  # an older CLI, which has no such locks
            return
        with locked(_LOCK_OF_LOCKS, locks, _LOCK_SECONDS):
            yield

    def _rollouts(self) -> Iterator[tuple[str, int, list[os.DirEntry[str]]]]:
        """Every rollout, as ``_listed`` has them."""
        is_rollout = ROLLOUT.fullmatch
        for path, dir_fd, entries in self._listed():
            rollouts = [e for e in entries if is_rollout(e.name) and e.is_file(follow_symlinks=False)]
            if rollouts:
                yield path, dir_fd, rollouts

    def _listed(self) -> Iterator[tuple[str, int, list[os.DirEntry[str]]]]:
        """What lies where rollouts do, some of one directory at a time: its path and descriptor (valid until the next
        ones), and the entries."""
        self._single = []
        self._held = {}
        pending = list(_TREES)
        while pending:
            path, depth = pending.pop()
            try:
                dir_fd = self.home.directory(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._problem(path, error)
                continue
            held = 0
            with os.scandir(dir_fd) as entries:
                for some in iter(lambda: list(itertools.islice(entries, _AT_ONCE)), []):
                    held += len(some)
                    yield path, dir_fd, some
                    if depth < len(_DATES):
                        pending += self._dates(path, depth, some)
            self._held[path] = held

    def _dates(self, path: str, depth: int, entries: list[os.DirEntry[str]]) -> Iterator[tuple[str, int]]:
        """The date directories among the entries; threads of the older layout are noted."""
        for entry in entries:
            if _DATES[depth].fullmatch(entry.name):
                yield f"{path}/{entry.name}", depth + 1
            elif depth == 0 and UUID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                self._single.append(f"{path}/{entry.name}")

    def _problem(self, path: str, error: OSError) -> None:
        text = f"{printable(path)}: {error.strerror}"
        if text not in self.problems:
            self.problems.append(text)

    def without_rollout(self, threads: AbstractSet[str]) -> set[str]:
        """Those of the sessions that have no file any more."""
        missing = set(threads)
        if missing:
            for _path, _dir_fd, rollouts in self._rollouts():
                missing.difference_update(rollout.name[ROLLOUT_ID] for rollout in rollouts)
            missing.difference_update(split(path)[1] for path in self._single)
        return missing

    def leftovers(self, now: float, live: AbstractSet[str]) -> Iterator[tuple[str, int]]:
        """Paths that belong to no session and have outlived their use, and their bytes."""
        for directory, names, age in _STALE:
            for name in self.home.names(directory):
                if names.fullmatch(name) and live.isdisjoint(UUID.findall(name)):
                    with contextlib.suppress(OSError):
                        size = self.home.size(f"{directory}/{name}")
                        if now - size.modified > age:
                            yield f"{directory}/{name}", size.bytes

    def forgotten_logs(self, now: float) -> dict[str, int]:
        """Write-ahead logs that nobody has written to for a while, and their bytes."""
        found = {}
        for name in self.home.names(ROOT):
            if _WAL.fullmatch(name):
                with contextlib.suppress(FileNotFoundError):  # the CLI removes it when it closes the database
                    info = self.home.stat(f"{ROOT}/{name}")
                    if info.st_size and now - info.st_mtime > _WAL_AGE:
                        found[name] = used(info)
        return found

    def remove_empty_dates(self, now: float, taken: Mapping[str, int], dry_run: bool) -> int:
        """Removes date directories before yesterday's that held nothing when they were last looked into, or no more
        than was ``taken`` from them since; how many."""
        above_all = _TREES[0][0]
        limit = f"{above_all}/" + datetime.fromtimestamp(now - 2 * _DAY, timezone.utc).strftime("%Y/%m/%d")
        held = {
            path: held - taken.get(path, 0)
            for path, held in self._held.items()
            if path.startswith(f"{above_all}/") and path < limit[: len(path)]
        }
        removed = 0
        for path in sorted(held, key=len, reverse=True):  # days, then months, then years
            if held[path] <= 0 and self._rmdir(path, dry_run):
                removed += 1
                above = split(path)[0]
                held[above] = held.get(above, 0) - 1
        return removed

    def _rmdir(self, path: str, dry_run: bool) -> bool:
        above, name = split(path)
        try:
            if not dry_run:
                os.rmdir(name, dir_fd=self.home.directory(above))
        except OSError:
            return False
        return True
