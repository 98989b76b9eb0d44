# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The workspaces that the variables of the role codex_workspaces describe. Ansible only looks whether a variable could
be converted to its type, and hands it on as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.validation import check_type_int
from ansible_collections.alive.codex.plugins.module_utils._formats.names import name_problem

PREFIX = "codex_workspaces_"
_MOST_UIDS = 2**32 - 1


def mappings(what: str, value: Any) -> list[Mapping[str, Any]]:
    """A list of mappings; an empty one for null. Raises ValueError."""
    items = [] if value is None else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, Mapping) for item in items):
        raise ValueError(f"{what} must be a list of mappings, each with a name, and user or uid")
    return list(items)


def names(option: str, value: Any) -> list[str]:
    """Those in a list, or in a text with commas between them, as Ansible reads a list; none for null.

    Raises ValueError.
    """
    if value is None:
        return []
    listed = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple)):
        raise ValueError(f"{PREFIX}{option} must be a list of names")
    for name in listed:
        problem = name_problem(name)
        if problem:
            raise ValueError(f"the name {name!r:.80} in {PREFIX}{option} {problem}")
    return [str(name) for name in listed]


def by_rule(listed: Any, first_uid: Any) -> list[dict[str, Any]]:
    """A workspace for each of ``names``, with its UID. Raises ValueError."""
    found = names("names", listed)
    if len(set(found)) < len(found):
        twice = next(name for number, name in enumerate(found) if name in found[:number])
        raise ValueError(f"the name {twice!r} is in {PREFIX}names twice, so that its UID is not clear")
    try:
        first = 0 if isinstance(first_uid, bool) else check_type_int(first_uid)
    except (TypeError, ValueError, OverflowError):
        first = 0
    if not 0 < first < _MOST_UIDS - len(found):
        raise ValueError(
            f"{PREFIX}first_uid must be a number from 1, and small enough for all names, not {first_uid!r:.40}"
        )
    return [{"name": name, "uid": first + number} for number, name in enumerate(found)]


def wanted(workspaces: Any, of_file: Any, listed: Any, first_uid: Any, removed: Any) -> list[Mapping[str, Any]]:
    """All of them, those that go with the state ``absent``. Raises ValueError."""
    gone = dict.fromkeys(names("removed", removed))
    return [
        *mappings(f"{PREFIX}workspaces", workspaces),
        *mappings(f"the content of {PREFIX}file", of_file),
        *(each for each in by_rule(listed, first_uid) if each["name"] not in gone),
        *({"name": name, "state": "absent"} for name in gone),
    ]
