# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codex's sessions in one HOME. Private to the collection alive.codex. Runs as the owner of that HOME."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from datetime import datetime, timezone
from typing import AbstractSet, Iterator, Tuple

from ansible_collections.alive.codex.plugins.module_utils._home import Home, beginning, first_line, used
from ansible_collections.alive.codex.plugins.module_utils._inuse import is_locked, locked
from ansible_collections.alive.codex.plugins.module_utils._safefs import printable
from ansible_collections.alive.codex.plugins.module_utils._sessions import CODEX, ROLLOUT, UUID, parents_in_header
from ansible_collections.alive.codex.plugins.module_utils._zstd import decompressed

ROOT = ".codex"
_TREES = ((".codex/sessions", 0), (".codex/archived_sessions", 3))
_LOCKS = ".codex/thread-writer-locks"
_LOCK_OF_LOCKS = ".coordination.lock"
_LOCK_SECONDS = 10.0
_DATES = (re.compile("[0-9]{4}"), re.compile("[0-9]{2}"), re.compile("[0-9]{2}"))
_DAY = 86400.0
_HEADER = 2**18

# What is stale when, in seconds: (directory, names, age). A snapshot serves the turn that made it; what is below .tmp,
# the start of a process.
_STALE = (
    (".codex/shell_snapshots", re.compile(r".*\.sh"), _DAY),
    (".codex/.tmp", re.compile(r"(?:git|plugins-clone)-.*"), _DAY),
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
        self._single: list[str] = []

    def scan(self) -> Iterator[Entry]:
        """Every session; one that is just being compressed or archived may come twice, with different parts."""
        for path, _dir_fd, entry, thread in self._rollouts():
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(info.st_mode):
                yield thread, info.st_mtime, used(info), (f"{path}/{entry.name}",)
        for path in self._single:
            with contextlib.suppress(FileNotFoundError):
                size = self.home.size(path)
                yield path.rpartition("/")[2], size.modified, size.bytes, (path,)

    def parents(self) -> Iterator[tuple[str, str, frozenset[str]]]:
        """Each rollout's session, its path, and what it says of itself that it depends on. Raises Unreadable where one
        is compressed and this host has nothing to read it with."""
        for path, dir_fd, entry, thread in self._rollouts():
            if entry.name.endswith(".zst"):
                line = decompressed(beginning(entry.name, dir_fd), _HEADER).partition(b"\n")[0]
            else:
                line = first_line(entry.name, dir_fd)
            yield thread, f"{path}/{entry.name}", parents_in_header(line)

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

    def _rollouts(self) -> Iterator[tuple[str, int, os.DirEntry[str], str]]:
        """Each rollout: its directory's path and descriptor (valid until the next one), its entry, its session."""
        self._single = []
        match = ROLLOUT.fullmatch
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
            with os.scandir(dir_fd) as entries:
                for entry in entries:
                    found = match(entry.name)
                    if found:
                        yield path, dir_fd, entry, found.group(1)
                    elif depth < len(_DATES) and _DATES[depth].fullmatch(entry.name):
                        pending.append((f"{path}/{entry.name}", depth + 1))
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
            for _path, _dir_fd, _entry, thread in self._rollouts():
                missing.discard(thread)
            missing.difference_update(path.rpartition("/")[2] for path in self._single)
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

    def forgotten_logs(self, now: float) -> list[str]:
        """Write-ahead logs that nobody has written to for a while."""
        found = []
        for name in self.home.names(ROOT):
            if _WAL.fullmatch(name):
                info = self.home.stat(f"{ROOT}/{name}")
                if info.st_size and now - info.st_mtime > _WAL_AGE:
                    found.append(name)
        return found

    def remove_empty_dates(self, now: float, dry_run: bool) -> int:
        """Removes date directories before yesterday's that hold nothing; how many."""
        limit = datetime.fromtimestamp(now - 2 * _DAY, timezone.utc).strftime("%Y/%m/%d")
        return self._remove_empty(_TREES[0][0], "", 0, limit, dry_run)[0]

    def _remove_empty(self, path: str, date: str, depth: int, limit: str, dry_run: bool) -> tuple[int, bool]:
        """How many directories below ``path`` went, and whether nothing is left in it."""
        if depth == len(_DATES):
            return 0, self._is_empty(path)
        removed, left = 0, 0
        for name in self.home.names(path):
            inner = f"{date}/{name}" if date else name
            if _DATES[depth].fullmatch(name) and inner <= limit[: len(inner)]:
                below, empty = self._remove_empty(f"{path}/{name}", inner, depth + 1, limit, dry_run)
                removed += below
                if empty and inner < limit[: len(inner)] and self._rmdir(path, name, dry_run):
                    removed += 1
                    continue
            left += 1
        return removed, left == 0

    def _is_empty(self, path: str) -> bool:
        try:
            with os.scandir(self.home.directory(path)) as entries:
                return next(entries, None) is None
        except OSError:
            return False

    def _rmdir(self, path: str, name: str, dry_run: bool) -> bool:
        try:
            if not dry_run:
                os.rmdir(name, dir_fd=self.home.directory(path))
        except OSError:
            return False
        return True
