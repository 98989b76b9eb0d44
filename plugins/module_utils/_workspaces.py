# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepares and removes workspaces: any number in one go. Private to the collection alive.codex.

The root directory belongs to us, so the entries in it stay where they are. Everything below a HOME belongs to a tenant
who may swap it while we look: it is opened component by component without following links, looked at through the
descriptor, and written with the tenant's own rights, so that no trick makes root write or give away what is not the
tenant's. As root, only what root made by mistake in a HOME (a ``.codex`` after ``sudo codex``) is handed to its tenant.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Any, Mapping, NamedTuple, Sequence

from ansible_collections.alive.codex.plugins.module_utils import (
    _process,
    _safefs,
    _tomledit,
    _users,
    _workspacelist,
)
from ansible_collections.alive.codex.plugins.module_utils._process import Identity
from ansible_collections.alive.codex.plugins.module_utils._words import abridged
from ansible_collections.alive.codex.plugins.module_utils._workspacelist import Workspace
from ansible_collections.alive.codex.plugins.module_utils._workspacereport import Change

ROOT_MODE = 0o711
PRIVATE = 0o700
CONFIG_MODE = 0o600
HOME = "."
CODEX = ".codex"
SESSIONS = ".codex/sessions"
CONFIG = ".codex/config.toml"
# Far more than the CLI writes; a tenant's gigabytes are not read.
MAX_CONFIG = 256 * 1024
_REMEMBERED_CONFIG = 8 * 1024
_REMEMBERED_CONFIGS = 1024
_CONFIG_ATTEMPTS = 5
# A tenant chooses how many keys it claims are ours, and how long its values are.
_SHOWN_KEYS = 20
_SHOWN_VALUE = 100


class Request(NamedTuple):
    """What is asked for. ``mode`` is a HOME's; ``check`` only looks."""

    root: str
    workspaces: Sequence[Workspace]
    mode: int = PRIVATE
    create_users: bool = False
    shared_uids: bool = False
    force: bool = False
    check: bool = False


class Outcome(NamedTuple):
    """What was done: to the root directory, and by the workspaces' names. A workspace may have both changes and a
    failure. ``created_users`` are names."""

    root_changes: list[Change]
    changes: dict[str, list[Change]]
    failures: dict[str, str]
    created_users: list[str]
    warnings: list[str]


class Refused(Exception):
    """A workspace is not touched, or not further, for the reason given."""


def run(request: Request) -> Outcome:
    """Brings all workspaces into the state that is asked for. One that cannot be stops no other; only what is wrong
    with the root directory itself raises OSError, or Refused."""
    if os.geteuid() == 0:
        os.setgroups([])
    outcome = Outcome([], {}, {}, [], [])
    present = [workspace for workspace in request.workspaces if workspace.present]
    absent = [workspace for workspace in request.workspaces if not workspace.present]
    root_fd = _open_root(request, bool(present), outcome.root_changes)
    try:
        owned = _owners(request, present, root_fd, outcome)
        preparation = _Preparation(request, root_fd)
        # Mostly there is nothing to do. Looking alone needs no order, so it is shared out.
        for workspace, owner in _process.filtered(owned, lambda each: not preparation.is_settled(*each)):
            changes: list[Change] = []
            try:
                preparation.prepare(workspace, owner, changes)
            except (OSError, Refused, ValueError) as error:
                outcome.failures[workspace.name] = f"{preparation.at}: {_reason(error)}"
            if changes:
                outcome.changes[workspace.name] = changes
        if absent and root_fd is not None:
            busy = {} if request.force else _process.processes_by_user()
            for workspace in absent:
                try:
                    if _remove(request, root_fd, workspace, busy):
                        outcome.changes[workspace.name] = [Change(HOME, "removed")]
                except (OSError, Refused) as error:
                    outcome.failures[workspace.name] = _reason(error)
    finally:
        if root_fd is not None:
            os.close(root_fd)
    return outcome


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


# The root directory and the owners


