# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What is asked for in the way of workspaces, checked before anything is touched."""

from __future__ import annotations

import json
import re
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from .._formats import packing, toml, toml_document
from .._formats.mappings import merge
from .._formats.names import name_problem
from .._formats.text import abridged

_MAX_ID = (1 << 32) - 2
KEYS = {"name", "state", "user", "uid", "gid", "config"}
_MODE = re.compile(r"0?[0-7]{3}")
# Python reads no number of more than 4300 digits, and takes digits of every script for one.
_NUMBER = re.compile("[0-9]{1,10}")


class WantedWorkspace(NamedTuple):
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


def read_workspaces_json(text: str, defaults: Mapping[str, Any]) -> list[WantedWorkspace]:
    """``read_workspaces`` for JSON text, as it is or packed."""
    try:
        items = json.loads(packing.unpack(text))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest([f"the workspaces are not valid JSON: {error}"]) from None
    return read_workspaces(items, defaults)


def read_workspaces(items: Any, defaults: Mapping[str, Any]) -> list[WantedWorkspace]:
    """The workspaces that a list of mappings (``name``, ``state``, ``user``, ``uid``, ``gid``, ``config``) describes,
    each with its own configuration over ``defaults``.

    Raises InvalidRequest with everything that is wrong.
    """
    if not isinstance(items, (list, tuple)):
        raise InvalidRequest([f"the workspaces are not a list, but {type(items).__name__}"])
    problems: list[str] = []
    found: dict[str, WantedWorkspace] = {}
    default_config = _checked_config(defaults, "config", problems)
    for item in items:
        if not isinstance(item, dict):
            problems.append(f"a workspace is a mapping, not {item!r}")
            continue
        name = item.get("name")
        wrong = name_problem(name)
        if wrong or name is None:
            problems.append(f"the workspace name {name!r} {wrong}")
        elif name in found:
            problems.append(f"the workspace {name!r} is listed twice")
        else:
            found[name] = _parse_one(name, item, defaults, default_config, problems)
    if problems:
        raise InvalidRequest(problems)
    return list(found.values())


def _parse_one(
    name: str,
    item: Mapping[str, Any],
    defaults: Mapping[str, Any],
    default_config: Mapping[str, Any],
    problems: list[str],
) -> WantedWorkspace:
    get = item.get
    if not item.keys() <= KEYS:
        problems.append(
            f"the workspace {name!r} has {abridged(sorted(map(str, item.keys() - KEYS)))}, which is unknown"
        )
    state = get("state") or "present"
    user = get("user")
    uid = _number(name, "uid", get("uid"), problems)
    gid = _number(name, "gid", get("gid"), problems)
    if state != "present" and state != "absent":
        problems.append(f"the workspace {name!r} cannot be {state!r}: state is present or absent")
    if user is None:
        if state == "present" and get("uid") is None:
            problems.append(f"the workspace {name!r} has no owner: give user or uid")
    elif not isinstance(user, str) or not user.isprintable() or not user:
        problems.append(f"the workspace {name!r} cannot have the user {user!r}: give a name, or uid for a number")
    config = default_config
    own = get("config")
    if own is None:
        pass
    elif isinstance(own, dict):
        config = _checked_config(merge(defaults, own), f"the config of workspace {name!r}", problems)
    else:
        problems.append(f"the config of workspace {name!r} is no mapping")
    return WantedWorkspace(name, state == "present", user, uid, gid, config)


def _number(name: str, what: str, value: Any, problems: list[str]) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and value is not True and 0 < value <= _MAX_ID:
        return value
    problems.append(
        f"the workspace {name!r} cannot have the {what} {value!r:.40}: a number from 1 to {_MAX_ID} is needed"
    )
    return None


def parse_mode(text: str) -> int:
    """A HOME's mode from octal text.

    Raises InvalidRequest for one that locks its owner out or lets others write.
    """
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
    first: dict[int, str] = {}
    shared: dict[int, list[str]] = {}
    for name, uid in owners:
        if first.setdefault(uid, name) != name:
            shared.setdefault(uid, [first[uid]]).append(name)
    return shared


def _checked_config(config: Mapping[str, Any], what: str, problems: list[str]) -> Mapping[str, Any]:
    try:
        toml_document.parse_toml(toml.dumps(config))
    except ValueError as error:
        problems.append(f"{what} cannot be written as TOML: {error}")
    return config
