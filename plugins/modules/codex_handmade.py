#!/usr/bin/python
# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: codex_handmade
short_description: Finds set-ups of Codex that were made by hand, and removes them on request
version_added: "0.1.0"
description:
  - Finds plain C(npm install -g) of C(@openai/codex), standalone binaries of the name C(codex) where programs are
    looked for, and lines of any crontab that touch session directories or change the CLI, and says what each does.
  - A plain installation in npm's tree beside O(bin) is not removed here, as M(alive.codex.codex_release) makes it a
    release to go back to.
options:
  state:
    description:
      - With V(found), they are only reported.
      - With V(absent), they are removed. A binary only where O(bin) names a release, and no process runs it. A
        script that cron runs and that does something else too is not. What stays is reported with the reason.
    type: str
    choices: [found, absent]
    default: found
  bin:
    description: The stable path of the command, which is never removed.
extends_documentation_fragment:
  - alive.codex.attributes
  - alive.codex.workspaces
  - alive.codex.release.places
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author:
  - Alive maintainers (@alive)
"""

EXAMPLES = r"""
- name: Remove what was there before this collection
  alive.codex.codex_handmade:
    state: absent
"""

RETURN = r"""
found:
  description: What there was.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: V(npm), V(binary) or V(cron).
      type: str
      sample: "cron"
    path:
      description: The file or directory.
      type: str
      sample: "/etc/cron.d/codex-clean"
    line:
      description: The number of the line in a crontab; 0 for the whole file.
      type: int
      sample: 3
    text:
      description: The line, or what is installed there.
      type: str
      sample: "0 3 * * * root find /var/lib/claude-sessions -mtime +30 -delete"
    what:
      description: What it does, in words.
      type: str
      sample: "removes sessions every night"
    kept:
      description: Why it is not removed on request; empty where it is.
      type: str
      sample: ""
removed:
  description: Which of RV(found) were removed, or would be.
  returned: success
  type: list
  elements: dict
  sample: [{kind: npm, path: /usr/lib/node_modules/@openai/codex, line: 0, text: 0.160.0, what: is a CLI, kept: ""}]
left:
  description: Which of RV(found) stay although O(state=absent) was asked for; their C(kept) says why.
  returned: success
  type: list
  elements: dict
  sample: []
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._release.binary import this_platform
from ansible_collections.alive.codex.plugins.module_utils._release.handmade import Found, find, remove
from ansible_collections.alive.codex.plugins.module_utils._release.store import ReleaseStore


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["found", "absent"], "default": "found"},
            "prefix": {"type": "path", "default": "/usr/local/lib/alive-codex"},
            "bin": {"type": "path", "default": "/usr/local/bin/codex"},
            "root": {"type": "path", "default": "/var/lib/claude-sessions"},
        },
        supports_check_mode=True,
    )
    params = module.params
    removed: list[Found] = []
    left: list[Found] = []
    try:
        store = ReleaseStore(os.path.normpath(params["prefix"]), os.path.normpath(params["bin"]), this_platform())
        found = find(store, os.path.normpath(params["root"]))
        if params["state"] == "absent":
            if module.check_mode:
                removed = [each for each in found if not each.kept]
                left = [each for each in found if each.kept]
            else:
                removed, left = remove(found, store)
    except LookupError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'a crontab'}: {error.strerror or error}")
    module.exit_json(
        changed=bool(removed),
        found=[each._asdict() for each in found],
        removed=[each._asdict() for each in removed],
        left=[each._asdict() for each in left],
        diff={"before": "".join(f"{each.path}: {each.text}\n" for each in removed), "after": ""},
    )


if __name__ == "__main__":
    main()
