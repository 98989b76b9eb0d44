# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What an event tells a person, in one line."""

from __future__ import annotations

from typing import Any, Mapping

from .events import CUT_LENGTH, message_of


def terminal_line(text: str, length: int = CUT_LENGTH) -> str:
    """One line of a text that a terminal can be given: spaces for line ends, no control or formatting characters."""
    line = " ".join(text[: 2 * length].split())
    safe = "".join(char if char.isprintable() else "?" for char in line)
    return safe if len(safe) <= length else f"{safe[: length - 3]}..."


def describe(event: Any, verbose: bool = False) -> str | None:
    """One short line that tells a person what happened, None for what is not worth one. Not yet safe for a terminal."""
    if not isinstance(event, dict):
        return None
    kind = event.get("type")
    item = event.get("item")
    if isinstance(kind, str) and kind.startswith("item.") and isinstance(item, dict):
        return _describe_item(kind[5:], item, verbose)
    if kind == "thread.started":
        return f"thread {event.get('thread_id')}"
    if kind == "turn.completed":
        return _describe_usage(event.get("usage"))
    if kind == "turn.failed":
        return f"failed: {message_of(event.get('error'))}"
    if kind == "error":
        return f"error: {message_of(event)}"
    return str(kind) if verbose else None


def _describe_usage(usage: Any) -> str:
    tokens: Mapping[str, Any] = usage if isinstance(usage, dict) else {}
    return "completed: {} tokens in ({} cached), {} out".format(
        tokens.get("input_tokens", 0), tokens.get("cached_input_tokens", 0), tokens.get("output_tokens", 0)
    )


def _describe_item(stage: str, item: Mapping[str, Any], verbose: bool) -> str | None:
    kind = item.get("type")
    if kind == "command_execution":
        if stage == "started":
            return f"$ {item.get('command')}"
        return f"exit {item.get('exit_code')}: {item.get('command')}" if stage == "completed" else None
    if stage != "completed":
        return f"{stage} {kind}" if verbose else None
    if kind == "agent_message":
        return f"says: {item.get('text')}"
    if kind == "file_change":
        return "files: " + ", ".join(f"{c.get('kind')} {c.get('path')}" for c in _mappings(item.get("changes")))
    if kind == "error":
        return f"error: {message_of(item)}"
    if kind == "mcp_tool_call":
        return f"tool {item.get('server')}.{item.get('tool')}: {item.get('status')}"
    if kind == "web_search":
        return f"search: {item.get('query')}"
    if kind == "todo_list":
        steps = _mappings(item.get("items"))
        return f"plan: {sum(bool(step.get('completed')) for step in steps)} of {len(steps)} done"
    if verbose:
        return f"{kind}: {item.get('text', '')}"
    return None


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
