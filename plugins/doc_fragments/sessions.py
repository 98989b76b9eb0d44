# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """Which sessions a module works on."""

    DOCUMENTATION = r"""
options:
  workspaces:
    description:
      - The names of the workspaces.
      - If not given, all of them.
    type: list
    elements: str
  stores:
    description: Whose sessions.
    type: list
    elements: str
    choices: [codex, claude]
    default: [codex, claude]
notes:
  - C(module_defaults) for the action group C(alive.codex.sessions) take O(workspaces) and O(stores).
"""
