# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
name: codex_status
short_description: The state of a fleet as one document
version_added: "0.1.0"
author:
  - Alive maintainers (@alive)
description:
  - Makes one mapping of what the playbook C(alive.codex.status) registered on each host. Its JSON schema is
    C(playbooks/files/status.schema.json) of this collection.
positional: _input, hosts, available
options:
  _input:
    description: The variables of all hosts, as C(hostvars) has them.
    type: dict
    required: true
  hosts:
    description: The hosts to tell of, in that order.
    type: list
    elements: str
    required: true
  available:
    description: The result of M(alive.codex.codex_tarballs) that says which version there is.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Keep the document
  ansible.builtin.copy:
    content: "{{ hostvars | alive.codex.codex_status(ansible_play_hosts_all, available) | to_json }}"
    dest: /srv/panel/status.json
    mode: "0600"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
_value:
  description: The document.
  type: dict
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.alive.codex.plugins.plugin_utils import _status


def codex_status(
    hostvars: Mapping[str, Mapping[str, Any]], hosts: Sequence[str], available: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return _status.document(hostvars, hosts, available or {}, time.time())


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"codex_status": codex_status}
