# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Who runs a turn: the owner of a workspace's HOME, or whoever the module is."""

from __future__ import annotations

import os
import stat
import time
from typing import NamedTuple

from .._formats import version
from .._host.access import changeable
from .._host.identity import Identity, current_identity, identity_of
from .._host.process import bare_environment
from .child import Command
from .options import CannotRun, TurnOptions
from .supervise import Caller, supervise

# The CLI takes 5 ms to print its version.
VERSION_SECONDS = 20
VERSION_BYTES = 64 * 1024


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


def cli_version(codex_path: str, tenant: Tenant) -> str | None:
    """The CLI's version, None where it cannot be had. A program that is not root's alone is held as a turn is."""
    runner = tenant.runner()
    deadline = time.monotonic() + VERSION_SECONDS
    printed = b""

    def take(chunk: bytes) -> str | None:
        nonlocal printed
        printed += chunk
        return "overlong" if len(printed) > VERSION_BYTES else None

    def tend() -> tuple[str | None, float]:
        left = deadline - time.monotonic()
        return ("timeout" if left <= 0 else None), max(left, 0)

    try:
        theirs = tenant.identity is not None and any(changeable(codex_path, ()))
    except (OSError, ValueError):  # ValueError: a NUL in its path
        return None
    command = Command(
        argv=[codex_path, "--version"],
        env=bare_environment(runner, tenant.home or runner.home or "/"),
        cwd="/",
        identity=tenant.identity,
        umask=0o077,
        contained=theirs,
    )
    try:
        supervise(command, Caller(take, lambda _chunk: None, tend))
    except OSError:
        return None
    return version.printed_version(printed.decode("utf-8", "replace"))
