# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""JSON that an attacker may have written: what parsing it takes is bounded, whatever its length and whatever is in it.

A value of three bytes, an empty list, say, takes 64 of memory, and one that is nested deeply is the end of whoever goes
through it by recursion. Both are seen from the text, before it is parsed.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

# With names of members, and brackets for a second time. Parsed, each takes 60 to 100 bytes.
MOST_VALUES = 250_000
DEEPEST = 100
# Decoded, a text takes up to four times its length, as soon as one character takes four bytes; its value as many again.
# One of ASCII takes its length.
LONGEST_WIDE = 8 * 1024 * 1024
# Beyond that, a number is more than JavaScript knows.
_MOST_DIGITS = 309

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# As a set, the first character is looked for alone, which takes a third of the time.
_ESCAPED_SURROGATE = re.compile(rb"[\\]u[dD]")
_ESCAPED_WIDE = re.compile(rb"[\\]u(?!00)")
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


class TooMuch(Exception):
    """It may be JSON, but takes too much to be parsed; says why."""


def parse(data: bytes) -> Any:
    """The value of a text, as JavaScript's ``JSON.parse`` takes it. What is no UTF-8 is replaced; a number that
    JavaScript has no finite one for is null.

    Raises ValueError for what is no JSON, and TooMuch.
    """
    if len(data) > LONGEST_WIDE and _is_wide(data):
        raise TooMuch(f"it has more than {LONGEST_WIDE} bytes, and other characters than ASCII")
    # What replace leaves out it finds several times as fast as count does, unless there is much of it.
    rest = len(data.replace(b"[", b"", DEEPEST + 1)) + len(data.replace(b"{", b"", DEEPEST + 1))
    if len(data) > MOST_VALUES or 2 * len(data) - rest > DEEPEST:
        _check(data)
    text = data.decode("utf-8", "replace")
    try:
        if text.startswith("{"):
            value, end = _DECODER.raw_decode(text)
            if end != len(text) and text[end:].strip(" \t\r\n"):
                raise ValueError(f"something follows it at character {end}")
        else:  # white space before it, or no object: rare, and slower
            value = _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError(str(error)) from None
    del text
    # Half a surrogate pair is valid in JSON, but no terminal and no file could hold it.
    return _mend(value) if _ESCAPED_SURROGATE.search(data) else value


def _is_wide(data: bytes) -> bool:
    """Whether a character of it, once decoded, may take more than a byte."""
    return not data.isascii() or (b"\\u" in data and bool(_ESCAPED_WIDE.search(data.replace(b"\\\\", b""))))


def _check(data: bytes) -> None:
    """Raises TooMuch, or ValueError for what is no JSON for certain. Counts what is outside strings, with what finds
    and replaces bytes quickly, and goes through brackets alone one by one."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    quotes = data.count(b'"')
    if quotes <= 2 * MOST_VALUES:
        outside = b"".join(data.split(b'"')[::2])
        brackets = outside.translate(None, _NO_BRACKET)
        if outside.count(b",") + outside.count(b":") + len(brackets) // 2 <= MOST_VALUES:
            _check_depth(brackets)
            return
    raise TooMuch(f"it holds more than {MOST_VALUES} values and names")


def _check_depth(brackets: bytes) -> None:
    depth = deepest = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        message = f"it is nested more than {DEEPEST} deep"
        if depth:
            raise ValueError(f"{message}, and its brackets do not match")
        raise TooMuch(message)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _parse_float(text: str) -> float | None:
    number = float(text) if len(text) < MOST_VALUES else math.inf
    return number if math.isfinite(number) else None


def _parse_int(text: str) -> int | None:
    return int(text) if len(text) <= _MOST_DIGITS else None


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_parse_float, parse_int=_parse_int)


def _mend(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mend(item) for item in value]
    if isinstance(value, dict):
        return {_mend(key): _mend(item) for key, item in value.items()}
    return value
