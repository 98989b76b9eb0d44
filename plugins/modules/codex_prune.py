#!/usr/bin/python
# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: codex_prune
short_description: Prunes the sessions of Codex and Claude in workspaces
version_added: "0.1.0"
description:
  - Removes sessions that nobody has used for a while, or that take too much room, from every workspace below a root.
  - Works in each workspace as its owner, in a process that has dropped to that user, and follows no link out of it.
    Started as root, it prunes every workspace that is not root's own; started unprivileged, those of that user.
  - A session goes whole, its files and the rows of Codex's own databases that name it, or not at all. The rows of at
    most 20000 sessions of a workspace go in one transaction; a run that is killed leaves nothing that the next one does
    not end. Where the schema is not known to this module, C(codex delete) removes the sessions one after the other, in
    240 seconds a workspace. How many should have gone and did not, and what to do, is in RV(problems).
  - The databases are looked for in C(.codex), where C(sqlite_home) of the workspace's C(.codex/config.toml) or of
    C(/etc/codex/config.toml) has them, and where the variable C(CODEX_SQLITE_HOME) of the task's environment does; in a
    directory that is the workspace's own only.
  - A session stays while a turn runs in it, a process has it open or Claude says that a process which lives is in it,
    and as long as a session that stays was forked from it or spawned by it. Where what a session depends on cannot be
    read, none of its store goes.
  - To a session belong the images that Codex drew in it, its name in C(session_index.jsonl), and all that Claude keeps
    under its ID, such as to-do lists, file history, uploads and background jobs.
  - Which session was forked from which, only the sessions' own files tell. What was read is kept in the workspace, in
    C(.codex/.alive-codex-lineage.json), and not read again; the file may be removed at any time.
  - One broken workspace stops no other. What went wrong is in RV(problems), and each is a warning.
author:
  - Alive maintainers (@alive)
options:
  now:
    description:
      - The time to count ages from, in seconds since the epoch.
      - If not given, the clock of the host. Meant for tests.
    type: raw
extends_documentation_fragment:
  - alive.codex.attributes
  - alive.codex.workspaces
  - alive.codex.sessions
  - alive.codex.sessions.stores
  - alive.codex.sessions.rules
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Lists the sessions that are removed, at most 1000.
seealso:
  - module: alive.codex.codex_sessions_info
  - ref: alive.codex.codex_prune <ansible_collections.alive.codex.codex_prune_role>
    description: The role that installs the same as a cron job.
"""

EXAMPLES = r"""
- name: See what a month's limit would prune
  alive.codex.codex_prune:
    max_age: 30d
  check_mode: true
  become: true

- name: Keep a week, never less than ten sessions, at most 5 GiB in a workspace
  alive.codex.codex_prune:
    max_age: 7d
    keep_last: 10
    max_bytes: 5G
  become: true

- name: Prune the Codex sessions of two workspaces
  alive.codex.codex_prune:
    workspaces: [acme, globex]
    stores: [codex]
  become: true
"""

RETURN = r"""
totals:
  description: What went and what stayed, in all workspaces together.
  returned: success
  type: dict
  contains:
    workspaces: {description: "How many workspaces were looked at.", type: int, returned: success, sample: 200}
    pruned: &pruned {description: "Sessions that went.", type: int, returned: success, sample: 12}
    pruned_bytes: &pruned_bytes {description: "What they took on disk.", type: int, returned: success, sample: 1253376}
    kept: &kept {description: "Sessions that stay.", type: int, returned: success, sample: 3}
    kept_bytes: &kept_bytes {description: "What they take on disk.", type: int, returned: success, sample: 104219}
    in_use: &in_use
      description: Sessions that would have gone but are in use.
      type: int
      returned: success
      sample: 1
    needed: &needed
      description: Sessions that would have gone but one that stays needs them.
      type: int
      returned: success
      sample: 0
    swept: &swept {description: "Leftovers that went.", type: int, returned: success, sample: 2}
    swept_bytes: &swept_bytes {description: "What they took on disk.", type: int, returned: success, sample: 8192}
workspaces:
  description:
    - Each workspace with the same counts, and more.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: "The workspace.", type: str, returned: success, sample: acme}
    path: {description: "Its HOME.", type: str, returned: success, sample: /var/lib/claude-sessions/acme}
    owner: {description: "The UID and GID that own it.", type: str, returned: success, sample: "20001:20001"}
    pruned: *pruned
    pruned_bytes: *pruned_bytes
    kept: *kept
    kept_bytes: *kept_bytes
    in_use: *in_use
    needed: *needed
    swept: *swept
    swept_bytes: *swept_bytes
    archives:
      description: The archives that were written, on the host.
      type: list
      elements: str
      returned: success
      sample: [/var/backups/codex/acme-20261128T033000Z.tar.gz]
    sessions:
      description: The sessions that went, oldest first; at most 1000 in one result.
      type: list
      elements: dict
      returned: success
      contains:
        store: {description: "V(codex) or V(claude).", type: str, returned: success, sample: codex}
        id:
          description: The session's or thread's ID.
          type: str
          returned: success
          sample: 01a1fcc5-f3e8-71e3-916e-ce6f2d0a0ffb
        path:
          description: Where it was, below HOME.
          type: str
          returned: success
          sample: .codex/sessions/2026/10/02/rollout-2026-10-02T09-30-00-01a1fcc5....jsonl
        bytes: {description: "What it took on disk.", type: int, returned: success, sample: 104448}
        last_activity:
          description: Its last use, in seconds since the epoch.
          type: float
          returned: success
          sample: 1790933400.0
    problems:
      description: What went wrong in this workspace.
      type: list
      elements: str
      returned: success
      sample: [".codex/state_5.sqlite: database disk image is malformed"]
problems:
  description: What went wrong, with the workspace it went wrong in. Empty when all went well.
  returned: success
  type: list
  elements: str
  sample: ["acme: .codex/state_5.sqlite: database disk image is malformed"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._formats.text import clean, first_of
from ansible_collections.alive.codex.plugins.module_utils._sessions.options import OPTIONS
from ansible_collections.alive.codex.plugins.module_utils._sessions.prune_all import MOST_TOLD, orders_from, prune


def diff_of(result: dict[str, Any]) -> dict[str, str]:
    lines = [f"{home['path']}/{session['path']}" for home in result["workspaces"] for session in home["sessions"]]
    return {"before": "".join(f"{line}\n" for line in lines), "after": ""}


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        orders = orders_from(module.params, module.check_mode)
        result = prune(module.params["root"], module.params["workspaces"], orders, module.params["archive"])
    except (ValueError, OSError) as error:
        module.fail_json(msg=clean(f"nothing was pruned: {error}"))
    for problem in first_of(result["problems"], MOST_TOLD, "problem"):
        module.warn(problem)
    if module._diff:
        result["diff"] = diff_of(result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
