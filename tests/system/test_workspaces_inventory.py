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
from support.settings import TARGET_PYTHON, usual_umask

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
        "ansible_python_interpreter": TARGET_PYTHON,
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


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def call(program: str, *arguments: str | Path) -> str:
    return run(program, *arguments).stdout


def workspaces(*sources: Path) -> list[str]:
    """The workspaces that inventory sources list, in order, with nothing to warn of."""
    options = [argument for source in sources for argument in ("-i", source)]
    done = run("ansible-inventory", *options, "--list")
    assert "makes no host" not in done.stderr
    return json.loads(done.stdout)["codex_workspaces"]["hosts"]


def one(place: Path, name: str, content: dict | str) -> Path:
    """An inventory source, or a file of variables."""
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


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
        codex_cli_bin="/opt/{{ inventory_hostname }}/codex",
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
        "ansible_python_interpreter": TARGET_PYTHON,
        "codex_cli_bin": "/opt/w1/codex",
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


# Where hosts may stand in an inventory: (its text, the group of workers).
PLACES = {
    "in a group": ("[fleet]\nw1 codex_workspaces_names='[\"a\"]'\n", "fleet"),
    "in a group, of all": ("[fleet]\nw1 codex_workspaces_names='[\"a\"]'\n", "all"),
    "in a group below": (
        "[paris]\nw1 codex_workspaces_names='[\"a\"]'\n[fleet:children]\neurope\n[europe:children]\nparis\n",
        "fleet",
    ),
    "in a group below, of all": (
        "[paris]\nw1\n[fleet:children]\nparis\n[fleet:vars]\ncodex_workspaces_names=['a']\n",
        "all",
    ),
    "in no group": ("w1 codex_workspaces_names='[\"a\"]'\n[fleet]\nw2\n", "ungrouped"),
    "in no group, of all": ("w1 codex_workspaces_names='[\"a\"]'\n[fleet]\nw2\n", "all"),
    "below all": ("all: {children: {fleet: {hosts: {w1: {codex_workspaces_names: [a]}}}}}", "all"),
    "in all": ("all: {hosts: {w1: {codex_workspaces_names: [a]}}}", "ungrouped"),
    "with variables of all": ("[fleet]\nw1\n[all:vars]\ncodex_workspaces_names=['a']\n", "fleet"),
    "in groups that differ": (
        "[aa]\nw1\n[zz:children]\naa\n[aa:vars]\ncodex_workspaces_names=['a']\n"
        "[zz:vars]\ncodex_workspaces_names=['z']\n[all:vars]\ncodex_workspaces_names=['all']\n",
        "zz",
    ),
}


@pytest.mark.parametrize(("text", "group"), PLACES.values(), ids=PLACES.keys())
def test_workers_are_found_wherever_they_stand(place, text, group):
    source = one(place, "workers.yml" if text.startswith("all:") else "workers.ini", text)
    given = {"plugin": "alive.codex.workspaces", "workers": group}
    assert workspaces(source, one(place, "x.codex.yml", given)) == ["a@w1"]
    # As one directory, and with what is the default left out.
    if group == "all":
        del given["workers"]
    one(place, "both/2.codex.yml", given)
    one(place, "both/1.yml" if source.suffix == ".yml" else "both/1", text)  # up to 2.17, .ini is ignored there
    assert workspaces(place / "both") == ["a@w1"]


@pytest.mark.parametrize("group", ["all", "fleet"])
def test_workers_and_their_variables_come_from_several_sources(place, group):
    first = one(place, "one/hosts.ini", "[paris]\nw1\n")
    second = one(place, "two/hosts.ini", "[rome]\nw2\n[fleet:children]\nparis\nrome\n")
    one(place, "one/group_vars/paris.yml", {"codex_workspaces_names": ["a"]})
    one(place, "two/group_vars/all.yml", {"codex_workspaces_names": ["of all"], "codex_workspaces_removed": ["b"]})
    one(place, "one/group_vars/fleet.yml", {"codex_workspaces_names": ["of fleet"]})
    one(place, "three/host_vars/w2.yml", {"codex_workspaces_names": ["b", "c"]})
    third = one(place, "three/x.codex.yml", {"plugin": "alive.codex.workspaces", "workers": group})
    assert workspaces(first, second, third) == ["a@w1", "c@w2"]


@pytest.mark.parametrize(("group", "variable"), [("all", "all"), ("fleet", "aa"), ("fleet", "zz")])
def test_what_overrides_what_is_ansibles_own_order(place, group, variable):
    """Whatever a play would see as the names of a worker's workspaces is what is listed."""
    directory = place / "both"
    one(directory, "1", "[zz]\nw1\n[aa]\nw1\n[fleet:children]\naa\n[all:vars]\ncodex_workspaces_names=['i']\n")
    one(directory, f"group_vars/{variable}.yml", {"codex_workspaces_names": ["f"]})
    one(directory, "group_vars/all.yml", {"codex_workspaces_names": ["g"]})
    one(directory, "2.codex.yml", {"plugin": "alive.codex.workspaces", "workers": group})
    listed = json.loads(call("ansible-inventory", "-i", directory, "--host", "w1"))
    assert workspaces(directory) == [f"{name}@w1" for name in listed["codex_workspaces_names"]]


