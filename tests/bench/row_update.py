"""A rolling update of hosts that spawn the CLI all the time, against the same with stock modules.

What is measured is the time in which a spawn of the command fails, on all hosts together. The peer is
``ansible.builtin.command`` with ``npm install --global``, which is what ``community.general.npm`` runs, in the same
batches.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support.hosts import Fleet
from support.packages import CODEX_VERSION
from support.registry import Registry

from bench.harness import Claim, Side
from bench.worker import SETTINGS

HOSTS = ("w1", "w2", "w3")
VERSIONS = ("0.160.0", CODEX_VERSION)
BATCHES = [1, "100%"]
TITLE = f"update: seconds without a binary, on {len(HOSTS)} hosts together"
# None at all: one spawn that failed would be more than this.
CLAIMS = (Claim("alive.codex.update", "npm install -g", at_most=0.001),)
ROUNDS = 2
RELEASES = "/usr/local/lib/alive-codex/releases"
# Spawns the command until its input ends, then tells in how many seconds it could not.
PROBE = """
import select, subprocess, sys, time
without, null = 0.0, subprocess.DEVNULL
while True:
    began = time.monotonic()
    try:
        works = not subprocess.run([sys.argv[1], "--version"], stdin=null, stdout=null, stderr=null).returncode
    except OSError:
        works = False
    ended = select.select([sys.stdin], [], [], 0.01)[0]
    without += 0 if works else time.monotonic() - began
    if ended:
        break
print(without)
"""


class Site:
    """``play`` runs what an operator types, ``without`` what a function does, while all hosts spawn ``command``."""

    def __init__(self, fleet: Fleet, directory: Path, registry: str) -> None:
        self.hosts = fleet.hosts.values()
        self.registry = registry
        self._inventory = fleet.inventory
        self._directory = directory

    def play(self, playbook: str, **variables: Any) -> None:
        argv = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self._inventory), playbook]
        done = subprocess.run(
            [*argv, "-e", json.dumps(variables)],
            check=False,
            env={**os.environ, **SETTINGS},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)

    def without(self, command: str, work: Callable[[], None]) -> float:
        """Seconds."""
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        probes = [subprocess.Popen(host.command("python3", "-c", PROBE, command), **pipes) for host in self.hosts]
        work()
        return sum(float(probe.communicate()[0]) for probe in probes)

    def ours(self, playbook: str, version: str) -> None:
        self.play(
            f"alive.codex.{playbook}",
            codex_cli_version=version,
            codex_cli_registry=self.registry,
            codex_cli_warn_unproven=False,
            codex_update_batches=BATCHES,
        )

    def stock(self, version: str) -> None:
        npm = ["npm", "install", "--global", "--prefix", "/srv/npm", "--registry", self.registry]
        tasks = [
            {"ansible.builtin.command": {"argv": [*npm, f"@openai/codex@{version}"]}},
            {"ansible.builtin.command": {"argv": ["/srv/npm/bin/codex", "--version"]}},
        ]
        play = {"hosts": "workers", "serial": BATCHES, "become": True, "gather_facts": False, "tasks": tasks}
        playbook = self._directory / "stock.json"
        playbook.write_text(json.dumps([play]))
        self.play(str(playbook))


@contextlib.contextmanager
def sides() -> Iterator[dict[str, Side]]:
    if os.geteuid() != 0:
        raise SystemExit("row update: needs root, for hosts of its own")
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        Fleet("bench-update").started(*(f"{name}:node" for name in HOSTS)) as fleet,
        Registry([f"@openai/codex@{version}" for version in VERSIONS], bind=fleet.gateway) as registry,
    ):
        site = Site(fleet, Path(directory), registry.url)
        site.ours("deploy", VERSIONS[0])
        site.stock(VERSIONS[0])
        next_of_ours, next_of_stock = (itertools.cycle(reversed(VERSIONS)) for _side in range(2))

        def ours() -> float:
            version = next(next_of_ours)
            for host in site.hosts:  # so that it is installed again
                host.run("rm", "-rf", f"{RELEASES}/{version}")
            return site.without("/usr/local/bin/codex", lambda: site.ours("update", version))

        def stock() -> float:
            version = next(next_of_stock)
            return site.without("/srv/npm/bin/codex", lambda: site.stock(version))

        yield {"alive.codex.update": ours, "npm install -g": stock}
