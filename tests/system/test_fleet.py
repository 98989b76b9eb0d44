"""Deploys and updates of real hosts over SSH: while they work, where one is bad, and with the control node killed.

Small packages stand in for the CLI. ``ALIVE_HOSTS`` is how many hosts there are, 4 unless set; ``ALIVE_TRIALS`` how
often a deploy and an update are killed, once each unless set. ``make fleet`` has 20 hosts, and kills each ten times.
"""

from __future__ import annotations

import bisect
import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import hosts
from support.hosts import Fleet, Host
from support.plays import environment
from support.registry import Registry
from support.releases import build_release
from support.turns import wait_until

COUNT = max(4, int(os.environ.get("ALIVE_HOSTS", 4)))
TRIALS = int(os.environ.get("ALIVE_TRIALS", 1))
NAMES = [f"w{number:02}" for number in range(1, COUNT + 1)]
OLD, NEW = "0.160.0", "0.171.0"
# One for each run that is killed, so that it has something to install.
LATER = [f"0.171.{number}" for number in range(1, 2 * TRIALS + 1)]
BATCHES = json.dumps({"codex_update_batches": [1, 2, "30%", "100%"]})
# Both in the second batch: for the tenant of one the new release fails, for that of the other as soon as it is active.
BAD, BAD_LATER = NAMES[1:3]
OWNER = 20001
PREFIX = "usr/local/lib/alive-codex"
# A turn streams until it is told to stop, and calls a program of its own release again and again.
CLI = """#!/bin/sh
[ "$1" != --version ] || echo "codex-cli {version}"
[ "$1" = stream ] || exit 0
tool=$(dirname "$(readlink -f "$0")")/../codex-path/rg
while [ ! -e /tmp/stop ]; do "$tool" 0.2 || exit 9; echo "{version}"; done
"""
# Runs for those with whom a release is tried, but not for the tenant where there is such a file.
FRAIL = CLI.replace(
    "\n",
    f"""
[ ! -e /etc/broken ] || [ "$(id -u)" != {OWNER} ] || exit 3
[ ! -e /etc/broken-later ] || [ "$(id -u)" != {OWNER} ] ||
  [ "$(readlink -f "$0")" != "$(readlink -f /usr/local/bin/codex)" ] || exit 3
""",
    1,
)
LOAD = """
for loop in 1 2 3 4; do
  while [ ! -e /tmp/stop ]; do
    /usr/local/bin/codex --version >/dev/null 2>>/tmp/errors || echo "a spawn failed with $?" >>/tmp/errors
    echo . >>/tmp/spawned
    sleep "$1"
  done &
done
/usr/local/bin/codex stream >/tmp/turn 2>>/tmp/errors || echo "the turn ended with $?" >>/tmp/errors
wait
"""
# Seconds between two spawns of a loop: all hosts share the processors of this machine.
PAUSE = 0.025 * COUNT

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(hosts.why_not()), reason=f"NOT RUN: real hosts cannot be made here: {hosts.why_not()}"),
]


class Run:
    """A playbook that somebody typed."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self.told: list[str] = []
        self.moments: list[float] = []
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
        )

    def read(self) -> bool:
        """Waits for one more line of output; whether there was one."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            self.told.append(line)
            self.moments.append(time.monotonic() - self._began)
        return bool(line)

    def end(self) -> int:
        """Its exit status."""
        while self.read():
            pass
        return self._process.wait()

    def kill(self) -> None:
        """Kills ansible-playbook alone. What it had started on this machine and on the hosts may go on."""
        self._process.kill()
        assert self._process.wait() == -signal.SIGKILL, "it had ended before"

    def close(self) -> None:
        """Reads no more of what is left of a killed run."""
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def output(self) -> str:
        return "".join(self.told)

    def table(self) -> dict[str, list[str]]:
        """The last lines of its last table, by host."""
        head = max(number for number, line in enumerate(self.told) if line.startswith("HOST "))
        return {line.split()[0]: line.split()[1:] for line in self.told[head + 1 : head + 1 + COUNT]}


