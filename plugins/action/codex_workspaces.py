# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends thousands of workspaces to the module codex_workspaces in little, and tells it what has come out of a vault.

With pipelining, a module and its arguments reach Python as a script on stdin. CPython reads a long line from there in a
time that grows with its square: a fifth of a second for 10,000 workspaces, a minute for a quarter of a million.
"""

from __future__ import annotations

import json
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.alive.codex.plugins.module_utils._formats import packing
from ansible_collections.alive.codex.plugins.plugin_utils._vaulted import vaulted_paths, vaulted_texts

# What is shorter is sent as it is, for the sake of those who read what Ansible sends.
LONG = 2**15


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """The action of the module codex_workspaces, which documents both."""

    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        text = text_of(arguments.get("workspaces"))
        found = hidden_paths(arguments.get("config"), text, vaulted_texts(self._task, task_vars or {}))
        if found:
            arguments["_vaulted"] = found
        if len(text) > LONG:
            arguments["workspaces"] = packing.pack(text)
        result: dict[str, Any] = self._execute_module(
            module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val
        )
        return result


def hidden_paths(config: Any, workspaces: str, vaulted: set[str]) -> list[list[str]]:
    """The paths of vaulted values in the configuration of all workspaces, and in those of single ones."""
    found = vaulted_paths(config, vaulted)
    as_json = [json.dumps(text)[1:-1] for text in vaulted]
    if any(text in workspaces for text in (*vaulted, *as_json)):
        try:
            items = json.loads(workspaces)
            found += vaulted_paths([item.get("config") for item in items if isinstance(item, dict)], vaulted)
            found += [[]] if workspaces.strip() in {text.strip() for text in vaulted} else []
        except ValueError:
            pass  # the module says so
    return [list(path) for path in dict.fromkeys(map(tuple, found))]


def text_of(workspaces: Any) -> str:
    """The workspaces as JSON; nothing where it is for the module to say what is wrong with them."""
    if isinstance(workspaces, str):
        return workspaces
    try:
        return json.dumps(workspaces)
    except (TypeError, ValueError):
        return ""
