#!/usr/bin/python
# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: codex_preflight
short_description: Looks for what would stop a deploy or an update, before anything is changed
version_added: "0.1.0"
description:
  - Looks whether the host can be deployed to, and reports all that is wrong at once, such as a missing become, too old
    a Python, places that tenants cannot reach or could change, too little room, a missing npm or cron.
  - It also tells which version runs now, and names a workspace as whose owner the binary can be validated.
  - Owners of HOMEs are looked at by M(alive.codex.codex_workspaces) in check mode.
options:
  version:
    description: The version that is to be installed. Where the host has it, neither room nor npm is needed.
    type: str
    default: latest
  prefix:
    description: Where releases live.
    type: path
    default: /usr/local/lib/alive-codex
  bin:
    description: The stable path of the command.
    type: path
    default: /usr/local/bin/codex
  npm:
    description: npm's path, or its name on C(PATH).
    type: str
    default: npm
  needs_npm:
    description: Whether the host installs with its own npm.
    type: bool
    default: true
  needs_root:
    description: Whether it is a problem when the module does not run as root.
    type: bool
    default: true
  needs_cron:
    description: Whether the host needs cron, for the pruner.
    type: bool
    default: true
  probe_user:
    description: Who must be able to reach the places. The default is V(nobody) for root.
    type: str
extends_documentation_fragment:
  - alive.codex.attributes
  - alive.codex.attributes.info_module
  - alive.codex.workspaces
seealso:
  - module: alive.codex.codex_validate
author:
  - Alive maintainers (@alive)
"""

EXAMPLES = r"""
- name: See what would be in the way
  alive.codex.codex_preflight:
    version: 0.171.0
  register: codex_preflight
"""

RETURN = r"""
problems:
  description: What is wrong.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: What was looked at, in one word.
      type: str
      sample: space
    text:
      description: What is wrong, where, and what to do.
      type: str
      sample: "/usr/local/lib has 120 MiB left where 900 MiB are needed: make room there"
version:
  description: The version that the stable path runs now; null if none.
  returned: always
  type: str
  sample: 0.160.0
workspace:
  description: The name of the first workspace on the host; null where there is none.
  returned: always
  type: str
  sample: acme
owner:
  description: Who owns it, as C(UID:GID); null where there is none.
  returned: always
  type: str
  sample: "20001:20001"
"""

import os
import sys

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._host.identity import trial_identity
from ansible_collections.alive.codex.plugins.module_utils._release.preflight import Places, Problem, look, runs_now
from ansible_collections.alive.codex.plugins.module_utils._workspaces.homes import OpenedHome, each_home

OLDEST_PYTHON = (3, 8)
CRON = "/etc/cron.d"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "default": "latest"},
            "prefix": {"type": "path", "default": "/usr/local/lib/alive-codex"},
            "bin": {"type": "path", "default": "/usr/local/bin/codex"},
            "npm": {"type": "str", "default": "npm"},
            "needs_npm": {"type": "bool", "default": True},
            "needs_root": {"type": "bool", "default": True},
            "needs_cron": {"type": "bool", "default": True},
            "probe_user": {"type": "str"},
            "root": {"type": "path", "default": "/var/lib/claude-sessions"},
        },
        supports_check_mode=True,
    )
    params = module.params
    problems = []
    if params["needs_root"] and os.geteuid() != 0:
        problems.append(Problem("become", f"this runs as UID {os.geteuid()}, not as root: set become"))
    if sys.version_info < OLDEST_PYTHON:
        found, needed = (".".join(map(str, version)) for version in (sys.version_info[:2], OLDEST_PYTHON))
        problems.append(Problem("python", f"{sys.executable} is {found}: {needed} or newer is needed"))
    if params["needs_cron"] and not os.path.isdir(CRON):
        problems.append(Problem("cron", f"{CRON} is not there: install cron, or set codex_prune_state to absent"))
    version = None
    try:
        places = Places(
            params["version"],
            os.path.normpath(params["prefix"]),
            os.path.normpath(params["bin"]),
            params["npm"] if params["needs_npm"] else None,
            trial_identity(params["probe_user"]),
        )
        problems += look(places, dict(os.environ))
        version = runs_now(places)
    except (LookupError, ValueError) as error:
        problems.append(Problem("user", str(error)))
    except OSError as error:
        problems.append(Problem("files", f"{error.filename or params['prefix']}: {error.strerror or error}"))
    home = first_home(params["root"])
    module.exit_json(
        changed=False,
        problems=[problem._asdict() for problem in problems],
        version=version,
        workspace=home.name if home else None,
        owner=f"{home.owner.uid}:{home.owner.gid}" if home else None,
    )


def first_home(root: str) -> OpenedHome | None:
    """The first workspace that can be worked in; its directory is closed."""
    try:
        for home in each_home(root):
            if not home.problem:
                os.close(home.fd)
                return home
    except OSError:
        pass  # there are none yet
    return None


if __name__ == "__main__":
    main()
