"""Real Linux hosts on this machine: Debian root file systems in namespaces of their own, reached over SSH.

In a test: ``with Fleet("mine").started("worker1:node", "worker2") as hosts: ... ansible-playbook -i hosts.inventory``.
From the command line::

    python3 tests/support/hosts.py up worker1:node worker2
    python3 tests/support/hosts.py list
    python3 tests/support/hosts.py cut worker1      # and heal
    python3 tests/support/hosts.py run worker1 ps -ef
    python3 tests/support/hosts.py down

A host is one process tree: its PID, mount, network, UTS and IPC namespaces, its mounts and its end of the network
cable are gone when its PID 1 is. A checkout's fleets have a bridge and a network each, so that checkouts and fleets
do not meet. It needs root, and installs Debian's packages for the tools that it misses.
"""

from __future__ import annotations

import argparse
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

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import rootfs
from support.packages import cache_dir

CHECKOUT = Path(__file__).resolve().parents[2]
ENTER = rootfs.RECIPE / "enter.sh"
# For tests of networks (RFC 2544): no site's own addresses lie there.
NETWORKS = list(ipaddress.ip_network("198.18.0.0/15").subnets(new_prefix=24))
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
        return [nsenter, f"--target={self.pid}", "--all", "--root", "--wd", "--", *argv]

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
            env=ENVIRONMENT,
            timeout=timeout,
        )

    def cut(self) -> None:
        """Pulls the network cable: packets vanish, connections stay open."""
        _run("ip", "link", "set", self.link, "down")

    def heal(self) -> None:
        """Puts the network cable back."""
        _run("ip", "link", "set", self.link, "up")


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

        ``NAME:node`` has Node.js and npm, ``NAME`` neither. ``suite`` is another release of Debian than the machine's.
        They are stopped when the process ``owner`` ends; without one they stay until ``down``.
        """
        install_tools()
        lower = {"": str(rootfs.debian(suite))}
        lower["node"] = f"{rootfs.node()}:{lower['']}" if any(":" in name for name in names) else ""
        specs = [name.partition(":")[::2] for name in names]
        with self._locked():
            self._down()
            self.state.mkdir(parents=True)
            if owner:
                self.serve([sys.executable, __file__, "--fleet", self.state.name, "keep", str(owner)])
            try:
                network = self._build_bridge()
                addresses = {name: str(network[10 + number]) for number, (name, _ignored) in enumerate(specs, 1)}
                self._write_access(addresses, str(network[1]))
                self._start({name: lower[kind] for name, kind in specs})
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
            return json.loads(self.inventory.read_text())["workers"]  # type: ignore[no-any-return]
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
        found = json.loads(_run("ip", "-json", "link"))
        return [link["ifname"] for link in found if link["ifname"].startswith(self._id)]

    def _build_bridge(self) -> ipaddress.IPv4Network:
        """A bridge of its own, on the first network from this fleet's number on that no route of the machine uses."""
        with (cache_dir() / "networks.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            routes = json.loads(_run("ip", "-json", "-4", "route", "show", "table", "all"))
            used = [ipaddress.ip_network(r["dst"], strict=False) for r in routes if r["dst"] != "default"]
            first = int(self._id[3:], 16) % len(NETWORKS)
            for network in NETWORKS[first:] + NETWORKS[:first]:
                if not any(network.overlaps(other) for other in used):
                    break
            else:
                raise RuntimeError("no network of 198.18.0.0/15 is free: this machine has routes to all of them")
            _run("ip", "link", "add", self._id, "type", "bridge")
            _run("ip", "address", "add", f"{network[1]}/24", "dev", self._id)
            _run("ip", "link", "set", self._id, "up")
        return network

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
            pid = self._await_line(name, process)
            address = self._read_inventory()["hosts"][name]["ansible_host"]
            link = f"{self._id}-{number}"
            _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pid)
            _run("ip", "link", "set", link, "master", self._id, "up")
            # No default route and no name server: what the hosts cannot reach fails at once, not after a time limit.
            inside = f"link set lo up\naddress add {address}/24 dev eth0\nlink set eth0 up\n"
            _run("nsenter", f"--target={pid}", "--net", "ip", "-batch", "-", stdin=inside)
        for name, process in starting.items():
            self._await_line(name, process)  # sshd listens
            assert process.stdout is not None
            process.stdout.close()
            process.returncode = 0  # it stays: no warning of a child that was left running

    def _await_line(self, name: str, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line:
            log = (self.state / name / "log").read_text(errors="replace").strip()
            raise RuntimeError(f"host {name} did not start: {log or 'it said nothing'}")
        return line

    def _down(self) -> None:
        links = self.links()
        for link in links:  # connections of cut hosts end properly when their processes do
            _run("ip", "link", "set", link, "up")
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
        for link in self.links():  # explicitly: an open connection can keep a dead host's network alive for minutes
            _run("ip", "link", "delete", link, check=False)  # the kernel may be removing it just now
        subprocess.run(["rm", "-rf", "--one-file-system", self.state], check=True)


def _child(pid: int) -> int:
    """The PID of the only child of ``pid``. Raises ProcessLookupError where there is none (any more)."""
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
    except (OSError, ValueError):
        raise ProcessLookupError(pid) from None


def _ancestor(words: list[str]) -> int:
    """The PID of the nearest process above this one whose command line has all these words, 0 where there is none."""
    pid = os.getppid() if words else 0
    while pid > 1:
        argv = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
        if set(words) <= {argument.rpartition("/")[2] for argument in argv}:
            return pid
        pid = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    return 0


def await_end(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    os.close(pidfd)


def _make_key(path: Path) -> None:
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "alive-codex-tests", "-f", str(path))


def _run(*argv: str, check: bool = True, stdin: str = "") -> str:
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


def main() -> None:
    parser = argparse.ArgumentParser(description="Starts and stops real Debian hosts, reached over SSH.")
    parser.add_argument("--fleet", default="manual", help="which of this checkout's fleets; default: %(default)s")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start fresh hosts in place of those of before")
    up.add_argument("--suite", default="", help="release of Debian; default: this machine's own")
    up.add_argument(
        "--within",
        default="",
        metavar="COMMAND",
        help="stop them when the process above this one ends whose command line has these words",
    )
    up.add_argument("names", nargs="+", metavar="NAME[:node]")
    commands.add_parser("check", help="say why this machine cannot have hosts (and fail), or nothing")
    commands.add_parser("down", help="stop them and remove whatever they left")
    commands.add_parser("list", help="name, address, PID 1 and root directory of each that runs")
    for command, text in (("cut", "pull a host's network cable"), ("heal", "put it back")):
        commands.add_parser(command, help=text).add_argument("name")
    run = commands.add_parser("run", help="run a command in a host as root, without SSH")
    run.add_argument("name")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run a program on this machine that ends with the hosts")
    serve.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    commands.add_parser("keep", help="stop the hosts when a process ends").add_argument("owner", type=int)
    options = parser.parse_args()

    fleet = Fleet(options.fleet)
    if options.command == "up":
        fleet.up(options.names, options.suite, _ancestor(options.within.split()))
    elif options.command == "check":
        sys.exit(why_not() or None)
    elif options.command == "down":
        fleet.down()
    elif options.command == "serve":
        fleet.serve(options.argv)
    elif options.command == "keep":
        fleet.keep(options.owner)
    elif options.command == "list":
        for host in fleet.hosts.values():
            print(host.name, host.address, host.pid, host.root)
    elif options.name not in fleet.hosts:
        sys.exit(f"no host {options.name!r} runs; there are: {', '.join(fleet.hosts) or 'none'}")
    elif options.command == "run":
        argv = fleet.hosts[options.name].command(*options.argv)
        os.execve(argv[0], argv, ENVIRONMENT)
    else:
        getattr(fleet.hosts[options.name], options.command)()


if __name__ == "__main__":
    main()
