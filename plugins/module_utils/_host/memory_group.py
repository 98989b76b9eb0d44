# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""A cgroup whose processes have so much memory together, however many they are."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from typing import Iterator, NamedTuple

_REMOVE_SECONDS = 1.0


class _Hierarchy(NamedTuple):
    """Where groups are made, and the names that the two versions of cgroups have for the same. The limit of memory and
    swap together (v1) or of swap (v2) is not there where the kernel does not count it. To move one thread (v1), no
    more than a process of one has, costs nothing; a process, some 10 ms in which the kernel waits for all others."""

    parent: str
    entrance: str
    limit: str
    swap: str
    swap_has_limit: bool
    events: str


class MemoryGroup:
    """A group of ``size`` bytes, of which none are swap, for the processes that write "0" into ``entrance`` while
    they have one thread.

    Raises OSError where this host or this process can have none.
    """

    def __init__(self, size: int) -> None:
        hierarchy = _find()
        # A maker's PID is told apart from the same one of another container.
        prefix = f"alive-codex-{os.stat('/proc/self/ns/pid').st_ino}-"
        _sweep(hierarchy.parent, prefix)
        self._path = os.path.join(hierarchy.parent, f"{prefix}{os.getpid()}-{os.urandom(4).hex()}")
        self.entrance = os.path.join(self._path, hierarchy.entrance)
        self._events = os.path.join(self._path, hierarchy.events)
        os.mkdir(self._path, 0o755)
        try:
            _write(os.path.join(self._path, hierarchy.limit), size)
            with contextlib.suppress(FileNotFoundError, PermissionError):
                _write(os.path.join(self._path, hierarchy.swap), size if hierarchy.swap_has_limit else 0)
        except BaseException:
            os.rmdir(self._path)
            raise

    def killed(self) -> int:
        """How many of its processes the kernel has killed, as there was no more memory."""
        with contextlib.suppress(OSError), open(self._events, encoding="ascii") as file:
            found = re.search(r"^oom_kill (\d+)$", file.read(), re.MULTILINE)
            return int(found.group(1)) if found else 0
        return 0

    def remove(self) -> None:
        """To be called once its processes are gone. What cannot be removed is by a later group's maker."""
        deadline = time.monotonic() + _REMOVE_SECONDS
        while True:
            try:
                return os.rmdir(self._path)
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    return None
            time.sleep(0.01)


def _write(path: str, value: int | str) -> None:
    # No O_CREAT: a file that is not there is a thing that the kernel does not have.
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, str(value).encode())
    finally:
        os.close(fd)


def _find() -> _Hierarchy:
    """The hierarchy that limits memory. In v1 a group is made below this process's own, whose limits go on to hold; in
    v2 a group with processes has no others below it, so it is made at the top.

    Raises OSError.
    """
    for kind, root, mounted_at, options in _mounts():
        if kind == "cgroup" and "memory" in options:
            own = os.path.relpath(_own_path(), root)
            parent = mounted_at if own.startswith("..") else os.path.normpath(os.path.join(mounted_at, own))
            names = ("tasks", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", True, "memory.oom_control")
            return _Hierarchy(parent, *names)
        if kind == "cgroup2" and "memory" in _words(os.path.join(mounted_at, "cgroup.controllers")):
            control = os.path.join(mounted_at, "cgroup.subtree_control")
            if "memory" not in _words(control):
                _write(control, "+memory")
            return _Hierarchy(mounted_at, "cgroup.procs", "memory.max", "memory.swap.max", False, "memory.events")
    raise FileNotFoundError(errno.ENOENT, "no cgroup file system with the memory controller is mounted")


def _mounts() -> Iterator[tuple[str, str, str, list[str]]]:
    """Kind, root, place and options of each mounted cgroup file system."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _dash, after = line.partition(" - ")
            kind, _source, options = after.split()
            if kind in ("cgroup", "cgroup2"):
                root, place = (re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), each) for each in before.split()[3:5])
                yield kind, root, place, options.split(",")


def _own_path() -> str:
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _number, controllers, path = line.rstrip("\n").split(":", 2)
            if "memory" in controllers.split(","):
                return path
    return "/"


def _words(path: str) -> list[str]:
    with open(path, encoding="ascii") as file:
        return file.read().split()


def _sweep(parent: str, prefix: str) -> None:
    """Removes groups whose makers were killed. One that has processes stays: the kernel sees to that."""
    for name in os.listdir(parent):
        if name.startswith(prefix) and not os.path.exists(f"/proc/{name[len(prefix) :].split('-')[0]}"):
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(parent, name))
