# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What the processes of this host do, as /proc tells it.

A process may end, or be none of ours to look at, at any moment: it is then left out.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Container, Iterator

# States of a process that has ended, and that its parent has not asked about yet.
_ENDED = (b"Z", b"X")


def pids(proc: str = "/proc") -> Iterator[int]:
    """The PIDs of all processes, at this moment."""
    return map(int, filter(str.isdecimal, os.listdir(proc)))


def processes_by_user() -> dict[int, list[int]]:
    """The PIDs of every UID that a process has, as its real, effective or saved one. One that has ended is left out:
    where nobody reaps it, as in a container without an init, nothing can end it any more."""
    found: dict[int, list[int]] = {}
    for pid in pids():
        try:
            with open(f"/proc/{pid}/status", "rb") as file:
                status = dict(line.split(b":", 1) for line in file if line.startswith((b"State:", b"Uid:")))
        except OSError:
            continue
        if status[b"State"].split()[0] not in _ENDED:
            for uid in set(status[b"Uid"].split()[:3]):
                found.setdefault(int(uid), []).append(pid)
    return found


def started(uids: Container[int]) -> dict[int, set[str]]:
    """When the processes of some users started, in ticks of the kernel's clock as text, by PID. One in a PID namespace
    of its own is there under the PID that it has for itself, too."""
    found: dict[int, set[str]] = {}
    for pid in pids():
        try:
            with open(f"/proc/{pid}/status", "rb") as file:
                status = dict(line.rstrip().split(b":", 1) for line in file if line.startswith((b"Uid:", b"NSpid:")))
            if int(status[b"Uid"].split()[0]) in uids:
                with open(f"/proc/{pid}/stat", "rb") as file:
                    state, *fields = file.read().rpartition(b")")[2].split()
                if state in _ENDED:
                    continue
                ticks = fields[18].decode()
                for known_as in (pid, *map(int, status.get(b"NSpid", b"").split())):
                    found.setdefault(known_as, set()).add(ticks)
        except (OSError, KeyError):
            continue
    return found


def descendants(ancestor: int) -> list[int]:
    """The processes below one, at this moment."""
    children: dict[int, list[int]] = {}
    for pid in pids():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
            # After the command's name, which may hold anything: state, parent, ...
            parent = int(file.read().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(pid)
    found: list[int] = []
    waiting = [ancestor]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def running_files() -> Iterator[tuple[int, int]]:
    """Device and inode of the file that each process runs."""
    for pid in pids():
        with contextlib.suppress(OSError):  # a kernel thread runs none
            info = os.stat(f"/proc/{pid}/exe")
            yield info.st_dev, info.st_ino


def command_line(pid: int) -> list[str]:
    """The words that a process shows as its command line, which it may have changed.

    Raises OSError.
    """
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().decode(errors="replace").replace("\0", " ").split()


def shares_root(pid: int) -> bool:
    """Whether a process has the root directory of this one, so that paths mean the same to both.

    Raises OSError where it has ended, or is not ours to look at.
    """
    theirs, ours = os.stat(f"/proc/{pid}/root"), os.stat("/")
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def open_names(pattern: re.Pattern[str], proc: str = "/proc") -> dict[int, set[str]]:
    """Per UID, what ``pattern`` finds in the paths of the files that its processes have open, as far as this process
    may look. Reads links only: nothing of a tenant's file system is touched."""
    found: dict[int, set[str]] = {}
    for pid in pids(proc):
        try:
            uid = os.stat(f"{proc}/{pid}").st_uid
            for fd in os.listdir(f"{proc}/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found.setdefault(uid, set()).update(pattern.findall(os.readlink(f"{proc}/{pid}/fd/{fd}")))
        except OSError:
            continue  # it has ended, or is not ours to look at
    return {uid: names for uid, names in found.items() if names}
