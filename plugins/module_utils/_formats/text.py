# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Texts for people: numbers and lists of things in words, and what anybody may have written, made fit to be shown."""

from __future__ import annotations

import re
from typing import Sequence

# The most that one message holds of whatever it tells of.
MESSAGE_LENGTH = 2000

_DOUBTFUL = re.compile(r"[^\n\t -~]")


def clean(text: str, length: int = MESSAGE_LENGTH) -> str:
    """A text that anybody may have written, as a terminal, a log or a mail can be given it.

    Of control characters it holds line ends and tabs alone, and no formatting characters: others are escaped. Where it
    would be longer than ``length``, it ends in a mark that says so.
    """
    safe = _DOUBTFUL.sub(_escaped, text[:length].replace("\r\n", "\n"))
    if len(text) <= length and len(safe) <= length:
        return safe
    mark = f"... [cut, {len(text)} characters]"
    return safe[: length - len(mark)] + mark


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")


def _blotted(match: re.Match[str]) -> str:
    return match[0] if match[0].isprintable() else "?"


def shorten(text: str, length: int) -> str:
    """At most ``length`` characters of a text, and a mark that gives its full length where some are missing."""
    return text if len(text) <= length else f"{text[:length]}... [cut, {len(text)} characters]"


def one_line(text: str, length: int) -> str:
    """One clean line, of at most ``length`` characters, with blanks for line ends and marks for what does not fit."""
    line = _DOUBTFUL.sub(_blotted, " ".join(text[: 2 * length].split()))
    return line if len(line) <= length and len(text) <= 2 * length else f"{line[: length - 3]}..."


def counted(number: int, thing: str) -> str:
    """``1 session``, ``2 sessions``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def first_of(texts: Sequence[str], limit: int, thing: str) -> list[str]:
    """The first ``limit`` of them, and in one more how many others there are: ``and 3 more problems``."""
    more = len(texts) - limit
    return [*texts[:limit], *([f"and {counted(more, f'more {thing}')}"] if more > 0 else [])]


def abridged(items: Sequence[str], separator: str = ", ", limit: int = 10) -> str:
    """A list, with a count in place of all but its first items."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return separator.join(items[:limit]) + more
