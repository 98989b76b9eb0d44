#!/usr/bin/python
# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: codex_tarballs
short_description: Downloads a release of the Codex CLI once, for hosts that get it from here
version_added: "0.1.0"
description:
  - Has npm download the tarballs of a release, the package and its platform package, and keeps them in O(directory),
    for M(alive.codex.codex_release) to install from on hosts that have no way out. Run it on the control node.
  - npm has compared them with the digests that the registry announces. They are compared again each time, and what is
    damaged is downloaded again.
options:
  version:
    description:
      - An exact version (V(0.171.0)), or a dist-tag of the registry (V(latest)).
      - With an exact version that is there already, nothing is contacted.
    type: str
    default: latest
  architecture:
    description: Of the hosts that it is for. The default is that of the machine that the module runs on.
    type: str
    choices: [x86_64, aarch64]
  directory:
    description: Where the tarballs are kept, in a directory for each release. Two runs wait for each other.
    type: path
    required: true
  timeout:
    description: Seconds that npm may take, and that another run is waited for.
    type: int
    default: 900
extends_documentation_fragment:
  - alive.codex.attributes
  - alive.codex.npm
  - alive.codex.npm.command
attributes:
  check_mode:
    support: full
    details: A dist-tag, and a version that is not there, are looked up in the registry.
  diff_mode:
    support: none
    details: There is nothing to show of an archive.
seealso:
  - module: alive.codex.codex_release
author:
  - Alive maintainers (@alive)
"""

EXAMPLES = r"""
- name: Have a release on the control node
  alive.codex.codex_tarballs:
    version: 0.171.0
    directory: /srv/codex
  delegate_to: localhost
  register: codex

- name: Send it
  ansible.builtin.copy:
    src: "{{ item }}"
    dest: /var/tmp/
    mode: "0600"
  loop: "{{ codex.tarballs }}"

- name: Install it
  alive.codex.codex_release:
    version: "{{ codex.version }}"
    tarballs: "{{ codex.tarballs | map('basename') | map('regex_replace', '^', '/var/tmp/') }}"
    checksums: "{{ codex.checksums }}"
"""

RETURN = r"""
version:
  description: The exact version that was asked for, a dist-tag resolved.
  returned: success
  type: str
  sample: 0.171.0
tarballs:
  description: The files. In check mode, none where they would be downloaded.
  returned: success
  type: list
  elements: str
  sample:
    - /srv/codex/0.171.0-linux-x64/openai-codex-0.171.0.tgz
    - /srv/codex/0.171.0-linux-x64/openai-codex-0.171.0-linux-x64.tgz
checksums:
  description: The digest of each, by its file name, as O(alive.codex.codex_release#module:checksums) takes them.
  returned: success
  type: dict
  sample: {openai-codex-0.171.0.tgz: "sha512-..."}
"""

import os
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._formats.values import check_path, check_seconds
from ansible_collections.alive.codex.plugins.module_utils._formats.version import check_request, is_exact
from ansible_collections.alive.codex.plugins.module_utils._host.access import planted
from ansible_collections.alive.codex.plugins.module_utils._release import download
from ansible_collections.alive.codex.plugins.module_utils._release.binary import PLATFORMS, this_platform
from ansible_collections.alive.codex.plugins.module_utils._release.npm import (
    OPTIONS,
    NpmError,
    check_options,
    ready_npm,
    resolve_version,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "default": "latest"},
            "architecture": {"type": "str", "choices": list(PLATFORMS)},
            "directory": {"type": "path", "required": True},
            **OPTIONS,
            "timeout": {"type": "int", "default": 900},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**provide(module.params, module.check_mode, module.warn))
    except (NpmError, ValueError, LookupError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['directory']}: {error.strerror or error}")


def provide(params: dict[str, Any], check: bool, warn: Callable[[str], None]) -> dict[str, Any]:
    """The result, as RETURN has it.

    Raises NpmError, ValueError, LookupError or OSError.
    """
    directory, version = params["directory"], params["version"]
    check_request(version)
    check_path("directory", directory)
    check_seconds("timeout", params["timeout"])
    architecture = params["architecture"]
    platform = PLATFORMS[architecture] if architecture else this_platform()
    problem = planted(directory)
    if problem is not None:
        raise ValueError(f"directory {directory} is not safe from other users: {problem}")
    check_options(params)
    tarballs = download.kept(directory, version, platform) if is_exact(version) else []
    changed = False
    if not tarballs:
        with ready_npm(
            params["npm"], dict(os.environ), params["registry"], params["registry_token"], params["timeout"]
        ) as npm:
            for warning in npm.warnings:
                warn(warning)
            if check or not is_exact(version):
                version = resolve_version(npm, version, platform.package)
            tarballs = download.kept(directory, version, platform)
            changed = not tarballs
            if changed and not check:
                changed = download.fetch(npm, directory, version, platform)
                tarballs = download.kept(directory, version, platform)
    return {
        "changed": changed,
        "version": version,
        "tarballs": [tarball.path for tarball in tarballs],
        "checksums": {os.path.basename(tarball.path): tarball.checksum for tarball in tarballs},
    }


if __name__ == "__main__":
    main()
