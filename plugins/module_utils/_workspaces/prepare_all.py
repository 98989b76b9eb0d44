# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Prepares and removes workspaces: any number in one go.

Here are the root directory, which belongs to us, so that the entries in it stay where they are, and the owners. What is
below a HOME is looked at by ``look`` and, where there is anything to do, changed by ``prepare_one``.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple, Sequence

from .._formats.secrets import Secrets
from .._formats.text import abridged
from .._host import fan_out, proc, safefs
from .._host.identity import Identity
from .._host.users import Users
from .look import PRIVATE, Look
from .report import HOME, Change, Refused
from .request import WantedWorkspace, shared_uids

ROOT_MODE = 0o711


class WorkspacesRequest(NamedTuple):
    """What is asked for. ``mode`` is a HOME's; ``check`` only looks; those of ``hand_over`` may change hands;
    ``secrets`` are told to nobody."""

    root: str
    workspaces: Sequence[WantedWorkspace]
    mode: int = PRIVATE
    create_users: bool = False
    shared_uids: bool = False
    force: bool = False
    check: bool = False
    hand_over: Sequence[str] = ()
    secrets: Secrets = Secrets()


class WorkspacesOutcome(NamedTuple):
    """What was done: to the root directory, and by the workspaces' names. A workspace may have both changes and a
    failure. ``created_users`` are names."""

    root_changes: list[Change]
    changes: dict[str, list[Change]]
    failures: dict[str, str]
    created_users: list[str]
    warnings: list[str]


def prepare_all(request: WorkspacesRequest) -> WorkspacesOutcome:
    """Brings all workspaces into the state that is asked for. One that cannot be stops no other; only what is wrong
    with the root directory itself raises OSError, or Refused."""
    if os.geteuid() == 0:
        os.setgroups([])
    outcome = WorkspacesOutcome([], {}, {}, [], [])
    present = [workspace for workspace in request.workspaces if workspace.present]
    absent = [workspace for workspace in request.workspaces if not workspace.present]
    root_fd = _open_root(request, bool(present), outcome.root_changes)
    try:
        owned = _owners(request, present, root_fd, outcome)
        look = Look(root_fd, request.mode)
        # Mostly there is nothing to do. Looking alone needs no order, so it is shared out.
        to_change = fan_out.filtered(owned, lambda each: not look.is_unchanged(*each))
        if to_change or absent:
            _change(request, root_fd, to_change, absent, outcome)
    finally:
        if root_fd is not None:
            os.close(root_fd)
    return outcome


def _change(
    request: WorkspacesRequest,
    root_fd: int | None,
    to_change: Sequence[tuple[WantedWorkspace, Identity]],
    absent: Sequence[WantedWorkspace],
    outcome: WorkspacesOutcome,
) -> None:
    # Not by a run that finds nothing to do: each compiles anew what it imports.
    from . import prepare_one

    busy = proc.processes_by_user() if (absent or request.hand_over) and not request.force else {}
    preparation = prepare_one.Preparation(
        root_fd, request.mode, request.check, request.secrets, request.hand_over, busy
    )
    for workspace, owner in to_change:
        changes: list[Change] = []
        try:
            preparation.prepare(workspace, owner, changes)
        except (OSError, Refused, ValueError) as error:
            outcome.failures[workspace.name] = f"{preparation.at}: {_reason(error)}"
        if changes:
            outcome.changes[workspace.name] = changes
    if absent and root_fd is not None:
        for workspace in absent:
            try:
                if prepare_one.remove_home(root_fd, workspace.name, busy, request.check):
                    outcome.changes[workspace.name] = [Change(HOME, "removed")]
            except (OSError, Refused) as error:
                outcome.failures[workspace.name] = _reason(error)


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


# The root directory and the owners


