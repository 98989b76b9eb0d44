# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""A HOME, seen from inside: directories below it, reached one component at a time."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from .._host.removal import remove_tree
from .._host.safefs import open_directory


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
        names = path.split("/") if path else []
        if names == self._names:
            return self._open[-1] if names else self.fd
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
        return self._open[-1] if names else self.fd

    def names(self, path: str) -> list[str]:
        """What is in the directory ``path``; nothing where there is none."""
        try:
            return os.listdir(self.directory(path))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return []

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


def beginning(name: str, dir_fd: int) -> bytes:
    """The first 64 KiB of a regular file; nothing of anything else."""
    return _read_until(name, dir_fd, b"", 2**16)


def first_line(name: str, dir_fd: int) -> bytes:
    """The first line of a regular file, as far as a MiB; nothing of anything else."""
    return _read_until(name, dir_fd, b"\n", 2**20).partition(b"\n")[0]


def _read_until(name: str, dir_fd: int, end: bytes, limit: int) -> bytes:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError:
        return b""
    try:
        piece = content = os.read(fd, 2**16)
        while piece and len(content) < limit and end not in piece:
            piece = os.read(fd, 2**16)
            content += piece
    except OSError:
        return b""
    finally:
        os.close(fd)
    return content
