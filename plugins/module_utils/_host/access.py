# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Who can reach a path, and who could change it.

Judged by owner, group and mode bits. Ask the kernel too, by trying as the user in question, where it matters.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
import tempfile
from typing import Callable, Iterable, Iterator

from .identity import Identity

MAX_LINKS = 40  # as the kernel
_SOMEBODY = Identity(65534, 65534)


def walk_chain(path: str) -> list[tuple[str, os.stat_result]]:
    """Every file that opening ``path`` goes through, with its lstat: each directory, each symbolic link on the way, and
    last what it leads to.

    Raises OSError at the first that is missing or cannot be looked at.
    """
    chain: dict[str, os.stat_result] = {}
    links = 0
    current = "/"
    chain[current] = os.lstat(current)
    rest = [part for part in os.path.abspath(path).split("/") if part]
    while rest:
        part = rest.pop(0)
        if part == "..":
            current = os.path.dirname(current)
            continue
        step = os.path.join(current, part)
        info = chain[step] = os.lstat(step)
        if stat.S_ISLNK(info.st_mode):
            links += 1
            if links > MAX_LINKS:
                raise OSError(f"{path}: too many symbolic links")
            target = os.readlink(step)
            if target.startswith("/"):
                current = "/"
            rest = [p for p in target.split("/") if p not in ("", ".")] + rest
        else:
            current = step
    final = chain.pop(current)
    return [*chain.items(), (current, final)]


def blocked_at(path: str, identity: Identity) -> str | None:
    """The first directory on the way to ``path`` that the identity cannot go through; None where there is none."""
    return _first_closed(walk_chain(path)[:-1], identity)


def closed_at(directory: str, identity: Identity) -> str | None:
    """The first directory on the way into a directory, itself too, that the identity cannot go through; None where
    there is none."""
    return _first_closed(walk_chain(directory), identity)


def _first_closed(chain: Iterable[tuple[str, os.stat_result]], identity: Identity) -> str | None:
    return next((name for name, info in chain if stat.S_ISDIR(info.st_mode) and not may(info, identity, 0o1)), None)


def nearest_directory(path: str) -> str:
    """The directory itself, or the nearest above it that there is."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def may(info: os.stat_result, identity: Identity, bits: int) -> bool:
    """Whether the identity has all of ``bits`` (4 reads, 2 writes, 1 runs) on the file."""
    if identity.uid == 0:
        return True
    if info.st_uid == identity.uid:
        shift = 6
    elif info.st_gid == identity.gid:
        shift = 3
    else:
        shift = 0
    return (info.st_mode >> shift) & bits == bits


def temporary_directory() -> str:
    """TMPDIR, or, where another user could change that or root's is private, as pam_tmpdir(8) makes it, /tmp: one that
    every user can go through.

    Raises PermissionError where none is safe.
    """
    return _temporary_directory(lambda info: os.geteuid() != 0 or may(info, _SOMEBODY, 0o1))


@contextlib.contextmanager
def private_directory() -> Iterator[str]:
    """A new directory that nobody else can enter, or put another in the place of; gone at the end. Raises
    PermissionError where none is safe."""
    with tempfile.TemporaryDirectory(dir=_temporary_directory(lambda info: True)) as directory:
        yield directory


def _temporary_directory(fits: Callable[[os.stat_result], bool]) -> str:
    """The first place for temporary files that no other user can change, and all of whose way fits."""
    for directory in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if not os.path.isdir(directory) or any(changeable(directory, (os.geteuid(),))):
            continue
        if all(fits(info) for _path, info in walk_chain(directory)):
            return directory
    raise PermissionError(
        errno.EACCES, "other users could change every place for temporary files; set TMPDIR", tempfile.gettempdir()
    )


def planted(path: str) -> str | None:
    """In words, how a user other than root and this process's own could have put something at ``path``, or could
    still; None where nobody could. What is missing can be made by whoever may write to the directory above it."""
    for place in dict.fromkeys((os.path.abspath(path), os.path.realpath(path))):
        if place == os.devnull:
            return None
        while not os.path.exists(place):
            place = os.path.dirname(place)
        info = os.stat(place)
        for problem in changeable(place, (os.geteuid(),)):
            return problem
        if stat.S_ISDIR(info.st_mode) and info.st_mode & (stat.S_IWOTH | stat.S_IWGRP) and info.st_mode & stat.S_ISVTX:
            return f"others may put files into {place} (mode {stat.S_IMODE(info.st_mode):04o})"
    return None


def open_to_others(path: str) -> bool:
    """Whether a user who is neither its owner nor in its group may go all the way into a directory."""
    return all(may(info, _SOMEBODY, 0o1) for _path, info in walk_chain(path))


def changeable(path: str, trusted: Iterable[int]) -> Iterator[str]:
    """In words, each way in which a user other than root and the ``trusted`` UIDs could change what ``path`` leads to:
    its owner, or permission to write to it or to a directory on the way."""
    owners = {0, *trusted}
    for name, info in walk_chain(path):
        directory = stat.S_ISDIR(info.st_mode)
        sticky = directory and bool(info.st_mode & stat.S_ISVTX)
        if info.st_uid not in owners:
            yield f"{name} belongs to {_user_name(info.st_uid)}"
        if stat.S_ISLNK(info.st_mode):
            continue  # a link's mode means nothing; who may replace it is its directory's matter
        if info.st_mode & stat.S_IWOTH and not sticky:
            yield f"{name} is writable by everybody (mode {stat.S_IMODE(info.st_mode):04o})"
        elif info.st_mode & stat.S_IWGRP and not sticky and not (directory and _holds_only(info.st_gid, owners)):
            yield f"{name} is writable by the group {_group_name(info.st_gid)} (mode {stat.S_IMODE(info.st_mode):04o})"


def check_program(program: str, identity: Identity) -> None:
    """Raises PermissionError where root would run what another user could change."""
    if identity.uid == 0:
        for problem in changeable(program, ()):
            raise PermissionError(errno.EACCES, f"root does not run what another user could change: {problem}", program)


def _holds_only(gid: int, owners: set[int]) -> bool:
    """Whether no other user is in the group: as in ``staff``, which older Debian lets write below /usr/local, or in a
    user's private group where the umask is 002."""
    try:
        names = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        return False  # a bare GID may be anybody's
    users = pwd.getpwall()
    members = {user.pw_uid for user in users if user.pw_gid == gid or user.pw_name in names}
    return members <= owners and names <= {user.pw_name for user in users}


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"UID {uid}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"GID {gid}"
