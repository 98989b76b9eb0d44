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
      - With V(absent), what this module has written goes, and the directory where it is empty then. A file that
        somebody else wrote stays.
    type: str
    choices: [present, absent]
    default: present
  config:
    description:
      - The whole of C(config.toml). A key that the CLI does not know is refused, if the release can tell, as 0.169 can.
      - Empty, the file is left as it is, or is not.
    type: dict
    default: {}
  requirements:
    description:
      - The whole of C(requirements.toml), for example C(allowed_sandbox_modes). A wrong value is refused. A key that
        the CLI does not know is not noticed.
      - Empty, the file is left as it is, or is not.
    type: dict
    default: {}
  directory:
    description: Where the files are. The CLI reads V(/etc/codex) alone; another place is for images and the like.
    type: path
    default: /etc/codex
  codex_path:
    description: The binary that judges them.
    type: path
    default: /usr/local/bin/codex
  user:
    description: As whom it runs, as a name, a UID, or C(UID:GID). The default is V(nobody) for root.
    type: str
extends_documentation_fragment:
  - alive.codex.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
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
import stat
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._host.access import blocked_at, planted
from ansible_collections.alive.codex.plugins.module_utils._host.identity import Identity, trial_identity
from ansible_collections.alive.codex.plugins.module_utils._host.new_files import PUBLIC_FILE, public_directories
from ansible_collections.alive.codex.plugins.module_utils._release.policy import (
    FILES,
    HEADER,
    NotChecked,
    PolicyError,
    judge,
    render,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "config": {"type": "dict", "default": {}},
            "requirements": {"type": "dict", "default": {}},
            "directory": {"type": "path", "default": "/etc/codex"},
            "codex_path": {"type": "path", "default": "/usr/local/bin/codex"},
            "user": {"type": "str"},
        },
        supports_check_mode=True,
    )
    params = module.params
    directory = params["directory"]
    try:
        problem = planted(directory)
        if problem is not None:
            raise ValueError(f"directory {directory} is not safe from other users: {problem}")
        before = {name: read(os.path.join(directory, name)) for name in FILES}
        if params["state"] == "absent":
            module.exit_json(checked=False, **take_away(directory, before, module.check_mode))
        wanted = {
            name: render(document)
            for name, document in zip(FILES, (params["config"], params["requirements"]))
            if document
        }
        changes = {
            name: text
            for name, text in wanted.items()
            if text != before[name] or not is_public(os.path.join(directory, name))
        }
        user = trial_identity(params["user"])
        checked = bool(changes) and judged(module, {**before, **wanted}, user)
        if not module.check_mode:
            write(directory, changes)
            for name in wanted:
                blocked = blocked_at(os.path.join(directory, name), user)
                if blocked:
                    module.warn(f"{user} cannot read {name}, as {blocked} is closed: chmod a+x {blocked}")
    except PolicyError as error:
        module.fail_json(msg=f"nothing was changed, as Codex refuses it: {error}")
    except (LookupError, ValueError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or directory}: {error.strerror or error}")
    module.exit_json(
        changed=bool(changes),
        checked=checked,
        files=[os.path.join(directory, name) for name in changes],
        diff=[
            {
                "before_header": os.path.join(directory, name),
                "after_header": os.path.join(directory, name),
                "before": before[name] or "",
                "after": text,
            }
            for name, text in changes.items()
        ],
    )


def take_away(directory: str, texts: dict[str, str | None], check: bool) -> dict[str, Any]:
    """Removes the files that are ours; the result."""
    ours = [os.path.join(directory, name) for name, text in texts.items() if text and text.startswith(HEADER)]
    if not check:
        for path in ours:
            os.unlink(path)
        with contextlib.suppress(OSError):  # there is something else in it, or no such directory
            os.rmdir(directory)
    diff = [
        {"before_header": path, "after_header": path, "before": texts[os.path.basename(path)], "after": ""}
        for path in ours
    ]
    return {"changed": bool(ours), "files": ours, "diff": diff}


def judged(module: AnsibleModule, texts: dict[str, str | None], user: Identity) -> bool:
    """Whether the CLI could be asked; it raises PolicyError where it says no."""
    try:
        judge({name: text for name, text in texts.items() if text is not None}, module.params["codex_path"], user)
    except NotChecked as error:
        module.warn(f"{module.params['directory']} is not checked: {error}")
        return False
    return True


def read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def is_public(path: str) -> bool:
    """Whether every user can read a file, and its owner, this process's user, alone change it."""
    info = os.stat(path)
    return info.st_uid == os.geteuid() and stat.S_IMODE(info.st_mode) == PUBLIC_FILE


def write(directory: str, texts: dict[str, str]) -> None:
    """Puts each file in place whole, readable by everybody, writable by its owner alone."""
    if texts:
        public_directories(directory)
    for name, text in texts.items():
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
        try:
            with open(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fchmod(descriptor, PUBLIC_FILE)
                os.fsync(descriptor)
            os.rename(temporary, os.path.join(directory, name))
        except BaseException:
            os.unlink(temporary)
            raise


if __name__ == "__main__":
    main()
