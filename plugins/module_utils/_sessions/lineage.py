# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Which sessions Codex's sessions depend on, remembered by directory. Runs as the owner of a HOME.

Nothing but a rollout's header names the session that it was forked from, and a header never changes. Reading all of
them day after day would take longer than all else, so those in a directory in which nothing came, went or was renamed
are not read again. What is remembered belongs to the tenant, who deceives only itself with it, and may remove it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from types import TracebackType
from typing import Any, Dict, FrozenSet, Mapping, NamedTuple

from .._formats.zstd import Unreadable, decompressed
from .._host.safefs import printable, read_file, replace_file
from .home import Home, first_line, pieces, split
from .plan import parents_in_header

FILE = ".alive-codex-lineage.json"
NOBODY: frozenset[str] = frozenset()
# What an older version took for nothing, it may just not have read to its end.
_VERSION = 2
_MAX_BYTES = 2 * 2**20
# A header has some 25 KB; what a tenant puts there may have as much as the memory of this process bears.
_MAX_HEADER = 16 * 2**20
# A directory that has just changed may change again within a tick of the file system's clock, which does not show; and
# whoever has just made a file may not have written to it.
_QUIET_SECONDS = 10.0

# What each rollout depends on, by the name of its file; those that depend on nothing are left out.
Ids = Dict[str, FrozenSet[str]]


class _Known(NamedTuple):
    """What is known of a directory, as long as its inode and its modification (in nanoseconds) are these."""

    inode: int
    modified: int
    ids: Ids


class Lineage:
    """What is known of one of Codex's directories, ``root``."""

    def __init__(self, home: Home, root: str) -> None:
        self._home = Home(home.fd)  # apart, as whoever asks is on a walk through the given one
        self._root = root
        self._loaded: dict[str, _Known] | None = None
        self._current: dict[str, _Known] = {}

    def directory(self, path: str) -> Directory:
        """The directory ``path`` below HOME, about to be gone through."""
        if self._loaded is None:
            self._loaded = self._load()
        return Directory(path, self._current.get(path) or self._loaded.get(path), self._current)

    def save(self) -> None:
        """Keeps what was found out, and asked for again, for the next run; where that cannot be, it reads again."""
        if self._loaded is not None and self._current != self._loaded:
            directories = {
                path: [inode, modified, {name: sorted(each) for name, each in ids.items()}]
                for path, (inode, modified, ids) in self._current.items()
            }
            content = json.dumps({"version": _VERSION, "directories": directories}).encode()
            if len(content) <= _MAX_BYTES:
                with contextlib.suppress(OSError):
                    replace_file(FILE, self._home.directory(self._root), content, 0o600, durable=False)

    def _load(self) -> dict[str, _Known]:
        try:
            content, _info = read_file(FILE, self._home.directory(self._root), _MAX_BYTES, os.geteuid())
            return _understood(json.loads(content))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}


class Directory:
    """One directory, whose rollouts are asked about one after the other, in a ``with`` block."""

    def __init__(self, path: str, known: _Known | None, keep: dict[str, _Known]) -> None:
        self._path = path
        self._known = known
        self._keep = keep
        self._ids: Ids = {}
        self._info: os.stat_result | None = None
        self._whole = True

    def listed(self, dir_fd: int) -> None:
        """A part of the directory, open as ``dir_fd``, has been listed, and is asked about next."""
        info = os.fstat(dir_fd)
        if self._info is None:
            self._info = info
        if self._known and self._known[:2] != (info.st_ino, info.st_mtime_ns):
            self._whole = info is self._info
            self._known = None

    def ids(self, name: str, dir_fd: int) -> frozenset[str]:
        """The sessions that the rollout ``name`` says it depends on.

        Raises Unreadable where that cannot be read.
        """
        if self._known:
            return self._known.ids.get(name, NOBODY)
        line = _header(f"{self._path}/{name}", dir_fd)
        ids = parents_in_header(line)
        if ids:
            self._ids[name] = ids
        elif not line:
            self._whole = False
        return ids

    def leave_out(self) -> None:
        """One of its rollouts is not asked about."""
        self._whole = False

    def __enter__(self) -> Directory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or self._info is None:
            return
        if self._known:
            self._keep[self._path] = self._known
        elif self._whole and time.time() - self._info.st_mtime > _QUIET_SECONDS:
            self._keep[self._path] = _Known(self._info.st_ino, self._info.st_mtime_ns, self._ids)


def _header(path: str, dir_fd: int) -> bytes:
    """The first line of a rollout, whole.

    Raises Unreadable where nobody can say what it depends on.
    """
    content = pieces(split(path)[1], dir_fd)
    try:
        line, is_whole = first_line(decompressed(content) if path.endswith(".zst") else content, _MAX_HEADER)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise Unreadable(
            f"what {printable(path)} depends on cannot be read: {error.strerror}. Its owner has to allow that"
        ) from None
    if not is_whole:
        raise Unreadable(
            f"what {printable(path)} depends on stands in a line of more than {_MAX_HEADER >> 20} MiB. Remove it"
        )
    return line


def _understood(document: Mapping[str, Any]) -> dict[str, _Known]:
    if document.get("version") != _VERSION:
        return {}
    return {
        path: _Known(int(inode), int(modified), {name: frozenset(map(str, each)) for name, each in ids.items()})
        for path, (inode, modified, ids) in document["directories"].items()
    }
