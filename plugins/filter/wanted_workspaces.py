# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
name: wanted_workspaces
short_description: The workspaces that variables describe in several ways
version_added: "0.1.0"
author:
  - Alive maintainers (@alive)
description:
  - Makes one list of what the role P(alive.codex.codex_workspaces#role) is given. It is for this role.
positional: _input, of_file, names, first_uid, removed
options:
  _input:
    description: Workspaces, as M(alive.codex.codex_workspaces) has them.
    type: list
    elements: dict
    required: true
  of_file:
    description: More of them, as a file holds them.
    type: raw
    required: true
  names:
    description: The names of more, which get their UIDs by a rule.
    type: list
    elements: str
    required: true
  first_uid:
    description: The UID of the first of these.
    type: int
    required: true
  removed:
    description: The names of workspaces to remove.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Prepare workspaces with numbers from 20001 on
  alive.codex.codex_workspaces:
    workspaces: "{{ [] | alive.codex.wanted_workspaces([], ['acme', 'globex'], 20001, []) }}"
  become: true
"""

RETURN = r"""
_value:
  description: All of them.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.alive.codex.plugins.plugin_utils import _wanted


def wanted_workspaces(
    workspaces: Any, of_file: Any, names: Any, first_uid: Any, removed: Any
) -> list[Mapping[str, Any]]:
    try:
        return _wanted.wanted(workspaces, of_file, names, first_uid, removed)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"wanted_workspaces": wanted_workspaces}
