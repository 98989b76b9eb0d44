#!/usr/bin/python
# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: codex_release
short_description: Installs, activates, rolls back and removes releases of the Codex CLI
version_added: "0.1.0"
description:
  - Keeps each release of C(@openai/codex) whole in a directory of its own below O(prefix), and lets one stable path,
    O(bin), name the active one. The path moves by one rename, so that at every instant it names a complete release.
  - The stable path leads to the native binary, which needs no Node.js. npm's global tree beside it, and npm's own where
    O(bin) is a path for the whole host, lead to the active release too.
  - A release counts as installed only when its binary runs as O(probe_user) with a bare environment. npm's exit code is
    not believed, as npm ends well without the package that holds the binary.
  - A plain C(npm install -g) found in npm's tree becomes a release to go back to, if it is complete. One that
    is not, and a file or link found at O(bin), are kept below O(prefix), in C(replaced/), with a warning.
  - Two runs on one host wait for each other, and a run waits for somebody's own C(npm) that is changing the package in
    npm's tree. What a killed run left is removed by the next.
options:
  version:
    description:
      - An exact version (V(0.171.0)), a dist-tag of the registry (V(latest)), or V(previous), the release that was
        active before this one. After going back, by V(previous) or to an older release that had served, V(previous)
        means the active release and changes nothing, until another one is activated. It never leads to the release that
        was gone back from.
      - V(all), with O(state=absent) alone.
      - With an exact version that is installed already, and with V(previous), nothing is contacted.
    type: str
    default: latest
  state:
    description:
      - With V(active), the release is installed if need be, and made the active one.
      - With V(present), it is installed only, ready to be activated.
      - With V(absent), it is removed. The active release, and one that a process runs, are refused.
      - With V(absent) and O(version=all), everything that this module ever put on the host goes, and what it replaced
        is given back where it is still kept, namely a plain C(npm install -g), and what was at O(bin).
    type: str
    choices: [active, present, absent]
    default: active
  prefix:
    description:
      - Where releases live. Every user must be able to reach it, and only root to change it.
      - Run without root, everything belongs to the user who runs it, and no other but root may be able to change
        O(prefix) and O(bin).
  keep:
    description:
      - How many releases that were active before are kept to go back to, besides the active one. The oldest go, but
        none that a process runs. A release that was never active is not counted, and stays.
      - A release takes about 400 MB. Where the file system can give equal files one room (XFS, Btrfs), releases share
        that of the few which they have in common.
    type: int
    default: 1
  force:
    description: Whether O(version=all) is removed also while processes run releases. What they start afterwards fails.
    type: bool
    default: false
  requires:
    description:
      - What the version must fit, a version specifier of PEP 440 such as V(>=0.150,<1.0) or V(~=0.171), read as
        M(alive.codex.codex_validate) reads it. Any other version is refused before anything is changed.
      - The default is the first release that serves the SDK. An empty text allows all.
    type: str
    default: ">=0.44.0"
  warn_unproven:
    description: Whether to warn of a version newer than the newest that this version of the collection was tried with.
    type: bool
    default: true
  tarballs:
    description:
      - Files on the target to install from, instead of a registry. They are npm's tarballs of the package, and, from
        0.99 on, of its platform package, as C(npm pack) gets them of C(@openai/codex@0.171.0) and
        C(@openai/codex@0.171.0-linux-x64).
      - Neither npm nor Node.js is needed.
    type: list
    elements: path
  checksums:
    description:
      - The digest of each of O(tarballs), by its file name. V(sha512-<base64>) as npm's registry announces it, or
        V(sha256:<hex>), V(sha384:<hex>), V(sha512:<hex>).
    type: dict
  probe_user:
    description:
      - Who must be able to run a release, as a name, a UID, or C(UID:GID).
      - The default is V(nobody) for root, else the user who runs the module, who can be nobody else.
    type: str
  timeout:
    description: Seconds that npm may take, and that another run, or somebody's own npm, is waited for.
    type: int
    default: 900
extends_documentation_fragment:
  - alive.codex.attributes
  - alive.codex.npm
  - alive.codex.npm.command
  - alive.codex.release.places
attributes:
  check_mode:
    support: full
    details: A dist-tag, and a version that is not installed, are looked up in the registry.
  diff_mode:
    support: full
notes:
  - Install scripts of packages are never run.
  - npm gets the task's C(environment), so proxy variables, V(NODE_EXTRA_CA_CERTS) and the like belong there.
seealso:
  - module: alive.codex.codex_validate
author:
  - Alive maintainers (@alive)
