"""A worker on a host of its own, more where asked, and playbooks that run on it over SSH with pipelining."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from support.hosts import Fleet

# When a task, or after the last one the recap, begins, in Ansible's log.
BEGIN = re.compile(r"^(\S+ \S+) .*\| (?:TASK \[|PLAY RECAP)", re.MULTILINE)
SETTINGS = {"ANSIBLE_PIPELINING": "1", "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s"}


class Worker:
    """``root`` is the host's root directory as this machine sees it."""

    def __init__(self, fleet: Fleet, directory: Path) -> None:
        self._inventory = fleet.inventory
        self._directory = directory
        self._log = directory / "log"
        self.root = fleet.hosts["worker"].root
        self.memory = 0

    def play(self, *tasks: dict[str, Any], on: str = "worker", **variables: Any) -> float:
        """Runs the tasks as root on the worker, or on all of ``on``; the seconds that ``ansible-playbook`` took from
        start to end."""
        named = [{"name": f"Task {number}", **task} for number, task in enumerate(tasks)]
        play = {"name": "Play", "hosts": on, "gather_facts": False, "become": True, "tasks": named}
        file = self._directory / "play.json"
        file.write_text(json.dumps([{**play, "vars": variables}]))
        return self._run(str(file))

    def playbook(self, name: str, **variables: Any) -> float:
        """Runs a playbook of the collection; the seconds that ``ansible-playbook`` took from start to end."""
        return self._run(name, "-e", json.dumps(variables))

    def _run(self, *arguments: str) -> float:
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self._inventory), *arguments]
        self._log.unlink(missing_ok=True)
        settings = {**SETTINGS, "ANSIBLE_LOG_PATH": str(self._log)}
        with tempfile.TemporaryFile() as output:
            started = time.perf_counter()
            child = subprocess.Popen(command, env={**os.environ, **settings}, stdout=output, stderr=output)
            _pid, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - started
            child.returncode = os.waitstatus_to_exitcode(status)
            self.memory = usage.ru_maxrss * 1024
            if child.returncode:
                output.seek(0)
                raise SystemExit(output.read().decode())
        return seconds

    def tasks(self, *tasks: dict[str, Any]) -> list[float]:
        """Runs the tasks in one play; the seconds that each of them took, without the play's start and end."""
        self.play(*tasks)
        began = [datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f") for at in BEGIN.findall(self._log.read_text())]
        return [(after - before).total_seconds() for before, after in itertools.pairwise(began)]

    def ping(self) -> float:
        """A play that does nothing."""
        return self.play({"ansible.builtin.ping": {}})


@contextlib.contextmanager
def worker(name: str, *others: str, node: bool = False) -> Iterator[Worker]:
    """A fresh worker, and the others by their names, as long as the block runs; with Node.js and npm where asked."""
    if os.geteuid() != 0:
        raise SystemExit(f"row {name}: needs root, for a host of its own")
    specs = [f"{host}:node" if node else host for host in ("worker", *others)]
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, Fleet(f"bench-{name}").started(*specs) as fleet:
        yield Worker(fleet, Path(directory))
