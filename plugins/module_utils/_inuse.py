# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files processes hold open or locked. Private to the collection alive.codex."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import time
from typing import Iterator


def open_names(pattern: re.Pattern[str], proc: str = "/proc") -> dict[int, set[str]]:
    """Per UID, what ``pattern`` finds in the paths of the files that its processes have open, as far as this process
    may look. Reads links only: nothing of a tenant's file system is touched."""
    found: dict[int, set[str]] = {}
    for pid in filter(str.isdecimal, os.listdir(proc)):
        try:
            uid = os.stat(f"{proc}/{pid}").st_uid
            for fd in os.listdir(f"{proc}/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found.setdefault(uid, set()).update(pattern.findall(os.readlink(f"{proc}/{pid}/fd/{fd}")))
        except OSError:
            continue  # it has ended, or is not ours to look at
    return {uid: names for uid, names in found.items() if names}


@contextlib.contextmanager
def locked(name: str, dir_fd: int, timeout: float) -> Iterator[None]:
    """Holds flock(2) on the file ``name``, made where it is missing. TimeoutError where somebody else keeps it."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644, dir_fd=dir_fd)
    try:
        deadline = time.monotonic() + timeout
        while not _try_lock(fd):
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "another process has kept it locked", name)
            time.sleep(0.02)
        yield
    finally:
        os.close(fd)


def is_locked(name: str, dir_fd: int) -> bool:
    """Whether a process holds flock(2) on the file ``name``."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError:
        return False
    try:
        return not _try_lock(fd)
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
