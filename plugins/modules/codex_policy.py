#!/usr/bin/python
# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: codex_policy
short_description: Writes Codex's defaults and policy for a whole host
version_added: "0.1.0"
description:
  - Writes C(config.toml), defaults for every user of the host, which a user's own configuration may change, and
    C(requirements.toml), policy that no user's configuration or flag can loosen.
  - The real CLI reads both as an unprivileged user before either is replaced, as a mistake in one of them ends every
    user's turn. Where it cannot, for want of a binary or of mount namespaces, the task warns.
options:
  state:
    description:
      - With V(absent), what this module has written goes, what it has replaced comes back where O(backup) kept it, and
        the directory goes where it is empty then.
      - A file that somebody else wrote stays. One that was merged with, and that somebody has changed since, keeps that
        change, and loses the keys that this module has set in it.
    type: str
    choices: [present, absent]
    default: present
  config:
    description:
      - The whole of C(config.toml). A key that the CLI does not know is refused, if the release can tell, as 0.169 can.
      - If it is empty, the file is left as it is.
    type: dict
    default: {}
  requirements:
    description:
      - The whole of C(requirements.toml), for example C(allowed_sandbox_modes). A wrong value is refused. A key that
        the CLI does not know is not noticed.
      - If it is empty, the file is left as it is.
    type: dict
    default: {}
  existing:
    description:
      - What becomes of a file that is there. With V(replace), it is written anew, whole. A warning names the keys of
        somebody else's file, and those of the policy, that go or get another value.
      - With V(merge), the given keys are set in it, those that were given before and are no longer are removed, and
        everything else stays, byte for byte. A key that is given wins, with a warning where it had another value.
    type: str
    choices: [replace, merge]
    default: replace
  backup:
    description:
      - Whether a copy is kept, beside the file, of what this module did not write, or of a policy that loses
        something, before it changes. O(state=absent) gives it back.
    type: bool
    default: true
  directory:
    description: Where the files are. The CLI reads V(/etc/codex) alone; another place is for images and the like.
    type: path
    default: /etc/codex
  codex_path:
    description: The CLI that reads the files before they replace others.
    type: path
    default: /usr/local/bin/codex
  user:
    description: As whom the CLI reads them, as a name, a UID, or C(UID:GID). The default is V(nobody) for root.
    type: str
  _vaulted:
    description:
      - Set by the action alone, which says where values were encrypted, as paths of keys. These are not shown.
    type: list
    elements: list
    default: []
extends_documentation_fragment:
  - alive.codex.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
notes:
  - Settings that have come out of a vault, and those whose name says that they are secret, are shown neither by
    C(--diff) nor in results, arguments and logs.
  - O(directory) is opened to all users where it is closed, as that ends each of their turns.
author:
  - Alive maintainers (@alive)
"""

EXAMPLES = r"""
- name: Keep keys out of the model's shell, and let no workspace leave the sandbox
  alive.codex.codex_policy:
    config:
      shell_environment_policy:
        exclude: [CODEX_API_KEY, OPENAI_API_KEY]
    requirements:
      allowed_sandbox_modes: [read-only, workspace-write]
"""

RETURN = r"""
copies:
  description: Copies of what was there before that stay, as they are not what was replaced last.
  returned: with O(state=absent)
  type: list
  elements: str
  sample: [/etc/codex/requirements.toml.replaced-20260301T120000.000000Z]
given_back:
  description: Those of RV(files) that are again, or would be, what they were before this module replaced them.
  returned: with O(state=absent)
  type: list
  elements: str
  sample: [/etc/codex/requirements.toml]
files:
  description: The files that were changed, or would be, be it that some users could not read them, or change them.
  returned: success
  type: list
  elements: str
  sample: [/etc/codex/config.toml]
checked:
  description: Whether the CLI has read them. Nothing is read where nothing is changed.
  returned: success
  type: bool
  sample: true
