# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Makes the host's users by the thousand.

useradd locks and rewrites /etc/passwd for every user. systemd-sysusers makes any number in one go; hosts without it,
and users it refuses, get useradd.
"""

from __future__ import annotations

import fcntl
import grp
import itertools
import os
import pwd
import re
import shutil
import time
from typing import Collection, Iterator, NamedTuple, Sequence

from . import process

_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_HOME = re.compile(r"/[^:\x00-\x1f\x7f]*")
_ENV = {"PATH": process.STANDARD_PATH, "LANG": "C.UTF-8"}
_TIMEOUT = 600.0
_DEFAULT_RANGE = (1000, 60000)
# What every program that changes users locks: lckpwdf(3).
_LOCK = "/etc/.pwd.lock"
_LOCK_TIMEOUT = 30.0
# How useradd and groupadd end where the files of users or of groups cannot be changed at all.
_CANNOT_UPDATE = (1, 10)


class WantedUser(NamedTuple):
    """A user that does not exist. Without ``uid``, a free one is wanted; without ``gid``, a group of its own."""

    name: str
    uid: int | None
    gid: int | None
    home: str


class NewUser(NamedTuple):
    """A user that can be made. Where no group has the number ``gid``, one of the user's name is made too."""

    name: str
    uid: int
    gid: int
    home: str


def assign_numbers(wanted: Sequence[WantedUser], avoid: Collection[int]) -> tuple[list[NewUser], dict[str, str]]:
    """Gives each user the numbers that it lacks, none of ``avoid``; tells by name why others cannot be made.

    Nobody becomes a member of a group by having its name: such a group is used only where it is empty and nobody's,
    as one that is left of a user who was half made.
    """
    entries = pwd.getpwall()
    groups = {group.gr_name: group for group in grp.getgrall()}
    low, high = _uid_range()
    owners = {entry.pw_uid: entry.pw_name for entry in entries}
    gids = {group.gr_gid for group in groups.values()}
    given = {number for user in wanted for number in (user.uid, user.gid) if number is not None}
    free = _free_numbers(low, high, {*owners, *gids, *given, *avoid})
    of_users = {entry.pw_gid for entry in entries}
    users = []
    problems = {}
    for user in wanted:
        group = groups.get(user.name)
        uid, gid = user.uid, user.gid
        if gid is None and group and low <= group.gr_gid <= high and not group.gr_mem and group.gr_gid not in of_users:
            gid = group.gr_gid
        if uid is None:
            uid = next(free, None)
        if gid is None:
            gid = uid if uid not in gids else next(free, None)
        if not _NAME.fullmatch(user.name):
            problem = f"{user.name!r} cannot be the name of a new user: lower-case letters, digits, - and _, at most 32"
        elif not _HOME.fullmatch(user.home):
            problem = f"{user.home!r} cannot be the home of a new user, since passwd has no room for a colon"
        elif uid is None or gid is None:
            problem = f"no number from {low} to {high} is free for the user {user.name!r}: widen UID_MAX in login.defs"
        elif uid in owners:
            problem = f"the user {user.name!r} cannot be made with the UID {uid}: {owners[uid]!r} has it"
        elif gid not in gids and group:
            problem = (
                f"the user {user.name!r} cannot be made: there is a group of that name, with the GID {group.gr_gid}"
            )
        else:
            owners[uid] = user.name
            gids.add(gid)
            users.append(NewUser(user.name, uid, gid, user.home))
            continue
        problems[user.name] = problem
    return users, problems


def create(users: Sequence[NewUser]) -> dict[str, str]:
    """Makes users, without password or login shell and without touching a file below their home.

    Never changes an existing user or group. Returns what went wrong, by name.
    """
    problem = _await_lock() if users else None
    if problem:
        return dict.fromkeys((user.name for user in users), problem)
    if len(users) > 1 and shutil.which("systemd-sysusers", path=process.STANDARD_PATH):
        _create_together(users)
    known = {entry.pw_name for entry in pwd.getpwall()}
    problems = {}
    missing = [user for user in users if user.name not in known]
    for number, user in enumerate(missing):
        try:
            _create_one(user)
        except _Failed as failed:
            problems[user.name] = str(failed)
            if failed.rc in _CANNOT_UPDATE:
                problems.update((other.name, str(failed)) for other in missing[number:])
                break
    return problems


def _free_numbers(low: int, high: int, taken: Collection[int]) -> Iterator[int]:
    """Numbers above all that are taken first, as useradd chooses them: nobody inherits what a removed user left."""
    top = max((number for number in taken if low <= number <= high), default=low - 1)
    numbers = itertools.chain(range(top + 1, high + 1), range(low, top))
    return (number for number in numbers if number not in taken)


def _await_lock() -> str | None:
    """Waits until nobody else changes users; what keeps us from it. The programs that we call take the lock again."""
    try:
        fd = os.open(_LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return f"users cannot be made: {_LOCK}: {error.strerror}"
    try:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while True:
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return None
            except OSError:
                if time.monotonic() > deadline:
                    return (
                        f"users cannot be made: another program has held {_LOCK} for {_LOCK_TIMEOUT:.0f} s;"
                        f" 'fuser {_LOCK}' names it"
                    )
            time.sleep(0.1)
    finally:
        os.close(fd)


def _create_together(users: Sequence[NewUser]) -> None:
    """Makes what systemd-sysusers will make; each line stands for itself, so one bad user stops no other."""
    gids = {entry.gr_gid for entry in grp.getgrall()}
    lines = []
    for user in users:
        if user.gid not in gids:
            gids.add(user.gid)
            lines.append(f"g {user.name} {user.gid}")
        home = user.home.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
        lines.append(f'u {user.name} {user.uid}:{user.gid} - "{home}" {_shell()}')
    process.run(
        ["systemd-sysusers", "-"], _ENV, _TIMEOUT, stdin="".join(f"{line}\n" for line in lines).encode(), umask=0o022
    )


def _create_one(user: NewUser) -> None:
    try:
        grp.getgrgid(user.gid)
    except KeyError:
        _run("groupadd", "--gid", str(user.gid), "--", user.name)
    numbers = ["--uid", str(user.uid), "--gid", str(user.gid)]
    options = ["--no-create-home", "--no-log-init", "--home-dir", user.home, "--shell", _shell()]
    _run("useradd", *numbers, *options, "--", user.name)


class _Failed(Exception):
    """A command did not do its work. ``rc`` is None where it could not be run."""

    def __init__(self, message: str, rc: int | None = None) -> None:
        super().__init__(message)
        self.rc = rc


def _run(*argv: str) -> None:
    try:
        done = process.run(argv, _ENV, _TIMEOUT, umask=0o022)
    except OSError as error:
        raise _Failed(f"{argv[0]} cannot be run: {error.strerror}") from None
    if done.rc:
        said = done.stderr.decode(errors="replace").strip().replace("\n", "; ")
        raise _Failed(f"{argv[0]} failed (rc {done.rc}): {said[:300]}", done.rc)


def _shell() -> str:
    return next((path for path in ("/usr/sbin/nologin", "/sbin/nologin") if os.path.exists(path)), "/bin/false")


def _uid_range() -> tuple[int, int]:
    """Where login.defs puts new users."""
    low, high = _DEFAULT_RANGE
    try:
        with open("/etc/login.defs", encoding="utf-8", errors="replace") as file:
            for line in file:
                words = line.split()
                if len(words) > 1 and words[1].isdecimal():
                    low = int(words[1]) if words[0] == "UID_MIN" else low
                    high = int(words[1]) if words[0] == "UID_MAX" else high
    except OSError:
        pass
    return low, high
