# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""A table for a terminal of a given width: plain values in, lines out."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.alive.codex.plugins.module_utils._formats.text import one_line
from ansible_collections.alive.codex.plugins.module_utils._formats.units import format_size

GAP = "  "
ELLIPSIS = "..."
# No column of text gets narrower than this.
NARROWEST = 8
# No line of a text below a table gets longer.
LONGEST = 2000


class Column(NamedTuple):
    """``paths`` are keys of a row, with a dot between those of nested mappings, and numbers in lists: the first that
    leads to something is shown, ``missing`` where none does; of a list, how many are in it. ``size`` shows bytes as
    people write them."""

    title: str
    paths: Sequence[str]
    size: bool = False
    missing: str = ""


def table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """A line of titles, and a line a row, none longer than ``width``, as far as the numbers leave room for that.

    Columns of text share what these leave; what is too long is cut."""
    cells = [[_cell(column, row, width) for column in columns] for row in rows]
    texts = [[column.title, *(str(row[number]) for row in cells)] for number, column in enumerate(columns)]
    numeric = [column.size or _is_numeric(column, [row[n] for row in cells]) for n, column in enumerate(columns)]
    widths = _shared([max(map(_width, column)) for column in texts], numeric, width - len(GAP) * (len(columns) - 1))
    return [GAP.join(map(_fitted, line, widths, numeric)).rstrip() for line in zip(*texts, strict=True)]


def wrapped(text: str, width: int) -> list[str]:
    """A text as lines of at most ``width``; what continues a line of its own is indented."""
    safe = [one_line(line, LONGEST) for line in text.splitlines()]
    return [
        part
        for line in safe
        for part in textwrap.wrap(line, width, subsequent_indent=GAP, break_on_hyphens=False) or [""]
    ]


def _cell(column: Column, row: Mapping[str, Any], width: int) -> str | int | float:
    """What a row has there: a number that is one, any other value as a text that a terminal can be given."""
    for path in column.paths:
        value: Any = row
        for key in path.split("."):
            value = _within(value, key)
        if value is None or value == "":
            continue
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = len(value)
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, int):
            return format_size(value) if column.size else int(value)
        return round(float(value), 1) if isinstance(value, float) else one_line(str(value), width)
    return column.missing


def _within(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, Sequence) and key.isdecimal() and int(key) < len(value):
        return value[int(key)]
    return None


def _is_numeric(column: Column, cells: Sequence[str | int | float]) -> bool:
    filled = [cell for cell in cells if cell != column.missing]
    return bool(filled) and not any(isinstance(cell, str) for cell in filled)


def _shared(wanted: Sequence[int], numeric: Sequence[bool], room: int) -> list[int]:
    """The width of each column. Numbers get what they want; of texts, the long ones get the same share of what is left
    by the short ones."""
    widths = list(wanted)
    room -= sum(width for width, is_number in zip(wanted, numeric, strict=True) if is_number)
    pending = sorted((width, n) for n, width in enumerate(wanted) if not numeric[n])
    while pending:
        width, n = pending.pop(0)
        widths[n] = min(width, max(room // (len(pending) + 1), NARROWEST))
        room -= widths[n]
    return widths


def _fitted(text: str, width: int, is_number: bool) -> str:
    if _width(text) > width:
        while _width(text) > width - len(ELLIPSIS):
            text = text[:-1]
        text += ELLIPSIS
    padding = " " * (width - _width(text))
    return padding + text if is_number else text + padding


def _width(text: str) -> int:
    """The columns of a terminal that a text takes."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
