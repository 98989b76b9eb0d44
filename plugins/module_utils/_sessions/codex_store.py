# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Codex's sessions in one HOME. Runs as the owner of that HOME."""

from __future__ import annotations

import contextlib
import errno
import itertools
import operator
import os
import re
from datetime import datetime, timezone
from typing import AbstractSet, Container, Generator, Iterator, Mapping

from .._host.locks import is_locked, locked
from .._host.safefs import read_file, replace_file
from .home import Home, split, used
from .lineage import FILE as LINEAGE
from .lineage import NOBODY, Lineage
from .plan import ARCHIVED, CODEX, ROLLOUT, ROLLOUT_ID, SESSIONS, UUID, Session, Tally
from .store import Entry, Store

ROOT = ".codex"
_DATES = (re.compile("[0-9]{4}"), re.compile("[0-9]{2}"), re.compile("[0-9]{2}"))
_TREES = ((SESSIONS, 0), (ARCHIVED, len(_DATES)))
_LOCKS = "thread-writer-locks"
# What a thread drew, in a directory of its own.
_IMAGES = "generated_images"
# The names of threads, a line of JSON each; whoever gives one another name appends.
_INDEX = "session_index.jsonl"
_MAX_INDEX = 64 * 2**20
_INDEX_ID = re.compile(rf'"id"\s*:\s*"({UUID.pattern})"'.encode())
_INDEX_TIME = re.compile(rb'"updated_at"\s*:\s*"([0-9-]{10}T[0-9:]{8})')
_TRIALS = 5
_LOCK_OF_LOCKS = ".coordination.lock"
_LOCK_SECONDS = 10.0
_DAY = 86400.0
# Entries of one directory that are held at a time: bounds the memory, whatever it holds.
_AT_ONCE = 4096

# What is stale when, in seconds: (directory, names, age). A snapshot serves the turn that made it; what is below .tmp,
# the start of a process; in db-backups are broken databases that Codex has made again. A run that was killed may leave
# files half written.
_STALE = (
    ("shell_snapshots", re.compile(r".*\.sh"), _DAY),
    (".tmp", re.compile(r"(?:git|plugins-clone)-.*"), _DAY),
    (".tmp/.staging", re.compile(r"marketplace-.*"), _DAY),
    ("", re.compile(rf"\.(?:{re.escape(LINEAGE)}|{re.escape(_INDEX)})\.[0-9a-f]{{16}}"), _DAY),
    ("db-backups", re.compile(".*"), 30 * _DAY),
)


