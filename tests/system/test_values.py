"""Values of the roles' and playbooks' variables that Ansible itself lets pass, and what becomes of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.plays import LOCAL, environment

WORKERS = {"workers": {"hosts": {"w1": {}, "w2": {}}}, "others": {"hosts": {"db": {}}}}


def play(tmp_path: Path, book: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    (tmp_path / "inventory.json").write_text(json.dumps(WORKERS))
    given = json.dumps({**LOCAL, "ansible_become": False, **variables})
    return subprocess.run(
        ["ansible-playbook", "-i", tmp_path / "inventory.json", book, "-e", given, *arguments],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"codex_update_batches": [0]}, "each of codex_update_batches must be a number of hosts from 1 on"),
        ({"codex_update_canaries": "db"}, "'db' names db, which is none of the hosts to update"),
        ({"codex_update_canaries": "typo"}, "'typo' names no host of the inventory"),
    ],
)
def test_an_update_that_makes_no_sense_moves_nothing(tmp_path: Path, variables: dict[str, Any], said: str) -> None:
    done = play(tmp_path, "alive.codex.update", "--tags", "update", **variables)
    output = " ".join((done.stdout + done.stderr).split())
    assert done.returncode and said in output and "TASK [" not in output and "Traceback" not in output, output


QUICKSTART = "quickstart_directory must be an absolute path at least two levels below the root"
STATUS = "codex_status_directory must be an absolute path"


@pytest.mark.parametrize(
    ("book", "variable", "value", "said"),
    [
        ("quickstart", "quickstart_directory", "/no-such-place", QUICKSTART),
        ("quickstart", "quickstart_directory", "somewhere", QUICKSTART),
        ("status", "codex_status_directory", "", STATUS),
        ("status", "codex_status_directory", "panel", STATUS),
    ],
)
def test_a_directory_that_cannot_be_meant_is_not_made(
    tmp_path: Path, book: str, variable: str, value: str, said: str
) -> None:
    done = play(tmp_path, f"alive.codex.{book}", **{variable: value})
    output = " ".join((done.stdout + done.stderr).split())
    assert done.returncode and said in output and output.count("TASK [") == 1, output
    assert not Path("/no-such-place").exists()


def test_a_cron_job_that_cron_would_not_read_stops_a_deploy_before_it_begins(tmp_path: Path) -> None:
    done = play(tmp_path, "alive.codex.deploy", "--limit", "w1", codex_prune_minute="61")
    output = " ".join((done.stdout + done.stderr).split())
    assert done.returncode and "codex_prune_minute must be one field of a crontab" in output, output
    assert "Nothing was changed on any host" in output and "TASK [Install" not in output


def test_canaries_come_first_and_once(tmp_path: Path) -> None:
    given = {"codex_update_canaries": ["w2"], "codex_update_batches": "1"}
    done = play(tmp_path, "alive.codex.update", "--list-hosts", **given)
    update = done.stdout.split("Update in batches", 1)[1]
    assert "pattern: ['w2', 'workers']" in update and "hosts (2):" in update, done.stdout + done.stderr


def test_names_of_workspaces_are_names_in_whatever_way_they_are_given(tmp_path: Path) -> None:
    """A text is a list with commas, as everywhere in Ansible: its letters are no names, nor parts of it."""
    root = tmp_path / "root"
    root.mkdir(mode=0o711)
    role = {"name": "alive.codex.codex_workspaces"}
    common = {"codex_workspaces_root": str(root)}
    shown = {"var": "codex_workspaces_prepared.changes"}
    tasks: list[dict[str, Any]] = [
        {
            "include_role": role,
            "vars": {**common, "codex_workspaces_names": "acme,acmes", "codex_workspaces_removed": "acmes"},
        },
        {"debug": shown},
    ]
    for given in ({"codex_workspaces_names": ["a", "a"]}, {"codex_workspaces_names": [["a"]]}):
        task = {"include_role": role, "vars": {**common, **given}}
        tasks.append({"block": [task], "rescue": [{"debug": {"msg": "{{ ansible_failed_result.msg }}"}}]})
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "w1", "gather_facts": False, "tasks": tasks}]))
    done = play(tmp_path, str(tmp_path / "play.json"), "--check")
    assert '"workspaces": ["acme"]' in " ".join(done.stdout.split()).replace("[ ", "[").replace(" ]", "]"), done.stdout
    assert (
        "'a' is in codex_workspaces_names twice" in done.stdout
        and "in codex_workspaces_names is not text" in done.stdout
    )


def test_only_tarballs_are_sent_and_only_with_digests(tmp_path: Path) -> None:
    tarball = tmp_path / "codex.tgz"
    tarball.touch()
    role = {"name": "alive.codex.codex_cli"}
    common = {"codex_cli_prefix": f"{tmp_path}/lib", "codex_cli_bin": f"{tmp_path}/codex", "codex_cli_config": {}}
    tasks: list[dict[str, Any]] = [
        {
            "block": [{"include_role": role, "vars": {**common, "codex_cli_tarballs": [str(path)]}}],
            "rescue": [{"debug": {"msg": "{{ ansible_failed_task.name }}"}}],
        }
        for path in (tmp_path, tarball)
    ]
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "w1", "gather_facts": False, "tasks": tasks}]))
    done = play(tmp_path, str(tmp_path / "play.json"))
    for path in (tmp_path, tarball):
        assert f"{path} in codex_cli_tarballs must be a file of npm's, whose digest" in done.stdout, done.stdout
    assert "changed=0" in done.stdout, done.stdout
