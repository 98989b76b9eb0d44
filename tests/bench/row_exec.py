"""What a turn costs beyond the CLI's own time: ``codex_exec``, live events and lease included, against a plain command.

Over SSH with pipelining, to a host of its own; as root only. Each side's time is its overhead: the seconds a turn takes
in a play, less those of the bare binary on that host.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.hosts import Fleet, Host
from support.packages import native_codex
from support.stub import FAKE_KEY, ResponsesStub

from bench.harness import Claim, Side

TITLE = "exec: overhead of a turn over the bare binary, in a play over SSH"
CLAIMS = (Claim("codex_exec", "command + from_json", at_most=1.25),)
ROUNDS = 5
TURNS = 4
UID = 61236
HOME = "/var/lib/claude-sessions/acme"
PROMPT = "[[say:hello]]"


def arguments(stub: ResponsesStub) -> list[str]:
    # Without the second, a turn on a host without a way out ends five seconds late, which would hide all else.
    overrides = ["features.plugins=false", "analytics.enabled=false", f'openai_base_url="{stub.base_url}"']
    configs = [part for override in overrides for part in ("--config", override)]
    return [
        "/usr/local/bin/codex",
        "exec",
        "--experimental-json",
        *configs,
        "--model",
        "gpt-5.1",
        "--skip-git-repo-check",
    ]


def as_tenant(argv: list[str]) -> list[str]:
    drop = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    return [*drop, "env", "-i", "-C", HOME, f"HOME={HOME}", "PATH=/usr/bin:/bin", f"CODEX_API_KEY={FAKE_KEY}", *argv]


def bare(host: Host, argv: list[str]) -> float:
    """The median seconds of a turn without anything around it."""
    one = f"s=$(date +%s%N); echo '{PROMPT}' | \"$@\" >/dev/null 2>&1; echo $(( $(date +%s%N) - s ))"
    script = f"i=0; while [ $i -lt {TURNS} ]; do i=$((i+1)); {one}; done"
    done = host.run("sh", "-c", script, "sh", *as_tenant(argv))
    return statistics.median(int(line) for line in done.stdout.split()) / 1e9


def play(directory: Path, fleet: Fleet, tasks: list[dict[str, Any]]) -> float:
    """The seconds of a play of these tasks."""
    path = directory / "play.json"
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "become": True, "tasks": tasks}]))
    env = {**os.environ, "ANSIBLE_HOME": str(directory / "ansible"), "ANSIBLE_PIPELINING": "1"}
    env["ANSIBLE_SSH_CONTROL_PATH_DIR"] = str(directory / "cp")
    env["ANSIBLE_SSH_ARGS"] = "-o ControlMaster=auto -o ControlPersist=10s"
    start = time.perf_counter()
    subprocess.run(
        ["ansible-playbook", "-i", str(fleet.inventory), str(path)], check=True, env=env, capture_output=True
    )
    return time.perf_counter() - start


@contextlib.contextmanager
def sides() -> Iterator[dict[str, Side]]:
    with (
        tempfile.TemporaryDirectory(prefix="alv") as temporary,
        Fleet("bench-exec").started("worker") as fleet,
        ResponsesStub("--bind", fleet.gateway) as stub,
    ):
        host = fleet.hosts["worker"]
        shutil.copy(native_codex(), host.root / "usr/local/bin/codex")
        home = host.root / HOME[1:]
        home.mkdir(mode=0o700, parents=True)
        home.parent.chmod(0o711)
        os.chown(home, UID, UID)
        argv = arguments(stub)
        ours = {
            "alive.codex.codex_exec": {
                "workspace": "acme",
                "prompt": PROMPT,
                "model": "gpt-5.1",
                "skip_git_repo_check": True,
                "config": {"features": {"plugins": False}, "analytics": {"enabled": False}},
                "base_url": stub.base_url,
                "api_key": FAKE_KEY,
            },
        }
        command = {"ansible.builtin.command": {"argv": as_tenant(argv), "stdin": PROMPT}, "register": "turn"}
        parse = {"ansible.builtin.set_fact": {"events": "{{ turn.stdout_lines | map('from_json') | list }}"}}

        connect = [{"ansible.builtin.raw": "true"}]
        play(Path(temporary), fleet, connect)
        empty = statistics.median(play(Path(temporary), fleet, connect) for _round in range(3))
        floor = bare(host, argv)

        def overhead(*tasks: dict[str, Any]) -> float:
            whole = play(Path(temporary), fleet, [*connect, *(list(tasks) * TURNS)])
            return (whole - empty) / TURNS - floor

        yield {"command + from_json": lambda: overhead(command, parse), "codex_exec": lambda: overhead(ours)}
