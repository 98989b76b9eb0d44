# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""New files and directories with exactly the mode that is asked for, whatever the umask and the directory's default ACL
are.

At no instant has one a wider mode than that, and none that is there already, a link included, is taken for a new one.
"""

from __future__ import annotations

import os

# What everybody is to read, and their owner alone to change.
PUBLIC_FILE = 0o644
PUBLIC_DIRECTORY = 0o755


def new_file(path: str, mode: int, dir_fd: int | None = None) -> int:
    """Makes a file and opens it for writing. FileExistsError where anything is there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, mode & 0o700, dir_fd=dir_fd)
    os.fchmod(fd, mode)
    return fd


def write_file(path: str, content: bytes, mode: int) -> None:
    """Makes a file with that content. FileExistsError where anything is there."""
    with open(new_file(path, mode), "wb") as file:
        file.write(content)


def new_directory(path: str, mode: int, dir_fd: int | None = None) -> None:
    """Makes a directory. FileExistsError where anything is there."""
    previous = os.umask(0)
    try:
        os.mkdir(path, mode, dir_fd=dir_fd)
    finally:
        os.umask(previous)


def public_directories(path: str) -> None:
    """Makes what is missing of a directory and those above it, for everybody to go through."""
    if not os.path.isdir(path):
        public_directories(os.path.dirname(path))
        try:
            new_directory(path, PUBLIC_DIRECTORY)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
