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
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.alive.codex.plugins.module_utils._host.new_files import write_file
from ansible_collections.alive.codex.plugins.plugin_utils import _zipapp


class LookupModule(LookupBase):  # type: ignore[misc]  # Ansible has no types
    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        return [self._written(term) for term in terms]

    def _written(self, script: str) -> str:
        """Packed once in a run, whose temporary directory this is: every host of every play asks for the same."""
        place = hashlib.sha256(os.path.realpath(script).encode()).hexdigest()[:16]
        path = Path(constants.DEFAULT_LOCAL_TMP) / f"codex-prune-{place}.pyz"
        if not path.exists():
            try:
                content = _zipapp.pack(Path(script).read_text(encoding="utf-8"))
            except (OSError, SyntaxError, ValueError, _zipapp.PackError) as error:
                raise AnsibleLookupError(f"cannot pack {script}: {error}") from error
            temporary = path.with_suffix(f".{os.getpid()}")
            write_file(str(temporary), content, 0o600)
            temporary.rename(path)
        return str(path)
