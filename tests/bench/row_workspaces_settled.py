"""A second run over 10,000 workspaces against the system calls that it cannot do without, and a ping.

What is compared are tasks in a running play. What it takes Ansible to start, and to pack a module once, is in the plays
that are measured beside them.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.harness import Claim, Side
from bench.row_workspaces import ROOT, ours
from bench.worker import Worker, worker

TITLE = "codex_workspaces over SSH: 10,000 workspaces with nothing to do"
COUNT = 10_000
ROUNDS = 7
FLOOR = "1.5 x the calls, and a ping task"
CLAIMS = (Claim("the task, 10,000 unchanged", FLOOR, at_most=1.0),)
MAX_GROWTH = 50 * 2**20

# The same opens, stats and reads in a bare loop; prints the seconds of its second time.
CALLS = f"""
import os, time
def calls(root):
    directory = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
    for n in range({COUNT}):
        home = os.open("ws-%05d" % n, directory, dir_fd=root)
        os.fstat(home)
        codex = os.open(".codex", directory, dir_fd=home)
        os.fstat(codex)
        os.stat("sessions", dir_fd=codex, follow_symlinks=False)
        config = os.open("config.toml", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=codex)
        os.read(config, os.fstat(config).st_size + 1)
        os.close(config)
        os.close(codex)
        os.close(home)
root = os.open("{ROOT}", os.O_RDONLY)
calls(root)
start = time.perf_counter()
calls(root)
print(time.perf_counter() - start)
"""
# In place of the target's interpreter: notes what memory the module took at most.
INTERPRETER = """#!/usr/bin/python3
import os, resource, subprocess, sys
code = subprocess.call([sys.executable, *sys.argv[1:]])
with open("/run/module-memory", "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024))
sys.exit(code)
"""


def system_calls(on: Worker) -> float:
    done = subprocess.run(
        ["chroot", on.root, "/usr/bin/python3", "-c", CALLS], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def check_memory(on: Worker) -> None:
    """What ours takes over a ping, on both ends."""
    interpreter = Path(f"{on.root}/usr/local/bin/noting-python3")
    interpreter.write_text(INTERPRETER)
    interpreter.chmod(0o755)
    peaks = {}
    for name, task in (("ping", {"ansible.builtin.ping": {}}), ("ours", ours(COUNT))):
        on.play(task, ansible_python_interpreter="/usr/local/bin/noting-python3")
        peaks[name] = on.memory, int(Path(f"{on.root}/run/module-memory").read_text())
    for side, less, more in zip(("control node", "target"), peaks["ping"], peaks["ours"], strict=True):
        growth = more - less
        print(f"  memory on the {side}: {growth / 2**20:.1f} MiB more than a ping", flush=True)
        assert growth < MAX_GROWTH, f"{growth / 2**20:.0f} MiB more on the {side}"


class Tasks:
    """A round's play has both tasks twice; those that find their module packed are measured."""

    def __init__(self, on: Worker) -> None:
        self._on = on
        self._ping = 0.0

    def ours(self) -> float:
        ping = {"ansible.builtin.ping": {}}
        _first, _ping, seconds, self._ping = self._on.tasks(ours(COUNT), ping, ours(COUNT), ping)
        return seconds

    def ping(self) -> float:
        return self._ping


@contextlib.contextmanager
def sides() -> Iterator[dict[str, Side]]:
    with worker("settled") as on:
        on.play(ours(COUNT))
        check_memory(on)
        tasks = Tasks(on)
        yield {
            "the task, 10,000 unchanged": tasks.ours,
            FLOOR: lambda: tasks.ping() + 1.5 * system_calls(on),
            "a ping task": tasks.ping,
            "the system calls": lambda: system_calls(on),
            "a play, 10,000 unchanged": lambda: on.play(ours(COUNT)),
            "a play that only pings": on.ping,
        }
