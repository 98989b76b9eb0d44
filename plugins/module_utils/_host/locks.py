# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""flock(2): a lock that the kernel frees when its process ends, however it ends.

One that is not free is tried again and again: a wait inside the call would have no limit.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from typing import Iterator

# Seconds between two attempts.
POLL = 0.05


def try_lock(fd: int) -> bool:
    """Whether the open file is locked from here on; it is not where another process holds the lock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_within(fd: int, seconds: float) -> bool:
    """Like ``try_lock``, but waits so long for whoever holds it."""
    deadline = time.monotonic() + seconds
    while not try_lock(fd):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


@contextlib.contextmanager
def locked(name: str, dir_fd: int, seconds: float) -> Iterator[None]:
    """Holds the lock of the file ``name``, made where it is missing. TimeoutError where somebody else keeps it."""
    # For its user alone: whoever may read a file may lock it.
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
    try:
        if not lock_within(fd, seconds):
            raise TimeoutError(errno.ETIMEDOUT, "another process has kept it locked", name)
        yield
    finally:
        os.close(fd)


def is_locked(name: str, dir_fd: int) -> bool:
    """Whether a process holds the lock of the file ``name``, or may, on a file system that has no locks."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError:
        return False
    try:
        return not try_lock(fd)
    except OSError:
        return True
    finally:
        os.close(fd)
