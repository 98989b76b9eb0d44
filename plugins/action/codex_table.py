# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows a table on the operator's terminal. The module of the same name documents it."""

from __future__ import annotations

from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.alive.codex.plugins.plugin_utils import _table

OPTIONS = ("columns", "rows", "names", "notes", "width")

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        given = self._task.args
        wrong = [f"{name} is missing" for name in ("columns", "rows") if given.get(name) is None]
        wrong += [f"there is no option {name}" for name in given if name not in OPTIONS]
        if wrong:
            raise AnsibleActionFail(f"codex_table: {', '.join(wrong)}")
        names = given.get("names")
        rows = list(given.get("rows") or ())
        if names is not None:
            if len(names) != len(rows):
                raise AnsibleActionFail(f"codex_table: there are {len(names)} names for {len(rows)} rows")
            rows = [{**row, "name": name} for name, row in zip(names, rows, strict=True)]
        columns = [
            _table.Column(column["title"], column["value"], bool(column.get("size")), column.get("missing") or "")
            for column in given["columns"]
        ]
        width = int(given.get("width") or 80)
        lines = _table.table(columns, rows, width)
        for note in filter(None, given.get("notes") or ()):
            lines += _table.wrapped(str(note), width)
        if not self._task.no_log and not _prints_json():
            for line in lines:
                display.display(line)
        return {"changed": False, "lines": lines}


def _prints_json() -> bool:
    """Whether whoever reads the standard output takes it for JSON."""
    return str(C.DEFAULT_STDOUT_CALLBACK).rpartition(".")[2].startswith("json")
