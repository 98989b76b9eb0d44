#!/usr/bin/python
# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: codex_workspaces
short_description: Prepares any number of workspaces in one call
version_added: "0.1.0"
description:
  - Prepares the HOMEs of tenants below one root directory. The root directory belongs to root, mode 0711. Each HOME has
    the mode O(mode) and belongs to its workspace, as do C(.codex) and C(.codex/sessions), 0700, and
    C(.codex/config.toml), 0600.
  - Thousands of workspaces cost one task. A workspace that cannot be prepared stops no other; the task then fails, and
    lists all of them in RV(failures).
  - Everything below a HOME is taken to be in the hands of an attacker. No symbolic link is followed there, nothing
    waits on a FIFO, a large file is not read, and C(config.toml) is written with the rights of the tenant. A directory
    below a HOME that belongs to root is given to the workspace; one that belongs to anybody else is an error.
  - Started as root, it prepares workspaces of any owner. Started unprivileged, it prepares workspaces that belong to
    whom it runs as, below a root directory of that user.
author:
  - Alive maintainers (@alive)
options:
  root:
    description:
      - The directory that holds the HOMEs; an absolute path. It is made where it is missing.
      - As root, symbolic links on the way to it are followed only where they belong to root, and a directory that
        everybody may write to without the sticky bit is refused.
  workspaces:
    description:
      - The workspaces, as a list of mappings, or as the JSON text of one. For many thousands the text is faster, since
        Ansible need not look into it; what the lookup C(ansible.builtin.file) reads from a JSON file is such a text.
    type: json
    required: true
    suboptions:
      name:
        description: The name of the HOME below O(root), one plain component of a path.
        type: str
        required: true
      user:
        description:
          - The name of the user that the workspace belongs to. A present workspace needs this or O(workspaces.uid).
        type: str
      uid:
        description:
          - The numeric UID that the workspace belongs to; no passwd entry is needed. Together with
            O(workspaces.user), it is the UID that the user must have, or is made with.
        type: int
      gid:
        description:
          - The numeric GID of the workspace; no group entry is needed. If not given, it is the primary group of the
            user, or the number of the UID where that has no passwd entry.
        type: int
      state:
        description:
          - V(absent) removes the HOME with all that is in it. Its user, if it has one, stays. A HOME whose owner still
            runs processes is not removed, unless O(force). What cannot be removed, such as an immutable file, is an
            error, and belongs to root from then on.
        type: str
        choices: [present, absent]
        default: present
      config:
        description:
          - Settings for this workspace's C(config.toml), over those of O(config). Nested mappings are merged.
        type: dict
  mode:
    description:
      - The mode of each HOME, as octal text. It gives all to the owner, and writing to nobody else.
    type: str
    default: '0700'
  create_users:
    description:
      - Whether to make the users that C(user) names and that do not exist, without password and login
        shell, with HOME as their home. Where the host has C(systemd-sysusers), all are made at once, otherwise each by
        C(useradd).
      - An existing user or group is never changed. A user without C(uid) gets a number that no user, group or workspace
        below O(root) has. It gets a group of its own, unless C(gid) is given; a group of its name that exists is an
        error, unless it has no members and is nobody's.
    type: bool
    default: false
  config:
    description:
      - Settings for every workspace's C(config.toml), nested as in TOML.
      - These keys, and those of their own C(config), are managed. A key that is given is set. A key that was managed
        before and is given no longer is removed. Everything else in the file stays as it is, byte for byte.
      - Which keys are managed is noted in a comment on the last line of the file.
      - Settings that a tenant must not change belong into C(/etc/codex/requirements.toml) instead.
    type: dict
    default: {}
  shared_uids:
    description:
      - Whether several workspaces may have one UID without a warning. Such workspaces are open to each other.
    type: bool
    default: false
  force:
    description:
      - Whether to remove a HOME, or hand it over, also while its owner runs processes. These are not ended.
    type: bool
    default: false
  hand_over:
    description:
      - Names of workspaces whose HOME, where it belongs to another UID, is given to its new owner with all in it that
        was the old owner's. Without this, it is refused.
      - Refused while one of the two runs processes, unless O(force) is set, and for a file that has another name, and
        so could stay in the hands of the old owner. What is behind a link, or belongs to others, is not touched.
    type: list
    elements: str
    default: []
  _vaulted:
    description:
      - Set by the action alone, which says where values were encrypted, as paths of keys. These are not shown.
    type: list
    elements: list
    default: []
extends_documentation_fragment:
  - alive.codex.attributes
  - alive.codex.workspaces
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Lists what changes, per workspace and path, old and new values of managed settings included.
notes:
  - Settings that have come out of a vault, and those whose name says that they are secret (C(token), C(api_key), all
    variables of an C(env), all headers), are shown neither by C(--diff) nor in results, arguments and logs.
seealso:
  - module: alive.codex.codex_exec
  - module: alive.codex.codex_prune
"""

EXAMPLES = r"""
- name: Prepare two workspaces by numeric UID
  alive.codex.codex_workspaces:
    workspaces:
      - {name: alpha, uid: 20001, gid: 20001}
      - {name: beta, uid: 20002, gid: 20002}

