"""What ``module_defaults`` say of an action group, its members take."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.alive.codex.plugins.doc_fragments import npm, sessions, workspaces
from support.plays import LOCAL, environment

CHECKOUT = Path(__file__).resolve().parents[2]
GROUPS: dict[str, list[str]] = yaml.safe_load((CHECKOUT / "meta/runtime.yml").read_text())["action_groups"]
FRAGMENTS = {"npm": npm, "sessions": sessions, "workspaces": workspaces}
# A value of each option, with which nothing is found, and nothing is asked of a network.
VALUES = {
    "registry": "http://127.0.0.1:9",
    "registry_token": "unused",
    "npm": "/nonexistent/npm",
    "root": "/nonexistent/root",
    "workspaces": ["acme"],
    "stores": ["codex"],
    "codex_homes": ["agents/*"],
    "claude_homes": ["claude"],
}
# What a module asks for beside.
NEEDED: dict[str, dict[str, Any]] = {
    "codex_exec": {"prompt": "x", "workspace": "acme"},
    "codex_prune_job": {"state": "absent"},
    "codex_tarballs": {"directory": "/nonexistent/tarballs"},
    "codex_workspaces": {"workspaces": [{"name": "acme", "uid": 61290}]},
}


def play(group: str, defaults: dict[str, Any], result: Path) -> dict[str, Any]:
    """Every member once, in check mode, and what came of it in a file."""
    members = GROUPS[group]
    keywords = {"ignore_errors": True, "check_mode": True}
    tasks = [{f"alive.codex.{member}": NEEDED.get(member, {}), "register": member, **keywords} for member in members]
    registered = ", ".join(f"'{member}': {member}" for member in members)
    save = {"ansible.builtin.copy": {"content": f"{{{{ {{{registered}}} | to_json }}}}", "dest": str(result)}}
    defaults = {f"group/alive.codex.{group}": defaults}
    return {"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": [*tasks, save]}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Of each group, with all options that are the group's, and with one that is nobody's."""
    directory = tmp_path_factory.mktemp("defaults")
    plays = []
    for group in GROUPS:
        [note] = yaml.safe_load(FRAGMENTS[group].ModuleDocFragment.DOCUMENTATION)["notes"]
        options = re.findall(r"O\((\w+)\)", note)
        plays.append(play(group, {option: VALUES[option] for option in options}, directory / f"{group}.json"))
        plays.append(play(group, {"nobodys": 1}, directory / f"{group}-nobodys.json"))
    (directory / "plays.yml").write_text(json.dumps(plays))
    done = subprocess.run(
        ["ansible-playbook", "-i", "localhost,", "-e", json.dumps(LOCAL), directory / "plays.yml"],
        env=environment(directory),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.stem: json.loads(path.read_text()) for path in directory.glob("*.json")}


@pytest.mark.parametrize("group", GROUPS)
def test_every_member_takes_all_options_of_its_group(group: str, results: dict[str, dict[str, Any]]) -> None:
    for member in GROUPS[group]:
        assert "Unsupported parameters" not in results[group][member].get("msg", ""), member
        # Proof that they reach it.
        assert "nobodys" in results[f"{group}-nobodys"][member]["msg"], member
