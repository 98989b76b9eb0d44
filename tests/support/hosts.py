"""Real Linux hosts on this machine: Debian root file systems in namespaces of their own, reached over SSH.

In a test: ``with Fleet("mine").started("worker1:node", "worker2") as hosts: ... ansible-playbook -i hosts.inventory``.
From the command line: see fleet.py.

A host is one process tree: its PID, mount, network, UTS and IPC namespaces, its mounts and its end of the network
cable are gone when its PID 1 is. A checkout's fleets have a bridge and a network each, so that checkouts and fleets
do not meet. It needs root, and installs Debian's packages for the tools that it misses.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import ipaddress
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from support import rootfs
from support.packages import cache_dir
from support.settings import usual_umask

CHECKOUT = Path(__file__).resolve().parents[2]
CLI = Path(__file__).with_name("fleet.py")
ENTER = rootfs.RECIPE / "enter.sh"
# For tests of networks (RFC 2544): no site's own addresses lie there.
NETWORKS = list(ipaddress.IPv4Network("198.18.0.0/15").subnets(new_prefix=24))
TOOLS = {
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
}
MARK = "ALIVE_TEST_HOST"
ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
BARE = ["env", "-i", *(f"{name}={value}" for name, value in ENVIRONMENT.items())]


class Spec(NamedTuple):
    """A host to be: ``NAME``, or ``NAME:node`` with Node.js and npm; ``@SUITE`` after it for a release of its own."""

    name: str
    kind: str
    suite: str

    @classmethod
    def parse(cls, text: str, suite: str = "") -> Spec:
        """Reads one that is of ``suite`` where it names none."""
        host, _at, own = text.partition("@")
        name, _colon, kind = host.partition(":")
        return cls(name, kind, own or suite)


class Host(NamedTuple):
    """A running host. ``pid`` is its PID 1 as this machine sees it, ``link`` this machine's end of its cable."""

    name: str
    address: str
    pid: int
    link: str

    @property
    def root(self) -> Path:
        """The host's root directory as seen from here. Absolute links in it lead to this machine's files."""
        return Path(f"/proc/{self.pid}/root")

    def command(self, *argv: str) -> list[str]:
        """The argument vector that runs ``argv`` as root in the host, from here, without SSH."""
        nsenter = shutil.which("nsenter") or "nsenter"
        return [nsenter, f"--target={self.pid}", "--all", "--root", "--wd", "--", *BARE, *argv]

    def run(
        self, *argv: str, check: bool = True, stdin: str = "", timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Runs ``argv`` as root in the host with a bare environment, without SSH, at most ``timeout`` seconds."""
        return subprocess.run(
            self.command(*argv),
            check=check,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def cut(self) -> None:
        """Pulls the network cable: packets vanish, connections stay open."""
        run("ip", "link", "set", self.link, "down")

    def heal(self) -> None:
        """Puts the network cable back."""
        run("ip", "link", "set", self.link, "up")


class Fleet:
    """The hosts of one purpose (``name``) of this checkout. One object may start them and another stop them."""

    def __init__(self, name: str) -> None:
        self.state = CHECKOUT / ".cache" / "hosts" / name
        self._id = f"alv{hashlib.sha256(bytes(self.state)).hexdigest()[:6]}"
        self.inventory = self.state / "inventory.json"
        self.ssh_config = self.state / "ssh_config"

    @property
    def gateway(self) -> str:
        """This machine's address on the hosts' network, where it can serve them."""
        return str(self._read_inventory()["vars"]["control_address"])

    @property
    def hosts(self) -> dict[str, Host]:
        """The running hosts by name."""
        parents = {path.name: pid for pid, path in self.processes().items() if path.parent == self.state}
        return {
            name: Host(name, variables["ansible_host"], _child(parents[name]), f"{self._id}-{number}")
            for number, (name, variables) in enumerate(self._read_inventory()["hosts"].items(), 1)
            if name in parents
        }

    @contextlib.contextmanager
    def started(self, *names: str, suite: str = "") -> Iterator[Fleet]:
        """The fleet with these hosts, as long as the block runs; they end with this process, however it ends."""
        self.up(names, suite, owner=os.getpid())
        try:
            yield self
        finally:
            self.down()

    def up(self, names: Sequence[str], suite: str = "", owner: int = 0) -> None:
        """Starts fresh hosts in place of those of before; returns once all of them answer to SSH.

        ``names`` are as Spec reads them, ``suite`` another release of Debian or Ubuntu than the machine's. They are
        stopped when the process ``owner`` ends; without one they stay until ``down``.

        Raises LookupError where no mirror has a release.
        """
        specs = [Spec.parse(name, suite) for name in names]
        roots = {kind: self._build_root(*kind) for kind in sorted({spec[1:] for spec in specs})}
        with self._locked(), usual_umask():
            self._down()
            self.state.mkdir(parents=True)
            if owner:
                self.serve([sys.executable, str(CLI), "--fleet", self.state.name, "keep", str(owner)])
            try:
                network = self._claim_network()
                addresses = {spec.name: str(network[10 + number]) for number, spec in enumerate(specs, 1)}
                self._write_access(addresses, str(network[1]))
                self._start({spec.name: roots[spec[1:]] for spec in specs})
            except BaseException:
                self._down()
                raise

    def down(self) -> None:
        """Stops all hosts and removes whatever they left; harmless where there is none."""
        with self._locked():
            self._down()

    def serve(self, argv: Sequence[str]) -> None:
        """Starts a program on this machine that ends with the hosts, such as a server for them."""
        with (self.state / "serve.log").open("ab") as log:
            subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, MARK: str(self.state)},
            )

    def keep(self, owner: int) -> None:
        """Waits for the process ``owner`` to end, then stops the hosts."""
        with contextlib.suppress(ProcessLookupError):
            await_end(os.pidfd_open(owner))
        self.down()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.state.parent.mkdir(parents=True, exist_ok=True)
        with self.state.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read_inventory(self) -> dict[str, dict[str, dict[str, str]]]:
        try:
            workers: dict[str, dict[str, dict[str, str]]] = json.loads(self.inventory.read_text())["workers"]
            return workers
        except FileNotFoundError:
            return {"hosts": {}, "vars": {}}

    def processes(self) -> dict[int, Path]:
        """This fleet's own processes on this machine, and for what each is there: a host's directory, or the fleet's.

        They are told by a mark in their environment. What runs in the hosts, in their PID namespaces, bears none.
        """
        found = {}
        here = os.readlink("/proc/self/ns/pid")
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(entry / "ns" / "pid") == here:
                    for variable in (entry / "environ").read_text(errors="replace").split("\0"):
                        name, _ignored, path = variable.partition("=")
                        if name == MARK and Path(path).is_relative_to(self.state):
                            found[int(entry.name)] = Path(path)
        return found

    def links(self) -> list[str]:
        found = json.loads(run("ip", "-json", "link"))
        return [link["ifname"] for link in found if link["ifname"].startswith(self._id)]

    def can_have(self, suite: str) -> str:
        """Why hosts cannot be of this release, or nothing where they can. It is built then."""
        try:
            self._build_root("", suite)
        except LookupError as error:
            return str(error)
        return ""

    def _build_root(self, kind: str, suite: str) -> str:
        """What a kind of host starts from: the lower directories of its root."""
        install_tools()
        debian = str(rootfs.debian(suite))
        return f"{rootfs.node()}:{debian}" if kind else debian

    def _claim_network(self) -> ipaddress.IPv4Network:
        """The first network from this fleet's number on that no route of the machine uses, with a bridge on it."""
        with (cache_dir() / "networks.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            routes = json.loads(run("ip", "-json", "-4", "route", "show", "table", "all"))
            used = [ipaddress.ip_network(r["dst"], strict=False) for r in routes if r["dst"] != "default"]
            first = int(self._id[3:], 16) % len(NETWORKS)
            for network in NETWORKS[first:] + NETWORKS[:first]:
                if not any(network.overlaps(other) for other in used):
                    self._build_bridge(network)
                    return network
        raise RuntimeError("no network of 198.18.0.0/15 is free: this machine has routes to all of them")

    def _build_bridge(self, network: ipaddress.IPv4Network) -> None:
        run("ip", "link", "add", self._id, "type", "bridge")
        run("ip", "address", "add", f"{network[1]}/24", "dev", self._id)
        run("ip", "link", "set", self._id, "up")

    def _write_access(self, addresses: dict[str, str], gateway: str) -> None:
        """Keys and host keys, and the inventory and SSH's settings that use them."""
        key, known_hosts = self.state / "key", self.state / "known_hosts"
        _make_key(key)
        with known_hosts.open("w") as known:
            for name, address in addresses.items():
                seed = self.state / name / "seed" / "etc"
                (seed / "ssh").mkdir(parents=True)
                host_key = seed / "ssh" / "ssh_host_ed25519_key"
                _make_key(host_key)
                known.write(f"{name},{address} {host_key.with_suffix('.pub').read_text()}")
                shutil.copy(key.with_suffix(".pub"), seed / "ssh" / "authorized_keys")
                (seed / "resolv.conf").write_text("# No names but those in /etc/hosts.\n")
                (seed / "hostname").write_text(f"{name}\n")
                (seed / "hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n{gateway} control\n")
        settings = {
            "User": "deploy",
            "IdentityFile": f'"{key}"',
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": f'"{known_hosts}"',
            "StrictHostKeyChecking": "yes",
            "ServerAliveInterval": "10",  # a cut cable must not hang whoever waits for an answer
        }
        lines = [f"Host {name}\n  HostName {address}\n" for name, address in addresses.items()]
        lines.append("Host *\n" + "".join(f"  {name} {value}\n" for name, value in settings.items()))
        self.ssh_config.write_text("".join(lines))
        workers = {
            "hosts": {name: {"ansible_host": address} for name, address in addresses.items()},
            "vars": {
                "ansible_user": "deploy",
                "ansible_ssh_common_args": f"-F {shlex.quote(str(self.ssh_config))}",
                "ansible_python_interpreter": "/usr/bin/python3",
                "control_address": gateway,
            },
        }
        self.inventory.write_text(json.dumps({"workers": workers}, indent=2) + "\n")

    def _start(self, lower: dict[str, str]) -> None:
        unshare = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--propagation", "private"]
        starting = {}
        for name, directories in lower.items():
            with (self.state / name / "log").open("wb") as log:
                starting[name] = subprocess.Popen(
                    [*unshare, "--uts", "--ipc", "--net", "sh", ENTER, self.state / name, directories],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                    env={**ENVIRONMENT, MARK: str(self.state / name)},
                )
        for number, (name, process) in enumerate(starting.items(), 1):
            pid = await_line(name, process, self.state / name / "log")
            address = self._read_inventory()["hosts"][name]["ansible_host"]
            link = f"{self._id}-{number}"
            run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pid)
            run("ip", "link", "set", link, "master", self._id, "up")
            # No default route and no name server: what the hosts cannot reach fails at once, not after a time limit.
            inside = f"link set lo up\naddress add {address}/24 dev eth0\nlink set eth0 up\n"
            run("nsenter", f"--target={pid}", "--net", "ip", "-batch", "-", stdin=inside)
        for name, process in starting.items():
            await_line(name, process, self.state / name / "log")  # sshd listens
            assert process.stdout is not None
            process.stdout.close()
            process.returncode = 0  # it stays: no warning of a child that was left running

    def _down(self) -> None:
        for link in self.links():  # connections of cut hosts end properly when their processes do
            run("ip", "link", "set", link, "up")
        self._end_processes()
        for link in self.links():  # explicitly: an open connection can keep a dead host's network alive for minutes
            run("ip", "link", "delete", link, check=False)  # the kernel may be removing it just now
        run("rm", "-rf", "--one-file-system", str(self.state))

    def _end_processes(self) -> None:
        waited_for = []
        for pid, path in self.processes().items():
            if pid == os.getpid():
                continue
            with contextlib.suppress(ProcessLookupError):
                waited_for.append(os.pidfd_open(pid))
                if path != self.state:
                    waited_for.append(os.pidfd_open(_child(pid)))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pidfd in waited_for:
            await_end(pidfd)


def _child(pid: int) -> int:
    """The PID of the only child of ``pid``. Raises ProcessLookupError where there is none (any more)."""
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
    except (OSError, ValueError):
        raise ProcessLookupError(pid) from None


def await_line(name: str, process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"host {name} did not start: {log.read_text(errors='replace').strip() or 'it said nothing'}")
    return line


def await_end(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    os.close(pidfd)


def _make_key(path: Path) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "alive-codex-tests", "-f", str(path))


def run(*argv: str, check: bool = True, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{shlex.join(argv)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def install_tools() -> None:
    """Installs the packages of the tools that are missing. Raises RuntimeError where that cannot be done."""
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    if missing:
        print(f"INSTALLING with apt-get, for the test hosts: {' '.join(missing)}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", "--quiet", *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)


def why_not() -> str:
    """Why this machine cannot have such hosts, or nothing where it can."""
    if sys.platform != "linux":
        return "they need Linux"
    if os.geteuid() != 0:
        return "they need root, for namespaces and mounts"
    if not shutil.which("apt-get"):
        return "they need Debian or Ubuntu, whose debootstrap builds their root file systems"
    if subprocess.run(
        ["unshare", "--pid", "--mount", "--net", "--fork", "true"], capture_output=True, check=False
    ).returncode:
        return "this machine's root may not make namespaces"
    return ""
