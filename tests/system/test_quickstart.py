"""The quickstart, from the built and installed collection, as root and as a plain user who owns nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.packages import DEFAULT_VERSION
from support.registry import Registry

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PLAIN_UID = 1876599


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with Registry([f"@openai/codex@{DEFAULT_VERSION}"]) as registry:
        yield registry


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("build")
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "build", "--output-path", directory],
        cwd=CHECKOUT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return next(directory.glob("*.tar.gz"))


class Quickstart:
    """Runs the playbook by its full name, with a directory and a HOME of its own."""

    def __init__(self, tarball: Path, directory: Path, uid: int, umask: int) -> None:
        self.umask = umask
        self.directory = directory / "quick stärt (1)"  # as in a checkout whose path is like this
        self.home = directory / "home"
        self.home.mkdir(mode=0o700)
        collections = directory / "collections"
        self.uid = uid
        self.identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            self.identity = {"user": uid, "group": uid, "extra_groups": []}
            os.chown(directory, uid, uid)
            os.chown(self.home, uid, uid)
        self.env = {
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
        }
        argv = [
            BIN / "ansible-galaxy",
            "collection",
            "install",
            "--offline",
            "--collections-path",
            collections,
            tarball,
        ]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env={**self.env, "HOME": str(directory / "build")})

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        argv = [str(BIN / "ansible-playbook"), "-i", "localhost,", "alive.codex.quickstart"]
        argv += ["-e", json.dumps({"quickstart_directory": str(self.directory)})]
        return subprocess.run(
            [*argv, *arguments],
            env={**self.env, **env},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=300,
            umask=self.umask,
            **self.identity,
            check=False,
        )

    def processes(self) -> str:
        """What still runs with something of the quickstart's in its arguments."""
        return subprocess.run(["pgrep", "-af", str(self.directory)], capture_output=True, text=True, check=False).stdout


def reachable(path: Path) -> bool:
    """Whether every user can go through all directories on the way to a file."""
    return all(directory.stat().st_mode & 0o1 for directory in path.resolve().parents)


@pytest.fixture(params=["root", "plain"])
def quickstart(request: pytest.FixtureRequest, tarball: Path, open_dir: Path) -> Quickstart:
    root = os.geteuid() == 0
    if request.param == "root" and not root:
        pytest.skip("NOT RUN: needs root, for workspaces of other users")
    if request.param == "plain" and root and not all(map(reachable, (BIN / "python", Path(sys.executable), CHECKOUT))):
        pytest.skip("NOT RUN: a plain user cannot reach this checkout or its Python")
    if request.param == "root":
        return Quickstart(tarball, open_dir, 0, umask=0o000)
    return Quickstart(tarball, open_dir, os.geteuid() or PLAIN_UID, umask=0o077)


def changed(output: str) -> int:
    match = re.search(r"changed=(\d+)", output)
    assert match, output
    return int(match[1])


def test_the_whole_job_twice(quickstart: Quickstart, registry: Registry) -> None:
    first = quickstart.run(npm_config_registry=registry.url)
    assert first.returncode == 0, first.stdout + first.stderr
    said = " ".join(first.stdout.split())
    for text in ("STUB", f"{DEFAULT_VERSION} from npm", "Hello from UID", '"answer": 42', "turn 2 of this thread"):
        assert text in said, first.stdout
    uids = {quickstart.uid or 1876501, quickstart.uid or 1876502}
    homes = [quickstart.directory / "workspaces" / name for name in ("alice", "bob")]
    assert {home.stat().st_uid for home in homes} == uids
    assert f"Hello from UID {homes[0].stat().st_uid} in {homes[0]}" in (homes[0] / "hello.txt").read_text()
    summary = (quickstart.directory / "summary.txt").read_text().replace(str(quickstart.directory), "")
    assert max(map(len, summary.splitlines())) <= 72  # within 80 columns, as Ansible indents it

    made = [path for path in quickstart.directory.rglob("*") if not path.is_symlink()]
    assert [path for path in made if path.stat().st_mode & 0o022] == []
    assert (quickstart.directory / "summary.txt").stat().st_mode & 0o777 == 0o600

    asked = len(registry.requests)
    second = quickstart.run(npm_config_registry=registry.url)
    assert second.returncode == 0, second.stdout + second.stderr
    assert len(registry.requests) == asked  # the release is there: nobody is asked
    assert changed(first.stdout) - changed(second.stdout) > 2
    assert quickstart.processes() == ""
    assert [path.name for path in quickstart.home.iterdir()] == [".ansible"]  # ansible-playbook's own, as without make


def test_a_machine_without_npm(quickstart: Quickstart, open_dir: Path) -> None:
    programs = open_dir / "bin"
    programs.mkdir()
    for name in ("sh", "mkdir", "rm", "chmod", "sleep"):
        (programs / name).symlink_to(shutil.which(name) or "")
    done = quickstart.run(PATH=str(programs))
    assert done.returncode == 2
    said = " ".join(done.stdout.split())
    assert "there is no npm" in said and "Install Node.js" in said
    assert quickstart.processes() == ""


def test_it_runs_real_turns_or_none(quickstart: Quickstart) -> None:
    done = quickstart.run("--check")
    assert done.returncode == 2 and "not in check mode" in " ".join(done.stdout.split())
    assert not (quickstart.directory / "lib").exists()
