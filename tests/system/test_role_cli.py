"""The role codex_cli: a fleet that gets its releases from the control node, and hosts that have no npm yet."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from support.debs import archive
from support.hosts import Fleet as Hosts
from support.modules import result_of, run_module, start_module
from support.registry import Fault, Registry
from support.releases import build_release
from support.settings import TARGET_PYTHON

OLD, NEW = "0.160.0", "0.161.0"
TOKEN = "sk-fake-registry-token"


@pytest.fixture(scope="module")
def tarballs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tarballs")
    return [path for version in (OLD, NEW) for path in build_release(folder, version)]


@pytest.fixture
def registry(tarballs):
    with Registry(tarballs) as running:
        running.token = TOKEN
        yield running


class Fleet:
    """Hosts on this machine, each with places of its own, which have no npm."""

    def __init__(self, root, registry):
        self.root = root
        self.hosts = ("one", "two")
        self.registry = registry
        local = {"ansible_connection": "local", "ansible_python_interpreter": TARGET_PYTHON}
        hosts = {
            name: {
                **local,
                "codex_cli_prefix": f"{root}/{name}/lib",
                "codex_cli_bin": f"{root}/{name}/bin/codex",
            }
            for name in self.hosts
        }
        variables = {
            "codex_cli_fetch": "controller",
            "codex_cli_fetch_directory": f"{root}/kept",
            "codex_cli_registry": registry.url,
            "codex_cli_registry_token": TOKEN,
            "codex_cli_npm": "/nowhere/npm",
            "codex_cli_config": {},
        }
        (root / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}))
        (root / "play.json").write_text(
            json.dumps([{"hosts": "all", "gather_facts": False, "roles": ["alive.codex.codex_cli"]}])
        )

    def play(self, version, *arguments):
        """What the play printed, and how many changes it made on each host; None where it failed there."""
        argv = ["ansible-playbook", "-i", self.root / "inventory.json", "-e", f"codex_cli_version={version}"]
        env = {**os.environ, "ANSIBLE_HOME": str(self.root / "ansible"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            [*argv, *arguments, self.root / "play.json"], capture_output=True, text=True, env=env, check=False
        )
        recap = re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+) +unreachable=0 +failed=(\d+)", done.stdout, re.MULTILINE)
        assert len(recap) == len(self.hosts), done.stdout + done.stderr
        return done.stdout + done.stderr, {host: None if int(failed) else int(n) for host, n, failed in recap}

    def says(self):
        return {
            subprocess.check_output([f"{self.root}/{name}/bin/codex", "--version"], text=True) for name in self.hosts
        }

    def downloads(self):
        return sorted(r.path.rpartition("/")[2] for r in self.registry.requests if r.path.endswith(".tgz"))


@pytest.fixture
def fleet(open_dir, registry):
    return Fleet(open_dir, registry)


def test_the_control_node_downloads_once_for_all_with_a_token_that_nobody_sees(fleet):
    told, changes = fleet.play("latest", "--check")
    assert f"{NEW} would be sent to two" in told and all(changes.values())
    assert fleet.downloads() == [] and not (fleet.root / "one").exists()

    left, sent_to_now = (Path(tempfile.mkdtemp(prefix="alive-codex-release-", dir="/var/tmp")) for _place in range(2))
    os.utime(left, (0, 0))
    try:
        told, changes = fleet.play("latest", "-vvv")
        assert all(changes.values()), told
        assert not left.exists() and sent_to_now.exists()
    finally:
        for place in (left, sent_to_now):
            shutil.rmtree(place, ignore_errors=True)
    assert fleet.says() == {f"codex-cli {NEW}\n"}
    assert [name.count(NEW) for name in fleet.downloads()] == [1, 1]
    assert TOKEN not in told
    written = [path for path in fleet.root.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert written == [fleet.root / "inventory.json"]

    fleet.registry.stop()
    assert set(fleet.play(NEW)[1].values()) == {0}
    os.truncate(os.path.realpath(f"{fleet.root}/two/bin/codex"), 0)
    assert fleet.play(NEW)[1].pop("two")
    assert fleet.says() == {f"codex-cli {NEW}\n"}


def test_a_registry_that_refuses_is_told_before_a_host_is_touched(fleet):
    fleet.registry.token = "another"
    told, changes = fleet.play(NEW)
    assert set(changes.values()) == {None}
    assert "npm pack @openai/codex@0.161.0 @openai/codex@0.161.0-linux-" in told
    assert "give npm the right registry_token" in told
    assert not (fleet.root / "one").exists()


@pytest.fixture
def kept(open_dir, registry):
    return {"directory": str(open_dir / "kept"), "registry": registry.url, "registry_token": TOKEN}


def test_tarballs_are_kept_whole(kept, registry):
    foreseen = run_module("codex_tarballs", {**kept, "version": "latest"}, check=True)
    assert (foreseen["changed"], foreseen["version"], foreseen["tarballs"]) == (True, NEW, [])
    both = [start_module("codex_tarballs", {**kept, "version": NEW}) for _run in range(2)]
    results = [result_of(process) for process in both]
    assert sorted(result["changed"] for result in results) == [False, True]
    assert results[0]["tarballs"] == results[1]["tarballs"] and len(results[0]["tarballs"]) == 2
    assert os.listdir(kept["directory"]).count(".staging") == 0

    asked = len(registry.requests)
    again = run_module("codex_tarballs", {**kept, "version": NEW})
    assert again["changed"] is False and again["checksums"] == results[0]["checksums"]
    assert len(registry.requests) == asked

    with open(again["tarballs"][1], "ab") as damaged:
        damaged.write(b"x")
    assert run_module("codex_tarballs", {**kept, "version": NEW})["changed"]
    assert run_module("codex_tarballs", {**kept, "version": NEW})["changed"] is False


@pytest.mark.parametrize(
    ("fault", "seconds", "told"),
    [
        (Fault(status=404), 60, "404"),
        (Fault(corrupt=True), 60, "corrupted"),
        (Fault(silent=True), 3, "took longer than 3 s"),
    ],
)
def test_tarballs_that_cannot_be_had(kept, registry, fault, seconds, told):
    registry.fault = fault
    options = {**kept, "version": NEW, "timeout": seconds}
    result = run_module("codex_tarballs", options, env={"npm_config_fetch_retries": "0"})
    assert "npm pack @openai/codex@0.161.0" in result["msg"] and told in result["msg"]
    assert os.listdir(kept["directory"]) == [".lock"]


@pytest.mark.root
def test_the_distributions_npm_is_installed_where_asked(tmp_path, tarballs):
    with Hosts("test-role-cli").started("worker") as hosts, Registry(tarballs, bind=hosts.gateway) as registry:
        worker = hosts.hosts["worker"]
        variables = {"codex_cli_registry": registry.url, "codex_cli_version": NEW, "codex_cli_config": {}}
        variables["codex_cli_install_npm"] = True
        play = {"hosts": "all", "become": True, "gather_facts": False, "roles": ["alive.codex.codex_cli"]}
        (tmp_path / "play.json").write_text(json.dumps([{**play, "vars": variables}]))

        def run():
            argv = ["ansible-playbook", "-i", hosts.inventory, tmp_path / "play.json"]
            env = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "ansible"), "ANSIBLE_NOCOLOR": "1"}
            return subprocess.run(argv, capture_output=True, text=True, env=env, check=False).stdout

        (worker.root / "etc/apt/sources.list").write_text("")
        told = run()
        assert "distribution's packages nodejs and npm cannot be installed (E: Unable to locate package" in told
        archive(worker.root / "srv/debian")
        (worker.root / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/srv/debian ./\n")
        worker.run("apt-get", "update")
        told = run()
        assert "failed=0" in told and "changed=2" in told, told
        assert worker.run("codex", "--version").stdout == f"codex-cli {NEW}\n"
