# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends the pruner to the module codex_prune_job where the host has another one, or none. The module documents both."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    TRANSFERS_FILES = False  # seldom: a directory for them would cost each host a trip

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        source = arguments.get("src")
        if source is not None:
            arguments["_checksum"] = _checksum(str(source))
        try:
            result: dict[str, Any] = self._execute_module(module_args=arguments, task_vars=task_vars)
            if result.pop("_lacks_script", False):
                arguments["_incoming"] = self._send(str(source))
                result = self._execute_module(module_args=arguments, task_vars=task_vars)
        finally:
            self.cleanup()
        return result

    def _send(self, source: str) -> str:
        """Where on the host the file is now."""
        remote = self._connection._shell.join_path(self._connection._shell.tmpdir or self._make_tmp_path(), "pruner")
        self._transfer_file(source, remote)
        self._fixup_perms2((self._connection._shell.tmpdir, remote))
        return str(remote)


def _checksum(source: str) -> str:
    try:
        return hashlib.sha256(Path(source).read_bytes()).hexdigest()
    except OSError as error:
        raise AnsibleActionFail(f"codex_prune_job: src: {source} cannot be read: {error.strerror}") from error
