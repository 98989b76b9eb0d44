"""Every module on targets with the oldest Pythons, by an ansible-core that takes them: from 2.20 on, none takes 3.8."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT
from support.cores import OWN, for_old_targets, python_with
from support.packages import CODEX_VERSION, native_codex
from support.plays import LOCAL, environment
from support.pythons import OLDEST, find, missing
from support.returned import hold
from support.stub import ResponsesStub
from support.turns import make_home, real

TENANT = 61242
# Nothing is there, so that the module says so; that it does is all that is asked of it here.
NO_NPM = {"npm": "/nonexistent/npm", "registry": "http://127.0.0.1:9", "version": CODEX_VERSION}


def tasks(directory: Path, root: str, stub: ResponsesStub) -> dict[str, dict[str, Any]]:
    workspace = {"name": "acme", "uid": os.stat(f"{root}/acme").st_uid, "gid": os.stat(f"{root}/acme").st_gid}
    turn = {"workspace": "acme", "root": root, "prompt": "[[run:pwd]] [[say:old but well]]"}
    codex = str(native_codex())
    places = {"prefix": f"{directory}/prefix", "bin": f"{directory}/bin/codex"}
    script = CHECKOUT / "roles/codex_prune/files/alive_codex_prune.py"
    job = {name: f"{directory}/{name}" for name in ("script", "config", "crontab", "log_dir")}
    job |= {"src": f"{{{{ lookup('alive.codex.codex_prune_script', '{script}') }}}}", "minute": "5", "hour": "3"}
    return {
        "codex_workspaces": {"root": root, "workspaces": [workspace], "config": {"hide_agent_reasoning": True}},
        "codex_validate": {"path": codex, "fail": False},
        "codex_policy": {"directory": f"{directory}/etc", "config": {"model": "o3"}, "codex_path": codex},
        "codex_exec": {**real(stub), **turn, "output_schema": {"type": "string"}},
        "codex_sessions_info": {"root": root},
        "codex_table": {"rows": [{"a": 1}], "columns": [{"title": "A", "value": ["a"]}]},
        "codex_prune": {"root": root, "max_age": "1d", "now": 4e9, "codex_path": codex},
        "codex_prune_job": {**job, "python": "{{ ansible_python_interpreter }}"},
        "codex_release": {**NO_NPM, **places},
        "codex_preflight": {**places, "root": root, "needs_npm": False, "needs_cron": False},
        "codex_handmade": {**places, "root": root},
        "codex_tarballs": {**NO_NPM, "directory": f"{directory}/tarballs"},
    }


def play(ansible_playbook: Path, python: str, directory: Path, options: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The result of each module."""
    on_target = {"vars": {"ansible_python_interpreter": python}, "ignore_errors": True}
    run = [{f"alive.codex.{name}": given, "register": name, **on_target} for name, given in options.items()]
    registered = ", ".join(f"'{name}': {name}" for name in options)
    save = {"content": f"{{{{ {{{registered}}} | to_json }}}}", "dest": str(directory / "results.json")}
    plays = [{"hosts": "localhost", "gather_facts": False, "tasks": [*run, {"ansible.builtin.copy": save}]}]
    (directory / "play.yml").write_text(json.dumps(plays))
    done = subprocess.run(
        [ansible_playbook, "-i", "localhost,", "-e", json.dumps(LOCAL), directory / "play.yml"],
        env=environment(directory),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((directory / "results.json").read_text())


@pytest.mark.root
@pytest.mark.parametrize(("python", "core"), [(OLDEST, for_old_targets()), ("3.9", OWN)])
def test_every_module_works(python: str, core: str, tmp_path: Path, open_dir: Path, stub: ResponsesStub) -> None:
    interpreter = find(python)
    if interpreter is None:
        pytest.skip(missing(python))
    with tempfile.TemporaryDirectory(prefix="alive-codex-test-") as root:
        os.chmod(root, 0o711)
        make_home(Path(root), "acme", TENANT)
        given = tasks(open_dir, root, stub)
        assert given.keys() == {path.stem for path in (CHECKOUT / "plugins/modules").glob("*.py")}
        results = play(python_with(core).with_name("ansible-playbook"), interpreter, tmp_path, given)
    for name, result in results.items():
        hold(name, result)
    turn = results["codex_exec"]
    assert (turn["status"], turn["final_response"]) == ("invalid_response", "old but well"), turn
    assert [item["type"] for item in turn["thread_items"]] == ["command_execution", "agent_message"]
    assert results["codex_validate"]["version"] == CODEX_VERSION
    assert results["codex_workspaces"]["changed"] and results["codex_policy"]["changed"], results
    assert results["codex_sessions_info"]["totals"]["sessions"] == 1, results["codex_sessions_info"]
    assert results["codex_prune"]["totals"]["pruned"] == 1, results["codex_prune"]
    assert len(results["codex_prune_job"]["files"]) == 4, results["codex_prune_job"]
    for name in ("codex_release", "codex_tarballs"):
        assert "/nonexistent/npm" in results[name]["msg"], results[name]
