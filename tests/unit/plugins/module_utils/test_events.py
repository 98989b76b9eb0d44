"""The event stream: what it amounts to, within bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats import bounded_json
from ansible_collections.alive.codex.plugins.module_utils._formats.text import one_line
from ansible_collections.alive.codex.plugins.module_utils._turn import events
from ansible_collections.alive.codex.plugins.module_utils._turn.describe import describe
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
    shown = one_line(text, events.CUT_LENGTH)
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


def big(unit: str, number: int) -> bytes:
    return b'{"type":"item.completed","item":{"type":"x","a":[' + ",".join([unit] * number).encode() + b"]}}"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (big("[]", 2_000_000), "values"),
        (big("{}", 130_000), "values"),
        (big('"a"', 300_000), "values"),
        (big('{"a":1}', 100_000), "values"),
        (b"[" * 900 + b"]" * 900, "deep"),
        (b'{"a":' * 150 + b"1" + b"}" * 150, "deep"),
        (b"[" * 101 + b"]" * 101, "deep"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "deep"),
        (b'[{"a":' * 51 + b"1" + b"}]" * 51, "deep"),
    ],
)
def test_what_takes_too_much_is_counted_and_not_parsed(line: bytes, why: str) -> None:
    stream = events.Stream("all", 1000)
    assert stream.feed(line) is None
    assert (stream.count, stream.dropped, len(stream.unread)) == (1, 1, 1) and why in stream.unread[0]
    assert stream.bad_line is None and stream.events == stream.items == []


@pytest.mark.parametrize("unit", ["\u0101", "\U0001f600", "\\u0101", "\\\\\\u0101"])
def test_a_long_line_is_not_parsed_where_a_character_takes_more_than_a_byte(unit: str) -> None:
    text = unit.encode() * ((8 << 20) // len(unit.encode()))
    line = b'{"type":"item.completed","item":{"type":"%s","text":"' + text + b'"}}'
    stream = events.Stream("all", 1000)
    assert stream.feed(line % b"x") is None and "other characters than ASCII" in stream.unread[0]
    with pytest.raises(events.BadLine, match="message of the agent"):
        stream.feed(line % b"agent_message")


def test_what_only_looks_like_much_is_parsed() -> None:
    for text in (",[{" * 200_000, '\\"[,' * 100_000, '"' * 300_000, "\\" * 600_000):
        stream = feed(events.Stream("none", 1000), message(text))
        assert stream.final_response == text and not stream.unread
    assert bounded_json.parse(b"[" * 100 + b"]" * 100)
    assert len(bounded_json.parse(b"[" + b",".join([b'"a"'] * 240_000) + b"]")) == 240_000
    assert len(bounded_json.parse(b"[" + b",".join([b"{}"] * 120_000) + b"]")) == 120_000


def test_numbers_of_any_length_are_read_in_no_time() -> None:
    assert events.parse_line(b"[" + b"9" * 8_000_000 + b"]") == [None]
    assert events.parse_line(b"[1." + b"9" * 8_000_000 + b"]") == [None]
    assert events.parse_line(b"[12345678901234567890]") == [12345678901234567890]


@given(VALUES, VALUES, VALUES)
def test_what_is_told_by_name_has_its_type(thread: Any, usage: Any, text: Any) -> None:
    item = {"type": "agent_message", "text": text}
    stream = feed(
        events.Stream("all", 10_000),
        {"type": "thread.started", "thread_id": thread},
        {"type": "item.completed", "item": item},
        {"type": "item.completed", "item": text},
        {"type": "turn.completed", "usage": usage},
    )
    assert stream.completed and isinstance(stream.final_response, str)
    assert stream.thread_id is None or stream.thread_id.isascii()
    assert all(isinstance(item, dict) for item in stream.items)
    counts = (stream.usage or {}).values()
    assert all(count is None or (isinstance(count, (int, float)) and 0 <= count < 2**63) for count in counts)


@pytest.mark.parametrize(
    "thread", ["--dangerously-bypass-approvals-and-sandbox", "", "a" * 200, "a b", "\x1b[2J", 5, None, {"a": 1}]
)
def test_an_id_that_is_none_is_left_out_and_named(thread: Any) -> None:
    stream = feed(events.Stream("all", 10_000), {"type": "thread.started", "thread_id": thread})
    assert stream.thread_id is None and stream.strange == {"thread_id"}


def item(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "item.completed", "item": {"id": "a", "type": kind, **more}}


def added(number: int) -> str:
    return ", ".join(f"add {n}" for n in range(number))


STATES = {"t2": {"status": "errored", "message": "out of credits"}, "t3": {"status": "running", "message": None}}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (item("reasoning", text="**Looking**"), "thinks: **Looking**"),
        (
            item("command_execution", command="make", exit_code=2, aggregated_output="cc x.c\nmake: *** Error 1\n"),
            "exit 2: make: make: *** Error 1",
        ),
        (item("command_execution", command="rm", status="declined"), "declined: rm"),
        (
            item(
                "file_change", status="failed", changes=[{"kind": "add", "path": "a"}, {"kind": "delete", "path": "b"}]
            ),
            "files failed: add a, delete b",
        ),
        (
            item("mcp_tool_call", server="s", tool="t", status="failed", error={"message": "no such issue"}),
            "tool s.t: failed: no such issue",
        ),
        (
            item("mcp_tool_call", server="s", tool="t", status="failed", result={"content": [{"text": "401"}]}),
            "tool s.t: failed: 401",
        ),
        (item("mcp_tool_call", server="s", tool="t", status="completed"), "tool s.t: completed"),
        (
            item("collab_tool_call", tool="wait", status="failed", agents_states=STATES),
            "agents: wait: failed: errored out of credits: running",
        ),
        (item("web_search", query="codex"), "search: codex"),
        (
            item("web_search", query="", action={"type": "open_page", "url": "https://example.org/x"}),
            "search: open_page: https://example.org/x",
        ),
        (
            item("web_search", query="", action={"type": "find_in_page", "pattern": "p", "url": "https://e.org"}),
            "search: find_in_page: p: https://e.org",
        ),
        (item("web_search", query="a", action={"type": "search", "query": "a", "queries": ["a", "b"]}), "search: a, b"),
        (item("todo_list", items=[{"text": "x", "completed": True}, {"text": "y"}]), "plan: 1 of 2 done"),
        (item("image_generation", status="failed", error="too large"), "image_generation: failed: too large"),
        (item("of_the_future"), "of_the_future"),
        ({"type": "item.started", "item": {"type": "of_the_future"}}, "started: of_the_future"),
        (
            {
                "type": "item.started",
                "item": {"type": "collab_tool_call", "tool": "spawn_agent", "status": "in_progress", "prompt": "look"},
            },
            "agents: spawn_agent: in_progress: look",
        ),
        (item("collab_tool_call", tool="wait", status="completed", prompt="look"), "agents: wait: completed"),
        (
            item("collab_tool_call", tool="wait", agents_states={n: {"status": f"s{n}"} for n in range(12)}),
            "agents: wait: " + ": ".join(f"s{n}" for n in range(10)),
        ),
        (
            {"type": "item.updated", "item": {"type": "todo_list", "items": [{"completed": False}]}},
            "plan: 0 of 1 done",
        ),
        (item("command_execution", command="true", exit_code=0, aggregated_output="done\n"), "exit 0: true"),
        (item("command_execution", command="x", aggregated_output="a\nb\n"), "ended: x: b"),
        (item("command_execution", command="x", exit_code=1, aggregated_output="y" * 900), f"exit 1: x: {'y' * 400}"),
        (item("file_change", changes=[{"kind": "add", "path": n} for n in range(10)]), f"files: {added(10)}"),
        (
            item("file_change", status="completed", changes=[{"kind": "add", "path": n} for n in range(12)]),
            f"files: {added(10)} and 2 more",
        ),
        (
            item("mcp_tool_call", server="s", tool="t", status="completed", result={"content": [{"text": "200"}]}),
            "tool s.t: completed",
        ),
        (
            item(
                "mcp_tool_call",
                server="s",
                tool="t",
                status="failed",
                result={"content": [{"text": "a"}, {"data": "?"}, *({"text": "b"} for _each in range(20))]},
            ),
            "tool s.t: failed: a b b b b b b b b",
        ),
        (item("web_search", query="u", action={"type": "open_page", "url": "u"}), "search: open_page: u"),
        (item("web_search", query="q", action={"type": "other"}), "search: q"),
        (item("web_search", action={"queries": list("abcdefghijkl")}), "search: a, b, c, d, e, f, g, h, i, j"),
        (item("error", message="no model"), "error: no model"),
        (item("error", message="m" * 900), f"error: {'m' * 400}"),
        (item("error", message={"code": "c" * 900}), f"error: {json.dumps({'code': 'c' * 900})[:400]}"),
        (item("reasoning", text="t" * 900), f"thinks: {'t' * 400}"),
        (item("reasoning", text=["a"]), "thinks: [...]"),
        (item("reasoning", text=5), "thinks: 5"),
        (item("reasoning"), "thinks"),
        ({"type": "thread.started", "thread_id": "T"}, "thread T"),
        ({"type": "turn.completed"}, "completed: 0 tokens in (0 cached), 0 out"),
        ({"type": "turn.failed", "error": "quota"}, "failed: quota"),
    ],
)
def test_every_type_of_item_has_a_line_and_what_failed_says_why(event: dict[str, Any], line: str) -> None:
    assert describe(event) == line


ITEMS = ["agent_message", "command_execution", "of_the_future", "web_search"]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"type": "item.started", "item": {"type": "agent_message"}}, "started: agent_message"),
        ({"type": "item.updated", "item": {"type": "command_execution"}}, "updated: command_execution"),
        ({"type": "item.updated", "item": {"type": "of_the_future"}}, "updated: of_the_future"),
        *(({"type": "item.begun", "item": {"type": kind}}, f"begun: {kind}") for kind in ITEMS),
        ({"type": "context.compacted"}, "context.compacted"),
        ({"type": "item.completed", "item": 5}, "item.completed"),
        ({"type": "items", "item": {"type": "agent_message"}}, "items"),
    ],
)
def test_what_is_not_worth_a_line_has_one_on_request(event: dict[str, Any], line: str) -> None:
    assert (describe(event), describe(event, verbose=True)) == (None, line)


KEYS = ["type", "item", "status", "text", "error", "message", "changes", "agents_states", "action", "items", "query"]
KINDS = [
    "agent_message",
    "file_change",
    "mcp_tool_call",
    "collab_tool_call",
    "web_search",
    "todo_list",
    "command_execution",
]


@given(
    st.sampled_from(["item.started", "item.updated", "item.completed"]),
    st.dictionaries(st.sampled_from(KEYS), VALUES | st.sampled_from(KINDS)),
    st.booleans(),
)
def test_whatever_an_item_holds_it_has_a_short_line_or_none(kind: str, held: dict[str, Any], verbose: bool) -> None:
    line = describe({"type": kind, "item": held}, verbose)
    assert line is None or (isinstance(line, str) and len(line) < 20_000)
