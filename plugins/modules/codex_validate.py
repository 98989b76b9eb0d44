#!/usr/bin/python
# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: codex_validate
short_description: Validates the Codex binary as one user would meet it
version_added: "0.1.0"
description:
  - Checks that a user can reach and run the binary, that no other user can change it, that its version fits, and that
    it accepts the flags that programs drive it with. Everything that is wrong is reported at once.
  - Versions are ordered as PEP 440 orders them, and requirements are read as pip reads them. A prerelease that is no
    alpha, beta or release candidate (V(-nightly.20261127), say) is a development build, older than all of these.
options:
  path:
    description:
      - The binary, as a path, a name to look for on the standard C(PATH), or a directory of the npm package
        C(@openai/codex), whose native binary is meant then, in any layout that the package has had.
    type: str
    default: /usr/local/bin/codex
  requires:
    description:
      - A version specifier of PEP 440, such as V(>=0.150,<1.0), V(~=0.171) or V(==0.171.*). Prereleases are allowed.
    type: str
  min_version:
    description: Short for V(>=) in O(requires). Both together must hold.
    type: str
  warn_unproven:
    description: Whether to warn of a version newer than the newest that this version of the collection was tried with.
    type: bool
    default: true
  user:
    description:
      - Who must be able to run it, as a name, a UID, or C(UID:GID). It needs no entry in passwd.
      - The default is V(nobody) for root, else the user who runs the module, who can be nobody else.
      - Where the module runs as that very user, what belongs to the user counts as protected, as what belongs to root.
    type: str
  flags:
    description: Flags that C(codex exec) must accept.
    type: list
    elements: str
    default: [--experimental-json]
  sdk_path:
    description:
      - A directory that C(@openai/codex-sdk) is installed in. The SDK pins a version of the CLI. The binary must be
        that version or a newer one; an older one may lack what the SDK asks for.
    type: path
  sandbox:
    description: Whether it is a problem when the user cannot use Codex's sandbox. It is reported in any case.
    type: bool
    default: false
  fail:
    description: Whether a problem fails the task. Otherwise it is only reported.
    type: bool
    default: true
extends_documentation_fragment:
  - alive.codex.attributes
  - alive.codex.attributes.info_module
seealso:
  - module: alive.codex.codex_release
author:
  - Alive maintainers (@alive)
"""

EXAMPLES = r"""
- name: The binary serves every tenant
  alive.codex.codex_validate:
    requires: ">=0.150,<1.0"

- name: It serves this tenant, who has no passwd entry, with the SDK of the application
  alive.codex.codex_validate:
    user: "54321:54321"
    sdk_path: /srv/app
    sandbox: true

- name: Only say what is there
  alive.codex.codex_validate:
    path: codex
    fail: false
  register: codex
"""

RETURN = r"""
version:
  description: The version, without what is printed around it; null if it could not be had.
  returned: always
  type: str
  sample: 0.171.0
version_raw:
  description: What C(codex --version) printed; null if nothing.
  returned: always
  type: str
  sample: codex-cli 0.171.0
compatible:
  description: Whether the version is known and fits O(requires), O(min_version), and the SDK's pin.
  returned: always
  type: bool
  sample: true
path:
  description: The path that was validated.
  returned: always
  type: str
  sample: /usr/local/bin/codex
real_path:
  description: The file it leads to; null if to none.
  returned: always
  type: str
  sample: /usr/local/lib/alive-codex/releases/0.171.0/lib/node_modules/@openai/codex/bin/codex.js
owner:
  description: That file's owner and group.
  returned: always
  type: str
  sample: root:root
mode:
  description: That file's mode.
  returned: always
  type: str
  sample: "0755"
interpreter:
  description: What a script's first line asks for; null for a native binary.
  returned: always
  type: str
  sample: /usr/bin/env node
sdk:
  description: The SDK found, its version, and the version of the CLI that it pins; null without O(sdk_path).
  returned: always
  type: dict
  contains:
    path: {description: "Where it is.", type: str, sample: /srv/app/node_modules/@openai/codex-sdk}
    version: {description: "Its version.", type: str, sample: 0.171.0}
    requires_cli: {description: "The version of the CLI that it pins; null if none.", type: str, sample: 0.171.0}
checks:
  description: Every check that was made. One that has no meaning after a failed one is left out.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: What was checked.
      type: str
      sample: runs
    ok:
      description: Whether it is well.
      type: bool
      sample: true
    detail:
      description: What was found, and if it is not well, the cure.
      type: str
      sample: /usr/local/bin/codex --version as 20001:20001 ended well
problems:
  description: The details of the checks that are not well.
  returned: always
  type: list
  elements: str
  sample: ["/root is not for user 20001:20001 to go through: chmod o+x /root, or install elsewhere"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._formats import specifier
from ansible_collections.alive.codex.plugins.module_utils._formats.version import why_unproven
from ansible_collections.alive.codex.plugins.module_utils._host.identity import trial_identity
from ansible_collections.alive.codex.plugins.module_utils._release.validate import FLAGS, report


class Module(AnsibleModule):  # type: ignore[misc]  # ansible-core has no types
    """Its result may have a ``path``: Ansible would put the mode and owner of that path, here a link, over those of the
    binary."""

    def add_path_info(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return kwargs


def main() -> None:
    module = Module(
        argument_spec={
            "path": {"type": "str", "default": "/usr/local/bin/codex"},
            "requires": {"type": "str"},
            "min_version": {"type": "str"},
            "warn_unproven": {"type": "bool", "default": True},
            "user": {"type": "str"},
            "flags": {"type": "list", "elements": "str", "default": list(FLAGS)},
            "sdk_path": {"type": "path"},
            "sandbox": {"type": "bool", "default": False},
            "fail": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        found = report(
            path=params["path"],
            user=trial_identity(params["user"]),
            flags=params["flags"],
            sandbox=params["sandbox"],
            requires=read_requirements(params["requires"], params["min_version"]),
            sdk_path=params["sdk_path"],
        )
    except (LookupError, ValueError) as error:
        module.fail_json(msg=str(error))
    unproven = why_unproven(found["version"]) if found["version"] and params["warn_unproven"] else None
    if unproven:
        module.warn(unproven)
    if found["problems"] and params["fail"]:
        module.fail_json(msg="; ".join(found["problems"]), **found)
    module.exit_json(changed=False, **found)


def read_requirements(requires: str | None, min_version: str | None) -> str:
    """Both options as one requirement.

    Raises ValueError for what is none.
    """
    clauses = [requires or "", f">={min_version}" if min_version else ""]
    joined = ",".join(clause for clause in clauses if clause)
    try:
        specifier.read(joined)
    except ValueError as error:
        raise ValueError(f"requires, min_version: {error}") from None
    return joined


if __name__ == "__main__":
    main()
