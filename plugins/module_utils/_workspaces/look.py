# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Tells that a workspace is as it should be.

A flat look, since it is taken ten thousand times, and mostly all there is to do: what changes a workspace is in a file
of its own, which Ansible need not compile for that.
"""

from __future__ import annotations

import os
import stat
from typing import Any, Mapping

from .._formats import toml_edit
from .._host import safefs
from .._host.identity import Identity
from .request import WantedWorkspace

# The mode of what is below a HOME, and of its config.toml.
PRIVATE = 0o700
CONFIG_MODE = 0o600
# Texts of this length are worth remembering, and so many of them: most workspaces have the same one.
REMEMBERED_CONFIG = 8 * 1024
REMEMBERED_CONFIGS = 1024


class Look:
    """Looks at one workspace after the other, whose HOMEs have the mode ``mode``."""

    def __init__(self, root_fd: int | None, mode: int) -> None:
        self._root_fd = root_fd
        self._home_mode = stat.S_IFDIR | mode
        self._configs: dict[tuple[bytes, int], bool] = {}

    def is_unchanged(self, workspace: WantedWorkspace, owner: Identity) -> bool:
        """Whether all is as it should be. No says nothing yet."""
        if self._root_fd is None:
            return False
        uid, gid = owner.uid, owner.gid
        home = codex = -1
        try:
            home = os.open(workspace.name, safefs.TRAVERSE, dir_fd=self._root_fd)
            info = os.fstat(home)
            if info.st_mode != self._home_mode or info.st_uid != uid or info.st_gid != gid:
                return False
            codex = os.open(".codex", safefs.TRAVERSE, dir_fd=home)
            info = os.fstat(codex)
            if info.st_mode != stat.S_IFDIR | PRIVATE or info.st_uid != uid or info.st_gid != gid:
                return False
            info = os.stat("sessions", dir_fd=codex, follow_symlinks=False)
            if info.st_mode != stat.S_IFDIR | PRIVATE or info.st_uid != uid or info.st_gid != gid:
                return False
            try:
                content, info = safefs.read_file("config.toml", codex, REMEMBERED_CONFIG, uid)
            except FileNotFoundError:
                return not workspace.config
            if info.st_mode != stat.S_IFREG | CONFIG_MODE or info.st_gid != gid:
                return False
            return self._is_configured(content, workspace.config)
        except (OSError, ValueError):
            return False
        finally:
            if codex >= 0:
                os.close(codex)
            if home >= 0:
                os.close(home)

    def _is_configured(self, content: bytes, config: Mapping[str, Any]) -> bool:
        """Whether a config.toml is what it should be.

        Raises ValueError for what is no TOML.
        """
        known = self._configs.get((content, id(config)))
        if known is None:
            text = content.decode()
            if len(self._configs) >= REMEMBERED_CONFIGS:
                self._configs.clear()
            known = self._configs[content, id(config)] = toml_edit.edit(text, config).text == text
        return known
