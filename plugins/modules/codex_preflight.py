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
  - It also tells which version runs now, and whether the binary is in order for the owner of the first workspace, as
    M(alive.codex.codex_validate) sees it.
  - With the options that M(alive.codex.codex_release) and M(alive.codex.codex_policy) have too, it tells whether these
    have anything to do.
  - It counts the set-ups that were made by hand, which M(alive.codex.codex_handmade) names.
  - Owners of HOMEs are looked at by M(alive.codex.codex_workspaces) in check mode.
options:
  version:
    description: The version that is to be installed. Where the host has it, neither room nor npm is needed.
    type: str
    default: latest
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
  requires:
    description: Which versions are in order, such as V(>=0.44.0). By default any.
    type: str
    default: ""
  state:
    description: What is to become of the release.
    type: str
    choices: [active, present, absent]
    default: active
  keep:
    description: How many releases that were active before are kept.
    type: int
    default: 1
  warn_unproven:
    description: Whether a release newer than the newest that this collection was tried with is worth a warning.
    type: bool
    default: true
  config:
    description: The whole of C(/etc/codex/config.toml); empty where it is left alone.
    type: dict
    default: {}
  requirements:
    description: The whole of C(/etc/codex/requirements.toml); empty where it is left alone.
    type: dict
    default: {}
  existing:
    description: Whether such a file that is there already is written anew, or merged with.
    type: str
    choices: [replace, merge]
    default: replace
  probe_user:
    description: Who must be able to reach O(prefix) and O(bin). The default is V(nobody) for root.
    type: str
extends_documentation_fragment:
  - alive.codex.attributes
  - alive.codex.attributes.info_module
  - alive.codex.workspaces
  - alive.codex.release.places
  - alive.codex.npm.command
seealso:
  - module: alive.codex.codex_handmade
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
      sample: "/usr/local/lib/alive-codex has 120 MiB free, a release needs 600 MiB: make room"
version:
  description: The version that the stable path runs now; null if none.
  returned: always
  type: str
  sample: 0.160.0
unconfirmed_from:
  description:
    - The version from which C(alive.codex.update) switched to RV(version) before it was killed, so that it has not
      validated RV(version) yet; null where there is no such thing.
  returned: always
  type: str
  sample: 0.160.0
valid:
  description:
    - Whether the binary is in order for RV(owner), or for O(probe_user) where there is no workspace. Why not,
      M(alive.codex.codex_validate) tells.
  returned: always
  type: bool
  sample: true
settled:
  description: Whether the release and the files in C(/etc/codex) are what is asked for, and nothing is left to do.
  returned: always
  type: bool
  sample: true
handmade:
  description: How many set-ups that were made by hand there are; null where they cannot be looked for.
  returned: always
  type: int
  sample: 0
workspace:
  description: The name of the first workspace on the host; null where there is none.
  returned: always
  type: str
  sample: acme
owner:
  description: Who owns RV(workspace), as C(UID:GID); null where there is none.
  returned: always
  type: str
  sample: "20001:20001"