"""

EXAMPLES = r"""
- name: Install one exact version and make it the active one
  alive.codex.codex_release:
    version: 0.171.0

- name: Have the newest ready, without switching to it
  alive.codex.codex_release:
    version: latest
    state: present

- name: Go back to the release before
  alive.codex.codex_release:
    version: previous

- name: Take everything away, and give back what was there before
  alive.codex.codex_release:
    version: all
    state: absent

- name: Install where there is no way out
  alive.codex.codex_release:
    version: 0.171.0
    tarballs:
      - /root/codex-0.171.0.tgz
      - /root/codex-0.171.0-linux-x64.tgz
    checksums:
      codex-0.171.0.tgz: "{{ codex_digest }}"
      codex-0.171.0-linux-x64.tgz: "{{ codex_platform_digest }}"
"""

RETURN = r"""
version:
  description: The exact version that was asked for, a dist-tag or V(previous) resolved; or V(all).
  returned: success
  type: str
  sample: 0.171.0
previous:
  description:
    - The version that V(previous) means after this run; null if there is none.
    - Where the active release was gone back to, that is the active one.
  returned: success
  type: str
  sample: 0.160.0
rolled_back_from:
  description: The version that the active release was gone back to from; null where it was not gone back to.
  returned: success
  type: str
  sample: 0.171.0
given_back:
  description: What was there before and is there again, or in check mode would be, with O(version=all).
  returned: success
  type: list
  elements: str
  sample: [/usr/local/bin/codex]
releases:
  description: All releases on the host. In check mode, those that are there now.
  returned: success
  type: list
  elements: dict
  contains:
    version:
      description: Its version.
      type: str
      sample: 0.171.0
    path:
      description: Its directory.
      type: str
      sample: /usr/local/lib/alive-codex/releases/0.171.0
    size:
      description: Bytes that it takes on the disk.
      type: int
      sample: 423624704
    active:
      description: Whether the stable path names it.
      type: bool
      sample: true
    processes:
      description: How many processes run a file of it.
      type: int
      sample: 2
bin:
  description: The stable path.
  returned: success
  type: str
  sample: /usr/local/bin/codex
real_path:
  description: The file that the stable path leads to now; null if to none.
  returned: success
  type: str
  sample: >-
    /usr/local/lib/alive-codex/releases/0.171.0/lib/node_modules/@openai/codex/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex
