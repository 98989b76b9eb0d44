# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Brings one workspace after the other into its state, or removes it.

Everything below a HOME belongs to a tenant who may swap it while we look: it is opened component by component without
following links, looked at through the descriptor, and written with the tenant's own rights, so that no trick makes root
write or give away what is not the tenant's. As root, only what root made by mistake in a HOME (a ``.codex`` after
``sudo codex``) is handed to its tenant.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Any, Mapping, Sequence

from .._formats import toml_edit
from .._formats.secrets import HIDDEN, Secrets
from .._formats.text import abridged
from .._host import identity, removal, safefs
from .._host.identity import Identity
from .._host.new_files import new_directory
from .hand_over import hand_over
from .look import CONFIG_MODE, PRIVATE, REMEMBERED_CONFIG, REMEMBERED_CONFIGS
from .report import CONFIG, HOME, Change, Refused
from .request import WantedWorkspace

HANDED_OVER = "handed over"
CODEX = ".codex"
SESSIONS = ".codex/sessions"
# Far more than the CLI writes; a tenant's gigabytes are not read.
MAX_CONFIG = 256 * 1024
_CONFIG_ATTEMPTS = 5
# A tenant chooses how many keys it claims are ours, and how long its values are.
_SHOWN_KEYS = 20
_SHOWN_VALUE = 100


