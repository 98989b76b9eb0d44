"""Runs turns one after the other, as small as a supervisor is: it imports nothing that only tests need.

Reads options of a turn as JSON, a line each, and answers with its result, the texts that were shown, and the most bytes
of memory that this process had so far.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

from ansible_collections.alive.codex.plugins.module_utils._turn import options, prepare, run


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


def main() -> None:
    defaults = {name: rule.get("default") for name, rule in options.SPEC.items()}
    for line in sys.stdin:
        link = Link()
        turn, _warnings = prepare.prepare(options.read({**defaults, **json.loads(line)}), "/nonexistent")
        result = run.run_turn(turn, link)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        sys.stdout.write(json.dumps([result, link.shown, memory]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
