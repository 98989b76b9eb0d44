# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Reads TOML with the place of everything in the text, so that it can be edited.

Source: the TOML 1.1.0 specification, by which the CLI reads, with a byte order mark where one begins a file. The
standard library reads TOML from Python 3.11 on only, none of 1.1, and says of no value where it stands. The text may be
hostile: depth is bounded, and the time is linear in its length.
"""

from __future__ import annotations

import datetime
import re
from typing import Any, Callable, NamedTuple, NoReturn

MAX_DEPTH = 80  # as for the CLI

_CONTROL = "\\x00-\\x08\\x0b-\\x1f\\x7f"
_SPACE = re.compile(r"[ \t]*")
_END_OF_LINE = re.compile(rf"[ \t]*(?:#[^{_CONTROL}\n]*)?(?:\r?\n|\Z)")
_BLANK = re.compile(rf"(?:[ \t]|\r?\n|#[^{_CONTROL}\n]*(?=\r?\n|\Z))*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(rf'"((?:[^"\\{_CONTROL}\n]|\\[^\n])*)"')
_LITERAL = re.compile(rf"'([^'{_CONTROL}\n]*)'")
_BASIC_LINES = re.compile(rf'"""(?:\r?\n)?((?:[^"\\{_CONTROL}]|\r\n|\\(?:\r\n|[^\r])|"{{1,2}}(?!"))*"{{0,2}})"""')
_LITERAL_LINES = re.compile(rf"'''(?:\r?\n)?((?:[^'{_CONTROL}]|\r\n|'{{1,2}}(?!'))*'{{0,2}})'''")
_ESCAPE = re.compile(r'\\(?:([btnfre"\\])|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|[ \t]*\n[ \t\n]*|)')
_ESCAPES = {"e": "\x1b", "b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}
_DATE = r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d+))?)?"
_MOMENT = re.compile(rf"(?:{_DATE}(?:[Tt ]{_TIME}(?P<zone>[Zz]|[+-]\d\d:\d\d)?)?)|{_TIME.replace('<', '<local_')}")
_FLOAT = re.compile(
    r"[+-]?(?:inf|nan|(?:0|[1-9](?:_?\d)*)(?:\.\d(?:_?\d)*(?:[eE][+-]?\d(?:_?\d)*)?|[eE][+-]?\d(?:_?\d)*))"
)
_INTEGER = re.compile(
    r"0x[0-9A-Fa-f](?:_?[0-9A-Fa-f])*|0o[0-7](?:_?[0-7])*|0b[01](?:_?[01])*|[+-]?(?:0|[1-9](?:_?[0-9])*)"
)
_BOOLEAN = re.compile(r"true|false")


class TomlError(ValueError):
    """The text is not TOML; says in which line."""


class Table(dict):  # type: ignore[type-arg]  # Python 3.8 has no dict[...]
    """A table, with how it came to be, which decides how it may grow: ``header`` ([a]), ``above`` (the a of [a.b]),
    ``dotted`` (the a of a.b = 1) or ``inline`` ({...})."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how


class TableArray(list):  # type: ignore[type-arg]  # as above
    """What [[a]] makes; a plain list is an inline array."""


class Value(NamedTuple):
    """A value, and where it stands. ``pairs`` are those of an inline table, None for all other values."""

    start: int
    end: int
    data: Any
    pairs: list[Pair] | None = None


class Pair(NamedTuple):
    """``key = value``. ``path`` is the whole one from the top; ``start`` is the key's."""

    path: tuple[str, ...]
    start: int
    value: Value


class Section(NamedTuple):
    """A header and the pairs below it; the first one has no header. ``start`` and ``end`` are the header's line."""

    path: tuple[str, ...]
    is_array: bool
    start: int
    end: int
    pairs: list[Pair]


class Document(NamedTuple):
    """``comments`` are those on lines of their own, each as the span of its line."""

    text: str
    data: Table
    sections: list[Section]
    comments: list[tuple[int, int]]


def parse_toml(text: str) -> Document:
    """Reads a document.

    Raises TomlError.
    """
    return _Reader(text).document()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def document(self) -> Document:
        data = Table("header")
        self.at = int(self.text.startswith("\ufeff"))
        sections = [Section((), False, self.at, self.at, [])]
        comments = []
        current: Table = data
        while self.at < len(self.text):
            start = self.at
            self.space()
            if self.follows("#"):
                self.end_of_line()
                comments.append((start, self.at))
            elif self.follows("["):
                section, current = self.header(start, data)
                sections.append(section)
            elif not self.blank_line():
                section = sections[-1]
                pair = self.pair(section.path, current)
                self.end_of_line()
                section.pairs.append(pair)
        return Document(self.text, data, sections, comments)

    # Lines

    def blank_line(self) -> bool:
        match = _END_OF_LINE.match(self.text, self.at)
        if match:
            self.at = match.end()
        return bool(match)

    def end_of_line(self) -> None:
        if not self.blank_line():
            self.fail("the line should end here")

    def header(self, start: int, data: Table) -> tuple[Section, Table]:
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        path = self.key()
        self.expect("]]" if is_array else "]")
        table = data
        for part in path[:-1]:
            table = self.step(table, part, "above")
        last = path[-1]
        present = table.get(last)
        if is_array:
            if present is None:
                present = table[last] = TableArray()
            if not isinstance(present, TableArray):
                self.fail(f"{last!r} is something else already")
            found = Table("header")
            present.append(found)
        elif present is None:
            found = table[last] = Table("header")
        elif isinstance(present, Table) and present.how == "above":
            found = present
            found.how = "header"
        else:
            self.fail(f"{last!r} is there already")
        self.end_of_line()
        return Section(path, is_array, start, self.at, []), found

    def step(self, table: Table, part: str, how: str) -> Table:
        """The table below ``table`` that a header or a dotted key goes through, made where there is none."""
        present = table.get(part)
        if present is None:
            present = table[part] = Table(how)
        elif isinstance(present, TableArray) and how == "above":
            present = present[-1]
        elif not isinstance(present, Table) or present.how == "inline":
            self.fail(f"{part!r} is no table that could be extended")
        elif how == "dotted" and present.how == "header":
            self.fail(f"{part!r} is a table with a header of its own")
        return present

    def pair(self, base: tuple[str, ...], table: Table) -> Pair:
        start = self.at
        path = self.key()
        self.expect("=")
        self.space()
        value = self.value((*base, *path))
        for part in path[:-1]:
            table = self.step(table, part, "dotted")
        if path[-1] in table:
            self.fail(f"{path[-1]!r} is there already")
        table[path[-1]] = value.data
        return Pair((*base, *path), start, value)

    # Keys

    def key(self) -> tuple[str, ...]:
        parts = []
        while True:
            self.space()
            bare = _BARE_KEY.match(self.text, self.at)
            if bare:
                parts.append(bare.group())
                self.at = bare.end()
            elif self.follows('"'):
                parts.append(self.basic(_BASIC))
            elif self.follows("'"):
                parts.append(self.take(_LITERAL, "a quoted key ends on its line").group(1))
            else:
                self.fail("a key should stand here")
            if len(parts) > MAX_DEPTH:
                self.fail(f"a key has more than {MAX_DEPTH} parts")
            self.space()
            if not self.follows("."):
                return tuple(parts)
            self.at += 1

    # Values

    def value(self, path: tuple[str, ...]) -> Value:
        start = self.at
        pairs = None
        data: Any
        if self.follows("{"):
            data, pairs = self.inline_table(path)
        elif self.follows("["):
            data = self.array()
        else:
            data = self.scalar()
        return Value(start, self.at, data, pairs)

    def inline_table(self, path: tuple[str, ...]) -> tuple[Table, list[Pair]]:
        table = Table("inline")
        pairs: list[Pair] = []
        self.descend()
        self.skip_blank()
        while not self.follows("}"):
            pairs.append(self.pair(path, table))
            self.skip_blank()
            if not self.follows(","):
                break
            self.at += 1
            self.skip_blank()
        self.expect("}")
        self.depth -= 1
        return table, pairs

    def array(self) -> list[Any]:
        items = []
        self.descend()
        self.skip_blank()
        while not self.follows("]"):
            items.append(self.value(()).data)
            self.skip_blank()
            if not self.follows(","):
                break
            self.at += 1
            self.skip_blank()
        self.expect("]")
        self.depth -= 1
        return items

    def descend(self) -> None:
        self.at += 1
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"values are nested more than {MAX_DEPTH} deep")

    def scalar(self) -> Any:
        if self.follows('"""'):
            return self.basic(_BASIC_LINES)
        if self.follows('"'):
            return self.basic(_BASIC)
        if self.follows("'''"):
            return (
                self.take(_LITERAL_LINES, "a string has no end, or a control character in it")
                .group(1)
                .replace("\r\n", "\n")
            )
        if self.follows("'"):
            return self.take(_LITERAL, "a string has no end, or a control character in it").group(1)
        for pattern, convert in _SCALARS:
            match = pattern.match(self.text, self.at)
            if match:
                try:
                    data = convert(match)
                except ValueError as error:
                    self.fail(str(error))
                self.at = match.end()
                return data
        return self.fail("a value should stand here")

    def basic(self, pattern: re.Pattern[str]) -> str:
        match = self.take(pattern, "a string has no end, or a control character in it")
        return _ESCAPE.sub(self.unescape, match.group(1).replace("\r\n", "\n"))

    def unescape(self, match: re.Match[str]) -> str:
        short, *codes = match.groups()
        if short:
            return _ESCAPES[short]
        digits = next(filter(None, codes), None)
        if digits:
            code = int(digits, 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                self.fail(f"{match.group()} is no character")
            return chr(code)
        if match.group() == "\\":
            self.fail("a string has a backslash that escapes nothing")
        return ""

    # Text

    def follows(self, token: str) -> bool:
        return self.text.startswith(token, self.at)

    def expect(self, token: str) -> None:
        if not self.follows(token):
            self.fail(f"{token!r} should stand here")
        self.at += len(token)

    def take(self, pattern: re.Pattern[str], complaint: str) -> re.Match[str]:
        match = pattern.match(self.text, self.at)
        if not match:
            self.fail(complaint)
        self.at = match.end()
        return match

    def space(self) -> None:
        self.take(_SPACE, "")

    def skip_blank(self) -> None:
        self.take(_BLANK, "")

    def fail(self, complaint: str) -> NoReturn:
        """Says nothing of the text itself: it may hold a secret."""
        line = self.text.count("\n", 0, self.at) + 1
        raise TomlError(f"line {line} is not TOML: {complaint}")


def _moment(match: re.Match[str]) -> datetime.date | datetime.time | datetime.datetime | str:
    parts = match.groupdict()
    if parts["local_hour"]:
        return datetime.time(*_clock(parts, "local_"))
    if parts["year"] == "0000":
        return match.group()  # which Python does not have, and nobody computes with
    date = datetime.date(int(parts["year"]), int(parts["month"]), int(parts["day"]))
    if not parts["hour"]:
        return date
    zone = parts["zone"]
    offset = None
    if zone in ("Z", "z"):
        offset = datetime.timezone.utc
    elif zone:
        sign, hours, minutes = zone[0], int(zone[1:3]), int(zone[4:])
        if hours > 23 or minutes > 59:
            raise ValueError("a time zone is out of its range")
        delta = datetime.timedelta(hours=hours, minutes=minutes)
        offset = datetime.timezone(-delta if sign == "-" else delta)
    return datetime.datetime.combine(date, datetime.time(*_clock(parts, ""), tzinfo=offset))


def _clock(parts: dict[str, str], prefix: str) -> tuple[int, int, int, int]:
    fraction = (parts[f"{prefix}fraction"] or "")[:6].ljust(6, "0")
    hour, minute, second = (int(parts[prefix + name] or 0) for name in ("hour", "minute", "second"))
    return hour, minute, 59 if second == 60 else second, int(fraction)  # Python has no leap second


def _integer(match: re.Match[str]) -> int:
    digits = match.group().replace("_", "")
    if len(digits) > 70:
        raise ValueError("an integer has more than 64 bits")
    number = int(digits, 10 if digits.lstrip("+-").isdecimal() else 0)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("an integer has more than 64 bits")
    return number


_SCALARS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Any]], ...] = (
    (_BOOLEAN, lambda match: match.group() == "true"),
    (_MOMENT, _moment),
    (_FLOAT, lambda match: float(match.group().replace("_", ""))),
    (_INTEGER, _integer),
)
