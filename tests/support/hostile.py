"""Streams of events as an attacker would have the CLI write them, and turns with them."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from hypothesis import strategies as st

from support.settings import TARGET_PYTHON

MIB = 2**20
TEXTS = st.text(st.characters(exclude_categories=[]), max_size=30) | st.sampled_from(
    [
        "\x1b]0;owned\x07",
        "\x1b[2J\x1b[31m",
        "\x9b31m",
        "\u202egnp",
        "a\r\nb",
        "--help",
        "../..",
        "{{ 7 * 7 }}",
        "\0",
        "\ud800",
    ]
)
NUMBERS = st.integers() | st.floats(allow_nan=False) | st.sampled_from([2**63, -(2**63), 10**300, 1e308])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
TYPES = st.sampled_from(
    [
        *("thread.started", "turn.started", "turn.completed", "turn.failed", "error"),
        *("item.started", "item.updated", "item.completed", "item.", "of.the.future"),
    ]
)
ITEM_TYPES = st.sampled_from(
    [
        *("agent_message", "reasoning", "command_execution", "file_change", "mcp_tool_call", "collab_tool_call"),
        *("web_search", "todo_list", "error", "of_the_future"),
    ]
)
ITEM_KEYS = st.sampled_from(
    [
        *(
            "text",
            "command",
            "aggregated_output",
            "exit_code",
            "status",
            "changes",
            "server",
            "tool",
            "error",
            "result",
        ),
        *("agents_states", "query", "action", "items", "message", "id"),
    ]
)
ITEMS = st.builds(lambda kind, more: {"type": kind, **more}, ITEM_TYPES | VALUES, st.dictionaries(ITEM_KEYS, VALUES))
EVENTS = st.builds(
    lambda kind, more: {"type": kind, **more},
    TYPES | VALUES,
    st.fixed_dictionaries(
        {}, optional={"thread_id": VALUES, "usage": VALUES, "error": VALUES, "message": VALUES, "item": ITEMS | VALUES}
    ),
)
SOUND = st.sampled_from(
    [
        b'{"type":"thread.started","thread_id":"01a21cce-5993-72c0-9f0d-1def36ad06c3"}',
        b'{"type":"item.completed","item":{"type":"agent_message","text":"Done."}}',
        b'{"type":"turn.completed","usage":{"input_tokens":1}}',
    ]
)
JUNK = st.binary(max_size=40) | st.sampled_from([b"", b"{", b"null", b"NaN", b'{"a":1}{"a":2}', b"\xef\xbb\xbf{}"])


def _big(head: bytes, unit: bytes, number: int, tail: bytes) -> bytes:
    return head + unit * number + tail


BIG = st.builds(
    lambda shape, size: _big(shape[0], shape[1], size // len(shape[1]), shape[2]),
    st.sampled_from(
        [
            (b'{"type":"item.completed","item":{"a":[[]', b",[]", b"]}}"),
            (b'{"type":"item.completed","item":{"a":[{}', b",{}", b"]}}"),
            (b'{"a":[1', b",1", b"]}"),
            (b'{"a":[""', b',""', b"]}"),
            (b'{"a":{"":0', b',"":0', b"}}"),
            (b'{"type":"item.completed","item":{"type":"agent_message","text":"', b"x", b'"}}'),
            (b'{"type":"item.completed","item":{"type":"agent_message","text":"\xf0\x9f\x98\x80', b"x", b'"}}'),
            (b'{"type":"item.completed","item":{"type":"agent_message","text":"', b"\xff", b'"}}'),
            (b'{"type":"item.completed","item":{"type":"agent_message","text":"', b"\\ud800", b'"}}'),
            (b'{"type":"turn.failed","error":{"message":"', b"\\u001b[", b'"}}'),
            (b'{"type":"error","message":"', b'\\\\\\"', b'"}'),
            (b'{"type":"thread.started","thread_id":"', b"a", b'"}'),
            (b'{"type":"turn.completed","usage":{"input_tokens":', b"9", b"}}"),
            (b'{"a":1.', b"9", b"}"),
            (b"", b"[", b""),
            (b"", b'{"a":', b""),
            (b"1", b"\r1", b""),
            (b"1", b"\n1", b""),
            (b"{}", b"\n{}", b""),
            (b'{"item":{},"type":"item.completed"}', b'\n{"item":{},"type":"item.completed"}', b""),
            (b"", b" ", b"{}"),
        ]
    ),
    st.sampled_from([2_000, 60_000, 900_000]) | st.integers(1, 12 * MIB),
)


def _nested(depth: int, square: bool) -> bytes:
    opener, closer = (b"[", b"]") if square else (b'{"a":', b"}")
    return b'{"type":"item.completed","item":{"a":' + opener * depth + b"1" + closer * depth + b"}}"


NESTED = st.builds(_nested, st.integers(1, 3_000), st.booleans())
ENCODED = st.builds(lambda value: json.dumps(value).encode(), EVENTS | EVENTS | EVENTS | VALUES)
# Most lines are small: with big ones alone, the test would take hours.
LINES = st.one_of(*[ENCODED] * 6, *[SOUND] * 4, JUNK, NESTED)
STREAMS = st.tuples(
    st.lists(LINES, max_size=12) | st.lists(LINES | BIG, max_size=4),
    st.sampled_from([b"\n"] * 6 + [b"\r\n", b"\r"]),
    st.lists(st.floats(0, 1), max_size=3),
)


def pieces(lines: list[bytes], end: bytes, cuts: list[float]) -> list[bytes]:
    """What the CLI writes, in the pieces that it writes it in."""
    whole = b"".join(line + end for line in lines)
    places = sorted({0, *(int(cut * len(whole)) for cut in cuts), len(whole)})
    return [whole[start:stop] for start, stop in itertools.pairwise(places)]


class Turns:
    """Runs turns in a process of a target's Python while its ``with`` block runs: see turn_server.py."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [TARGET_PYTHON, Path(__file__).with_name("turn_server.py")],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / ".cache" / "checkout")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self, **options: Any) -> tuple[dict[str, Any], list[str], int]:
        """The result, the texts that were shown, and the most bytes of memory so far."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(options).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the supervisor died"
        result, shown, memory = json.loads(answer)
        return result, shown, memory

    def __enter__(self) -> Turns:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.communicate(timeout=30)
