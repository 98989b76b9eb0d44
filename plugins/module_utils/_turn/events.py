# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Reads the event stream of ``codex exec --experimental-json``, within bounded memory.

An event or item of a type that nobody knows yet is passed through.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

# Strings longer than this are cut once the events outgrow their limit, and to this length.
CUT_LENGTH = 200
# A line longer than this is no event of the CLI's, but an attack on the memory of the host.
LINE_LIMIT = 64 * 1024 * 1024
ERRORS_KEPT = 100
FAILURE_LENGTH = 10_000

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD]")


class BadLine(ValueError):
    """A line that is no JSON."""


def parse_line(line: bytes) -> Any:
    """The value of one line, as JavaScript's ``JSON.parse`` takes it.

    Raises BadLine.
    """
    text = line.decode("utf-8", "replace")
    try:
        value, end = _DECODER.raw_decode(text) if text.startswith("{") else (None, 0)
        if end != len(text):  # white space around it, or no object: rare, and slower
            value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise BadLine(
            f"the CLI wrote a line that is no JSON ({error}): {shorten(line[:2000].decode('utf-8', 'replace'))}"
        ) from None
    # Half a surrogate pair is valid in JSON, but no terminal and no file could hold it.
    return _mend(value) if b"\\u" in line and _ESCAPED_SURROGATE.search(line) else value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _parse_float(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_parse_float)


def _mend(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mend(item) for item in value]
    if isinstance(value, dict):
        return {_mend(key): _mend(item) for key, item in value.items()}
    return value


def shorten(text: str, length: int = CUT_LENGTH) -> str:
    """At most ``length`` characters of a text, and a mark that gives its full length where some are missing."""
    return text if len(text) <= length else f"{text[:length]}... [cut, {len(text)} characters]"


def shorten_strings(value: Any, length: int = CUT_LENGTH) -> Any:
    """The same value with every string in it shortened that is longer."""
    if isinstance(value, str):
        return shorten(value, length)
    if isinstance(value, list):
        return [shorten_strings(item, length) for item in value]
    if isinstance(value, dict):
        return {shorten(key, length): shorten_strings(item, length) for key, item in value.items()}
    return value


class Lines:
    """Cuts a stream of bytes into lines, as Node.js' readline does: at LF, CRLF, or CR alone. Unlike some releases of
    it, not at U+2028, which the CLI writes unescaped inside strings."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def split(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes."""
        lines = chunk.split(b"\n")
        self._parts.append(lines[0])
        self._size += len(lines[0])
        if len(lines) == 1:
            return []
        lines[0] = b"".join(self._parts)
        tail = lines.pop()
        self._parts, self._size = [tail], len(tail)
        return _split_returns(lines) if b"\r" in lines[0] or b"\r" in chunk else lines

    def rest(self) -> list[bytes]:
        """What stands after the last line end."""
        whole = b"".join(self._parts)
        self._parts, self._size = [], 0
        return _split_returns([whole]) if whole else []

    @property
    def overlong(self) -> bool:
        """Whether the line that is not complete yet is too long already."""
        return self._size > LINE_LIMIT


def _split_returns(lines: list[bytes]) -> list[bytes]:
    return [part for line in lines for part in (line[:-1] if line.endswith(b"\r") else line).split(b"\r")]


class Stream:
    """What a turn's events amount to. Feed it every line; memory stays within a few times ``max_bytes``, except for
    the final response, which is never cut.

    ``keep`` is what is kept beyond the summary: ``all`` events, completed ``items`` only, or ``none``. Past
    ``max_bytes`` of JSON, long strings are cut; once a quarter more is used up, further events are only counted in
    ``dropped``.
    """

    def __init__(self, keep: str, max_bytes: int) -> None:
        self.events: list[Any] = []
        self.items: list[Any] = []
        self.errors: list[str] = []
        self.thread_id: str | None = None
        self.final_response = ""
        self.usage: dict[str, Any] | None = None
        self.completed = False
        self.failure: str | None = None
        self.bad_line: str | None = None
        self.count = 0
        self.cut = 0
        self.dropped = 0
        self._keep = keep
        self._max_bytes = max_bytes
        self._used = 0

    def feed(self, line: bytes) -> Any:
        """Takes one line, without its end, and returns its value.

        Raises BadLine.
        """
        try:
            event = parse_line(line)
            if event is None:
                raise BadLine("the CLI wrote a line that is no event: null")
        except BadLine as error:
            self.bad_line = str(error)
            raise
        self.count += 1
        if isinstance(event, dict):
            self._note(event)
        self._store(event, len(line))
        return event

    def _note(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        item = event.get("item")
        if kind == "thread.started":
            self.thread_id = event.get("thread_id")
        elif kind == "turn.completed":
            self.completed = True
            usage = event.get("usage")
            if isinstance(usage, dict):
                if usage.get("cache_write_input_tokens") is None:
                    usage["cache_write_input_tokens"] = 0
                self.usage = usage
        elif kind == "turn.failed" and self.failure is None:
            self.failure = shorten(message_of(event.get("error")), FAILURE_LENGTH)
        elif kind == "error":
            self._note_error(message_of(event))
        elif kind == "item.completed" and isinstance(item, dict):
            if item.get("type") == "agent_message":
                self.final_response = item.get("text") or ""
            elif item.get("type") == "error":
                self._note_error(message_of(item))

    def _note_error(self, message: str) -> None:
        if len(self.errors) < ERRORS_KEPT:
            self.errors.append(shorten(message, 2000))

    def _store(self, event: Any, size: int) -> None:
        is_item = isinstance(event, dict) and event.get("type") == "item.completed" and "item" in event
        copies = is_item + 1 if self._keep == "all" else is_item if self._keep == "items" else 0
        if not copies:
            return
        if self._used + size * copies > self._max_bytes:
            allowance = 0 if self.dropped else self._max_bytes + self._max_bytes // 4 - self._used
            if allowance > 0:
                event = shorten_strings(event)
                size = len(json.dumps(event))
            if size * copies > allowance:
                self.dropped += 1
                return
            self.cut += 1
        self._used += size * copies
        if self._keep == "all":
            self.events.append(event)
        if is_item:
            self.items.append(event["item"])


def message_of(holder: Any) -> str:
    """The text of an error, which the CLI gives by itself or as a mapping's ``message``."""
    message = holder.get("message") if isinstance(holder, dict) else holder
    return message if isinstance(message, str) else json.dumps(message)
