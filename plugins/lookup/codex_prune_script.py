# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
name: codex_prune_script
short_description: The pruner as one self-contained file
version_added: "0.1.0"
description:
  - Packs the given script, and the parts of this collection that it imports, into one file that Python runs without
    Ansible, a zip application, and returns the path of that file on the control node.
  - The same collection always gives the same bytes, so that copying the file again changes nothing.
author:
  - Alive maintainers (@alive)
options:
  _terms:
    description: The path of the script on the control node.
    type: list
    elements: path
    required: true
notes:
  - Used by the role P(alive.codex.codex_prune#role). The file lies in Ansible's temporary directory on the control
    node, which goes when the play ends.
"""

EXAMPLES = r"""
- name: Install the pruner
  ansible.builtin.copy:
    src: "{{ lookup('alive.codex.codex_prune_script', role_path ~ '/files/alive_codex_prune.py') }}"
    dest: /usr/local/sbin/alive-codex-prune
    owner: root
    group: root
    mode: "0755"
"""

RETURN = r"""
_raw:
  description: The path of the packed script on the control node.
  type: list
  elements: path
"""

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

PACKAGE = "ansible_collections.alive.codex.plugins.module_utils"
MODULE_UTILS = Path(__file__).resolve().parent.parent / "module_utils"
IMPORT = re.compile(rf"^from {re.escape(PACKAGE)}\.(\w+) import", re.MULTILINE)
SHEBANG = b"#!/usr/bin/python3 -I\n"
EPOCH = (1980, 1, 1, 0, 0, 0)


def imported(source: str) -> set[str]:
    """The names of the shared files that a source needs, and those that they need."""
    found: set[str] = set()
    pending = set(IMPORT.findall(source))
    while pending:
        name = pending.pop()
        found.add(name)
        pending |= set(IMPORT.findall((MODULE_UTILS / f"{name}.py").read_text())) - found
    return found


def pack(script: str) -> bytes:
    """A zip application of the script's source: stored, not compressed, and without times, so that neither the day nor
    the version of zlib shows in it, and a person can read it."""
    members = {"__main__.py": script}
    parts = PACKAGE.split(".")
    members.update({"/".join([*parts[:depth], "__init__.py"]): "" for depth in range(1, len(parts) + 1)})
    members.update({"/".join([*parts, f"{n}.py"]): (MODULE_UTILS / f"{n}.py").read_text() for n in imported(script)})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            member = zipfile.ZipInfo(name, EPOCH)
            member.external_attr = 0o644 << 16
            archive.writestr(member, members[name])
    return SHEBANG + packed.getvalue()


class LookupModule(LookupBase):  # type: ignore[misc]  # Ansible has no types
    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        return [self._written(term) for term in terms]

    def _written(self, script: str) -> str:
        try:
            content = pack(Path(script).read_text())
        except OSError as error:
            raise AnsibleLookupError(f"cannot pack {script}: {error}") from error
        path = Path(constants.DEFAULT_LOCAL_TMP) / f"codex-prune-{hashlib.sha256(content).hexdigest()[:16]}.pyz"
        if not path.exists():
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_bytes(content)
            temporary.rename(path)
        return str(path)
