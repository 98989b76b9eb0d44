# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Whole directory trees that only root (or this user) can change: modes, durability, atomic replacement.

Not for anything that a tenant could touch meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Iterator

from . import linux
from .new_files import PUBLIC_DIRECTORY, PUBLIC_FILE, new_file
from .safefs import opened

_WAITING = 8
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def entries(root: str) -> Iterator[str]:
    """The root and all below it, links not followed."""
    yield root
    if os.path.islink(root):
        return  # os.walk() would follow it
    for folder, directories, files in os.walk(root):
        for name in (*directories, *files):
            yield os.path.join(folder, name)


def publish(root: str, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Makes all of it readable by everybody and changeable by its owner alone, whatever the umask was: directories and
    executables 0755, other files 0644, owned by this process's user; and brings it to the disk, with what
    ``meanwhile`` adds while the disk is at work."""
    owner = (os.geteuid(), os.getegid())
    for path in entries(root):
        info = os.lstat(path)
        if (info.st_uid, info.st_gid) != owner:
            os.lchown(path, *owner)
        if stat.S_ISLNK(info.st_mode):
            continue
        runs = stat.S_ISDIR(info.st_mode) or info.st_mode & 0o111
        os.chmod(path, PUBLIC_DIRECTORY if runs else PUBLIC_FILE)
    start_writing(root)
    meanwhile()
    # One after the other, each waits for the disk; what waits at the same time, waits together.
    with ThreadPoolExecutor(_WAITING) as pool:
        list(pool.map(sync, [path for path in entries(root) if not os.path.islink(path)]))


def start_writing(root: str) -> None:
    """Has what is in the tree be brought to the disk, and waits for nothing. Somebody may be adding to it."""
    for path in entries(root):
        with contextlib.suppress(OSError), opened(os.open(path, _READ)) as descriptor:
            linux.start_writing(descriptor)


def sync(path: str) -> None:
    """Brings a file or a directory to the disk."""
    with opened(os.open(path, _READ)) as descriptor:
        os.fsync(descriptor)


def size(root: str) -> int:
    """Bytes that the tree takes on the disk."""
    return sum(os.lstat(path).st_blocks for path in entries(root)) * 512


def remove(root: str) -> None:
    """Removes a tree, a file or a link; what is not there is no error."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(os.lstat(root).st_mode):
            shutil.rmtree(root)
        else:
            os.unlink(root)


def clone(source: str, target: str) -> None:
    """Copies a tree by hard links, so that it costs no room; by bytes where it lies on another file system."""
    shutil.copytree(source, target, symlinks=True, copy_function=link_or_copy)


def link_or_copy(source: str, target: str) -> None:
    """A second name of the same file; a copy where that cannot be."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        # At no instant more open than the source.
        with open(source, "rb") as old, open(new_file(target, 0o600), "wb") as new:
            shutil.copyfileobj(old, new)
        shutil.copystat(source, target)


def place_link(path: str, target: str) -> None:
    """Makes ``path`` a symbolic link to ``target`` in one step: at every instant it is either the old or the new one.
    A directory in the way is exchanged with the link in one step too, then removed."""
    temporary = temporary_name(path)
    remove(temporary)
    os.symlink(target, temporary)
    if os.path.isdir(path) and not os.path.islink(path):
        exchange(temporary, path)
        remove(temporary)
    else:
        os.rename(temporary, path)
    sync(os.path.dirname(path))


def temporary_name(path: str) -> str:
    """Where place_link prepares; what a killed run left there is to be removed."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.alive-codex")


def exchange(one: str, other: str) -> None:
    """Swaps two names in one step, whatever they are."""
    try:
        linux.exchange(one, other)
        return
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EXDEV):
            raise
    # A file system that cannot exchange: two steps, as near to each other as they can be.
    aside = f"{one}.aside"
    os.rename(other, aside)
    os.rename(one, other)
    os.rename(aside, one)
