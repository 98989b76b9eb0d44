# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Reads the event stream of ``codex exec --experimental-json``, within bounded memory.

An event or item of a type that nobody knows yet is passed through.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .._formats import bounded_json
from .._formats.text import shorten
from .outcome import FAILURE_LENGTH

# Strings longer than this are cut once the events outgrow their limit, and to this length.
CUT_LENGTH = 200
# A line longer than this is no event of the CLI's, but an attack on the memory of the host. For events_path, it is held
# whole, and twice while its end is put to it; it is parsed only as far as bounded_json goes.
LINE_LIMIT = 64 * 1024 * 1024
# Where a line is looked at that is not parsed.
_HEAD = 1000
ERRORS_KEPT = 100

# What is passed on to the CLI again, as an argument: a UUID today.
_THREAD_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.:-]{0,127}")
_MOST_COUNTS = 50
_LONGEST_NAME = 100


class BadLine(ValueError):
    """A line that is no JSON."""


def parse_line(line: bytes) -> Any:
    """The value of one line.

    Raises BadLine, and bounded_json.TooMuch.
    """
    try:
        return bounded_json.parse(line)
    except ValueError as error:
        text = shorten(line[:2000].decode("utf-8", "replace"), CUT_LENGTH)
        raise BadLine(f"the CLI wrote a line that is no JSON ({error}): {text}") from None


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
        self._begun = bytearray()
        self._after_return = False

    def split(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes."""
        if self._after_return and chunk:
            chunk = chunk[1:] if chunk.startswith(b"\n") else chunk
            self._after_return = False
        if b"\r" in chunk:
            self._after_return = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        tail = lines.pop()
        if lines and self._begun:
            self._begun += lines[0]
            lines[0] = bytes(self._begun)
            self._begun = bytearray()
        self._begun += tail
        return lines

    def rest(self) -> list[bytes]:
        """What stands after the last line end."""
        whole, self._begun = bytes(self._begun), bytearray()
        return [whole] if whole else []

    @property
    def overlong(self) -> bool:
        """Whether the line that is not complete yet is too long already."""
        return len(self._begun) > LINE_LIMIT


class Stream:
    """What a turn's events amount to. Feed it every line; memory stays within a few times ``max_bytes``, except for
    the final response, which is never cut.

    ``keep`` is what is kept beyond the summary: ``all`` events, completed ``items`` only, or ``none``. Past
    ``max_bytes`` of JSON, long strings are cut; once a quarter more is used up, further events are only counted in
    ``dropped``.

    Whoever controls the turn's processes may have written it: what is told of by name has the type and size that it
    should, or is left out, and named in ``strange``; ``unread`` events took too much to be parsed.
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
        self.unread: list[str] = []
        self.strange: set[str] = set()
        self._keep = keep
        self._max_bytes = max_bytes
        self._used = 0

    def feed(self, line: bytes) -> Any:
        """Takes one line, without its end, and returns its value; None where it takes too much to be parsed.

        Raises BadLine.
        """
        try:
            event = parse_line(line)
            if event is None:
                raise BadLine("the CLI wrote a line that is no event: null")
        except BadLine as error:
            self.bad_line = str(error)
            raise
        except bounded_json.TooMuch as error:
            if b'"agent_message"' in line[:_HEAD]:  # without it, an older message would pass for the response
                self.bad_line = f"the CLI wrote a message of the agent that cannot be read: {error}"
                raise BadLine(self.bad_line) from None
            self.count += 1
            self.dropped += 1
            if len(self.unread) < ERRORS_KEPT:
                self.unread.append(str(error))
            return None
        self.count += 1
        item = self._note(event) if isinstance(event, dict) else None
        self._store(event, item, len(line))
        return event

    def _note(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Its item, where it completes one."""
        kind = event.get("type")
        if kind == "item.completed":
            item = event.get("item")
            if not isinstance(item, dict):
                return None
            if item.get("type") == "agent_message":
                self.final_response = self._text(item.get("text"))
            elif item.get("type") == "error":
                self._note_error(message_of(item))
            return item
        if kind == "thread.started":
            self.thread_id = self._thread_id(event.get("thread_id")) or self.thread_id
        elif kind == "turn.completed":
            self.completed = True
            self.usage = self._counts(event.get("usage"))
        elif kind == "turn.failed" and self.failure is None:
            self.failure = shorten(message_of(event.get("error")), FAILURE_LENGTH)
        elif kind == "error":
            self._note_error(message_of(event))
        return None

    def _thread_id(self, value: Any) -> str | None:
        if isinstance(value, str) and _THREAD_ID.fullmatch(value):
            return value
        self.strange.add("thread_id")
        return None

    def _text(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        if value is not None:
            self.strange.add("final_response")
        return ""

    def _counts(self, value: Any) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            if value is not None:
                self.strange.add("usage")
            return None
        counts = {name: count for name, count in value.items() if len(name) <= _LONGEST_NAME and _is_count(count)}
        if len(counts) > _MOST_COUNTS:
            counts = {}
        if counts.keys() != value.keys():
            self.strange.add("usage")
        return {**counts, "cache_write_input_tokens": counts.get("cache_write_input_tokens") or 0}

    def _note_error(self, message: str) -> None:
        if len(self.errors) < ERRORS_KEPT:
            self.errors.append(shorten(message, 2000))

    def _store(self, event: Any, item: dict[str, Any] | None, size: int) -> None:
        copies = (self._keep == "all") + (item is not None and self._keep != "none")
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
        if item is not None:
            self.items.append(event["item"])


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**63)


def message_of(holder: Any) -> str:
    """The text of an error, which the CLI gives by itself or as a mapping's ``message``."""
    message = holder.get("message") if isinstance(holder, dict) else holder
    return message if isinstance(message, str) else json.dumps(message)
