# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Removes trees that a hostile tenant owns, and never what is outside of them.

As in ``safefs``, everything goes through the descriptor of a directory and one plain component.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import Iterator

from .safefs import open_directory, opened, printable


def remove_tree(name: str, dir_fd: int, timeout: float = 600.0) -> None:
    """Removes ``name`` below ``dir_fd``, whatever it is, with all that is in it. Does nothing where it does not exist.

    Never leaves the tree: entries are unlinked in directories that are open, links are removed and not followed, and a
    mount point (which ``rmdir`` tells by EBUSY) is not entered. As root, each directory is taken from its owner before
    it is read, so that nobody adds to it. Depth costs neither memory nor descriptors: what lies two levels down is
    moved up one. Goes on past what cannot be removed, then raises OSError that names the first of those; TimeoutError
    after ``timeout`` seconds, for a tree that somebody keeps adding to.
    """
    if _remove_entry(name, dir_fd):
        return
    removal = _Removal(time.monotonic() + timeout)
    with opened(open_directory(name, dir_fd)) as top:
        _seize(top)
        removal.empty(top, name)
    removal.complain()
    os.rmdir(name, dir_fd=dir_fd)


def _remove_entry(name: str, dir_fd: int) -> bool:
    """Removes anything but a directory with something in it, for which it returns False."""
    try:
        try:
            os.unlink(name, dir_fd=dir_fd)
        except IsADirectoryError:
            os.rmdir(name, dir_fd=dir_fd)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise OSError(errno.EBUSY, "is a mount point: unmount it first") from None
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _seize(fd: int) -> None:
    if os.geteuid() == 0:
        os.fchown(fd, 0, 0)
        os.fchmod(fd, 0o700)


class _Removal:
    """Empties a directory in passes over it, until nothing is left or nothing goes any more."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._prefix = f".{os.urandom(8).hex()}."
        self._moved = 0
        self._progress = True
        self._obstacles: dict[str, OSError] = {}

    def empty(self, top: int, label: str) -> None:
        self._progress = True
        while self._progress:
            self._progress = False
            self._obstacles.clear()
            for name in _names(top):
                path = f"{label}/..." if name.startswith(self._prefix) else f"{label}/{name}"
                with self._noting(path):
                    if not self._remove(name, top, path):
                        with opened(open_directory(name, top)) as fd:
                            _seize(fd)
                            self._hoist(fd, top, path)

    def complain(self) -> None:
        """Raises OSError for what could not be removed."""
        if self._obstacles:
            path, first = next(iter(self._obstacles.items()))
            others = f", and {len(self._obstacles) - 1} more" if len(self._obstacles) > 1 else ""
            raise OSError(first.errno, f"{printable(path)} cannot be removed: {first.strerror}{others}")

    def _hoist(self, fd: int, top: int, label: str) -> None:
        """Removes what is in ``fd``; directories with something in them move to ``top``."""
        for name in _names(fd):
            path = f"{label}/{name}"
            with self._noting(path):
                if self._remove(name, fd, path):
                    continue
                self._moved += 1
                try:
                    os.rename(name, f"{self._prefix}{self._moved}", src_dir_fd=fd, dst_dir_fd=top)
                    self._progress = True
                except OSError as error:
                    # overlayfs cannot move a directory of its lower layers, where a tenant makes none: recursion ends.
                    if error.errno != errno.EXDEV:
                        raise
                    with opened(open_directory(name, fd)) as below:
                        _seize(below)
                        self._hoist(below, top, path)

    def _remove(self, name: str, fd: int, path: str) -> bool:
        if time.monotonic() > self._deadline:
            raise TimeoutError(errno.ETIMEDOUT, f"{printable(path)} is still there: somebody may be adding to it")
        gone = _remove_entry(name, fd)
        self._progress |= gone
        return gone

    @contextlib.contextmanager
    def _noting(self, path: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise
        except OSError as error:
            self._obstacles.setdefault(path, error)


def _names(fd: int) -> Iterator[str]:
    """The names in a directory, read from its start each time."""
    with os.scandir(fd) as entries:
        for entry in entries:
            yield entry.name
