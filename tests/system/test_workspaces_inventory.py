"""The inventory of workspaces, and turns that fan out over it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = os.geteuid() == 0
TENANT = 61_030
# A CLI that notes when it began and ended, in its HOME.
CODEX = """#!/bin/sh
case "$*" in *--help*) exit 0;; *--version*) echo codex-cli 0.169.0; exit 0;; esac
date +%s.%N > "$HOME/began"
cat > /dev/null
sleep 0.3
echo '{"type":"thread.started","thread_id":"0199a213-81c0-7800-8aa1-bbab2a035a53"}'
echo '{"type":"turn.started"}'
echo '{"type":"turn.completed","usage":{"input_tokens":1,"cached_input_tokens":0,"output_tokens":1}}'
date +%s.%N > "$HOME/ended"
"""


@pytest.fixture
def place():
    """A directory that tenants reach."""
    path = Path(tempfile.mkdtemp(prefix="alive-inventory-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def workers(place: Path, **more) -> dict:
    names = {"w1": ["a1", "a2", "b"], "w2": ["a1", "c"]}
    shared = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "codex_workspaces_root": f"{place}/{{{{ inventory_hostname }}}}",
    }
    hosts = {worker: {"codex_workspaces_names": listed} for worker, listed in names.items()}
    return {"workers": {"vars": {**shared, **more}, "hosts": {**hosts, "idle": {}}}}


def write(place: Path, inventory: dict, **options) -> Path:
    directory = place / "inventory"
    directory.mkdir()
    (directory / "1-workers.yml").write_text(json.dumps(inventory))
    given = {"plugin": "alive.codex.workspaces", "workers": "workers", **options}
    (directory / "2-workspaces.codex.yml").write_text(json.dumps(given))
    return directory


def call(program: str, *arguments: str | Path) -> str:
    command = [Path(sys.executable).with_name(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def plain(value):
    """Without the marks that ansible-inventory puts on values that are no templates."""
    return value["__ansible_unsafe"] if isinstance(value, dict) and "__ansible_unsafe" in value else value


def test_every_workspace_of_every_worker_is_a_host(place):
    inventory = workers(place)
    inventory["workers"]["hosts"]["w1"].update(
        codex_workspaces_removed=["a2"],
        codex_workspaces_workspaces=[{"name": "d", "uid": 5}, {"name": "gone", "state": "absent"}],
        codex_workspaces_file=f"{place}/more.json",
        ansible_host="{{ inventory_hostname }}.example.com",
    )
    (place / "more.json").write_text('[{"name": "e", "uid": 6}]')
    listed = json.loads(call("ansible-inventory", "-i", write(place, inventory, limit=3), "--list"))
    # The workers take turns, so that forks spread over them.
    assert listed["codex_workspaces"]["hosts"] == ["d@w1", "a1@w2", "e@w1", "c@w2", "a1@w1", "b@w1"]
    assert listed["codex_workspaces_w2"]["hosts"] == ["a1@w2", "c@w2"]
    assert "codex_workspaces_idle" not in listed
    variables = {name: plain(value) for name, value in listed["_meta"]["hostvars"]["d@w1"].items()}
    assert variables == {
        "ansible_connection": "local",
        "ansible_host": "w1.example.com",
        "ansible_python_interpreter": sys.executable,
        "codex_worker": "w1",
        "codex_worker_limit": 3,
        "codex_workspace": "d",
        "codex_workspaces_root": f"{place}/w1",
    }


def test_group_vars_beside_the_inventory_count(place):
    inventory = workers(place)
    del inventory["workers"]["hosts"]["w1"]["codex_workspaces_names"]
    directory = write(place, inventory)
    (directory / "host_vars").mkdir()
    (directory / "host_vars" / "w1.yml").write_text('{"codex_workspaces_names": ["z"]}')
    listed = json.loads(call("ansible-inventory", "-i", directory, "--list"))
    assert listed["codex_workspaces_w1"]["hosts"] == ["z@w1"]


@pytest.mark.parametrize(
    ("options", "variables", "why"),
    [
        ({"workers": "nowhere"}, {}, "there is no group 'nowhere'"),
        ({}, {"codex_workspaces_workspaces": [{"name": "../x"}]}, "the workspace name '../x' of w1 has a slash"),
        ({}, {"ansible_host": "{{ nothing }}"}, "the variable ansible_host of w1 cannot be used here"),
    ],
)
def test_what_is_wrong_is_told(place, options, variables, why):
    directory = write(place, workers(place, **variables), **options)
    command = [Path(sys.executable).with_name("ansible-inventory"), "-i", directory, "--list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert why in " ".join(done.stderr.split())


def test_turns_fan_out_over_workspaces_within_each_workers_limit(place):
    (place / "codex").write_text(CODEX)
    (place / "codex").chmod(0o755)
    homes = [place / worker / name for worker, name in (("w1", "a1"), ("w1", "a2"), ("w1", "b"), ("w2", "a1"))]
    for home in homes:
        home.mkdir(parents=True)
        if ROOT:
            os.chown(home, TENANT, TENANT)
    directory = write(place, workers(place), limit=1)
    options = json.dumps({"prompt": "hello", "codex_path": f"{place}/codex"})
    call("ansible", "-i", directory, "-f", "8", "*@*:!c@w2", "-m", "alive.codex.codex_exec", "-a", options)
    spans = {home: [float((home / when).read_text()) for when in ("began", "ended")] for home in homes}
    assert {(home / "began").stat().st_uid for home in homes} == {TENANT if ROOT else os.getuid()}
    on_w1 = sorted(spans[home] for home in homes[:3])
    assert all(ended <= began for (_began, ended), (began, _ended) in itertools.pairwise(on_w1))