class CodexStore(Store):
    name = CODEX

    def __init__(self, home: Home, root: str = ROOT) -> None:
        super().__init__(home, root)
        # What the last walk came by: threads in the older layout, and how many entries each directory had.
        self._single: list[str] = []
        self._held: dict[str, int] = {}
        self._lineage = Lineage(home, root)

    def scan(self, cutoff: float, newer: Tally) -> Iterator[Entry]:
        """Every session whose last activity lies before ``cutoff``; ``newer`` counts the others, which are nearly all
        there are, and get no closer look. One that is just being compressed or archived may come twice, with different
        parts. Of one that nothing but its images is left of, these are all."""
        images = {name for name in self.names(_IMAGES) if UUID.fullmatch(name)}
        for path, _dir_fd, rollouts in self._rollouts():
            if images:
                rollouts = yield from self._of_images(path, rollouts, images, cutoff, newer)
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
            thread = split(path)[1]
            yield from (
                self._drawn(thread, cutoff, newer, path)
                if thread in images
                else self._whole(thread, cutoff, newer, path)
            )
            images.discard(thread)
        for thread in images:
            yield from self._drawn(thread, cutoff, newer)

    def _of_images(
        self, path: str, rollouts: list[os.DirEntry[str]], images: set[str], cutoff: float, newer: Tally
    ) -> Generator[Entry, None, list[os.DirEntry[str]]]:
        """Scans the rollouts whose sessions have ``images``, which are taken off these; returns the others."""
        others = []
        for rollout in rollouts:
            thread = rollout.name[ROLLOUT_ID]
            if thread in images:
                images.remove(thread)
                yield from self._drawn(thread, cutoff, newer, f"{path}/{rollout.name}")
            else:
                others.append(rollout)
        return others

    def _drawn(self, thread: str, cutoff: float, newer: Tally, *parts: str) -> Iterator[Entry]:
        """A session of these parts and of its images."""
        return self._whole(thread, cutoff, newer, f"{self.root}/{_IMAGES}/{thread}", *parts)

    def _whole(self, thread: str, cutoff: float, newer: Tally, *parts: str) -> Iterator[Entry]:
        """A session of these parts."""
        with contextlib.suppress(FileNotFoundError):
            sizes = [self.home.size(part) for part in parts]
            activity, total = max(size.modified for size in sizes), sum(size.bytes for size in sizes)
            if activity < cutoff:
                yield thread, activity, total, parts
            else:
                newer.add(1, total)

    def parents(self, unread: Container[str] = ()) -> Iterator[tuple[str, str, frozenset[str]]]:
        """A rollout's session, its path, and the sessions that it depends on: each that depends on something, and each
        of the sessions ``unread``, of which none is said to.

        Raises Unreadable where one cannot be read, or not to the end of its first line.
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
        return {name[:-5] for name in self.names(_LOCKS) if self._is_running(name)}

    def _is_running(self, name: str) -> bool:
        named_so = name.endswith(".lock") and UUID.fullmatch(name[:-5])
        return bool(named_so) and is_locked(name, self.home.directory(f"{self.root}/{_LOCKS}"))

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Lets no turn begin meanwhile: the CLI waits for this lock before it takes a session's own."""
        try:
            locks = self.home.directory(f"{self.root}/{_LOCKS}")
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
        pending = [(f"{self.root}/{tree}", depth) for tree, depth in _TREES if self.is_there(tree)]
        while pending:
            path, depth = pending.pop()
            try:
                dir_fd = self.home.directory(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                self.problem(path, error)
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
            above = self.path(directory)
            for name in self.names(directory):
                if names.fullmatch(name) and live.isdisjoint(UUID.findall(name)):
                    with contextlib.suppress(OSError):
                        size = self.home.size(f"{above}/{name}")
                        if now - size.modified > age:
                            yield f"{above}/{name}", size.bytes

    def forget(self, gone: list[Session]) -> None:
        """Takes the names of sessions that went out of the list of names, as the CLI does. OSError where they stay."""
        self.unname({session.id for session in gone})

    def names_of_nobody(self, now: float) -> set[str]:
        """Sessions that were given a name a day ago or more, and that have no file. OSError where the list of names
        cannot be read."""
        if not self.is_there(""):
            return set()
        try:
            content, _info = read_file(_INDEX, self.home.directory(self.root), _MAX_INDEX, os.geteuid())
        except FileNotFoundError:
            return set()
        before = datetime.fromtimestamp(now - _DAY, timezone.utc).isoformat().encode()
        lines = content.splitlines()
        young = {id_ for line in lines for id_ in _INDEX_ID.findall(line) if _is_younger(line, before)}
        named = {id_ for line in lines for id_ in _INDEX_ID.findall(line)}
        return self.without_rollout({id_.decode() for id_ in named - young}) - self.in_use()

    def unname(self, threads: AbstractSet[str]) -> None:
        """Takes sessions out of the list of names. OSError where they stay."""
        ids = {thread.encode() for thread in threads}
        for _trial in range(_TRIALS):
            if _take_out(ids, self.home.directory(self.root)):
                return
        raise OSError(errno.EBUSY, f"{self.root}/{_INDEX} keeps changing")

    def remove_empty_dates(self, now: float, taken: Mapping[str, int], dry_run: bool) -> int:
        """Removes date directories before yesterday's that held nothing when they were last looked into, or no more
        than was ``taken`` from them since; how many."""
        above_all = f"{self.root}/{SESSIONS}"
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


def _is_younger(line: bytes, before: bytes) -> bool:
    """Whether a line does not say that it was written before a time, both as in ISO 8601 and UTC."""
    match = _INDEX_TIME.search(line)
    return match is None or match.group(1) >= before[:19]


def _take_out(ids: AbstractSet[bytes], dir_fd: int) -> bool:
    """Takes sessions out of the list of names; False where somebody wrote to it meanwhile."""
    try:
        content, read = read_file(_INDEX, dir_fd, _MAX_INDEX, os.geteuid())
    except FileNotFoundError:
        return True

    def is_as_read() -> bool:
        now = os.stat(_INDEX, dir_fd=dir_fd, follow_symlinks=False)
        return (now.st_ino, now.st_size, now.st_mtime_ns) == (read.st_ino, read.st_size, read.st_mtime_ns)

    left = b"".join(line for line in content.splitlines(True) if ids.isdisjoint(_INDEX_ID.findall(line)))
    return left == content or replace_file(_INDEX, dir_fd, left, read.st_mode & 0o777, is_as_read, durable=False)
