# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """Where a module finds the workspaces."""

    DOCUMENTATION = r"""
options:
  root:
    description: The directory that holds the workspaces' HOMEs.
    type: path
    default: /var/lib/claude-sessions
notes:
  - C(module_defaults) for the action group C(alive.codex.workspaces) take O(root).
"""
