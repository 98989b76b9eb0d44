"""How fast events are read, in seconds of the processor, and how soon after it was written one is on the terminal."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.alive.codex.plugins.module_utils._turn import begin, lease
from ansible_collections.alive.codex.plugins.module_utils._turn import events as turn_events
from ansible_collections.alive.codex.plugins.module_utils._turn import run as turn_run
from ansible_collections.alive.codex.plugins.module_utils._turn.bounds import Bounds
from ansible_collections.alive.codex.plugins.module_utils._turn.child import READ_BYTES
from ansible_collections.alive.codex.plugins.module_utils._turn.tenant import Tenant
from support.stub import FAKE_KEY
from support.turns import DEFAULTS, wanted

from bench.harness import Claim, Side

TITLE = "exec: reading 100 MB of events, and the way of one to the terminal"
CLAIMS = (
    Claim("parsing 100 MB of events", "json.loads of each line", at_most=1.3),
    Claim("from the CLI to the terminal", "250 ms", at_most=1.0),
)
ROUNDS = 3
EVENTS = 15
CLI = """#!/bin/sh
i=0; while [ $i -lt {events} ]; do i=$((i+1)); sleep 0.37
printf '{{"type":"item.completed","item":{{"id":"a","type":"agent_message","text":"@%s@"}}}}\\n' "$(date +%s.%N)"
done
echo '{{"type":"turn.completed","usage":{{}}}}'
"""


def stream() -> bytes:
    lines, size = [], 0
    while size < 100_000_000:
        output = "-rw-r--r-- 1 tenant tenant 4096 some_file.py\n" * (len(lines) % 60)
        item = {
            "id": f"item_{len(lines)}",
            "type": "command_execution",
            "command": "ls -l",
            "aggregated_output": output,
        }
        lines.append(json.dumps({"type": "item.completed", "item": {**item, "exit_code": 0}}).encode() + b"\n")
        size += len(lines[-1])
    return b"".join(lines)


def parse(data: bytes) -> float:
    lines, events = turn_events.Lines(), turn_events.Stream("all", DEFAULTS["max_bytes"])
    start = time.process_time()
    for offset in range(0, len(data), READ_BYTES):
        for line in lines.split(data[offset : offset + READ_BYTES]):
            events.feed(line)
    return time.process_time() - start


def loads(data: bytes) -> float:
    """What nobody who wants the events can do without."""
    start = time.process_time()
    for line in data.splitlines():
        json.loads(line)
    return time.process_time() - start


def read(data: bytes, directory: Path) -> float:
    """What the supervisor does with all of it, while somebody watches."""
    options = wanted(prompt="x", api_key=FAKE_KEY)
    tenant = Tenant(None, None)
    turn = begin.Turn(options, tenant, ["codex"], {}, (), None, None)
    begun = begin.Begun(turn.argv, time.monotonic(), Bounds(options, tenant), OSError())
    run = turn_run._Run(turn, begun, lease.Detached(str(directory), 30.0), False)
    start = time.process_time()
    for offset in range(0, len(data), READ_BYTES):
        run._take_stdout(data[offset : offset + READ_BYTES])
    return time.process_time() - start


def delay(directory: Path) -> float:
    """The median seconds from the writing of an event to its line on the terminal of a play on this machine."""
    task = {"home": str(directory / "home"), "codex_path": str(directory / "codex"), "prompt": "x"}
    path = directory / "play.json"
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [{"alive.codex.codex_exec": task}]}]))
    argv = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(path)]
    argv += ["-e", "ansible_python_interpreter={{ ansible_playbook_python }}"]
    env = {**os.environ, "ANSIBLE_HOME": str(directory / "ansible")}
    delays = []
    with subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        if process.stderr:
            for line in process.stderr:
                if "says: @" in line:
                    delays.append(time.time() - float(line.split("@")[1]))
    if process.returncode or len(delays) != EVENTS:
        raise RuntimeError(f"the turn failed, or not every event was shown: {len(delays)}")
    return statistics.median(delays)


@contextlib.contextmanager
def sides() -> Iterator[dict[str, Side]]:
    data = stream()
    with tempfile.TemporaryDirectory(prefix="alv") as temporary:
        directory = Path(temporary)
        directory.chmod(0o755)
        home = directory / "home"
        home.mkdir()
        if os.geteuid() == 0:
            os.chown(home, 61237, 61237)
        cli = directory / "codex"
        cli.write_text(CLI.format(events=EVENTS))
        cli.chmod(0o755)
        yield {
            "parsing 100 MB of events": lambda: parse(data),
            "all the work on them": lambda: read(data, directory),
            "json.loads of each line": lambda: loads(data),
            "from the CLI to the terminal": lambda: delay(directory),
            "250 ms": lambda: 0.25,
        }
