"""Nothing is left of a turn, however it ends: the real CLI on a real host, over SSH.

Each way is tried once, or ALIVE_TRIALS times, every other time without pipelining. Several processes of pytest-xdist
can share them: each has a host and a tenant of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.module_utils._host.proc import descendants
from support.hosts import Fleet, Host
from support.packages import native_codex
from support.plays import Play
from support.stub import FAKE_KEY, ResponsesStub
from support.turns import processes_of, wait_until

pytestmark = pytest.mark.root

TRIALS = int(os.environ.get("ALIVE_TRIALS", 1))
PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
UID = 61310 + int(PROCESS[2:])
GRACE = 4.0
# Children in sessions of their own, one of them nobody's child any more.
COMMAND = "setsid sleep 4001 & (setsid sh -c 'sleep 4002 & setsid sleep 4003' &) ; sleep 4004"
SLEEPERS = frozenset({"sleep 4001", "sleep 4002", "sleep 4003", "sleep 4004"})


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet(f"test-exec-{PROCESS}").started("worker") as started:
        root = started.hosts["worker"].root
        shutil.copy(native_codex(), root / "usr/local/bin/codex")
        home = root / "var/lib/claude-sessions/acme"
        home.mkdir(parents=True)
        home.parent.chmod(0o711)
        home.chmod(0o700)
        os.chown(home, UID, UID)
        yield started


@pytest.fixture(scope="module")
def api(fleet: Fleet) -> Iterator[ResponsesStub]:
    with ResponsesStub("--bind", fleet.gateway) as stub:
        yield stub


def of_tenant() -> list[str]:
    return list(processes_of(UID).values())


def left_on(host: Host) -> list[str]:
    """What of a turn is still there: its processes, its supervisor's directory, and Ansible's own temporary files."""
    paths = [*host.root.glob("tmp/alive-codex-*"), *host.root.glob("home/deploy/.ansible/tmp/*")]
    return of_tenant() + list(map(str, paths))


def await_shown(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr and any(text in line for line in process.stderr)


class Trial:
    """A turn that sleeps on the host, and how it is made to end. Where that is not left to the lease, the lease is
    longer than what is waited for, which takes its time on a machine that does much else."""

    def __init__(self, fleet: Fleet, api: ResponsesStub, directory: Path, number: int) -> None:
        self.host = fleet.hosts["worker"]
        self.fleet = fleet
        self.options: dict[str, Any] = {
            "workspace": "acme",
            "model": "gpt-5.1",  # one that calls the shell directly, and so needs no more than the binary
            "prompt": f"[[run:echo one]] [=[run:{COMMAND}]=]",
            "sandbox_mode": "danger-full-access",
            "skip_git_repo_check": True,
            "config": {"features": {"plugins": False}},
            "base_url": api.base_url,
            "api_key": FAKE_KEY,
            "grace_period": GRACE,
        }
        self.directory = directory
        self.settings = {"ANSIBLE_PIPELINING": str(number % 2 == 0)}
        self.keywords: dict[str, Any] = {"become": True}

    @contextlib.contextmanager
    def running(self, sleepers: frozenset[str] = SLEEPERS) -> Iterator[subprocess.Popen[str]]:
        """Runs the play; the block begins once all that the model asked for runs on the host."""
        with self.play().start() as process:
            try:
                wait_until(lambda: set(of_tenant()) >= sleepers, 60, of_tenant)
                yield process
                process.communicate(timeout=60)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def play(self) -> Play:
        inventory = str(self.fleet.inventory)
        return Play(self.directory, self.options, inventory, {"ansible_ssh_timeout": 3}, self.keywords, self.settings)

    def run(self, pipelining: str) -> dict[str, Any]:
        self.settings["ANSIBLE_PIPELINING"] = pipelining
        return self.play().run(host="worker")

    def gone_within(self, seconds: float) -> float:
        return wait_until(lambda: not left_on(self.host), seconds, lambda: left_on(self.host))

    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.directory / "worker.json").read_text())
        return result


@pytest.fixture
def trial(request: pytest.FixtureRequest, fleet: Fleet, api: ResponsesStub, tmp_path: Path) -> Trial:
    return Trial(fleet, api, tmp_path, getattr(request, "param", 0))


def often(first: int) -> Any:
    return pytest.mark.parametrize("trial", range(first, first + TRIALS), indirect=True)


PIPELINING, FILES = often(0), often(1)  # with which the trials begin


@FILES
def test_time_limit(trial: Trial) -> None:
    trial.options["timeout"] = 5
    with trial.running():
        trial.gone_within(5 + 20)
    result = trial.result()
    assert (result["status"], result["reason"]) == ("timed_out", "timeout")
    assert result["thread_id"] and result["changed"] and result["failed"]


@PIPELINING
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_told_to_end(trial: Trial, number: signal.Signals) -> None:
    trial.options["grace_period"] = 60
    with trial.running() as process:
        if number == signal.SIGINT:  # a terminal sends it to the whole foreground group
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        trial.gone_within(20)


@FILES
def test_control_node_killed(trial: Trial) -> None:
    with trial.running() as process:
        process.kill()
        trial.gone_within(GRACE + 5)


@PIPELINING
def test_control_node_killed_while_it_begins_a_turn(trial: Trial) -> None:
    with trial.running(frozenset()) as process:
        wait_until(of_tenant, 60)
        process.kill()
        trial.gone_within(GRACE + 5)


@FILES
def test_connection_cut(trial: Trial) -> None:
    trial.keywords["ignore_unreachable"] = True
    with trial.running() as process:
        await_shown(process, "exit 0: ")
        trial.host.cut()
        try:
            trial.gone_within(GRACE + 5)
            process.wait(60)
        finally:
            trial.host.heal()
    assert "UNREACHABLE" in (trial.directory / "stdout").read_text()
    lost(trial.result())


def test_control_node_asleep(trial: Trial) -> None:
    with trial.running() as process:
        await_shown(process, "exit 0: ")
        asleep = [process.pid, *descendants(process.pid)]
        try:
            tell(asleep, signal.SIGSTOP)
            trial.gone_within(GRACE + 5)
        finally:
            tell(asleep, signal.SIGCONT)
    result = trial.result()
    assert result["failed"] and "heard nothing" in result["msg"]
    lost(result)


def tell(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # what runs for one poll alone may have ended
            os.kill(pid, number)


def lost(result: dict[str, Any]) -> None:
    """The lease has run out, and what the turn had produced by then is there."""
    assert (result["status"], result["reason"], result["changed"]) == ("aborted", "lease_expired", True)
    outputs = [item["aggregated_output"] for item in result["thread_items"] if item["type"] == "command_execution"]
    assert result["thread_id"] and outputs == ["one\n"]


@PIPELINING
def test_task_keyword_timeout(trial: Trial) -> None:
    trial.keywords["timeout"] = 6
    trial.options["grace_period"] = 60
    with trial.running() as process:
        process.wait(60)
        trial.gone_within(20)


@pytest.mark.parametrize("pipelining", ["1", "0"], ids=["pipelining", "files"])
def test_the_workspace_of_root(trial: Trial, api: ResponsesStub, pipelining: str) -> None:
    trial.options["prompt"] = "[[run:id -u; echo $HOME]] [[output]]"
    result = trial.run(pipelining)
    assert result["final_response"].split() == [str(UID), "/var/lib/claude-sessions/acme"], result
    assert left_on(trial.host) == []


def test_the_tenant_itself_through_become(trial: Trial) -> None:
    trial.host.run("useradd", "--uid", str(UID), "--home-dir", "/var/lib/claude-sessions/acme", "acme", check=False)
    trial.options["prompt"] = "[[run:id -un]] [[output]]"
    trial.keywords["become_user"] = "acme"
    result = trial.run("1")
    assert result["final_response"].split() == ["acme"], result
    assert left_on(trial.host) == []


def test_a_tenant_that_kills_its_own_supervisor(trial: Trial) -> None:
    trial.host.run("useradd", "--uid", str(UID), "--home-dir", "/var/lib/claude-sessions/acme", "acme", check=False)
    trial.options["prompt"] = "[[say:one]] [[run:sleep 2; kill -9 $(cat /tmp/alive-codex-*/pid)]]"
    trial.keywords["become_user"] = "acme"
    result = trial.run("1")
    assert (result["status"], result["failed"], result["changed"]) == ("aborted", True, True), result
    assert result["final_response"] == "one" and "supervisor was killed" in result["msg"]
    wait_until(lambda: not left_on(trial.host), otherwise=lambda: left_on(trial.host))


def test_a_short_cut_does_not_end_the_turn(trial: Trial, api: ResponsesStub) -> None:
    trial.options |= {"grace_period": 30, "prompt": f"[=[run:{COMMAND[:-4]}12]=] [[say:still here]]"}
    with trial.running(SLEEPERS - {"sleep 4004"} | {"sleep 12"}):
        trial.host.cut()
        time.sleep(4)  # the length of the cut is what is tried
        trial.host.heal()
    assert trial.result()["final_response"] == "still here", trial.result()
    assert left_on(trial.host) == []
