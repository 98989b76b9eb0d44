# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the module codex_policy which values have come out of a vault, so that it shows none of them."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.alive.codex.plugins.plugin_utils._vaulted import vaulted_paths, vaulted_texts


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """The action of the module codex_policy, which documents both."""

    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        texts = vaulted_texts(self._task, task_vars or {})
        found = [path for name in ("config", "requirements") for path in vaulted_paths(arguments.get(name), texts)]
        if found:
            arguments["_vaulted"] = found
        result: dict[str, Any] = self._execute_module(
            module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val
        )
        return result