def _open_root(request: Request, needed: bool, changes: list[Change]) -> int | None:
    """The root directory, brought into its owner and mode; None where it does not exist and is not to be made."""
    try:
        fd = _safefs.open_trusted(request.root)
        found = changes
    except FileNotFoundError:
        if not needed:
            return None
        made = Change(request.root, "created", f"mode {ROOT_MODE:04o}")
        if request.check:
            changes.append(made)
            return None
        fd = _safefs.open_trusted(request.root, create=True)
        changes.append(made)
        found = []
    try:
        owner = (0, 0) if os.geteuid() == 0 else (os.geteuid(), os.fstat(fd).st_gid)
        _converge(fd, owner, ROOT_MODE, request.root, found, request.check)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _converge(fd: int, owner: tuple[int, int], mode: int, path: str, changes: list[Change], check: bool) -> None:
    info = os.fstat(fd)
    present = (info.st_uid, info.st_gid)
    if present != owner:
        if not check:
            os.fchown(fd, *owner)
        changes.append(Change(path, "owner", "{}:{} -> {}:{}".format(*present, *owner)))
    if stat.S_IMODE(info.st_mode) != mode:
        if not check:
            os.fchmod(fd, mode)
        changes.append(Change(path, "mode", f"{stat.S_IMODE(info.st_mode):04o} -> {mode:04o}"))


def _owners(
    request: Request, present: Sequence[Workspace], root_fd: int | None, outcome: Outcome
) -> list[tuple[Workspace, Identity]]:
    """Who each workspace belongs to; for those that nobody can have, a failure is noted."""
    users = _users.Users()
    planned: dict[str, Identity] = {}
    problems: dict[str, str] = {}
    if request.create_users:
        wanted = _missing_users(request, present, users)
        if wanted:
            new, problems = _users.plan(wanted, _numbers_in_use(present, root_fd))
            problems.update({} if request.check else _users.create(new))
            outcome.created_users.extend(user.name for user in new if user.name not in problems)
            planned = {user.name: Identity(user.uid, user.gid, user.name) for user in new}
            users = _users.Users()
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
    shared = _workspacelist.shared_uids((workspace.name, owner.uid) for workspace, owner in owners)
    if shared and not request.shared_uids:
        shown = [f"UID {uid}: {abridged(names, limit=3)}" for uid, names in shared.items()]
        outcome.warnings.append(
            "workspaces that have one UID are open to each other; set shared_uids if that is meant. "
            + abridged(shown, "; ", limit=5)
        )
    return owners


def _missing_users(request: Request, present: Sequence[Workspace], users: _users.Users) -> list[_users.WantedUser]:
    missing: dict[str, _users.WantedUser] = {}
    for name, user, uid, gid in ((w.name, w.user, w.uid, w.gid) for w in present):
        if user is not None and user not in missing and users.named(user) is None:
            missing[user] = _users.WantedUser(user, uid, gid, os.path.join(request.root, name))
    return list(missing.values())


def _numbers_in_use(present: Sequence[Workspace], root_fd: int | None) -> set[int]:
    """UIDs and GIDs of workspaces, which need no passwd entry: a new user must not come into their HOMEs."""
    numbers = {number for workspace in present for number in (workspace.uid, workspace.gid) if number is not None}
    if root_fd is not None:
        with os.scandir(root_fd) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    info = entry.stat(follow_symlinks=False)
                    numbers |= {info.st_uid, info.st_gid}
    return numbers


def _owner(workspace: Workspace, known: Identity | None, users: _users.Users, privileged: bool) -> Identity:
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


# One workspace


