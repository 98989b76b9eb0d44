"""What a turn costs beyond the CLI's own time: ``codex_exec``, live events and lease included, against a plain command.

Over SSH with pipelining, to a host of its own; as root only. Each side's time is its overhead: the seconds a turn takes
in a play, less those of the bare binary on that host.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator
from typing import Any

from bench.harness import Claim, Side
from bench.tenant import CONNECT, tenant

TITLE = "exec: overhead of a turn over the bare binary, in a play over SSH"
CLAIMS = (Claim("codex_exec", "command + from_json", at_most=1.25),)
ROUNDS = 5
TURNS = 4
PROMPT = "[[say:hello]]"


@contextlib.contextmanager
def sides() -> Iterator[dict[str, Side]]:
    with tenant("exec") as acme:
        ours = {"alive.codex.codex_exec": {**acme.options, "prompt": PROMPT}}
        command = {"ansible.builtin.command": {"argv": acme.dropped(), "stdin": PROMPT}, "register": "turn"}
        parse = {"ansible.builtin.set_fact": {"events": "{{ turn.stdout_lines | map('from_json') | list }}"}}
        acme.play(CONNECT)
        empty = statistics.median(acme.play(CONNECT) for _round in range(3))
        floor = acme.bare(PROMPT, TURNS)

        def overhead(*tasks: dict[str, Any]) -> float:
            whole = acme.play(CONNECT, *(tasks * TURNS))
            return (whole - empty) / TURNS - floor

        yield {"command + from_json": lambda: overhead(command, parse), "codex_exec": lambda: overhead(ours)}
