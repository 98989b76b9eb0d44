# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What root is to have on a host: files of one content, and directories, each with one mode. How they are, and how they
become so."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Iterator, NamedTuple

from .removal import remove_tree
from .safefs import converging, open_own, open_trusted, opened, read_file, replace_file

_ROOT = (0, 0)
_MOST_BYTES = 1 << 24


class State(NamedTuple):
    """``content`` is empty for a directory too; ``rights`` are ``UID:GID MODE``, and empty where there is nothing, or
    what can only be replaced, such as a link."""

    content: bytes
    rights: str


NOTHING = State(b"", "")


def wanted(content: bytes, mode: int) -> State:
    """What is root's, with this content and mode."""
    return _state(content, *_ROOT, mode)


def file_at(path: str) -> State:
    """Raises OSError for a path that root cannot trust."""
    try:
        with _parent_of(path) as (name, dir_fd):
            content, info = read_file(name, dir_fd, _MOST_BYTES)
    except FileNotFoundError:
        return NOTHING
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EFBIG):
            return NOTHING
        raise
    return _state(content, info.st_uid, info.st_gid, info.st_mode)


def directory_at(path: str) -> State:
    """Raises OSError for a path that root cannot trust, and for what is no directory."""
    try:
        with opened(open_trusted(path)) as fd:
            info = os.fstat(fd)
    except FileNotFoundError:
        return NOTHING
    return _state(b"", info.st_uid, info.st_gid, info.st_mode)


def put_file(path: str, content: bytes, mode: int) -> None:
    """Replaces what is there, in one instant, by a file of root's. Raises OSError, where a directory is, say."""
    with _parent_of(path) as (name, dir_fd):
        replace_file(name, dir_fd, content, mode)


def put_directory(path: str, mode: int) -> None:
    """Raises OSError for what is no directory, or another user's."""
    with opened(open_own(path, mode)) as fd:
        for _change in converging(fd, _ROOT, mode, check=False):
            pass


def take_away(path: str) -> None:
    """Removes what is there, a directory with all that is in it. Raises OSError."""
    with _parent_of(path) as (name, dir_fd):
        remove_tree(name, dir_fd)


@contextlib.contextmanager
def _parent_of(path: str) -> Iterator[tuple[str, int]]:
    """The last part of a path, and the directory that it is in, open. What goes wrong there names the whole path."""
    directory, name = os.path.split(path)
    with opened(open_trusted(directory)) as dir_fd:
        try:
            yield name, dir_fd
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from error


def _state(content: bytes, uid: int, gid: int, mode: int) -> State:
    return State(content, f"{uid}:{gid} {stat.S_IMODE(mode):04o}")
