# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What an event tells a person, in one line, whatever it holds."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, Mapping

from .events import CUT_LENGTH, message_of

# The most of one part of a line that is looked at.
PART_LENGTH = 2 * CUT_LENGTH
_MOST_PARTS = 10


def describe(event: Any, verbose: bool = False) -> str | None:
    """One short line that tells a person what happened, None for what is not worth one. Not yet safe for a terminal."""
    if not isinstance(event, dict):
        return None
    kind = event.get("type")
    item = event.get("item")
    if isinstance(kind, str) and kind.startswith("item.") and isinstance(item, dict):
        return _describe_item(kind[5:], item, verbose)
    if kind == "thread.started":
        return f"thread {_said(event.get('thread_id'))}"
    if kind == "turn.completed":
        return _describe_usage(event.get("usage"))
    if kind == "turn.failed":
        return f"failed: {_message(event.get('error'))}"
    if kind == "error":
        return f"error: {_message(event)}"
    return _said(kind) if verbose else None


def _describe_usage(usage: Any) -> str:
    tokens: Mapping[str, Any] = usage if isinstance(usage, dict) else {}
    names = ("input_tokens", "cached_input_tokens", "output_tokens")
    return "completed: {} tokens in ({} cached), {} out".format(*(_said(tokens.get(name, 0)) for name in names))


def _describe_item(stage: str, item: Mapping[str, Any], verbose: bool) -> str | None:
    """What may take an hour has a line when it begins, and one when it ends; the rest one at its end."""
    kind = _said(item.get("type"))
    told = _ITEMS.get(kind)
    if told is not None and (stage == "completed" or kind == "todo_list"):
        return _joined(*told(item))
    if stage == "started" and kind in _LONG:
        return _joined(*_LONG[kind](item))
    if told is None and stage == "completed":
        return _joined(kind, *_unknown(item))
    return _joined(stage, kind) if verbose or (told is None and stage == "started") else None


def _command(item: Mapping[str, Any]) -> Iterator[str]:
    code = item.get("exit_code")
    yield f"exit {_said(code)}" if code is not None else _said(item.get("status")) or "ended"
    yield _said(item.get("command"))
    output = item.get("aggregated_output")
    if code != 0 and isinstance(output, str):
        yield output[-PART_LENGTH:].strip().rpartition("\n")[2]


def _files(item: Mapping[str, Any]) -> Iterator[str]:
    yield "files" if item.get("status") in (None, "completed") else f"files {_said(item['status'])}"
    changes = _mappings(item.get("changes"))
    more = f" and {len(changes) - _MOST_PARTS} more" if len(changes) > _MOST_PARTS else ""
    yield ", ".join(f"{_said(c.get('kind'))} {_said(c.get('path'))}" for c in changes[:_MOST_PARTS]) + more
    yield _why(item)


def _tool(item: Mapping[str, Any]) -> Iterator[str]:
    yield f"tool {_said(item.get('server'))}.{_said(item.get('tool'))}"
    yield _said(item.get("status"))
    yield _why(item)


def _agents(item: Mapping[str, Any]) -> Iterator[str]:
    """Calls of sub-agents: what for, and how those fare that it is about."""
    yield f"agents: {_said(item.get('tool'))}"
    yield _said(item.get("status"))
    if item.get("status") == "in_progress":
        yield _said(item.get("prompt"))
    states = item.get("agents_states")
    for state in _mappings(list(states.values()) if isinstance(states, dict) else None)[:_MOST_PARTS]:
        yield " ".join(filter(None, (_said(state.get("status")), _said(state.get("message")))))
    yield _why(item)


def _search(item: Mapping[str, Any]) -> Iterator[str]:
    action = item.get("action")
    details: Mapping[str, Any] = action if isinstance(action, dict) else {}
    yield "search"
    if details.get("type") not in (None, "search", "other"):
        yield _said(details["type"])
    queries = details.get("queries")
    texts = [item.get("query"), details.get("query"), *(queries if isinstance(queries, list) else [])[:_MOST_PARTS]]
    said = dict.fromkeys(filter(None, map(_said, texts)))
    yield ", ".join(said)
    for name in ("pattern", "url"):
        if _said(details.get(name)) not in said:
            yield _said(details.get(name))
    yield _why(item)


def _plan(item: Mapping[str, Any]) -> Iterator[str]:
    steps = _mappings(item.get("items"))
    yield f"plan: {sum(bool(step.get('completed')) for step in steps)} of {len(steps)} done"


def _unknown(item: Mapping[str, Any]) -> Iterator[str]:
    for name in ("status", "name", "title", "tool", "path", "query", "text", "message"):
        yield _said(item.get(name))
    yield _why(item)


_ITEMS: dict[str, Callable[[Mapping[str, Any]], Iterable[str]]] = {
    "agent_message": lambda item: ("says", _said(item.get("text"))),
    "reasoning": lambda item: ("thinks", _said(item.get("text"))),
    "command_execution": _command,
    "file_change": _files,
    "mcp_tool_call": _tool,
    "collab_tool_call": _agents,
    "web_search": _search,
    "todo_list": _plan,
    "error": lambda item: ("error", _message(item)),
}
_LONG: dict[str, Callable[[Mapping[str, Any]], Iterable[str]]] = {
    "command_execution": lambda item: (f"$ {_said(item.get('command'))}",),
    "mcp_tool_call": _tool,
    "collab_tool_call": _agents,
}


def _why(item: Mapping[str, Any]) -> str:
    """Why it failed, as far as it says so."""
    error = item.get("error")
    if error is not None:
        return _message(error)
    result = item.get("result")
    if item.get("status") == "failed" and isinstance(result, dict):  # a tool's own words
        texts = [_said(part.get("text")) for part in _mappings(result.get("content"))[:_MOST_PARTS]]
        return " ".join(filter(None, texts))
    return ""


def _message(holder: Any) -> str:
    message = holder.get("message") if isinstance(holder, dict) else holder
    return message[:PART_LENGTH] if isinstance(message, str) else message_of(holder)[:PART_LENGTH]


def _said(value: Any) -> str:
    """A part of a line."""
    if isinstance(value, str):
        return value[:PART_LENGTH]
    if isinstance(value, (dict, list)):
        return "[...]"
    return "" if value is None else str(value)


def _joined(*parts: str) -> str:
    return ": ".join(filter(None, parts))


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
