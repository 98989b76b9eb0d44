#!/usr/bin/python
# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows a table. The action of the same name does it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codex_table
short_description: Shows results as a table
version_added: "0.1.0"
description:
  - Prints a table of at most O(width) columns, a line a row, as the playbooks of this collection end with. Texts that
    are too long are cut, and made safe for a terminal.
  - It runs on the control node alone. Where the standard output is JSON, as the callback plugin decides, nothing is
    printed; RV(lines) has the table then.
options:
  columns:
    description: The columns, from left to right.
    type: list
    elements: dict
    required: true
    suboptions:
      title:
        description: The head of the column.
        type: str
        required: true
      value:
        description:
          - Where in a row its value is, as keys with a dot between those of nested mappings, and numbers from 0 in
            lists. The first that is there, and neither null nor empty, is shown; of a list, how many are in it.
        type: list
        elements: str
        required: true
      size:
        description: Whether the value is a number of bytes, to be shown as people write it.
        type: bool
        default: false
      missing:
        description: What is shown where there is no value.
        type: str
        default: ""
  rows:
    description: The rows, each a mapping, such as a registered result.
    type: list
    elements: dict
    required: true
  names:
    description: What each row is about, one for each of O(rows). Columns reach it as C(name).
    type: list
    elements: str
  notes:
    description: Sentences below the table. Empty ones are left out.
    type: list
    elements: str
    default: []
  width:
    description: How many columns the table may take.
    type: int
    default: 80
extends_documentation_fragment:
  - alive.codex.attributes
  - alive.codex.attributes.info_module
author:
  - Alive maintainers (@alive)
"""

EXAMPLES = r"""
- name: Say what each host runs
  alive.codex.codex_table:
    names: "{{ ansible_play_hosts }}"
    rows: "{{ ansible_play_hosts | map('extract', hostvars, 'codex') }}"
    columns:
      - {title: HOST, value: [name]}
      - {title: VERSION, value: [version]}
      - {title: PROBLEMS, value: [msg]}
  run_once: true
"""

RETURN = r"""
lines:
  description: The table and what stands below it, a string a line.
  returned: success
  type: list
  elements: str
  sample: ["workspace  status     seconds", "acme       completed      5.2"]
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "columns": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "title": {"type": "str", "required": True},
                    "value": {"type": "list", "elements": "str", "required": True},
                    "size": {"type": "bool", "default": False},
                    "missing": {"type": "str", "default": ""},
                },
            },
            "rows": {"type": "list", "elements": "dict", "required": True},
            "names": {"type": "list", "elements": "str"},
            "notes": {"type": "list", "elements": "str", "default": []},
            "width": {"type": "int", "default": 80},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="codex_table runs on the control node alone, as the action of a task")


if __name__ == "__main__":
    main()
