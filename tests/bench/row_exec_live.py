"""What watching a turn costs it: the seconds that a turn of many events takes, of the CLI's own time.

The real CLI on a host of its own, over SSH; as root only.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from bench.harness import Claim, Side
from bench.tenant import CONNECT, tenant

TITLE = "exec: a turn of 40 events in about five seconds, watched over SSH"
CLAIMS = (Claim("events shown", "nothing shown", at_most=1.05), Claim("events shown", "the CLI alone", at_most=1.05))
ROUNDS = 5
PROMPT = "[[say:Working.]] [[run:sleep 0.4; ls -l /usr/bin]]" * 10


@contextlib.contextmanager
def sides() -> Iterator[dict[str, Side]]:
    with tenant("exec-live") as acme:
        result = acme.directory / "result.json"

        def watched(show: str) -> float:
            turn = {"alive.codex.codex_exec": {**acme.options, "prompt": PROMPT, "show": show}, "register": "turn"}
            save = {
                "ansible.builtin.copy": {"content": "{{ turn | to_json }}", "dest": str(result)},
                "delegate_to": "localhost",
                "vars": {"ansible_become": False},
            }
            acme.play(CONNECT, turn, save)
            duration: float = json.loads(result.read_text())["duration"]
            return duration

        yield {
            "the CLI alone": lambda: acme.bare(PROMPT, 1),
            "nothing shown": lambda: watched("none"),
            "events shown": lambda: watched("events"),
        }
