# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for in the way of workspaces, checked before anything is touched. Private to alive.codex. Pure."""

from __future__ import annotations

import re
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from ansible_collections.alive.codex.plugins.module_utils import _toml, _tomldoc, _tomledit

_MAX_ID = (1 << 32) - 2
_MODE = re.compile(r"0?[0-7]{3}")


class Workspace(NamedTuple):
    """One HOME. Its owner is ``user``, or ``uid`` with ``gid``; a workspace to remove needs none."""

    name: str
    present: bool
    user: str | None
    uid: int | None
    gid: int | None
    config: Mapping[str, Any]


class InvalidRequest(ValueError):
    """What is asked for cannot be; lists all that is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(abridged(problems, "; "))


def abridged(items: Sequence[str], separator: str = ", ", limit: int = 10) -> str:
    """A list in words, with a count in place of all but its first items."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return separator.join(items[:limit]) + more


def name_problem(name: Any) -> str | None:
    """Why a text is not one plain component of a path, which the name of a workspace has to be."""
    if not isinstance(name, str) or not name:
        return "is empty"
    if name in (".", ".."):
        return "names a directory that is there already"
    if "/" in name:
        return "has a slash in it"
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        return "has a control character in it"
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return f"has {length} bytes, more than the 255 of a file name" if length > 255 else None


def parse(items: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any]) -> list[Workspace]:
    """The workspaces that a list of mappings (``name``, ``state``, ``user``, ``uid``, ``gid``, ``config``) describes,
    each with its own configuration over ``defaults``. Raises InvalidRequest with everything that is wrong."""
    problems: list[str] = []
    found: dict[str, Workspace] = {}
    default_config = _checked_config({}, defaults, "config", problems)
    for item in items:
        name = item.get("name")
        wrong = name_problem(name)
        if wrong:
            problems.append(f"the workspace name {name!r} {wrong}")
            continue
        assert isinstance(name, str)
        if name in found:
            problems.append(f"the workspace {name!r} is listed twice")
        own = item.get("config")
        config = (
            _checked_config(defaults, own, f"the config of workspace {name!r}", problems) if own else default_config
        )
        present = item.get("state") != "absent"
        user, uid, gid = item.get("user"), item.get("uid"), item.get("gid")
        found[name] = Workspace(name, present, user, uid, gid, config)
        if present and user is None and uid is None:
            problems.append(f"the workspace {name!r} has no owner: give user or uid")
        elif gid is not None and user is None and uid is None:
            problems.append(f"the workspace {name!r} has a gid, but neither user nor uid")
        for what, number in (("uid", uid), ("gid", gid)):
            if number is not None and not 0 < number <= _MAX_ID:
                problems.append(f"the workspace {name!r} cannot have the {what} {number}: 1 to {_MAX_ID} can be given")
    if problems:
        raise InvalidRequest(problems)
    return list(found.values())


def parse_mode(text: str) -> int:
    """A HOME's mode from octal text. Raises InvalidRequest for one that locks its owner out or lets others write."""
    if not _MODE.fullmatch(text):
        raise InvalidRequest([f"the mode {text!r} is not three octal digits, such as '0700' (in quotes)"])
    mode = int(text, 8)
    if mode & 0o700 != 0o700 or mode & 0o022:
        raise InvalidRequest([f"the mode {text!r} must give all to the owner, and writing to nobody else"])
    return mode


def check_root(path: str) -> None:
    """Raises InvalidRequest for a path that is not absolute, or the root of the file system."""
    if not path.startswith("/") or "\0" in path:
        raise InvalidRequest([f"the root {path!r} is not an absolute path"])
    if all(part in ("", ".", "..") for part in path.split("/")):
        raise InvalidRequest([f"the root {path!r} is the root of the file system, and no place for workspaces alone"])


def shared_uids(owners: Iterable[tuple[str, int]]) -> dict[int, list[str]]:
    """The UIDs that more than one of the workspaces, given as (name, uid), have."""
    by_uid: dict[int, list[str]] = {}
    for name, uid in owners:
        by_uid.setdefault(uid, []).append(name)
    return {uid: names for uid, names in by_uid.items() if len(names) > 1}


def _checked_config(
    defaults: Mapping[str, Any], own: Mapping[str, Any] | None, what: str, problems: list[str]
) -> dict[str, Any]:
    merged = _tomledit.merge(defaults, own or {})
    try:
        _tomldoc.parse(_toml.dumps(merged))
    except ValueError as error:
        problems.append(f"{what} cannot be written as TOML: {error}")
    return merged
