# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Who runs a turn: the owner of a workspace's HOME, or whoever the module is."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from .._host.identity import Identity, current_identity, identity_of
from .options import CannotRun, TurnOptions


class Tenant(NamedTuple):
    """Who runs the turn. ``identity`` None: whoever the module is. ``home`` None: the environment is the caller's."""

    identity: Identity | None
    home: str | None

    def runner(self) -> Identity:
        """The identity that the turn's processes have."""
        return self.identity or current_identity()


def find_tenant(options: TurnOptions) -> Tenant:
    """Who runs the turn, by ``workspace`` or ``home``.

    Raises CannotRun where that HOME cannot be used, or a turn must not run as its owner.
    """
    home = options.home if options.workspace is None else os.path.join(options.root, options.workspace)
    if home is None:
        return Tenant(None, None)
    try:
        status = os.stat(home, follow_symlinks=False)
    except OSError as error:
        raise CannotRun(
            f"the workspace's HOME {home} cannot be used: {error.strerror}; prepare it with codex_workspaces"
        ) from None
    if not stat.S_ISDIR(status.st_mode):
        raise CannotRun(f"the workspace's HOME {home} is not a directory")
    if os.geteuid() == 0:
        if status.st_uid == 0 or status.st_gid == 0:
            raise CannotRun(
                f"the workspace's HOME {home} belongs to {status.st_uid}:{status.st_gid}: no turn is run with root's "
                "user or group; give it to the workspace's own user with codex_workspaces"
            )
        return Tenant(identity_of(status.st_uid, status.st_gid), home)
    if status.st_uid != os.geteuid():
        raise CannotRun(
            f"the workspace's HOME {home} belongs to UID {status.st_uid}, and this is UID {os.geteuid()}: become root, "
            "or that user"
        )
    return Tenant(None, home)