class _Preparation:
    """Prepares one workspace after the other. ``at`` is the path that it is busy with, for errors."""

    def __init__(self, request: Request, root_fd: int | None) -> None:
        self.at = HOME
        self._root_fd = root_fd
        self._mode = request.mode
        self._check = request.check
        # What becomes of a config.toml: most workspaces have the same one.
        self._edits: dict[tuple[bytes, int], tuple[bytes, list[Change]]] = {}

    def prepare(self, workspace: Workspace, owner: Identity, changes: list[Change]) -> None:
        """Raises OSError, Refused or TomlError; ``changes`` then says what was done before."""
        home = codex = sessions = None
        try:
            home = self._directory(self._root_fd, workspace.name, HOME, owner, self._mode, None, changes)
            codex = self._directory(home, ".codex", CODEX, owner, PRIVATE, home, changes)
            sessions = self._directory(codex, "sessions", SESSIONS, owner, PRIVATE, home, changes)
            self._configure(codex, owner, workspace.config, changes)
        finally:
            for fd in (sessions, codex, home):
                if fd is not None:
                    os.close(fd)

    def is_settled(self, workspace: Workspace, owner: Identity) -> bool:
        """Whether all is as it should be: a flat look, since it is taken ten thousand times. No says nothing yet."""
        if self._root_fd is None:
            return False
        uid, gid = owner.uid, owner.gid
        home = codex = -1
        try:
            home = os.open(workspace.name, _safefs.TRAVERSE, dir_fd=self._root_fd)
            info = os.fstat(home)
            if info.st_mode != stat.S_IFDIR | self._mode or info.st_uid != uid or info.st_gid != gid:
                return False
            codex = os.open(".codex", _safefs.TRAVERSE, dir_fd=home)
            info = os.fstat(codex)
            if info.st_mode != stat.S_IFDIR | PRIVATE or info.st_uid != uid or info.st_gid != gid:
                return False
            info = os.stat("sessions", dir_fd=codex, follow_symlinks=False)
            if info.st_mode != stat.S_IFDIR | PRIVATE or info.st_uid != uid or info.st_gid != gid:
                return False
            try:
                content, info = _safefs.read_file("config.toml", codex, _REMEMBERED_CONFIG, uid)
            except FileNotFoundError:
                return not workspace.config
            if info.st_mode != stat.S_IFREG | CONFIG_MODE or info.st_gid != gid:
                return False
            return self._edited(content, workspace.config)[0] == content
        except (OSError, Refused, ValueError):
            return False
        finally:
            if codex >= 0:
                os.close(codex)
            if home >= 0:
                os.close(home)

    def _directory(
        self,
        parent: int | None,
        name: str,
        path: str,
        owner: Identity,
        mode: int,
        home: int | None,
        changes: list[Change],
    ) -> int | None:
        """Opens a directory with its owner and mode, made where it is missing. None in check mode where it is."""
        self.at = path
        try:
            fd = None if parent is None else _safefs.open_directory(name, parent)
        except FileNotFoundError:
            fd = None
        if fd is None:
            made = Change(path, "created", f"mode {mode:04o}")
            if parent is None or self._check:
                changes.append(made)
                return None
            if home is None:
                _safefs.make_directory(name, parent, PRIVATE)
            else:
                with _process.acting_as(owner):
                    _safefs.make_directory(name, parent, mode)
            changes.append(made)
            fd = _safefs.open_directory(name, parent)
            changes = []
        try:
            info = os.fstat(fd)
            if (info.st_mode, info.st_uid, info.st_gid) != (stat.S_IFDIR | mode, owner.uid, owner.gid):
                self._refuse_foreign(fd, info, owner, home)
                _converge(fd, (owner.uid, owner.gid), mode, path, changes, self._check)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _refuse_foreign(self, fd: int, info: os.stat_result, owner: Identity, home: int | None) -> None:
        """Only what is the tenant's or, kept to itself, root's is given the tenant's owner and mode."""
        if info.st_uid not in (0, owner.uid):
            raise Refused(
                f"belongs to UID {info.st_uid}, not to {owner.uid}:{owner.gid}: a workspace that is to change hands"
                " has to be removed, or its files given to their new owner, first"
            )
        if home is not None:
            if info.st_uid == 0 and info.st_mode & stat.S_IWOTH:
                raise Refused("belongs to root, and everybody may write to it: it is not given to the tenant")
            if _safefs.mount_id(fd) != _safefs.mount_id(home):
                raise Refused("is a mount point: what is mounted there is not changed")

    # config.toml

    def _configure(self, codex: int | None, owner: Identity, config: Mapping[str, Any], changes: list[Change]) -> None:
        self.at = CONFIG
        for _attempt in range(_CONFIG_ATTEMPTS):
            content, info = b"", None
            if codex is not None:
                with contextlib.suppress(FileNotFoundError):
                    content, info = _safefs.read_file("config.toml", codex, MAX_CONFIG, owner.uid)
            edited, done = self._edited(content, config)
            if info is None and edited:
                done = [Change(CONFIG, "created"), *done]
            elif info is not None:
                done = [*_drift(info, owner), *done]
            if edited != content or done:
                if codex is not None and not self._check and not self._replace(codex, owner, edited, info):
                    continue
                changes += done or [Change(CONFIG, "managed keys noted")]
            return
        raise Refused("changes each time that it is about to be replaced")

    def _replace(self, codex: int, owner: Identity, content: bytes, info: os.stat_result | None) -> bool:
        """With the tenant's rights, so that the file is the tenant's, and counted as its own, from the start."""
        with _process.acting_as(owner):
            return _safefs.replace_file(
                "config.toml", codex, content, CONFIG_MODE, lambda: _is_still(codex, info), durable=info is not None
            )

    def _edited(self, content: bytes, config: Mapping[str, Any]) -> tuple[bytes, list[Change]]:
        """What becomes of a config.toml, and what changes in it. Raises Refused or TomlError."""
        known = self._edits.get((content, id(config)))
        if known is None:
            try:
                text, changes = _tomledit.edit(content.decode(), config)
            except UnicodeDecodeError:
                raise Refused("is not valid UTF-8") from None
            known = text.encode(), _config_changes(changes)
            if len(content) <= _REMEMBERED_CONFIG:
                if len(self._edits) >= _REMEMBERED_CONFIGS:
                    self._edits.clear()
                self._edits[content, id(config)] = known
        return known


