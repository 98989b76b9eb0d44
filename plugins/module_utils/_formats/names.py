# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What the name of a workspace may be."""

from __future__ import annotations

import re
from typing import Any

_COMPONENT = re.compile(r"[^/\x00-\x1f\x7f\ud800-\udfff]+")


def name_problem(name: Any) -> str | None:
    """Why a text is not one plain component of a path, which the name of a workspace has to be."""
    if not isinstance(name, str) or not name:
        return "is empty" if name in ("", None) else "is not text"
    if name in (".", ".."):
        return "names a directory that is there already"
    if not _COMPONENT.fullmatch(name):
        return "has a slash or a control character in it, or text that is not valid Unicode"
    length = len(name) if name.isascii() else len(name.encode())
    return f"has {length} bytes, more than the 255 of a file name" if length > 255 else None
