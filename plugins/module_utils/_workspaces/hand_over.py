# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Gives a HOME with all in it from one tenant to another.

Both may be hostile. Everything is opened by one plain component below a descriptor, without following a link, looked at
through its own descriptor, and given away through that same one: it is the old tenant's, has no other name that would
stay with the old tenant, and lies on the HOME's own mount, or it stays as it is. The HOME itself comes last, so that a
run that is killed is gone on with by the next.
"""

from __future__ import annotations

import os
import stat

from .._host import safefs
from .._host.identity import Identity
from .report import Refused

# A descriptor each; a tenant who nests deeper is told to.
_DEEPEST = 400
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def hand_over(home: int, owner: Identity) -> int:
    """How many files and directories were given to ``owner``, the HOME that is open as ``home`` included.

    Raises OSError, or Refused for what cannot be given; all that came before is given then.
    """
    info = os.fstat(home)
    giver = (info.st_uid, info.st_gid)
    given = _below(home, giver, owner, safefs.mount_id(home), 1)
    _give(home, info, giver, owner)
    return given + 1


def _below(folder: int, giver: tuple[int, int], owner: Identity, mount: str, depth: int) -> int:
    if depth > _DEEPEST:
        raise Refused(f"is nested more than {_DEEPEST} directories deep: remove that, or the workspace")
    given = 0
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        try:
            fd = os.open(name, _LOOK, dir_fd=folder)
        except FileNotFoundError:
            continue
        with safefs.opened(fd):
            info = os.fstat(fd)
            if stat.S_ISDIR(info.st_mode):
                with safefs.opened(safefs.open_directory(name, folder)) as below:
                    info = os.fstat(below)
                    if safefs.mount_id(below) != mount:
                        raise Refused(f"{safefs.printable(name)} is a mount point: unmount it first")
                    given += _below(below, giver, owner, mount, depth + 1)
                    given += _give(below, info, giver, owner)
            elif info.st_nlink > 1 and info.st_uid == giver[0]:
                raise Refused(f"{safefs.printable(name)} has another name, which may be elsewhere: copy or remove it")
            else:
                given += _give(fd, info, giver, owner)
    return given


def _give(fd: int, info: os.stat_result, giver: tuple[int, int], owner: Identity) -> int:
    """1 where what is open was the giver's. The kernel takes set-user-ID and set-group-ID bits of files away."""
    if info.st_uid != giver[0]:
        return 0
    os.chown(f"/proc/self/fd/{fd}", owner.uid, owner.gid if info.st_gid == giver[1] else -1)
    return 1
