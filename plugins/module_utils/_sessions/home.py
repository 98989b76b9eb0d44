# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""A HOME, seen from inside: directories below it, reached one component at a time."""

from __future__ import annotations

import errno
import os
import stat
from typing import Iterable, Iterator, NamedTuple

from .._host import descriptors
from .._host.removal import remove_tree
from .._host.safefs import open_directory, opened

_PIECE = 2**16


class Size(NamedTuple):
    """What a file or a tree takes: ``bytes``, and ``modified``, the newest modification of a file in it (of itself,
    where it holds none)."""

    bytes: int
    modified: float


class Home:
    """Directories below one directory. No link is followed on the way to any of them; the last one and those above it
    stay open, as what is asked about one after the other mostly lies together."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._names: list[str] = []
        self._open: list[int] = []

    def directory(self, path: str) -> int:
        """The descriptor of ``a/b/c``, valid until the next call. OSError where it is no plain directory."""
        names = path.split("/") if path else ["."]  # HOME itself may be open to look at only
        if names == self._names:
            return self._open[-1]
        common = 0
        for name, known in zip(names, self._names):
            if name != known:
                break
            common += 1
        self._names = self._names[:common]
        while len(self._open) > common:
            os.close(self._open.pop())
        for name in names[common:]:
            self._open.append(open_directory(name, self._open[-1] if self._open else self.fd))
            self._names.append(name)
        return self._open[-1]

    def names(self, path: str) -> list[str]:
        """What is in the directory ``path``; nothing where there is none."""
        try:
            return os.listdir(self.directory(path))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return []

    def entries(self, path: str) -> list[str]:
        """What is in the directory ``path``; nothing where it does not exist. OSError where it is something else, or
        belongs to somebody else."""
        return os.listdir(self.directory(path)) if self.is_own(path) else []

    def is_own(self, path: str) -> bool:
        """Whether the directory ``path`` exists. OSError where it is something else, or belongs to somebody else."""
        try:
            owner = os.fstat(self.directory(path)).st_uid
        except FileNotFoundError:
            return False
        if owner != os.geteuid():
            raise PermissionError(errno.EPERM, f"belongs to UID {owner}, not to UID {os.geteuid()}")
        return True

    def stat(self, path: str) -> os.stat_result:
        above, name = split(path)
        return os.stat(name, dir_fd=self.directory(above), follow_symlinks=False)

    def size(self, path: str) -> Size:
        """Of a file, or of a directory with all that is in it. Links count as themselves."""
        info = self.stat(path)
        if not stat.S_ISDIR(info.st_mode):
            return Size(used(info), info.st_mtime)
        total, newest = 0, None
        pending = [path]
        while pending:
            above = pending.pop()
            with os.scandir(self.directory(above)) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(f"{above}/{entry.name}")
                        continue
                    inner = entry.stat(follow_symlinks=False)
                    total += used(inner)
                    newest = max(newest or 0, inner.st_mtime)
        return Size(total, info.st_mtime if newest is None else newest)

    def remove(self, path: str) -> None:
        """Removes a file or a tree; nothing where it has gone already."""
        above, name = split(path)
        try:
            remove_tree(name, self.directory(above))
        except FileNotFoundError:
            return


def split(path: str) -> tuple[str, str]:
    """The directory of a path below HOME, empty for HOME itself, and its last component."""
    above, _slash, name = path.rpartition("/")
    return above, name


def used(info: os.stat_result) -> int:
    """The bytes that removing a file frees: a sparse file is not as big as it says."""
    size, blocks = info.st_size, info.st_blocks * 512
    return size if size < blocks else blocks


def pieces(name: str, dir_fd: int) -> Iterator[bytes]:
    """What is in a regular file, piece by piece; nothing of anything else. OSError where it cannot be read."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    with opened(fd):
        yield from descriptors.pieces(fd, _PIECE)


def first_line(content: Iterable[bytes], limit: int) -> tuple[bytes, bool]:
    """The first line in pieces of a file, as far as about ``limit`` bytes, and whether that is all of it."""
    line: list[bytes] = []
    size = 0
    for piece in content:
        before, newline, _after = piece.partition(b"\n")
        line.append(before)
        size += len(before)
        if newline or size > limit:
            return b"".join(line), bool(newline)
    return b"".join(line), True
