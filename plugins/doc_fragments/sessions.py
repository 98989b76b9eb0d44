# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """Which sessions a module works on, and which of them go."""

    DOCUMENTATION = r"""
options:
  workspaces:
    description:
      - The names of the workspaces.
      - If not given, all of them.
    type: list
    elements: str
notes:
  - C(module_defaults) for the action group C(alive.codex.sessions) take O(workspaces), O(stores), O(codex_homes) and
    O(claude_homes).
"""

    STORES = r"""
options:
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
"""

    RULES = r"""
options:
  max_age:
    description:
      - How long after its last activity a session goes, as a number with V(s), V(m), V(h), V(d) or V(w).
      - V(0) means that age is no reason; a V(0) with a unit is refused.
    type: str
    default: 30d
  keep_last:
    description: So many of the newest sessions of each store always stay in each workspace.
    type: int
    default: 0
  max_bytes:
    description:
      - How much all sessions of one workspace may take, as a number with V(K), V(M), V(G) or V(T) (powers of 1024).
        Past that, the oldest go.
      - V(0) means that size is no reason; a V(0) with a unit is refused.
    type: str
    default: "0"
  sweep:
    description:
      - Whether to remove what belongs to no session too, shell snapshots and temporary clones of a day ago, Claude's
        shell snapshots and Codex's broken databases (C(db-backups)) of 30 days ago, and empty date directories of past
        days; to checkpoint write-ahead logs that nobody has written to for an hour; and to give back the room of
        deleted rows, from 1 MiB on, where a database keeps it until it is asked for. That takes 20 seconds a workspace
        at most, beside running turns.
    type: bool
    default: true
  archive:
    description:
      - A directory, made for root alone where it is missing, in which what goes is kept before it goes, as
        C(<workspace>/<time>.tar.gz). Where an archive cannot be written, nothing of that workspace is pruned; nor is it
        where another user owns the directory, or everybody may write to it.
      - If not given, nothing is kept.
    type: path
  codex_path:
    description: The Codex CLI that deletes sessions where the schema of its databases is not known.
    type: path
    default: /usr/local/bin/codex
"""