"""

import errno
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._formats import specifier
from ansible_collections.alive.codex.plugins.module_utils._formats.values import check_path, check_seconds
from ansible_collections.alive.codex.plugins.module_utils._formats.version import check_request
from ansible_collections.alive.codex.plugins.module_utils._host import trees
from ansible_collections.alive.codex.plugins.module_utils._host.identity import trial_identity
from ansible_collections.alive.codex.plugins.module_utils._release.binary import this_platform
from ansible_collections.alive.codex.plugins.module_utils._release.installer import Installer, ReleaseRequest
from ansible_collections.alive.codex.plugins.module_utils._release.npm import OPTIONS, NpmError, check_options
from ansible_collections.alive.codex.plugins.module_utils._release.store import ReleaseError, ReleaseStore
from ansible_collections.alive.codex.plugins.module_utils._release.tarballs import Tarball, TarballError, check_checksum
from ansible_collections.alive.codex.plugins.module_utils._release.uninstall import uninstall

ALL = "all"
MOST_KEPT = 1000


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "default": "latest"},
            "state": {"type": "str", "choices": ["active", "present", "absent"], "default": "active"},
            "prefix": {"type": "path", "default": "/usr/local/lib/alive-codex"},
            "bin": {"type": "path", "default": "/usr/local/bin/codex"},
            "keep": {"type": "int", "default": 1},
            "force": {"type": "bool", "default": False},
            "requires": {"type": "str", "default": ">=0.44.0"},
            "warn_unproven": {"type": "bool", "default": True},
            "tarballs": {"type": "list", "elements": "path"},
            "checksums": {"type": "dict"},
            **OPTIONS,
            "probe_user": {"type": "str"},
            "timeout": {"type": "int", "default": 900},
        },
        required_together=[("tarballs", "checksums")],
        mutually_exclusive=[("tarballs", "registry")],
        supports_check_mode=True,
    )
    os.umask(0o022)  # what is made here is for every user, whatever the caller's files are
    try:
        request = read_request(module.params)
        if request.version == ALL:
            module.exit_json(**remove_all(module, request))
        installer = Installer(request)
        try:
            outcome = installer.run(module.check_mode)
        finally:
            for warning in installer.warnings:
                module.warn(warning)
        module.exit_json(
            changed=outcome.changed,
            version=outcome.version,
            previous=outcome.previous,
            rolled_back_from=outcome.gone_back_from,
            given_back=[],
            diff={"before": describe(outcome.before), "after": describe(outcome.after)},
            bin=module.params["bin"],
            **report(installer.store),
        )
    except (ReleaseError, NpmError, TarballError, ValueError, LookupError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        cure = ": make room there, or raise the quota, then run this again" if full else ""
        module.fail_json(msg=f"{error.filename or module.params['prefix']}: {error.strerror or error}{cure}")


def remove_all(module: AnsibleModule, request: ReleaseRequest) -> dict[str, Any]:
    """The result.

    Raises ReleaseError or OSError.
    """
    store = ReleaseStore(request.prefix, request.bin, this_platform())
    before = {"active": store.active(), "releases": sorted(release.version for release in store.releases())}
    done = uninstall(store, module.params["force"], request.timeout, module.check_mode)
    for warning in done.warnings:
        module.warn(warning)
    after: dict[str, Any] = before
    if done.changed:
        after = {"active": None, "releases": [], "given_back": done.given_back}
    return {
        "changed": done.changed,
        "version": ALL,
        "previous": None,
        "rolled_back_from": None,
        "given_back": done.given_back,
        "diff": {"before": describe(before), "after": describe(after)},
        "bin": request.bin,
        **report(store),
    }


def read_request(params: dict[str, Any]) -> ReleaseRequest:
    """The options, checked without a look at the host's releases.

    Raises ValueError or LookupError.
    """
    if params["version"] == ALL and params["state"] != "absent":
        raise ValueError("version all is for state absent: it takes everything away")
    if params["version"] not in ("previous", ALL):
        check_request(params["version"])
    check_places(params["prefix"], params["bin"])
    if not 0 <= params["keep"] <= MOST_KEPT:
        raise ValueError(f"keep must not be negative, and at most {MOST_KEPT}")
    check_seconds("timeout", params["timeout"])
    specifier.read(params["requires"])  # says what is wrong with it before anything is done
    check_options(params)
    return ReleaseRequest(
        version=params["version"],
        state=params["state"],
        prefix=os.path.normpath(params["prefix"]),
        bin=os.path.normpath(params["bin"]),
        keep=params["keep"],
        requires=params["requires"],
        warn_unproven=params["warn_unproven"],
        registry=params["registry"],
        registry_token=params["registry_token"],
        tarballs=read_tarballs(params["tarballs"] or [], params["checksums"] or {}),
        npm=params["npm"],
        probe=trial_identity(params["probe_user"]),
        timeout=params["timeout"],
        environ=dict(os.environ),
    )


def check_places(prefix: str, bin_path: str) -> None:
    """Raises ValueError for a pair that cannot serve."""
    check_path("prefix", prefix)
    check_path("bin", bin_path)
    if os.path.normpath(prefix).strip("/") == "":
        raise ValueError("prefix must be a directory for releases alone, not the root of the file system")
    inside = os.path.relpath(bin_path, prefix).split("/", maxsplit=1)[0]
    if inside in (".", "releases", "staging", "replaced"):
        raise ValueError(f"bin {bin_path} lies where prefix {prefix} keeps its releases: choose another place")


def read_tarballs(paths: list[str], checksums: dict[str, str]) -> list[Tarball]:
    tarballs = []
    for path in paths:
        check_path("tarballs", path)
        checksum = checksums.get(os.path.basename(path))
        if checksum is None:
            raise ValueError(f"checksums has none for {os.path.basename(path)}")
        check_checksum(checksum)
        tarballs.append(Tarball(path, checksum))
    return tarballs


def describe(state: Any) -> str:
    """A state as the lines of a diff."""
    releases = "".join(f"  {version}\n" for version in state["releases"])
    more = {"not as installed": state.get("differs"), "given back": state.get("given_back")}
    rest = "".join(f"{head}:\n" + "".join(f"  {line}\n" for line in lines) for head, lines in more.items() if lines)
    return f"active: {state['active'] or 'none'}\nreleases:\n{releases}{rest}"


def report(store: ReleaseStore) -> dict[str, Any]:
    """What there is now, as RETURN has it."""
    active, users = store.active(), store.users()
    return {
        "releases": [
            {
                "version": release.version,
                "path": release.path,
                "size": trees.size(release.path),
                "active": release.version == active,
                "processes": users[release.version],
            }
            for release in store.releases()
        ],
        "real_path": os.path.realpath(store.bin) if os.path.exists(store.bin) else None,
    }


if __name__ == "__main__":
    main()
