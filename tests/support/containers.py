"""Test hosts as containers, where the machine cannot have real ones: Docker's or Podman's, on a network of the engine.

They are reached over SSH like the real ones, and started from the same recipe; they share what engines let containers
share, and see no other network.
"""

from __future__ import annotations

import contextlib
import functools
import io
import ipaddress
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from support import rootfs
from support.hosts import BARE, Fleet, Host, await_line, run

IMAGES = {"debian": "debian:{suite}-slim", "ubuntu": "ubuntu:{suite}"}
SUITE = "bookworm"
DOCKERFILE = """\
FROM {image}
RUN apt-get update && apt-get install --yes --no-install-recommends cron {packages}
COPY . /root/host/
RUN sh /root/host/prepare.sh / && rm -r /root/host
CMD ["python3", "/usr/local/sbin/host-init"]
"""


@functools.cache
def engine() -> str:
    """The container engine of this machine that works, or nothing."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0:
            return name
    return ""


def why_not() -> str:
    """Why this machine cannot have such containers, or nothing where it can."""
    if not engine():
        return "no container engine works here: neither docker nor podman"
    if engine() == "podman" and os.geteuid() != 0:
        return "Podman without root has no network that this machine reaches"
    return ""


class ContainerHost(Host):
    """A running container. It has no PID of its own here, and its root is not to be seen from outside."""

    def command(self, *argv: str) -> list[str]:
        return [shutil.which(engine()) or engine(), "exec", "--interactive", self.link, *BARE, *argv]

    def cut(self) -> None:
        run(engine(), "network", "disconnect", self.link.rpartition("-")[0], self.link)

    def heal(self) -> None:
        run(engine(), "network", "connect", "--ip", self.address, self.link.rpartition("-")[0], self.link)


class ContainerFleet(Fleet):
    """A fleet of containers; their engine knows which of them belong to it by a label."""

    @property
    def hosts(self) -> dict[str, Host]:
        running = run(engine(), "ps", "--filter", f"label={self._id}", "--format", "{{.Names}}").split()
        return {
            name: ContainerHost(name, variables["ansible_host"], 0, f"{self._id}-{name}")
            for name, variables in self._read_inventory()["hosts"].items()
            if f"{self._id}-{name}" in running
        }

    def _build_root(self, kind: str, suite: str) -> str:
        suite = suite or SUITE
        tag = f"alive-codex-test-{suite}"
        image = IMAGES["ubuntu" if suite in rootfs.UBUNTU else "debian"].format(suite=suite)
        build = [engine(), "build", "--quiet", "--network", "host", "--file", "-", "--tag"]
        text = DOCKERFILE.format(image=image, packages=" ".join(rootfs.PACKAGES))
        run(*build, tag, str(rootfs.RECIPE), stdin=text)
        if kind:
            run(*build, f"{tag}-{kind}", str(rootfs.node()), stdin=f"FROM {tag}\nCOPY . /\n")
        return f"{tag}-{kind}" if kind else tag

    def _build_bridge(self, network: ipaddress.IPv4Network) -> None:
        options = ["--internal", "--label", self._id, "--subnet", str(network), "--gateway", str(network[1])]
        run(engine(), "network", "create", *options, self._id)

    def _start(self, lower: dict[str, str]) -> None:
        for name, image in lower.items():
            container, address = f"{self._id}-{name}", self._read_inventory()["hosts"][name]["ansible_host"]
            options = ["--name", container, "--label", self._id, "--hostname", name, "--network", self._id]
            options += ["--ip", address, "--add-host", f"control:{self.gateway}"]
            run(engine(), "create", *options, image)
            # /etc/hosts and the like are the engine's own.
            archive = _pack_as_root(self.state / name / "seed" / "etc" / "ssh")
            subprocess.run([engine(), "cp", "-", f"{container}:/etc/ssh"], input=archive, check=True)
            run(engine(), "start", container)
        for name in lower:
            with (self.state / name / "log").open("wb") as log:
                follow = [engine(), "logs", "--follow", f"{self._id}-{name}"]
                with subprocess.Popen(follow, stdout=subprocess.PIPE, stderr=log, text=True) as process:
                    try:
                        await_line(name, process, self.state / name / "log")
                    finally:
                        process.kill()

    def _down(self) -> None:
        self._end_processes()
        containers = run(engine(), "ps", "--all", "--quiet", "--filter", f"label={self._id}").split()
        if containers:
            run(engine(), "rm", "--force", "--volumes", *containers)
        for network in run(engine(), "network", "ls", "--quiet", "--filter", f"label={self._id}").split():
            run(engine(), "network", "rm", network)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.state)


def _pack_as_root(directory: Path) -> bytes:
    """A tar archive of the files of a directory, all of them root's."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for file in directory.iterdir():
            member = tar.gettarinfo(file, file.name)
            member.uid = member.gid = 0
            tar.addfile(member, io.BytesIO(file.read_bytes()))
    return archive.getvalue()
