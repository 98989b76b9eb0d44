# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What happened to workspaces, small and readable whether it happened to one or to ten thousand.

Workspaces to which the same happened are reported together.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence, TypeVar

from .._formats.text import abridged, counted

# Paths below a HOME that are told.
HOME = "."
CONFIG = ".codex/config.toml"


class Change(NamedTuple):
    """What happened to one path of a workspace, relative to its HOME. ``detail`` is for a diff only: it may show
    values."""

    path: str
    what: str
    detail: str = ""


class Refused(Exception):
    """A workspace is not touched, or not further, for the reason given."""


Key = TypeVar("Key")


def changes_by_kind(changes: Mapping[str, Sequence[Change]]) -> list[dict[str, Any]]:
    """``[{"workspaces": [name, ...], "paths": {path: [what, ...]}}]``, the most frequent first."""
    kinds = {name: tuple((change.path, change.what) for change in each) for name, each in changes.items()}
    return [{"workspaces": names, "paths": _by_path(kind)} for kind, names in _grouped(kinds)]


def failures_by_kind(failures: Mapping[str, str]) -> list[dict[str, Any]]:
    """``[{"workspaces": [name, ...], "msg": why}]``, the most frequent first."""
    return [{"workspaces": names, "msg": why} for why, names in _grouped(failures)]


def diff_text(root_changes: Sequence[Change], changes: Mapping[str, Sequence[Change]]) -> str:
    """Every change with its detail, for ``--diff``."""
    lines = [_line(change) for change in root_changes]
    for kind, names in _grouped({name: tuple(each) for name, each in changes.items()}):
        lines.append(f"{counted(len(names), 'workspace')}: {', '.join(names)}")
        lines += [f"  {_line(change)}" for change in kind]
    return "".join(f"{line}\n" for line in lines)


def failure_text(failures: Mapping[str, str], total: int, changed: int) -> str:
    """All failures in a few sentences, and what was done all the same."""
    kinds = [f"{abridged(names, limit=5)}: {why}" for why, names in _grouped(failures)]
    return (
        f"{len(failures)} of {total} workspaces failed, and stopped no other: {changed} changed."
        f" {abridged(kinds, '; ')}"
    )


def _grouped(kinds: Mapping[str, Key]) -> list[tuple[Key, list[str]]]:
    groups: dict[Key, list[str]] = {}
    for name, kind in kinds.items():
        groups.setdefault(kind, []).append(name)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def _by_path(kind: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    paths: dict[str, list[str]] = {}
    for path, what in kind:
        paths.setdefault(path, []).append(what)
    return paths


def _line(change: Change) -> str:
    return f"{change.path}: {change.what}" + (f" ({change.detail})" if change.detail else "")