class Preparation:
    """Prepares one workspace after the other. ``at`` is the path that it is busy with, for errors."""

    def __init__(
        self,
        root_fd: int | None,
        mode: int,
        check: bool,
        secrets: Secrets,
        to_hand_over: Sequence[str] = (),
        busy: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        self.at = HOME
        self._root_fd = root_fd
        self._mode = mode
        self._check = check
        self._to_hand_over = to_hand_over
        self._busy = busy or {}
        self._secrets = secrets
        # What becomes of a config.toml: most workspaces have the same one.
        self._edits: dict[tuple[bytes, int], tuple[bytes, list[Change]]] = {}

    def prepare(self, workspace: WantedWorkspace, owner: Identity, changes: list[Change]) -> None:
        """Raises OSError, Refused or TomlError; ``changes`` then says what was done before."""
        home = codex = sessions = None
        try:
            home = self._directory(self._root_fd, workspace.name, HOME, owner, self._mode, None, changes)
            if self._check and any(change.what == HANDED_OVER for change in changes):
                return  # what is below is the old owner's still
            codex = self._directory(home, ".codex", CODEX, owner, PRIVATE, home, changes)
            sessions = self._directory(codex, "sessions", SESSIONS, owner, PRIVATE, home, changes)
            self._configure(codex, owner, workspace.config, changes)
        finally:
            for fd in (sessions, codex, home):
                if fd is not None:
                    os.close(fd)

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
            fd = None if parent is None else safefs.open_directory(name, parent)
        except FileNotFoundError:
            fd = None
        if fd is None:
            made = Change(path, "created", f"mode {mode:04o}")
            if parent is None or self._check:
                changes.append(made)
                return None
            if home is None:
                new_directory(name, PRIVATE, parent)
            else:
                with identity.acting_as(owner):
                    new_directory(name, mode, parent)
            changes.append(made)
            fd = safefs.open_directory(name, parent)
            changes = []
        try:
            info = os.fstat(fd)
            if home is None and name in self._to_hand_over and info.st_uid not in (0, owner.uid):
                changes.append(self._handed_over(fd, info, owner))
                if self._check:
                    return fd
                info = os.fstat(fd)
            if (info.st_mode, info.st_uid, info.st_gid) != (stat.S_IFDIR | mode, owner.uid, owner.gid):
                self._refuse_foreign(fd, info, owner, home)
                for what, detail in safefs.converging(fd, (owner.uid, owner.gid), mode, self._check):
                    changes.append(Change(path, what, detail))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _handed_over(self, fd: int, info: os.stat_result, owner: Identity) -> Change:
        pids = [str(pid) for uid in (info.st_uid, owner.uid) for pid in self._busy.get(uid, [])]
        if pids:
            raise Refused(f"its old or its new owner still runs processes ({abridged(pids)}): stop them, or set force")
        given = "" if self._check else f" ({hand_over(fd, owner)} files and directories)"
        return Change(HOME, HANDED_OVER, f"{info.st_uid}:{info.st_gid} -> {owner.uid}:{owner.gid}{given}")

    def _refuse_foreign(self, fd: int, info: os.stat_result, owner: Identity, home: int | None) -> None:
        """Only what is the tenant's or, kept to itself, root's is given the tenant's owner and mode."""
        if info.st_uid not in (0, owner.uid):
            raise Refused(
                f"belongs to UID {info.st_uid}, not to {owner.uid}:{owner.gid}: a workspace that is to change hands"
                " has to be removed, or named in hand_over, first"
            )
        if home is not None:
            if info.st_uid == 0 and info.st_mode & stat.S_IWOTH:
                raise Refused("belongs to root, and everybody may write to it: it is not given to the tenant")
            if safefs.mount_id(fd) != safefs.mount_id(home):
                raise Refused("is a mount point: what is mounted there is not changed")

    # config.toml

    def _configure(self, codex: int | None, owner: Identity, config: Mapping[str, Any], changes: list[Change]) -> None:
        self.at = CONFIG
        for _attempt in range(_CONFIG_ATTEMPTS):
            content, info = b"", None
            if codex is not None:
                with contextlib.suppress(FileNotFoundError):
                    content, info = safefs.read_file("config.toml", codex, MAX_CONFIG, owner.uid)
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
        with identity.acting_as(owner):
            return safefs.replace_file(
                "config.toml", codex, content, CONFIG_MODE, lambda: _is_still(codex, info), durable=info is not None
            )

    def _edited(self, content: bytes, config: Mapping[str, Any]) -> tuple[bytes, list[Change]]:
        """What becomes of a config.toml, and what changes in it.

        Raises Refused or TomlError.
        """
        known = self._edits.get((content, id(config)))
        if known is None:
            try:
                text, changes = toml_edit.edit(content.decode(), config)
            except UnicodeDecodeError:
                raise Refused("is not valid UTF-8") from None
            known = text.encode(), _config_changes(changes, self._secrets)
            if len(content) <= REMEMBERED_CONFIG:
                if len(self._edits) >= REMEMBERED_CONFIGS:
                    self._edits.clear()
                self._edits[content, id(config)] = known
        return known


def _config_changes(edits: Sequence[toml_edit.KeyChange], secrets: Secrets) -> list[Change]:
    changes = []
    for edit in edits[:_SHOWN_KEYS]:
        what = f"{_shown(edit.key)} {'removed' if edit.after is None else 'set'}"
        before, after = (
            "nothing" if text is None else _shown(secrets.hide_in_value(edit.path, text))
            for text in (edit.before, edit.after)
        )
        if edit.after is None and any(quote in before for quote in "\"'"):
            before = HIDDEN  # it may have come out of a vault: nothing tells of a text that is given no longer
        changes.append(Change(CONFIG, what, f"{before} -> {after}"))
    if len(edits) > _SHOWN_KEYS:
        changes.append(Change(CONFIG, f"{len(edits) - _SHOWN_KEYS} more keys"))
    return changes


def _shown(text: str) -> str:
    text = safefs.printable(text[: _SHOWN_VALUE + 1])
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


def remove_home(root_fd: int, name: str, busy: Mapping[int, Sequence[int]], check: bool) -> bool:
    """Removes a HOME; False where there is none.

    Raises OSError, or Refused where one of the ``busy`` owns it.
    """
    try:
        info = os.stat(name, dir_fd=root_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(info.st_mode):
        raise Refused(f"is {safefs.kind_of(info.st_mode)}, not a HOME")
    if info.st_uid not in (0, os.geteuid()):
        pids = [str(pid) for pid in busy.get(info.st_uid, [])]
        if pids:
            shown = abridged(pids)
            raise Refused(f"UID {info.st_uid} still runs processes ({shown}): stop them, or set force")
    if not check:
        removal.remove_tree(name, root_fd)
    return True
