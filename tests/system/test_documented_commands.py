"""Every command of the documentation, run as it is written.

Those of an operator run one after the other, from the first deploy to the removal, for one worker: a copy of this
machine that is thrown away. Small packages stand in for the CLI and its model. Where another test or the CI service
runs a command, or none can, ``ELSEWHERE`` says so.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.documentation import CHECKOUT
from support.machines import on_a_copy
from support.pages import COMMANDS, code
from support.plays import LOCAL, environment
from support.registry import Registry
from support.releases import SCRIPT, build_release
from support.stub import FAKE_KEY

# What runs first, by a pattern that it holds, and what it says.
IN_ORDER = {
    r"^ansible-inventory ": r"acme@worker1",
    r"codex\.preflight": r"worker1 .* failed=0",
    r"codex\.deploy --check": r"WOULD CHANGE\nworker1 +none +release, policy, workspaces, pruner",
    r"inventory alive\.codex\.deploy$": r"worker1 +0\.160\.0",
    r"yml alive\.codex\.deploy$": r"Nothing changed on 1 host\.",
    r"alive\.codex\.codex_validate": r'"compatible": true',
    r"codex\.update .*--check": r"worker1 +0\.160\.0 +0\.171\.0 .*would move",
    r"codex\.update .*codex_update_prompt": r"worker1 +0\.160\.0 +0\.171\.0 .*moved",
    r"codex\.update ": r"worker1 +0\.171\.0 +0\.171\.0 .*the same",
    r"alive\.codex\.codex_exec": r'"status": "completed"',
    r"codex\.exec .*live_path": r"2 of 2 turns completed",
    r"codex\.exec .*acme\*": r"2 of 2 turns completed",
    r"codex\.exec ": r"1 of 1 turns completed",
    r"codex\.status": r"1 hosts, 0 of them unreachable",
    r"^jq ": r"^$",
    r"codex_prune .*--check": r'"pruned": 0',
    r"codex\.prune": r"worker1 +2 ",
    r"codex\.rollback$": r"worker1 +0\.171\.0 +0\.160\.0 .*went back",
    r"codex\.rollback -e": r"worker1 +0\.171\.0 +0\.160\.0 .*the same",
    r"--tags handmade": r"worker1 +not looked at",
    r"codex\.remove --check": r"WOULD GIVE BACK.*\nworker1 ",
    r"codex\.remove": r"GIVEN BACK.*\nworker1 ",
}
# Where else it is run, or why nowhere.
ELSEWHERE = {
    r"^make quickstart|codex\.quickstart": "tests/system/test_quickstart.py",
    r"^make ": "the CI service, whose jobs are make's targets",
    r"^\.venv/bin/pre-commit": "it changes the hooks of this checkout; make gates and make test-lint run what they run",
    r"^ansible-galaxy .*\.tar\.gz$": "tests/system/test_collection.py, with the tarball that it builds",
    r"^ansible-galaxy .* alive\.codex$": "no test asks Galaxy, which may not have this version",
    r"^ansible-builder build": "it takes a container engine; test_execution_environment.py has its context made",
    r"^tail -f": "it goes on for ever; test_playbook_reports.py reads that file",
}
DEVELOPERS = [command for _page, command in COMMANDS if re.match(r"\.venv/bin/(pytest|ruff)", command)]
# The stand-in for the CLI has the last word of a turn.
TURN = r"""[ "$1" = exec ] || exit 0
case $* in *--help*) exit 0;; esac
cat > /dev/null
cat <<END
{"type":"thread.started","thread_id":"01a1fcc5-f3e8-71e3-916e-ce6f2d0a0ffb"}
{"type":"item.completed","item":{"id":"0","type":"agent_message","text":"Hello."}}
{"type":"turn.completed","usage":{"input_tokens":10,"cached_input_tokens":0,"output_tokens":2}}
END
"""
VERSIONS = ("0.160.0", "0.171.0")
# What this machine has in the places of a worker is none of it.
CLEAN = """
set -eu
umask 022
rm -rf /usr/local/bin/codex /usr/local/lib/alive-codex /usr/local/lib/node_modules/@openai /var/lib/claude-sessions
rm -rf /etc/codex /etc/cron.d/*codex* /srv/panel
mkdir -p /usr/local/bin /run/panel /srv/app/node_modules/@openai/codex-sdk
cat > /srv/app/node_modules/@openai/codex-sdk/package.json <<'END'
{"name": "@openai/codex-sdk", "version": "0.160.0", "dependencies": {"@openai/codex": "0.160.0"}}
END
"""


def stage(command: str) -> str | None:
    return next((pattern for pattern in IN_ORDER if re.search(pattern, command)), None)


def elsewhere(command: str) -> bool:
    return any(re.search(pattern, command) for pattern in ELSEWHERE)


def operators() -> list[str]:
    """Their commands in the order in which they run, each once."""
    stages = list(IN_ORDER)
    here = {command for _page, command in COMMANDS if stage(command) and not elsewhere(command)}
    return sorted(here, key=lambda command: (stages.index(str(stage(command))), command))


def test_nothing_is_left_out() -> None:
    here = {*operators(), *DEVELOPERS}
    assert [command for _page, command in COMMANDS if command not in here and not elsewhere(command)] == []
    for pattern in (*IN_ORDER, *ELSEWHERE):
        assert any(re.search(pattern, command) for _page, command in COMMANDS), f"nobody is shown {pattern}"


@pytest.mark.parametrize("command", DEVELOPERS)
def test_a_developer(command: str) -> None:
    shown = command.replace(".venv/bin", str(Path(sys.executable).parent))
    done = subprocess.run(["bash", "-c", shown], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def put_inventories(place: Path) -> None:
    """Those of the operator's page with one worker of theirs, which is here and has the release of before."""
    (place / "inventory").mkdir()
    for language, body in code(CHECKOUT / "docs/operator.md"):
        if language == "yaml" and (name := re.match(r"# inventory/(\S+)", body)):
            shown = yaml.safe_load(body)
            if "workers" in shown and isinstance(shown["workers"], dict):
                shown["workers"]["hosts"] = {"worker1": {"codex_workspaces_names": ["acme", "acme2"]}}
                here = {"ansible_become": False, "codex_cli_version": VERSIONS[0], "codex_cli_warn_unproven": False}
                shown["workers"]["vars"].update(LOCAL, **here)
                (place / "inventory.yml").write_text(json.dumps(shown))
            (place / "inventory" / name[1]).write_text(json.dumps(shown))


@pytest.mark.root
def test_an_operator(tmp_path: Path) -> None:
    put_inventories(tmp_path)
    script = [CLEAN, f"cd '{tmp_path}'", "set +e"]
    for number, command in enumerate(operators()):
        place = "cd /srv/panel; " if command.startswith("jq") else ""
        script.append(f"( {place}{command}\n) > '{tmp_path}/said' 2>&1 < /dev/null")
        script.append(f"echo \"### {number} $?\"; cat '{tmp_path}/said'")
    (tmp_path / "script").write_text("\n".join(script))
    (tmp_path / "machine").mkdir()
    turns = SCRIPT.replace("exit 0\n", TURN)
    packages = [path for version in VERSIONS for path in build_release(tmp_path, version, script=turns)]
    # What a tenant of this machine runs meanwhile is none of the worker's, whose first tenant has the same UID.
    namesake = {"user": 20_001, "group": 20_001, "extra_groups": [], "cwd": "/"}
    with Registry(packages) as registry, subprocess.Popen(["cat"], stdin=subprocess.PIPE, **namesake):
        done = subprocess.run(
            on_a_copy(tmp_path / "machine", "bash", str(tmp_path / "script")),
            capture_output=True,
            text=True,
            env={
                **environment(tmp_path),
                "ANSIBLE_INVENTORY": str(tmp_path / "inventory"),
                "OPENAI_API_KEY": FAKE_KEY,
                "npm_config_registry": registry.url,
                "COLUMNS": "80",
            },
            check=False,
        )
    said = re.split(r"^### \d+ (\d+)\n", done.stdout, flags=re.M)[1:]
    assert len(said) == 2 * len(operators()), done.stdout + done.stderr
    for command, rc, output in zip(operators(), said[::2], said[1::2], strict=True):
        assert rc == "0" and re.search(IN_ORDER[str(stage(command))], output, re.M), f"{command}\nrc {rc}\n{output}"
