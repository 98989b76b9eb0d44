"""A deploy of five real hosts that has nothing to do: what it prints, and how often it goes to a host."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import hosts
from support.plays import environment
from support.registry import Registry
from support.releases import build_release

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(hosts.why_not()), reason=f"NOT RUN: real hosts cannot be made here: {hosts.why_not()}"),
]
VERSION = "0.171.0"
WORKERS = [f"worker{number}" for number in range(1, 6)]
# The last two get the release from the control node.
VARIABLES = {
    "codex_cli_version": VERSION,
    "codex_cli_fetch": "{{ 'controller' if inventory_hostname in ['worker4', 'worker5'] else 'host' }}",
    "codex_workspaces_workspaces": [{"name": f"ws{n}", "uid": 20_000 + n, "gid": 20_000 + n} for n in range(10)],
}
# A module costs one trip with pipelining: two looks, and the pruner.
MOST_TRIPS = {"worker1": 3, "worker5": 3}


class Site:
    def __init__(self, fleet: hosts.Fleet, directory: Path, variables: dict[str, object]) -> None:
        self._inventory = fleet.inventory
        self._directory = directory
        self._variables = json.dumps(variables)

    def deploy(self, *arguments: str) -> str:
        """What the operator sees."""
        argv = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self._inventory)]
        argv += ["alive.codex.deploy", "-e", self._variables, *arguments]
        settings = {**environment(self._directory), "ANSIBLE_PIPELINING": "1"}
        done = subprocess.run(argv, env=settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("deploy")
    name = "test-deploy"
    with (
        hosts.Fleet(name).started(*(f"{worker}:node" for worker in WORKERS)) as fleet,
        Registry(build_release(directory, VERSION), bind=hosts.Fleet(name).gateway) as registry,
    ):
        variables = {"codex_cli_registry": registry.url, "codex_cli_fetch_directory": str(directory / "tarballs")}
        site = Site(fleet, directory, {**VARIABLES, **variables})
        assert site.deploy().count("release, policy, workspaces, pruner") == len(WORKERS)
        yield site


def test_what_an_unchanged_deploy_prints(deployed: Site) -> None:
    lines = deployed.deploy().splitlines()
    recap = next(number for number, line in enumerate(lines) if line.startswith("PLAY RECAP"))
    assert [line for line in lines[:recap] if len(line) > 80] == []
    assert [line for line in lines if line.startswith("changed:")] == []
    assert lines.count("Nothing changed on 5 hosts.") == 1


@pytest.mark.parametrize("worker", MOST_TRIPS)
def test_an_unchanged_deploy_goes_to_a_host_a_few_times(deployed: Site, worker: str) -> None:
    output = deployed.deploy("-vvv", "--limit", worker)
    trips = [line for line in output.splitlines() if "> SSH: EXEC" in line]
    assert 0 < len(trips) <= MOST_TRIPS[worker], "\n".join(line[-300:] for line in trips)