def _open_root(request: WorkspacesRequest, needed: bool, changes: list[Change]) -> int | None:
    """The root directory, brought into its owner and mode; None where it does not exist and is not to be made."""
    try:
        fd = safefs.open_trusted(request.root)
        found = changes
    except FileNotFoundError:
        if not needed:
            return None
        made = Change(request.root, "created", f"mode {ROOT_MODE:04o}")
        if request.check:
            changes.append(made)
            return None
        fd = safefs.open_trusted(request.root, create=ROOT_MODE)
        changes.append(made)
        found = []
    try:
        owner = (0, 0) if os.geteuid() == 0 else (os.geteuid(), os.fstat(fd).st_gid)
        for what, detail in safefs.converging(fd, owner, ROOT_MODE, request.check):
            found.append(Change(request.root, what, detail))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _owners(
    request: WorkspacesRequest, present: Sequence[WantedWorkspace], root_fd: int | None, outcome: WorkspacesOutcome
) -> list[tuple[WantedWorkspace, Identity]]:
    """Who each workspace belongs to; for those that nobody can have, a failure is noted."""
    users = Users()
    planned: dict[str, Identity] = {}
    problems: dict[str, str] = {}
    if request.create_users:
        planned, problems = _create_missing(request, present, root_fd, users, outcome.created_users)
        if planned or problems:
            users = Users()
    owners = []
    privileged = os.geteuid() == 0
    for workspace in present:
        try:
            if workspace.user in problems:
                raise Refused(problems[workspace.user])
            known = None if workspace.user is None else users.named(workspace.user) or planned.get(workspace.user)
            owners.append((workspace, _owner(workspace, known, users, privileged)))
        except Refused as error:
            outcome.failures[workspace.name] = str(error)
    shared = shared_uids((workspace.name, owner.uid) for workspace, owner in owners)
    if shared and not request.shared_uids:
        shown = [f"UID {uid}: {abridged(names, limit=3)}" for uid, names in shared.items()]
        outcome.warnings.append(
            "workspaces that have one UID are open to each other; set shared_uids if that is meant. "
            + abridged(shown, "; ", limit=5)
        )
    return owners


def _create_missing(
    request: WorkspacesRequest,
    present: Sequence[WantedWorkspace],
    root_fd: int | None,
    users: Users,
    created: list[str],
) -> tuple[dict[str, Identity], dict[str, str]]:
    """Makes the users that workspaces name and that do not exist; who they are, and why others cannot be made."""
    missing: dict[str, WantedWorkspace] = {}
    for workspace in present:
        user = workspace.user
        if user is not None and user not in missing and users.named(user) is None:
            missing[user] = workspace
    if not missing:
        return {}, {}
    # As above: a second run makes none.
    from .._host import new_users

    wanted = [
        new_users.WantedUser(user, first.uid, first.gid, os.path.join(request.root, first.name))
        for user, first in missing.items()
    ]
    new, problems = new_users.assign_numbers(wanted, _numbers_in_use(present, root_fd))
    problems.update({} if request.check else new_users.create(new))
    created.extend(user.name for user in new if user.name not in problems)
    return {user.name: Identity(user.uid, user.gid, user.name) for user in new}, problems


def _numbers_in_use(present: Sequence[WantedWorkspace], root_fd: int | None) -> set[int]:
    """UIDs and GIDs of workspaces, which need no passwd entry: a new user must not come into their HOMEs."""
    numbers = {number for workspace in present for number in (workspace.uid, workspace.gid) if number is not None}
    if root_fd is not None:
        with os.scandir(root_fd) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    info = entry.stat(follow_symlinks=False)
                    numbers |= {info.st_uid, info.st_gid}
    return numbers


def _owner(workspace: WantedWorkspace, known: Identity | None, users: Users, privileged: bool) -> Identity:
    """``known`` is the user that the workspace names."""
    if workspace.user is not None:
        if known is None:
            raise Refused(f"there is no user {workspace.user!r} on this host: make it, or set create_users")
        if workspace.uid not in (None, known.uid):
            raise Refused(f"the user {known} exists, and is not given the UID {workspace.uid}")
        owner = known if workspace.gid is None else known._replace(gid=workspace.gid)
    elif workspace.uid is not None:
        owner = users.numbered(workspace.uid, workspace.gid)
    else:
        raise Refused("has no owner: give user or uid")
    if owner.uid == 0 or owner.gid == 0:
        raise Refused(f"{owner} cannot own a workspace: tenants are not root, nor in its group")
    if not privileged and os.geteuid() != owner.uid:
        raise Refused(f"only root can prepare a workspace of {owner}; this runs as UID {os.geteuid()}")
    return owner
