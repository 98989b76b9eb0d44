# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
name: codex_status_page
short_description: The state of a fleet as an HTML page
version_added: "0.1.0"
author:
  - Alive maintainers (@alive)
description:
  - Makes one HTML page of the document that P(alive.codex.codex_status#filter) makes. It is self-contained and loads
    nothing from anywhere.
options:
  _input:
    description: The document.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Make a page of a document that was kept
  ansible.builtin.copy:
    content: "{{ lookup('ansible.builtin.file', 'status.json') | from_json | alive.codex.codex_status_page }}"
    dest: /srv/panel/status.html
    mode: "0600"
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.alive.codex.plugins.plugin_utils import _status_page


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"codex_status_page": _status_page.page}
