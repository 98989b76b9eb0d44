"""The event stream: what it amounts to, within bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.module_utils._turn import events
from ansible_collections.alive.codex.plugins.module_utils._turn.describe import describe, terminal_line
from hypothesis import given
from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_categories=[]), max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def feed(stream: events.Stream, *events: Any) -> events.Stream:
    for event in events:
        stream.feed(json.dumps(event).encode())
    return stream


def message(text: str) -> dict[str, Any]:
    return {"type": "item.completed", "item": {"id": "a", "type": "agent_message", "text": text}}


@given(
    st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"")), min_size=1),
    st.data(),
)
def test_lines_are_the_same_wherever_the_stream_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"\n".join(lines)
    cutter = events.Lines()
    found = []
    while whole:
        size = data.draw(st.integers(1, len(whole)))
        found += cutter.split(whole[:size])
        whole = whole[size:]
    found += cutter.rest()
    assert found == (lines if lines[-1] else lines[:-1])


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_javascript_counts(end: bytes) -> None:
    cutter = events.Lines()
    assert cutter.split(b"1" + end + b"2" + end) + cutter.rest() == [b"1", b"2"]


@given(st.lists(VALUES, max_size=5), st.sampled_from(["all", "items", "none"]), st.integers(1, 2000))
def test_any_json_passes_and_the_result_can_be_sent(values: list[Any], keep: str, limit: int) -> None:
    stream = events.Stream(keep, limit)
    for value in values:
        if value is not None:
            stream.feed(json.dumps(value).encode())
            assert describe(value) is None or isinstance(describe(value, verbose=True), str)
    json.dumps([stream.events, stream.items, stream.errors], allow_nan=False, ensure_ascii=False).encode()


@given(st.lists(st.integers(0, 400), max_size=60), st.integers(200, 5000), st.sampled_from(["all", "items"]))
def test_the_limit_holds_and_nothing_goes_unsaid(sizes: list[int], limit: int, keep: str) -> None:
    stream = feed(events.Stream(keep, limit), *(message("x" * size) for size in sizes))
    kept = sum(len(json.dumps(value)) for value in (*stream.events, *stream.items))
    assert kept <= limit * 1.25
    assert stream.count == len(sizes) and len(stream.items) + stream.dropped == len(sizes)
    assert stream.final_response == "x" * (sizes[-1] if sizes else 0)


def test_a_cut_string_gives_its_full_length() -> None:
    stream = feed(events.Stream("all", 1000), message("y" * 5000))
    assert stream.items[0]["text"] == "y" * 200 + "... [cut, 5000 characters]"
    assert (stream.cut, stream.final_response) == (1, "y" * 5000)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"null", b"NaN", b'{"a": Infinity}', b'"\x01"', b"[" * 100_000, b"1" * 5000 + b"x"]
)
def test_what_is_no_json_is_told(line: bytes) -> None:
    stream = events.Stream("all", 1000)
    with pytest.raises(events.BadLine):
        stream.feed(line)
    assert stream.bad_line


def test_what_python_and_terminals_cannot_hold_is_mended() -> None:
    assert events.parse_line(rb'{"a": "\ud800", "b": 1e999}') == {"a": "\ufffd", "b": None}
    assert events.parse_line(b'"\\ud83d\\ude00 \xff"') == "😀 \ufffd"


def test_errors_are_noted_and_not_fatal() -> None:
    stream = feed(
        events.Stream("none", 1000),
        {"type": "error", "message": "Reconnecting... 2/5"},
        {"type": "item.completed", "item": {"type": "error", "message": "unknown key"}},
        {"type": "turn.completed", "usage": {"input_tokens": 1}},
    )
    assert stream.errors == ["Reconnecting... 2/5", "unknown key"]
    assert stream.completed and stream.failure is None
    assert stream.usage == {"input_tokens": 1, "cache_write_input_tokens": 0}
    assert stream.events == stream.items == []


@given(st.text(st.characters(exclude_categories=[]), max_size=500))
def test_nothing_that_moves_a_cursor_reaches_the_terminal(text: str) -> None:
    shown = terminal_line(text)
    assert len(shown) <= 200 and shown.isprintable()
    assert not set(shown) & set("\x1b\x9b\n\r\x07\x7f\u202e\u2028")


def test_events_are_described_in_a_line() -> None:
    command = {"type": "command_execution", "command": "ls", "exit_code": 2}
    usage = {"input_tokens": 9, "cached_input_tokens": 4, "output_tokens": 3}
    told = {
        "$ ls": {"type": "item.started", "item": command},
        "exit 2: ls": {"type": "item.completed", "item": command},
        "says: hello": message("hello"),
        "files: add a.py": {
            "type": "item.completed",
            "item": {"type": "file_change", "changes": [{"kind": "add", "path": "a.py"}]},
        },
        "error: Reconnecting... 1/5": {"type": "error", "message": "Reconnecting... 1/5"},
        "completed: 9 tokens in (4 cached), 3 out": {"type": "turn.completed", "usage": usage},
        "failed: quota": {"type": "turn.failed", "error": {"message": "quota"}},
    }
    assert {describe(event): event for event in told.values()} == told
    assert describe({"type": "turn.started"}) is None
    assert describe({"type": "turn.started"}, verbose=True) == "turn.started"


def test_the_first_failure_is_the_turns() -> None:
    """What comes after it, such as that the turn was given up, says less."""
    failures = ({"type": "turn.failed", "error": {"message": text}} for text in ("quota exceeded", "turn aborted"))
    assert feed(events.Stream("none", 1000), *failures).failure == "quota exceeded"
