"""Runs turns one after the other, as small as a supervisor is: it imports nothing that only tests need.

Reads options of a turn as JSON, a line each, and answers with its result, the texts that were shown, and the most bytes
of memory that this process had so far.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from ansible_collections.alive.codex.plugins.module_utils._turn import begin, options, prepare, run


class Link:
    """Somebody who watches, and soon has seen enough."""

    wakes = ()

    def __init__(self) -> None:
        self.shown: list[str] = []

    def tend(self) -> tuple[str | None, float]:
        return None, 60.0

    def ready(self) -> bool:
        return len(self.shown) < 100

    def show(self, line: dict[str, Any]) -> None:
        self.shown.append(line.get("text", ""))


def most_memory() -> int:
    """In bytes. What getrusage() tells is its parent's as well, as of before exec(2)."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def main() -> None:
    defaults = {name: rule.get("default") for name, rule in options.SPEC.items()}
    for line in sys.stdin:
        link = Link()
        turn = prepare.prepare(options.read({**defaults, **json.loads(line)}), "/nonexistent")
        result = run.run_turn(turn, begin.begin(turn, turn.argv), link)
        text = json.dumps(result)  # as a supervisor does
        sys.stdout.write(f"[{text}, {json.dumps(link.shown)}, {most_memory()}]\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
