#!/usr/bin/python
# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: codex_sessions_info
short_description: Says what sessions of Codex and Claude there are in workspaces
version_added: "0.1.0"
description:
  - Counts the sessions in every workspace below a root, and says how old and how big they are.
  - Works in each workspace as its owner, in a process that has dropped to that user, and follows no link out of it.
author:
  - Alive maintainers (@alive)
options:
  details:
    description: Whether to name each session, at most 10000 of each workspace.
    type: bool
    default: false
  empty:
    description: Whether RV(workspaces[].stores) has an entry for a store without sessions too.
    type: bool
    default: false
extends_documentation_fragment:
  - alive.codex.attributes
  - alive.codex.attributes.info_module
  - alive.codex.workspaces
  - alive.codex.sessions
  - alive.codex.sessions.stores
seealso:
  - module: alive.codex.codex_prune
"""

EXAMPLES = r"""
- name: See what sessions there are
  alive.codex.codex_sessions_info:
  become: true
  register: sessions

- name: Name the sessions of one workspace
  alive.codex.codex_sessions_info:
    workspaces: [acme]
    details: true
  become: true
"""

RETURN = r"""
totals:
  description: All workspaces together.
  returned: success
  type: dict
  contains:
    workspaces: {description: "How many workspaces were looked at.", type: int, returned: success, sample: 200}
    sessions: {description: "How many sessions they have.", type: int, returned: success, sample: 1500}
    bytes: {description: "What these take on disk.", type: int, returned: success, sample: 157286400}
workspaces:
  description: What each workspace has.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: "The workspace.", type: str, returned: success, sample: acme}
    path: {description: "Its HOME.", type: str, returned: success, sample: /var/lib/claude-sessions/acme}
    owner: {description: "The UID and GID that own it.", type: str, returned: success, sample: "20001:20001"}
    stores:
      description: Its stores by name, V(codex) and V(claude). Those without sessions only with O(empty=true).
      type: dict
      returned: success
      contains:
        codex: &store
          description: The sessions of one store.
          type: dict
          returned: where there are some, or with O(empty=true)
          contains:
            sessions: {description: "How many.", type: int, returned: success, sample: 15}
            bytes: {description: "What they take on disk.", type: int, returned: success, sample: 1572864}
            oldest:
              description: When the one unused for longest was last used, in seconds since the epoch; null without any.
              type: float
              returned: success
              sample: 1790933400.0
            oldest_utc: &utc
              description: The same as ISO 8601 has it, in UTC and whole seconds.
              type: str
              returned: success
              sample: "2026-11-27T09:30:00Z"
            newest:
              description: When the one used last was used, in seconds since the epoch; null without any.
              type: float
              returned: success
              sample: 1795771800.0
            newest_utc: *utc
            largest:
              description: The largest; null without any.
              type: dict
              returned: success
              contains:
                id: &id
                  description: The session's or thread's ID.
                  type: str
                  returned: success
                  sample: 01a1fcc5-f3e8-71e3-916e-ce6f2d0a0ffb
                path: &path
                  description: Where it is, below HOME.
                  type: str
                  returned: success
                  sample: .codex/sessions/2026/11/27/rollout-2026-11-27T09-30-00-01a1fcc5....jsonl
                bytes: &bytes {description: "What it takes on disk.", type: int, returned: success, sample: 104448}
        claude: *store
    sessions:
      description: Each session, the longest unused first.
      type: list
      elements: dict
      returned: with O(details=true)
      contains:
        store: {description: "V(codex) or V(claude).", type: str, returned: success, sample: codex}
        id: *id
        kind:
          description:
            - Of Codex, a V(rollout), an V(archived) one, or a V(directory), which is the layout of an older CLI.
            - Of Claude, a V(transcript).
            - Of both, V(remains) of a session without one of these.
          type: str
          returned: success
          sample: rollout
        path: *path
        bytes: *bytes
        last_activity:
          description: Its last use, in seconds since the epoch.
          type: float
          returned: success
          sample: 1795771800.0
        last_activity_utc: *utc
        in_use:
          description: Whether a turn runs in it or a process has it open.
          type: bool
          returned: success
          sample: false
    problems:
      description: What went wrong in this workspace.
      type: list
      elements: str
      returned: success
      sample: [".codex/sessions: is a symbolic link, not a directory"]
problems:
  description: What went wrong, with the workspace it went wrong in. Empty when all went well.
  returned: success
  type: list
  elements: str
  sample: ["acme: .codex/sessions: is a symbolic link, not a directory"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._formats.text import clean, first_of
from ansible_collections.alive.codex.plugins.module_utils._sessions.options import OPTIONS, homes_of
from ansible_collections.alive.codex.plugins.module_utils._sessions.prune_all import MOST_TOLD
from ansible_collections.alive.codex.plugins.module_utils._sessions.survey import survey


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **{name: OPTIONS[name] for name in ("root", "workspaces", "stores", "codex_homes", "claude_homes")},
            "details": {"type": "bool", "default": False},
            "empty": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        homes = homes_of(params)
        which = params["root"], params["workspaces"], params["stores"]
        result = survey(*which, params["details"], params["empty"], homes)
    except (ValueError, OSError) as error:
        module.fail_json(msg=clean(f"the workspaces cannot be read: {error}"))
    for problem in first_of(result["problems"], MOST_TOLD, "problem"):
        module.warn(problem)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
