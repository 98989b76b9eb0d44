# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The copies of what a file in /etc/codex was before it was replaced or merged with, and the way back through them."""

from __future__ import annotations

import glob
from datetime import datetime, timezone
from typing import NamedTuple, Sequence

from .._formats import toml_edit
from .._formats.toml_document import TomlError
from .policy_files import PolicyFile, look, without_ours

_MARK = ".replaced-"


class WayBack(NamedTuple):
    """What a file is to be without us. ``text`` is None where there is to be none, and ``copy`` the one that holds it,
    if one does. ``passed`` are copies on the way, which hold something of ours."""

    text: str | None
    copy: str | None
    passed: Sequence[str]


def name_of_copy(path: str) -> str:
    """The name of a copy of the file as it is now: later ones sort after it."""
    return path + _MARK + datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")


def copies_of(path: str) -> list[PolicyFile]:
    """The newest first.

    Raises ValueError for what is no text file, or OSError.
    """
    return [look(name) for name in sorted(glob.glob(glob.escape(path + _MARK) + "*"), reverse=True)]


def way_back(file: PolicyFile, copies: Sequence[PolicyFile]) -> WayBack:
    """Goes back from copy to copy until one holds nothing of ours, as far as each is what the next was made of: a file
    that somebody has changed since we merged with it keeps that change, and loses our keys alone."""
    at = file
    passed: list[str] = []
    for copy in copies:
        if without_ours(at) == at.text or not _made_of(at, copy):
            break
        at = copy
        passed.append(copy.path)
    text = without_ours(at)
    whole = at.path if passed and text == at.text else None
    return WayBack(text, whole, [path for path in passed if path != whole])


def _made_of(file: PolicyFile, copy: PolicyFile) -> bool:
    """Whether what is ours in a file, set in a copy, makes that file."""
    if file.ours:
        return True
    try:
        return toml_edit.edit(copy.text or "", toml_edit.managed(file.text or "")).text == file.text
    except (TomlError, ValueError):
        return False
