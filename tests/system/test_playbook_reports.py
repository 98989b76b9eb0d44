"""What the playbooks ``exec`` and ``prune`` tell of many workspaces and hosts: a table each, and no more than that."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats.units import format_size
from ansible_collections.alive.codex.plugins.module_utils._formats.version import DEFAULT
from conftest import CHECKOUT
from support.plays import LOCAL, environment
from support.turns import make_home, stand_in

TURNS = 20
# Answers with more than the terminal takes, but for one workspace, which fails.
CLI = r"""
MORE='And so on, in a second line that is too long for a table.'
cat >/dev/null
case $HOME in */ws03) echo 'error: no such model' >&2; exit 1;; esac
cat <<END
{"type":"thread.started","thread_id":"t-${HOME##*/}"}
{"type":"item.completed","item":{"id":"0","type":"agent_message","text":"From ${HOME##*/}: \u001b[31m is red.\n$MORE"}}
{"type":"turn.completed","usage":{"input_tokens":1000,"cached_input_tokens":10,"output_tokens":7}}
END
"""
UNREACHABLE = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}


class Fleet:
    """Two workers on this machine, with workspaces that the inventory makes hosts of, and a worker out of reach."""

    def __init__(self, directory: Path, tmp_path: Path) -> None:
        self.directory = tmp_path
        self.root = directory
        names = [f"ws{number:02}" for number in range(TURNS)]
        for name in names:
            make_home(directory, name)
        common = {**LOCAL, "ansible_become": False, "codex_workspaces_root": str(directory)}
        common |= {"codex_cli_bin": stand_in(directory, CLI)["codex_path"], "codex_prune_root": str(directory)}
        hosts = {f"w{n}": {**common, "codex_workspaces_names": names[n::2]} for n in (0, 1)}
        hosts["gone"] = {**common, **UNREACHABLE}
        inventory = tmp_path / "inventory"
        inventory.mkdir()
        (inventory / "1.json").write_text(json.dumps({"workers": {"hosts": hosts}}))
        (inventory / "2.codex.yml").write_text("{plugin: alive.codex.workspaces, workers: workers, limit: 3}")

    def play(self, name: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        argv = ["ansible-playbook", "-i", self.directory / "inventory", f"alive.codex.{name}", "-f", "8"]
        return subprocess.run(
            [*argv, "-e", json.dumps(variables), *arguments],
            env={**environment(self.directory), "COLUMNS": "80"},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def fleet(open_dir: Path, tmp_path: Path) -> Fleet:
    return Fleet(open_dir, tmp_path)


def table_in(output: str, title: str) -> list[str]:
    lines = output.splitlines()
    start = next(n for n, line in enumerate(lines) if re.match(rf"{title} +[A-Z]", line))
    return lines[start : next(n for n, line in enumerate(lines) if n > start and line.startswith("ok: "))]


def test_one_prompt_for_many_workspaces(fleet: Fleet) -> None:
    live = fleet.directory / "live.jsonl"
    done = fleet.play("exec", codex_hosts="codex_workspaces", prompt="Who are you?", live_path=str(live))
    output = done.stdout + done.stderr
    table = table_in(done.stdout, "HOST")
    assert len(table) == TURNS + 2 and all(len(line) <= 80 for line in table), output
    by_host = {line.split()[0]: line for line in table[1:-1]}
    assert re.search(r"completed +1000 +7 +\d+\.\d  From ws07: \?\[31m is red.*\.\.\.$", by_host["ws07@w1"])
    assert re.search(r"exited +\d+\.\d  the CLI exited with status 1: ", by_host["ws03@w1"])
    assert table[-1] == "19 of 20 turns completed, with 19000 tokens in and 133 out"
    # While it ran.
    ends = re.findall(r"^\[(\d+) of 20 done\] ws\d\d@w[01]: (\w+) ", done.stderr, re.MULTILINE)
    assert sorted(int(number) for number, _status in ends) == list(range(1, TURNS + 1))
    assert sorted(status for _number, status in ends) == ["completed"] * 19 + ["exited"]
    # And for a program, whose one file all forks have written to.
    events = [json.loads(line) for line in live.read_bytes().splitlines()]
    results = {event["host"]: event["status"] for event in events if event["type"] == "result"}
    assert len(results) == TURNS and results["ws07@w1"] == "completed" and results["ws03@w1"] == "exited"
    assert {event["workspace"] for event in events if event["type"] == "item.completed"} >= {"ws00", "ws07"}
    # No more than a few lines a turn, none of them an event, and the play fails for that one host alone.
    assert len(output.splitlines()) < 7 * TURNS and "says:" not in output and "\x1b" not in output
    assert done.returncode == 2 and re.findall(r"^fatal: \[(.*?)\]", done.stdout, re.MULTILINE) == ["ws03@w1"]


def test_details_come_with_v_and_one_answer_in_full(fleet: Fleet) -> None:
    few = fleet.play("exec", "-v", codex_hosts="ws00@w0,ws02@w0", prompt="?", codex_worker_limit=1)
    assert few.stderr.count("says: From ws") == 2 and "2 of 2 turns" in few.stdout, few.stdout + few.stderr
    one = fleet.play("exec", codex_hosts="w0", workspace="ws05", prompt="?")
    assert one.returncode == 0, one.stdout + one.stderr
    assert (
        "From ws05: ?[31m is red.\nAnd so on, in a second line that is too long for a table.\nthread t-ws05\n"
        in one.stdout
    )


def put_session(home: Path) -> Path:
    """An old session of 2048 bytes, of the tenant's own."""
    name = "rollout-2020-01-02T00-00-00-01a1fcc5-f3e8-71e3-916e-ce6f2d0a0ffb.jsonl"
    session = home / ".codex/sessions/2020/01/02" / name
    session.parent.mkdir(parents=True)
    session.write_text("x" * 2048)
    os.utime(session, (10**9, 10**9))
    for path in (session, *list(session.parents)[:5]):
        os.chown(path, home.stat().st_uid, home.stat().st_gid)
    return session


