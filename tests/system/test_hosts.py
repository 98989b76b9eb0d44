"""The test hosts themselves: what they promise to tests, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import hosts
from support.turns import wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(hosts.why_not()), reason=f"NOT RUN: real hosts cannot be made here: {hosts.why_not()}"),
]


@pytest.fixture(scope="module")
def fleet() -> Iterator[hosts.Fleet]:
    with hosts.Fleet("test-hosts").started("first:node", "second") as fleet:
        yield fleet


def ssh(fleet: hosts.Fleet, target: str, command: str) -> str:
    argv = ["ssh", "-F", str(fleet.ssh_config), target, command]
    return subprocess.run(argv, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def left_on_the_machine(fleet: hosts.Fleet) -> list[object]:
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(fleet.state) in line]
    return [*fleet.processes(), *fleet.links(), *mounts, *fleet.state.parent.glob(f"{fleet.state.name}/*")]


def test_a_host_is_a_machine_of_its_own(fleet: hosts.Fleet) -> None:
    assert ssh(fleet, "first", "hostname; whoami; sudo whoami").split() == ["first", "deploy", "root"]
    assert ssh(fleet, "root@second", "whoami").strip() == "root"
    here = {name: os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "mnt", "net", "uts", "ipc")}
    for name, host in fleet.hosts.items():
        for namespace, inode in here.items():
            assert os.readlink(f"/proc/{host.pid}/ns/{namespace}") != inode, f"{name} shares {namespace}"
        assert host.run("cat", "/proc/1/comm").stdout == "python3\n"
        assert {"cron", "sshd"} <= set(host.run("ps", "-eo", "comm=").stdout.split())


def test_node_and_npm_only_where_asked_for(fleet: hosts.Fleet) -> None:
    assert ssh(fleet, "first", "node --version && npm --version").startswith("v")
    with pytest.raises(subprocess.CalledProcessError):
        ssh(fleet, "second", "command -v node || command -v npm")


def test_hosts_share_no_file(fleet: hosts.Fleet) -> None:
    first, second = fleet.hosts["first"], fleet.hosts["second"]
    first.run("sh", "-c", "cat > /etc/mark", stdin="first's\n")
    assert (first.root / "etc/mark").read_text() == "first's\n"
    assert not (second.root / "etc/mark").exists()
    assert not Path("/etc/mark").exists()


def test_orphans_are_reaped(fleet: hosts.Fleet) -> None:
    host = fleet.hosts["second"]
    orphan = int(host.run("sh", "-c", "cat /dev/zero > /dev/null 2>&1 & echo $!").stdout)
    assert host.run("ps", "-o", "ppid=", str(orphan)).stdout.strip() == "1"
    host.run("kill", "-KILL", str(orphan))
    wait_until(lambda: str(orphan) not in host.run("ps", "-eo", "pid=").stdout.split())


def test_a_cut_cable_stops_traffic_until_it_is_healed(fleet: hosts.Fleet) -> None:
    host = fleet.hosts["second"]
    with socket.create_connection((host.address, 22), timeout=10) as connection:
        connection.recv(100)
        host.cut()
        with pytest.raises(OSError):
            socket.create_connection((host.address, 22), timeout=0.3)
        host.heal()
        connection.sendall(b"SSH-2.0-test\r\n")
        assert connection.recv(100), "a connection made before the cut lives on"


def test_two_fleets_do_not_meet(fleet: hosts.Fleet) -> None:
    with hosts.Fleet("test-hosts-other").started("first") as other:
        assert other.gateway != fleet.gateway
        assert other.hosts["first"].address != fleet.hosts["first"].address
    assert left_on_the_machine(other) == []
    assert set(fleet.hosts) == {"first", "second"}


def test_hosts_end_with_their_owner_however_it_ends() -> None:
    fleet = hosts.Fleet("test-hosts-owned")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as owner:
        fleet.up(["only"], owner=owner.pid)
        init = os.pidfd_open(fleet.hosts["only"].pid)
        keeper = os.pidfd_open(next(pid for pid, path in fleet.processes().items() if path == fleet.state))
        owner.send_signal(signal.SIGKILL)
    hosts.await_end(init)
    hosts.await_end(keeper)
    assert left_on_the_machine(fleet) == []


def test_starting_again_replaces_what_an_interrupted_start_left() -> None:
    fleet = hosts.Fleet("test-hosts-again")
    start = [sys.executable, str(hosts.CLI), "--fleet", "test-hosts-again", "up", "only"]
    with subprocess.Popen(start, start_new_session=True) as interrupted:
        while not fleet.processes():  # killed in the middle, wherever that is
            assert interrupted.poll() is None
        interrupted.kill()
    try:
        fleet.up(["only"])
        assert ssh(fleet, "only", "hostname").strip() == "only"
    finally:
        fleet.down()
    assert left_on_the_machine(fleet) == []


def test_a_host_whose_release_no_mirror_has_is_left_out_with_the_reason() -> None:
    fleet = hosts.Fleet("test-hosts-none")
    start = [sys.executable, str(hosts.CLI), "--fleet", fleet.state.name, "up", "--available", "only", "never@nosuch"]
    try:
        said = subprocess.run(start, check=True, capture_output=True, text=True).stdout
        assert "NOT RUN on never: no mirror that this machine reaches has nosuch" in said
        assert set(fleet.hosts) == {"only"}
    finally:
        fleet.down()