class Operator:
    """Types playbooks."""

    def __init__(self, directory: Path, fleet: Fleet, registry: Registry) -> None:
        self.hosts = fleet.hosts
        self._env = {**environment(directory), "ANSIBLE_PIPELINING": "1", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORKS": "10"}
        variables = directory / "variables.json"
        variables.write_text(
            json.dumps(
                {
                    "codex_cli_registry": registry.url,
                    "codex_cli_warn_unproven": False,
                    "codex_cli_config": {},  # it is judged by the real CLI
                    "codex_workspaces_workspaces": [{"name": "acme", "uid": OWNER, "gid": OWNER}],
                }
            )
        )
        self._argv = ["ansible-playbook", "-i", str(fleet.inventory), "-e", f"@{variables}"]
        self._whole: dict[str, Run] = {}

    def start(self, playbook: str, version: str, *arguments: str) -> Run:
        argv = [*self._argv, f"alive.codex.{playbook}", "-e", f"codex_cli_version={version}", *arguments]
        return Run(argv, self._env)

    def run(self, playbook: str, version: str, *arguments: str) -> Run:
        """One that ends well."""
        run = self.start(playbook, version, *arguments)
        assert run.end() == 0, run.output
        self._whole.setdefault(playbook, run)
        return run

    def whole(self, playbook: str) -> Run:
        """The first run of it that ended well: what such a run prints, and when."""
        return self._whole.get(playbook) or self.run(playbook, NEW, "-e", BATCHES)

    def says(self) -> dict[str, str]:
        """What the tenant of each host gets from its stable path."""
        return {
            name: as_user(host, OWNER, "/usr/local/bin/codex", "--version").stdout.strip().rpartition(" ")[2]
            for name, host in self.hosts.items()
        }


def as_user(host: Host, uid: int, *argv: str) -> subprocess.CompletedProcess[str]:
    return host.run(*user_command(uid, *argv), check=False)


def user_command(uid: int, *argv: str) -> tuple[str, ...]:
    return ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *argv)


def releases(host: Host) -> set[str]:
    return {path.name for path in (host.root / PREFIX / "releases").iterdir()}


def state(host: Host) -> str:
    """All that a deploy or an update could change, with the times."""
    places = ("/etc", "/usr/local", "/var/lib/claude-sessions")
    return host.run("find", *places, "-printf", "%p %l %m %U %s %T@ %C@\n").stdout


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    folder = tmp_path_factory.mktemp("fleet")
    tarballs: list[Path | str] = [*build_release(folder, OLD, script=CLI), *build_release(folder, NEW, script=FRAIL)]
    for version in LATER:
        tarballs += build_release(folder, version, script=CLI)
    with (
        Fleet("test-fleet").started(*(f"{name}:node" for name in NAMES)) as fleet,
        Registry(tarballs, bind=fleet.gateway) as registry,
    ):
        yield Operator(folder, fleet, registry)