def _config_changes(edits: Sequence[_tomledit.Change]) -> list[Change]:
    changes = []
    for edit in edits[:_SHOWN_KEYS]:
        what = f"{_shown(edit.key)} {'removed' if edit.after is None else 'set'}"
        changes.append(Change(CONFIG, what, f"{_shown(edit.before)} -> {_shown(edit.after)}"))
    if len(edits) > _SHOWN_KEYS:
        changes.append(Change(CONFIG, f"{len(edits) - _SHOWN_KEYS} more keys"))
    return changes


def _shown(text: str | None) -> str:
    if text is None:
        return "nothing"
    text = _safefs.printable(text[: _SHOWN_VALUE + 1])
    return text if len(text) <= _SHOWN_VALUE else f"{text[:_SHOWN_VALUE]}..."


def _drift(info: os.stat_result, owner: Identity) -> list[Change]:
    drift = []
    if info.st_gid != owner.gid:
        drift.append(Change(CONFIG, "owner", f"{info.st_uid}:{info.st_gid} -> {owner.uid}:{owner.gid}"))
    if stat.S_IMODE(info.st_mode) != CONFIG_MODE:
        drift.append(Change(CONFIG, "mode", f"{stat.S_IMODE(info.st_mode):04o} -> {CONFIG_MODE:04o}"))
    return drift


def _is_still(codex: int, info: os.stat_result | None) -> bool:
    try:
        now = os.stat("config.toml", dir_fd=codex, follow_symlinks=False)
    except FileNotFoundError:
        return info is None
    return info is not None and (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (
        info.st_dev,
        info.st_ino,
        info.st_size,
        info.st_mtime_ns,
        info.st_ctime_ns,
    )


def _remove(request: Request, root_fd: int, workspace: Workspace, busy: Mapping[int, list[int]]) -> bool:
    """Removes a HOME; False where there is none."""
    try:
        info = os.stat(workspace.name, dir_fd=root_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(info.st_mode):
        raise Refused(f"is {_safefs.kind_of(info.st_mode)}, not a HOME")
    if info.st_uid not in (0, os.geteuid()):
        pids = [str(pid) for pid in busy.get(info.st_uid, [])]
        if pids:
            shown = abridged(pids)
            raise Refused(f"UID {info.st_uid} still runs processes ({shown}): stop them, or set force")
    if not request.check:
        _safefs.remove_tree(workspace.name, root_fd)
    return True