- name: Prepare workspaces whose users are made where they are missing
  alive.codex.codex_workspaces:
    create_users: true
    workspaces:
      - {name: gamma, user: ws-gamma}
      - name: delta
        user: ws-delta
        config:
          model_reasoning_effort: high
    config:
      model: gpt-5-codex
      features:
        plugins: false

- name: Remove a workspace
  alive.codex.codex_workspaces:
    workspaces:
      - {name: alpha, state: absent}
"""

RETURN = r"""
changes:
  description: What changed, or would change in check mode. Workspaces to which the same happened are listed together.
  returned: always
  type: list
  elements: dict
  contains:
    workspaces:
      description: The names of the workspaces.
      type: list
      elements: str
    paths:
      description: What happened, by path below HOME; C(.) is HOME itself.
      type: dict
  sample:
    - workspaces: [alpha, beta]
      paths:
        .: [created]
        .codex: [created]
        .codex/config.toml: [created, model set]
        .codex/sessions: [created]
root_changes:
  description: What changed on the root directory.
  returned: always
  type: list
  elements: str
  sample: ["created"]
created_users:
  description: The users that were made, or would be made in check mode.
  returned: always
  type: list
  elements: str
  sample: [ws-beta]
failures:
  description: What went wrong. Workspaces with the same error are listed together.
  returned: always
  type: list
  elements: dict
  contains:
    workspaces:
      description: The names of the workspaces.
      type: list
      elements: str
    msg:
      description: The path below HOME and the reason.
      type: str
  sample:
    - workspaces: [gamma]
      msg: ".codex: is a symbolic link, not a directory"
summary:
  description: How many workspaces there are, how many of them changed, and how many failed.
  returned: always
  type: dict
  sample: {total: 2, changed: 2, failed: 0}
"""

import gc

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._formats.secrets import Secrets
from ansible_collections.alive.codex.plugins.module_utils._formats.text import clean
from ansible_collections.alive.codex.plugins.module_utils._workspaces import prepare_all, report
from ansible_collections.alive.codex.plugins.module_utils._workspaces.request import (
    InvalidRequest,
    check_root,
    parse_mode,
    read_workspaces_json,
)


def argument_spec() -> dict[str, dict[str, object]]:
    return {
        "root": {"type": "path", "default": "/var/lib/claude-sessions"},
        "workspaces": {"type": "json", "required": True, "no_log": True},
        "mode": {"type": "str", "default": "0700"},
        "create_users": {"type": "bool", "default": False},
        "config": {"type": "dict", "default": {}, "no_log": True},
        "shared_uids": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
        "hand_over": {"type": "list", "elements": "str", "default": []},
        "_vaulted": {"type": "list", "elements": "list", "default": [], "no_log": False},
    }


def main() -> None:
    gc.disable()  # thousands of workspaces are no garbage, and looking for some takes a tenth of the time
    module = AnsibleModule(argument_spec(), supports_check_mode=True)
    params = dict(module.params)
    # Secrets may be anywhere in what was asked for, and Ansible would send all of it back with the answer. What is no
    # secret, such as the name of a workspace, is not to be taken for one.
    secrets = Secrets(module.params.pop("_vaulted"))
    module.params["config"] = secrets.hide(params["config"])
    module.params["workspaces"] = "(left out)"
    module.no_log_values = set()
    try:
        check_root(params["root"])
        request = prepare_all.WorkspacesRequest(
            root=params["root"],
            workspaces=read_workspaces_json(params["workspaces"], params["config"]),
            mode=parse_mode(params["mode"]),
            create_users=params["create_users"],
            shared_uids=params["shared_uids"],
            force=params["force"],
            hand_over=params["hand_over"],
            check=module.check_mode,
            secrets=secrets,
        )
        outcome = prepare_all.prepare_all(request)
    except InvalidRequest as error:
        module.fail_json(msg=clean(f"nothing was touched: {error}"))
    except (OSError, report.Refused) as error:
        module.fail_json(msg=clean(f"the root directory {params['root']} cannot be used: {error}"))
    module.params["workspaces"] = f"{len(request.workspaces)} workspaces"
    for warning in outcome.warnings:
        module.warn(clean(warning))
    failures = {name: clean(why) for name, why in outcome.failures.items()}
    result: dict[str, object] = {
        "changed": bool(outcome.root_changes or outcome.changes or outcome.created_users),
        "changes": report.changes_by_kind(outcome.changes),
        "root_changes": [change.what for change in outcome.root_changes],
        "created_users": outcome.created_users,
        "failures": report.failures_by_kind(failures),
        "summary": {
            "total": len(request.workspaces),
            "changed": len(outcome.changes),
            "failed": len(outcome.failures),
        },
    }
    if module._diff:
        result["diff"] = {"prepared": report.diff_text(outcome.root_changes, outcome.changes)}
    if failures:
        text = report.failure_text(failures, len(request.workspaces), len(outcome.changes))
        module.fail_json(msg=text, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
