# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Who a process is, and how it becomes somebody else."""

from __future__ import annotations

import contextlib
import os
import pwd
from typing import Iterator, NamedTuple

from . import linux

MAX_ID = (1 << 32) - 2


class Identity(NamedTuple):
    """Who a process runs as. ``name`` and ``home`` are passwd's, None for a bare UID without an entry."""

    uid: int
    gid: int
    name: str | None = None
    home: str | None = None

    def __str__(self) -> str:
        numbers = f"{self.uid}:{self.gid}"
        return f"{self.name} ({numbers})" if self.name else numbers


def lookup_identity(spec: str) -> Identity:
    """The identity that ``name``, ``uid`` or ``uid:gid`` names. A bare UID without passwd entry has its own number as
    GID.

    Raises LookupError for a name that does not exist, ValueError for text of no such form.
    """
    user, colon, group = spec.partition(":")
    if not user or "\0" in spec or (colon and not (user.isdecimal() and group.isdecimal())):
        raise ValueError(f"{spec[:80]!r} is not a user: give a name, a UID, or UID:GID")
    if user.isdecimal():
        return identity_of(_number(user), _number(group) if colon else None)
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise LookupError(f"there is no user {user[:80]!r} on this host") from None
    return Identity(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)


def _number(digits: str) -> int:
    """A UID or GID. The system takes the one above the highest for "as it is", so that root would stay root."""
    if len(digits) > len(str(MAX_ID)) or int(digits) > MAX_ID:
        raise ValueError(f"{digits[:80]} is no UID or GID: the highest is {MAX_ID}")
    return int(digits)


def identity_of(uid: int, gid: int | None = None) -> Identity:
    """The identity of a numeric UID, with passwd's GID, name and home where there is an entry."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Identity(uid, uid if gid is None else gid)
    return Identity(uid, entry.pw_gid if gid is None else gid, entry.pw_name, entry.pw_dir)


def current_identity() -> Identity:
    """Who this process is."""
    return identity_of(os.geteuid(), os.getegid())


def become(identity: Identity) -> None:
    """Turns this process into ``identity`` for good: groups cleared, real, effective and saved IDs set. Does nothing
    where it is that identity already.

    Raises PermissionError where the process may not.
    """
    if os.geteuid() != 0 and (os.getresuid(), os.getresgid()) == ((identity.uid,) * 3, (identity.gid,) * 3):
        return
    os.setgroups([])
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)


def trial_identity(spec: str | None) -> Identity:
    """Who tries a binary that every tenant is to run: whom ``spec`` names, for root by default ``nobody``. Whoever is
    not root can be nobody else.

    Raises LookupError or ValueError for what names no user, and ValueError where only root could be that user.
    """
    current = current_identity()
    if current.uid == 0:
        return lookup_identity(spec or "nobody")
    if spec and lookup_identity(spec).uid != current.uid:
        raise ValueError(f"user {spec}: only root can try the binary as another user")
    return current


@contextlib.contextmanager
def acting_as(identity: Identity) -> Iterator[None]:
    """For the length of the block, root has the rights of ``identity`` and no more in the file system: what it makes
    belongs to ``identity``, and neither goes past a quota nor into blocks that are reserved. To the rest of the kernel
    it stays root: the effective UID would let the tenant slow this process down through its priority. Does nothing in
    an unprivileged process, which has its own rights only. Supplementary groups must have been cleared."""
    if os.geteuid() != 0:
        yield
        return
    privileged = linux.set_capability(linux.CAP_SYS_RESOURCE, False)
    try:
        linux.set_file_system_ids(identity.uid, identity.gid)
        yield
    finally:
        linux.set_file_system_ids(0, 0)
        linux.set_capability(linux.CAP_SYS_RESOURCE, privileged)