"""

import os
import sys
from typing import Any, Iterator

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._host.identity import identity_of, trial_identity
from ansible_collections.alive.codex.plugins.module_utils._release.binary import this_platform
from ansible_collections.alive.codex.plugins.module_utils._release.handmade import find
from ansible_collections.alive.codex.plugins.module_utils._release.installer import ReleaseRequest
from ansible_collections.alive.codex.plugins.module_utils._release.policy import FILES
from ansible_collections.alive.codex.plugins.module_utils._release.preflight import Places, Problem, look, runs_now
from ansible_collections.alive.codex.plugins.module_utils._release.settled import has_policy, has_release
from ansible_collections.alive.codex.plugins.module_utils._release.store import ReleaseStore
from ansible_collections.alive.codex.plugins.module_utils._release.validate import FLAGS, report
from ansible_collections.alive.codex.plugins.module_utils._workspaces.homes import OpenedHome, each_home

OLDEST_PYTHON = (3, 8)
CRON = "/etc/cron.d"
POLICY = "/etc/codex"


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
            "requires": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": ["active", "present", "absent"], "default": "active"},
            "keep": {"type": "int", "default": 1},
            "warn_unproven": {"type": "bool", "default": True},
            "config": {"type": "dict", "default": {}, "no_log": True},
            "requirements": {"type": "dict", "default": {}, "no_log": True},
            "existing": {"type": "str", "choices": ["replace", "merge"], "default": "replace"},
            "probe_user": {"type": "str"},
            "root": {"type": "path", "default": "/var/lib/claude-sessions"},
        },
        supports_check_mode=True,
    )
    params = module.params
    documents = dict(zip(FILES, (params.pop("config"), params.pop("requirements"))))
    module.no_log_values = set()  # none of them is shown, and what is no secret is not to be taken for one
    problems = list(surroundings(params))
    home = first_home(params["root"])
    seen: dict[str, Any] = {"version": None, "unconfirmed_from": None, "valid": False, "settled": False}
    try:
        places = Places(
            params["version"],
            os.path.normpath(params["prefix"]),
            os.path.normpath(params["bin"]),
            params["npm"] if params["needs_npm"] else None,
            trial_identity(params["probe_user"]),
        )
        problems += look(places, dict(os.environ))
        user = identity_of(home.owner.uid, home.owner.gid) if home else places.user
        found = report(places.bin, user, FLAGS, False, params["requires"], None)
        seen["version"] = found["version"] or runs_now(places)
        seen["unconfirmed_from"] = ReleaseStore(places.prefix, places.bin, this_platform()).unconfirmed_from()
        seen["valid"] = not found["problems"]
        seen["settled"] = (
            params["state"] != "absent"
            and has_release(request_of(places, params))
            and has_policy(POLICY, documents, params["existing"] == "merge", places.user)
        )
    except (LookupError, ValueError) as error:
        problems.append(Problem("user", str(error)))
    except OSError as error:
        problems.append(Problem("files", f"{error.filename or params['prefix']}: {error.strerror or error}"))
    module.exit_json(
        changed=False,
        problems=[problem._asdict() for problem in problems],
        **seen,
        handmade=handmade(params),
        workspace=home.name if home else None,
        owner=f"{home.owner.uid}:{home.owner.gid}" if home else None,
    )


def surroundings(params: dict[str, Any]) -> Iterator[Problem]:
    """What is wrong that has nothing to do with the release."""
    if params["needs_root"] and os.geteuid() != 0:
        yield Problem("become", f"this runs as UID {os.geteuid()}, not as root: set become")
    if sys.version_info < OLDEST_PYTHON:
        found, needed = (".".join(map(str, version)) for version in (sys.version_info[:2], OLDEST_PYTHON))
        yield Problem("python", f"{sys.executable} is {found}: {needed} or newer is needed")
    if params["needs_cron"] and not os.path.isdir(CRON):
        yield Problem("cron", f"{CRON} is not there: install cron, or set codex_prune_state to absent")


def request_of(places: Places, params: dict[str, Any]) -> ReleaseRequest:
    """What is asked of a release that the host has."""
    return ReleaseRequest(
        version=places.version,
        state=params["state"],
        prefix=places.prefix,
        bin=places.bin,
        keep=params["keep"],
        requires=params["requires"],
        warn_unproven=params["warn_unproven"],
        registry=None,
        registry_token=None,
        tarballs=(),
        npm=params["npm"],
        probe=places.user,
        timeout=0,
        environ={},
    )


def handmade(params: dict[str, Any]) -> int | None:
    try:
        store = ReleaseStore(os.path.normpath(params["prefix"]), os.path.normpath(params["bin"]), this_platform())
        return len(find(store, os.path.normpath(params["root"])))
    except (LookupError, OSError):
        return None  # for want of rights, say, which is among the problems


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