def test_what_was_pruned_is_a_line_a_host(fleet: Fleet) -> None:
    session = put_session(fleet.root / "ws00")
    done = fleet.play("prune", codex_hosts="workers")
    output = done.stdout + done.stderr
    table = table_in(done.stdout, "HOST")
    assert [line.split()[0] for line in table[:4]] == ["HOST", "w0", "w1", "gone"], output
    assert re.match(rf"w0 +{TURNS} +1 +{format_size(2048)} +0 +0 B", table[1]), output
    assert re.match(r"gone +none seen .*Failed to", table[3]) and "Not looked at: 1 of 3 hosts" in table
    assert all(len(line) <= 80 for line in table) and len(output.splitlines()) < 50, output
    assert done.returncode == 2 and session.exists()
    assert fleet.play("prune", codex_hosts="w0", apply=True).returncode == 0 and not session.exists()


def test_the_state_of_the_fleet(fleet: Fleet, tmp_path: Path) -> None:
    """A host out of reach stops nothing, and what a tenant named is in the document as it is."""
    hostile = fleet.root / "<img src=x onerror=alert(1)>{{ 7 * 7 }}"
    make_home(fleet.root, hostile.name)
    put_session(fleet.root / "ws00")
    directory = tmp_path / "panel"
    done = fleet.play("status", codex_hosts="workers", codex_status_directory=str(directory))
    assert done.returncode == 0, done.stdout + done.stderr
    table = table_in(done.stdout, "HOST")
    assert [line.split()[0] for line in table[:4]] == ["HOST", "w0", "w1", "gone"]
    assert all(len(line) <= 80 for line in table), table
    document = json.loads((directory / "status.json").read_text())
    schema = json.loads((CHECKOUT / "playbooks/files/status.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    assert document["available"]["version"], document["available"]
    first, _second, last = document["hosts"]
    assert [host["state"] for host in document["hosts"]] == ["problems", "problems", "unreachable"]
    assert first["problems"] == [f"0.44.0 is installed, {DEFAULT} is wanted"]
    assert "Failed to connect" in last["problems"][0]
    by_name = {workspace["name"]: workspace for workspace in first["workspaces"]}
    assert len(by_name) == TURNS + 1 and by_name["ws00"]["sessions"] == 1 and by_name["ws00"]["bytes"] == 2048
    assert by_name["ws00"]["last_used"] == "2001-09-09T01:46:40Z" and by_name["ws01"]["last_used"] is None
    assert by_name[hostile.name]["problems"] == [] and first["disk"]["free"] > 0
    page = (directory / "status.html").read_text()
    assert "<img" not in page and "\\u003cimg src=x onerror=alert(1)\\u003e{{ 7 * 7 }}" in page
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700
