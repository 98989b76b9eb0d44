# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's users: found by the thousand, and made by the thousand. Private to the collection alive.codex.

Looking users up one by one reads the whole of /etc/passwd each time, and useradd locks and rewrites it for every user.
systemd-sysusers makes any number in one go; hosts without it, and users it refuses, get useradd.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
from typing import NamedTuple, Sequence

from ansible_collections.alive.codex.plugins.module_utils import _process

_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_HOME = re.compile(r"/[^:\x00-\x1f\x7f]*")
_ENV = {"PATH": _process.STANDARD_PATH, "LANG": "C.UTF-8"}
_TIMEOUT = 600.0
_DEFAULT_RANGE = (1000, 60000)


class NewUser(NamedTuple):
    """A user to make. Without numbers, free ones are taken; the group has the user's name, or is an existing GID."""

    name: str
    uid: int | None
    gid: int | None
    home: str


class Users:
    """The users of this host, as they were when this was made."""

    def __init__(self) -> None:
        entries = pwd.getpwall()
        self._by_name = {entry.pw_name: entry for entry in entries}
        self._by_uid = {entry.pw_uid: entry for entry in reversed(entries)}

    def named(self, name: str) -> _process.Identity | None:
        """The user of that name; directories that do not enumerate their users are asked too."""
        entry = self._by_name.get(name)
        if entry is None:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                return None
        return _process.Identity(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)

    def numbered(self, uid: int, gid: int | None) -> _process.Identity:
        """Whoever has that UID, a passwd entry or not."""
        if gid is not None:
            return _process.Identity(uid, gid)
        entry = self._by_uid.get(uid)
        return _process.Identity(uid, entry.pw_gid) if entry else _process.identity_of(uid)


def problem_of(user: NewUser) -> str | None:
    """Why a user cannot be made, as far as its name and home tell."""
    if not _NAME.fullmatch(user.name):
        return f"{user.name!r} cannot be the name of a new user: lower-case letters, digits, - and _, at most 32"
    if not _HOME.fullmatch(user.home):
        return f"{user.home!r} cannot be the home of a new user, since passwd has no room for a colon"
    return None


def create(users: Sequence[NewUser]) -> dict[str, str]:
    """Makes users that do not exist, without password or login shell and without touching a file below their home.

    Never changes an existing user or group. Returns what went wrong, by name.
    """
    if len(users) > 1 and shutil.which("systemd-sysusers", path=_process.STANDARD_PATH):
        _create_together(users)
    known = {entry.pw_name for entry in pwd.getpwall()}
    problems = {}
    for user in users:
        if user.name not in known:
            problem = _create_one(user)
            if problem:
                problems[user.name] = problem
    return problems


def _create_together(users: Sequence[NewUser]) -> None:
    """Makes what systemd-sysusers will make; each line stands for itself, so one bad user stops no other."""
    uids = {entry.pw_uid for entry in pwd.getpwall()}
    groups = grp.getgrall()
    gids = {entry.gr_gid for entry in groups}
    names = {entry.gr_name for entry in groups}
    taken = uids | gids | {user.uid for user in users if user.uid} | {user.gid for user in users if user.gid}
    free = (number for number in range(*_uid_range()) if number not in taken)
    lines = []
    for user in users:
        uid = user.uid if user.uid is not None else next(free, None)
        if uid is None or uid in uids:
            continue
        gid = uid if user.gid is None else user.gid
        if gid not in gids:
            if user.name in names:
                continue
            lines.append(f"g {user.name} {gid}")
        elif user.gid is None:
            continue
        uids.add(uid)
        home = user.home.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
        lines.append(f'u {user.name} {uid}:{gid} - "{home}" {_shell()}')
    _process.run(["systemd-sysusers", "-"], _ENV, _TIMEOUT, stdin="".join(f"{line}\n" for line in lines).encode())


def _create_one(user: NewUser) -> str | None:
    argv = ["useradd", "--no-create-home", "--no-log-init", "--home-dir", user.home, "--shell", _shell()]
    if user.uid is not None:
        argv += ["--uid", str(user.uid)]
    if user.gid is None:
        argv += ["--user-group"]
    else:
        problem = _ensure_group(user.name, user.gid)
        if problem:
            return problem
        argv += ["--gid", str(user.gid)]
    return _run([*argv, "--", user.name])


def _ensure_group(name: str, gid: int) -> str | None:
    try:
        grp.getgrgid(gid)
    except KeyError:
        return _run(["groupadd", "--gid", str(gid), "--", name])
    return None


def _run(argv: Sequence[str]) -> str | None:
    try:
        done = _process.run(argv, _ENV, _TIMEOUT)
    except OSError as error:
        return f"{argv[0]} cannot be run: {error.strerror}"
    said = done.stderr.decode(errors="replace").strip().replace("\n", "; ")
    return f"{argv[0]} failed (rc {done.rc}): {said[:300]}" if done.rc else None


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
    return low, high + 1