def test_workspaces_of_another_source_are_no_workers(place):
    """Each source lists its workers' workspaces, whichever came before, and none makes a@w1@w1."""
    source = one(place, "hosts.ini", "[paris]\nw1\n[rome]\nw2\n[all:vars]\ncodex_workspaces_names=['a']\n")
    plugin = {"plugin": "alive.codex.workspaces"}
    paris = one(place, "paris.codex.yml", {**plugin, "workers": "paris"})
    rest = one(place, "rest.codex.yml", plugin)
    assert workspaces(source, paris, rest) == ["a@w1", "a@w2"]


NO_WORKER = "no worker is in the group '{}' yet. Name the source with the workers before this one"
EMPTY = {
    "workers named later": (["x.codex.yml", "z.ini"], "[fleet]\nw1\n", "all", NO_WORKER),
    "nobody in the group": (["hosts.ini", "x.codex.yml"], "[fleet]\n[other]\nw1\n", "fleet", NO_WORKER),
    "workspaces as workers": (
        ["hosts.ini", "a.codex.yml", "x.codex.yml"],
        "[fleet]\nw1 codex_workspaces_names='[\"a\"]'\n",
        "codex_workspaces",
        NO_WORKER,
    ),
    "no workspace": (
        ["hosts.ini", "x.codex.yml"],
        "[fleet]\nw1\nw2\n",
        "fleet",
        "no worker in the group '{}' (2 in all) has a workspace. Give codex_workspaces_names",
    ),
}


@pytest.mark.parametrize(("names", "text", "group", "why"), EMPTY.values(), ids=EMPTY.keys())
def test_a_source_that_makes_no_host_says_so(place, names, text, group, why):
    one(place, "hosts.ini", text)
    one(place, "z.ini", text)
    one(place, "a.codex.yml", {"plugin": "alive.codex.workspaces", "workers": "fleet"})
    one(place, "x.codex.yml", {"plugin": "alive.codex.workspaces", "workers": group})
    options = [argument for name in names for argument in ("-i", place / name)]
    said = " ".join(run("ansible-inventory", *options, "--list").stderr.split())
    assert f"{place}/x.codex.yml makes no host: {why.format(group)}" in said


@pytest.mark.parametrize(
    ("options", "variables", "why"),
    [
        ({"workers": "nowhere"}, {}, "there is no group 'nowhere'"),
        ({}, {"codex_workspaces_workspaces": [{"name": "../x"}]}, "the workspace name '../x' of w1 has a slash"),
        ({"limit": -1}, {}, "must be a number of turns, or 0 for no limit"),
        ({}, {"codex_workspaces_workspaces": {"name": "x"}}, "codex_workspaces_workspaces must be a list of mappings"),
        ({}, {"codex_workspaces_removed": {"x": 1}}, "codex_workspaces_removed must be a list of names"),
        ({}, {"ansible_host": "{{ nothing }}"}, "the variable ansible_host of w1 cannot be used here"),
    ],
)
def test_what_is_wrong_is_told(place, options, variables, why):
    directory = write(place, workers(place, **variables), **options)
    command = [Path(sys.executable).with_name("ansible-inventory"), "-i", directory, "--list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert why in " ".join(done.stderr.split())


def test_a_text_is_a_list_of_names_as_for_the_role(place):
    text = "[fleet]\nw1 codex_workspaces_names=acme,globex codex_workspaces_removed=acme\n"
    sources = one(place, "hosts.ini", text), one(place, "x.codex.yml", {"plugin": "alive.codex.workspaces"})
    assert workspaces(*sources) == ["globex@w1"]


def test_turns_fan_out_over_workspaces_within_each_workers_limit(place):
    (place / "codex").write_text(CODEX)
    (place / "codex").chmod(0o755)
    homes = [place / worker / name for worker, name in (("w1", "a1"), ("w1", "a2"), ("w1", "b"), ("w2", "a1"))]
    for home in homes:
        with usual_umask():
            home.mkdir(parents=True)
        if ROOT:
            os.chown(home, TENANT, TENANT)
    # The CLI is where the variables of the worker say, or those of its workspaces.
    directory = write(place, workers(place, codex_cli_bin=f"{place}/codex"), limit=1)
    own = {"codex_cli_bin": "{{ codex_workspaces_root | dirname }}/codex-of-w2"}
    one(directory, "group_vars/codex_workspaces_w2.yml", own)
    (place / "codex-of-w2").symlink_to("codex")
    call("ansible", "-i", directory, "-f", "8", "*@*:!c@w2", "-m", "alive.codex.codex_exec", "-a", "prompt=hello")
    spans = {home: [float((home / when).read_text()) for when in ("began", "ended")] for home in homes}
    assert {(home / "began").stat().st_uid for home in homes} == {TENANT if ROOT else os.getuid()}
    on_w1 = sorted(spans[home] for home in homes[:3])
    assert all(ended <= began for (_began, ended), (began, _ended) in itertools.pairwise(on_w1))