def test_hosts_that_work_are_updated_and_a_bad_one_stops_it(operator: Operator) -> None:
    operator.run("deploy", OLD)
    load = [
        # A tenant for whom the active release fails is one for whom spawns fail: there, another one works.
        subprocess.Popen(host.command(*user_command(OWNER + (name == BAD_LATER), "sh", "-c", LOAD, "load", str(PAUSE))))
        for name, host in operator.hosts.items()
    ]
    try:
        wait_until(
            lambda: all(
                (host.root / "tmp" / name).exists() and (host.root / "tmp" / name).stat().st_size
                for host in operator.hosts.values()
                for name in ("spawned", "turn")
            )
        )
        marks = (operator.hosts[BAD].root / "etc/broken", operator.hosts[BAD_LATER].root / "etc/broken-later")
        for mark in marks:
            mark.touch(0o644)
        before = {name: state(operator.hosts[name]) for name in NAMES[3:]}
        stopped = operator.start("update", NEW, "-e", BATCHES)
        assert stopped.end() != 0
        results = {name: row[-1] for name, row in stopped.table().items()}
        waiting = dict.fromkeys(NAMES[3:], "waits")
        assert results == {NAMES[0]: "moved", BAD: "FAILED", BAD_LATER: "FAILED", **waiting}, stopped.output
        assert f"{BAD} runs {OLD}. Validate the release as a tenant: " in stopped.output
        assert f"{BAD_LATER} runs {OLD}. Validate the binary as a tenant: " in stopped.output
        # The bad hosts work, for the tenant that the new release fails for, and have nothing more than they had.
        assert operator.says() == {NAMES[0]: NEW, **dict.fromkeys(NAMES[1:], OLD)}
        assert releases(operator.hosts[BAD]) == releases(operator.hosts[BAD_LATER]) == {OLD}
        # Of those in later batches, no file was touched.
        assert before == {name: state(operator.hosts[name]) for name in NAMES[3:]}

        for mark in marks:
            mark.unlink()
        moved = operator.run("update", NEW, "-e", BATCHES)
        results = {name: row[-1] for name, row in moved.table().items()}
        assert results == {NAMES[0]: "same", **dict.fromkeys(NAMES[1:], "moved")}
    finally:
        for host in operator.hosts.values():
            (host.root / "tmp/stop").touch()
        for process in load:
            process.wait(timeout=60)
    assert operator.says() == dict.fromkeys(NAMES, NEW)
    spawns = 0
    for name, host in operator.hosts.items():
        assert (host.root / "tmp/errors").read_text() == "", name
        assert set((host.root / "tmp/turn").read_text().split()) == {OLD}, name
        spawns += (host.root / "tmp/spawned").stat().st_size // 2
    print(f"{spawns} spawns on {COUNT} hosts while they were updated, none failed")


@pytest.mark.parametrize(("playbook", "versions"), [("deploy", LATER[:TRIALS]), ("update", LATER[TRIALS:])])
def test_a_killed_run_leaves_a_working_release_and_the_next_completes(
    operator: Operator, playbook: str, versions: list[str]
) -> None:
    chance = random.Random(f"{os.environ['ALIVE_SEED']} {playbook}")
    whole = operator.whole(playbook)
    [active] = set(operator.says().values())
    for version in versions:
        killed = operator.start(playbook, version, "-e", BATCHES)
        _kill(killed, whole, chance.uniform(0, 1))
        after = operator.says()
        assert set(after.values()) <= {active, version}, after
        print(f"{sum(runs == version for runs in after.values())} of {COUNT} hosts had moved to {version}")
        completed = operator.run(playbook, version, "-e", BATCHES)
        killed.close()
        assert operator.says() == dict.fromkeys(NAMES, version), completed.output
        for name, host in operator.hosts.items():
            assert releases(host) == {active, version}, name
            assert not list((host.root / PREFIX / "staging").glob("*")), name
        active = version


def _kill(run: Run, whole: Run, moment: float) -> None:
    """At a moment of ``whole``, 0 its start and 1 its end, which is awaited by the lines that come before it."""
    end = next(number for number, line in enumerate(whole.told) if line.startswith("PLAY RECAP"))
    seconds = moment * whole.moments[end - 1]
    lines = bisect.bisect(whole.moments, seconds)
    rest = seconds - (whole.moments[lines - 1] if lines else 0)
    for _line in range(lines):
        assert run.read(), run.output
    time.sleep(rest)  # a moment between two lines, which nothing tells
    run.kill()
    task = next((line for line in reversed(run.told) if line.startswith("TASK ")), "before its first task")
    print(f"\nkilled at {moment:.3f} of it, {rest:.2f} s after line {lines}: {re.sub(r'[* ]+$', '', task.strip())}")
