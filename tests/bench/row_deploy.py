"""An unchanged deploy against pings: with few workspaces and many, on one host and on twenty, and against the same
deploy with stock modules.

The stock modules are those of ansible-core: ``community.general.npm``, which a site would use, is stood in for by the
two commands of npm that it runs.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support.hosts import Fleet
from support.registry import Registry
from support.releases import build_release

from bench.harness import Claim, Side
from bench.worker import Worker, worker

TITLE = "deploy over SSH: nothing to do"
NUMBERS = (1, 5, 10, 20)
FEW, MANY = 10, 5000
CLAIMS = (
    Claim("1 host, 10 workspaces", "1 host, ten pings", at_most=1.0),
    Claim("1 host, 5,000 workspaces", "1 host, ten pings", at_most=1.0),
    Claim("1 host, 5,000 workspaces", "1 host, 10 workspaces", at_most=1.5),
    Claim("1 host, 10 workspaces", "1 host, stock modules", at_most=1.0),
    *(Claim(f"{n} hosts, 10 workspaces", f"{n} hosts, grown as pings", at_most=1.0) for n in NUMBERS[1:]),
)
ROUNDS = 3
VERSION = "0.171.0"
HOSTS = ("worker", *(f"worker{number}" for number in range(2, NUMBERS[-1] + 1)))
PINGS: list[dict[str, Any]] = [{"ansible.builtin.ping": {}}] * 10


@contextlib.contextmanager
def sides() -> Iterator[dict[str, Side]]:
    with (
        worker("deploy", *HOSTS[1:], node=True) as on,
        tempfile.TemporaryDirectory() as folder,
        Registry(build_release(Path(folder), VERSION), bind=Fleet("bench-deploy").gateway) as registry,
    ):
        files = {count: workspaces(Path(folder), count) for count in (FEW, MANY)}

        def deploy(number: int, count: int) -> float:
            return on.playbook(
                "alive.codex.deploy",
                codex_hosts=first(number),
                codex_cli_registry=registry.url,
                codex_cli_version=VERSION,
                codex_workspaces_root=f"/srv/{count}",
                codex_workspaces_file=str(files[count]),
                codex_prune_root="/srv",
            )

        deploy(NUMBERS[-1], FEW)
        deploy(1, MANY)
        yield {
            "1 host, 5,000 workspaces": lambda: deploy(1, MANY),
            "1 host, stock modules": lambda: stock(on, registry.url),
            **growth(lambda number: deploy(number, FEW), lambda number: on.play(*PINGS, on=first(number))),
        }


def first(number: int) -> str:
    """The pattern of so many hosts."""
    return ":".join(HOSTS[:number])


def growth(deploy: Callable[[int], float], pings: Callable[[int], float]) -> dict[str, Side]:
    """Both on each number of hosts, and what the deploy of one host would take on more, grew it as pings do."""
    last: dict[str, float] = {}

    def kept(name: str, side: Callable[[int], float], number: int) -> float:
        last[name] = side(number)
        return last[name]

    found: dict[str, Side] = {}
    for number in NUMBERS:
        hosts = "1 host" if number == 1 else f"{number} hosts"
        found[f"{hosts}, 10 workspaces"] = lambda n=number, name=f"deploy {number}": kept(name, deploy, n)
        found[f"{hosts}, ten pings"] = lambda n=number, name=f"pings {number}": kept(name, pings, n)
        if number > 1:
            found[f"{hosts}, grown as pings"] = lambda n=number: last["deploy 1"] * last[f"pings {n}"] / last["pings 1"]
    return found


def workspaces(folder: Path, count: int) -> Path:
    path = folder / f"{count}.json"
    path.write_text(json.dumps([{"name": f"ws{n}", "uid": 20000 + n, "gid": 20000 + n} for n in range(count)]))
    return path


def stock(on: Worker, registry: str) -> float:
    """What a site would write: the release, HOMEs, script, settings, cron line and a look at the binary, without this
    collection. It looks for fewer faults, and heals fewer."""
    package = f"@openai/codex@{VERSION}"
    install = f"npm install --global --prefix /srv/npm --registry {registry} {package}"
    owner = "{{ 30000 + item.0 }}"
    home = {"state": "directory", "owner": owner, "group": owner, "mode": "0700"}
    return on.play(
        {
            "ansible.builtin.shell": f"npm ls --global --prefix /srv/npm {package} || {install}",
            "changed_when": False,
        },
        {"ansible.builtin.file": {"path": "/srv/stock", "state": "directory", "mode": "0711"}},
        {
            "ansible.builtin.file": {"path": "/srv/stock/ws{{ item.0 }}/{{ item.1 }}", **home},
            "loop": f"{{{{ range({FEW}) | product(['', '.codex', '.codex/sessions']) | list }}}}",
        },
        {"ansible.builtin.copy": {"content": "#!/bin/sh\nexit 0\n", "dest": "/usr/local/sbin/prune", "mode": "0755"}},
        {"ansible.builtin.copy": {"content": "{}\n", "dest": "/etc/prune.json", "mode": "0644"}},
        {"ansible.builtin.cron": {"name": "prune", "job": "/usr/local/sbin/prune", "hour": "3", "minute": "30"}},
        {"ansible.builtin.command": "/srv/npm/bin/codex --version", "changed_when": False},
    )
