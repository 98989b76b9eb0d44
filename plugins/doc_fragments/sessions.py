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
  codex_homes:
    description:
      - Directories below each workspace's HOME, besides C(.codex), that C(CODEX_HOME) names for some turns, such as
        V(agents/*); C(*) is any part of a name. One that is missing in a workspace is no problem.
      - What looks like such a directory and is not named here, or for Claude in O(claude_homes), is a problem of its
        workspace. It is looked for three levels deep, in the first 500 directories of a HOME.
    type: list
    elements: str
    default: []
  claude_homes:
    description: Directories below each workspace's HOME, besides C(.claude), that C(CLAUDE_CONFIG_DIR) names.
    type: list
    elements: str
    default: []
notes:
  - C(module_defaults) for the action group C(alive.codex.sessions) take these options.
"""