"""

import contextlib
import os
from typing import Any, Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._formats.secrets import Secrets
from ansible_collections.alive.codex.plugins.module_utils._formats.text import abridged
from ansible_collections.alive.codex.plugins.module_utils._formats.values import check_path
from ansible_collections.alive.codex.plugins.module_utils._host.access import blocked_at, planted
from ansible_collections.alive.codex.plugins.module_utils._host.identity import Identity, trial_identity
from ansible_collections.alive.codex.plugins.module_utils._release.policy import (
    FILES,
    NotChecked,
    PolicyError,
    judge,
)
from ansible_collections.alive.codex.plugins.module_utils._release.policy_copies import (
    WayBack,
    copies_of,
    name_of_copy,
    way_back,
)
from ansible_collections.alive.codex.plugins.module_utils._release.policy_files import (
    Plan,
    PolicyFile,
    is_closed,
    look,
    plan,
    write,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "config": {"type": "dict", "default": {}, "no_log": True},
            "requirements": {"type": "dict", "default": {}, "no_log": True},
            "existing": {"type": "str", "choices": ["replace", "merge"], "default": "replace"},
            "backup": {"type": "bool", "default": True},
            "directory": {"type": "path", "default": "/etc/codex"},
            "codex_path": {"type": "path", "default": "/usr/local/bin/codex"},
            "user": {"type": "str"},
            "_vaulted": {"type": "list", "elements": "list", "default": [], "no_log": False},
        },
        supports_check_mode=True,
    )
    params = dict(module.params)
    directory = params["directory"]
    secrets = Secrets(module.params.pop("_vaulted"))
    for name in ("config", "requirements"):
        module.params[name] = secrets.hide(params[name])
    module.no_log_values = set()  # what is no secret is not to be taken for one
    try:
        for option in ("directory", "codex_path"):
            check_path(option, params[option])
        problem = planted(directory)
        if problem is not None:
            raise ValueError(f"directory {directory} is not safe from other users: {problem}")
        files = [look(os.path.join(directory, name)) for name in FILES]
        if params["state"] == "absent":
            texts, told = withdraw(module, files)
        else:
            texts, told = provide(module, params, files)
    except PolicyError as error:
        module.fail_json(msg=f"nothing was changed, as Codex refuses it: {error}")
    except (LookupError, ValueError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or directory}: {error.strerror or error}")
    before = {file.path: file.text or "" for file in files}
    diff = [
        {
            "before_header": path,
            "after_header": path,
            "before": secrets.hide_in_document(before[path]) if path in before else "closed to users\n",
            "after": secrets.hide_in_document(text or "") if path in before else "open\n",
        }
        for path, text in texts.items()
    ]
    module.exit_json(changed=bool(texts), files=list(texts), diff=diff, **told)


def provide(
    module: AnsibleModule, params: dict[str, Any], files: list[PolicyFile]
) -> tuple[Mapping[str, str | None], dict[str, Any]]:
    """What was changed, by its path, or would be, and what is told of it: whether the CLI has judged it."""
    directory = params["directory"]
    documents = dict(zip(FILES, (params["config"], params["requirements"])))
    plans = {
        file: plan(file, documents[os.path.basename(file.path)], params["existing"] == "merge")
        for file in files
        if documents[os.path.basename(file.path)]
    }
    texts = {file.path: planned.text for file, planned in plans.items() if planned.text != file.text or not file.public}
    user = trial_identity(params["user"])
    wanted = {os.path.basename(file.path): plans[file].text if file in plans else file.text for file in files}
    checked = bool(texts) and judged(module, wanted, user)
    for file, planned in plans.items():
        if file.path in texts:
            keep(module, file, planned)
    closed = bool(plans) and is_closed(directory)
    if not module.check_mode and (texts or closed):
        write(directory, texts)
    if not module.check_mode:
        for file in plans:
            blocked = blocked_at(file.path, user)
            if blocked:
                module.warn(f"{user} cannot read {file.path}, as {blocked} is closed: chmod a+x {blocked}")
    return {**({directory: None} if closed else {}), **texts}, {"checked": checked}


def withdraw(module: AnsibleModule, files: list[PolicyFile]) -> tuple[Mapping[str, str | None], dict[str, Any]]:
    """What was changed, by its path, or would be, and what is told of it: what is as it was, and which copies stay."""
    copies = {file: copies_of(file.path) for file in files}
    ways = {file: way_back(file, copies[file]) for file in files}
    changed = {file.path: way for file, way in ways.items() if way.text != file.text}
    gone = {path for way in changed.values() for path in (way.copy, *way.passed)}
    if not module.check_mode:
        take_away(module.params["directory"], changed)
    told = {
        "checked": False,
        "copies": [copy.path for each in copies.values() for copy in each if copy.path not in gone],
        "given_back": [path for path, way in changed.items() if way.copy is not None],
    }
    return {path: way.text for path, way in changed.items()}, told


def keep(module: AnsibleModule, file: PolicyFile, planned: Plan) -> None:
    """Keeps a copy of what somebody else wrote, and says what of it goes."""
    if file.link is not None:
        module.warn(f"{file.path} was a link to {file.link}; what it leads to stays as it is")
    foreign = file.text is not None and not file.ours and planned.text != file.text
    if not foreign and not planned.goes:
        return
    kept = "no copy is kept"
    if module.params["backup"] and file.text is not None:
        copy = name_of_copy(file.path)
        kept = "a copy is kept" if module.check_mode else f"it is kept as {copy}"
        if not module.check_mode:
            module.preserved_copy(file.path, copy)
    whose = "" if file.ours else ", which this module did not write,"
    goes = f" loses or gets another {abridged(planned.goes)};" if planned.goes else " is replaced;"
    if planned.goes or module.params["existing"] == "replace":
        module.warn(f"{file.path}{whose}{goes} {kept}")


def take_away(directory: str, ways: Mapping[str, WayBack]) -> None:
    """Removes the files that are ours, and what is ours from others, and gives back what they were."""
    for path, way in ways.items():
        if way.copy is not None:
            os.rename(way.copy, path)
        elif way.text is None:
            os.unlink(path)
        else:
            write(directory, {path: way.text})
        for copy in way.passed:
            os.unlink(copy)
    with contextlib.suppress(OSError):  # there is something else in it, or no such directory
        os.rmdir(directory)


def judged(module: AnsibleModule, texts: dict[str, str | None], user: Identity) -> bool:
    """Whether the CLI could be asked; it raises PolicyError where it says no."""
    try:
        judge({name: text for name, text in texts.items() if text is not None}, module.params["codex_path"], user)
    except NotChecked as error:
        module.warn(f"{module.params['directory']} is not checked: {error}")
        return False
    return True


if __name__ == "__main__":
    main()
