"""A secret in a configuration is on the target, where it belongs, and nowhere else: neither in --diff, nor in results,
nor in the arguments that -vvv shows, also of what fails."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.settings import TARGET_PYTHON

VAULTED, PART, NAMED, OLD = "vaulted-Ohqu4eeg", "partly-Aex9shoo", "named-ieR8ahte", "former-eiDoo1ee"
CONFIG: dict[str, Any] = {
    "model": "shown",
    "notes": "{{ from_vault }}",  # its name tells nothing
    "mcp_servers": {
        "docs": {
            "command": "docs",
            "env": {"DOCS": NAMED},
            "http_headers": {"X-Team": "Team {{ part_from_vault }}"},
            "bearer_token_env_var": "SHOWN_TOO",
        }
    },
    "model_providers": {
        "p": {"name": "p", "experimental_bearer_token": NAMED, "base_url": "https://{{ part_from_vault }}/"}
    },
}


def run(tmp_path: Path, task: dict[str, Any], *options: str) -> str:
    """All that a play with -vvv and --diff prints, on whatever channel."""
    password = tmp_path / "password"
    password.write_text("a password of the vault")
    encrypt = ["ansible-vault", "encrypt_string", "--vault-password-file", password]
    variables = "".join(
        subprocess.run([*encrypt, "--name", name, text], check=True, capture_output=True, text=True).stdout + "\n"
        for name, text in (("from_vault", VAULTED), ("part_from_vault", PART))
    )
    (tmp_path / "variables.yml").write_text(variables)
    play = {"hosts": "localhost", "gather_facts": False, "vars_files": ["variables.yml"], "tasks": [task]}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    argv = ["ansible-playbook", "-i", "localhost,", "-c", "local", "--vault-password-file", password, *options, "-vvv"]
    argv += ["--diff", "-e", f"ansible_python_interpreter={TARGET_PYTHON}", tmp_path / "play.yml"]
    environment = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_INJECT_INVOCATION": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    return done.stdout + done.stderr


def assert_hidden(told: str, *also: str) -> None:
    for secret in (VAULTED, PART, NAMED, *also):
        assert secret not in told, told
    assert "(hidden)" in told and "shown" in told and "SHOWN_TOO" in told


@pytest.fixture
def workspaces(open_dir: Path) -> dict[str, Any]:
    me = {"uid": 54321, "gid": 54321} if os.geteuid() == 0 else {"uid": os.geteuid(), "gid": os.getegid()}
    return {"root": str(open_dir / "root"), "workspaces": [{"name": "acme", **me, "config": CONFIG}]}


def test_in_a_workspaces_config(tmp_path: Path, open_dir: Path, workspaces: dict[str, Any]) -> None:
    task = {
        "alive.codex.codex_workspaces": {**workspaces, "config": {"notes": "{{ part_from_vault }}", "file": "shown"}}
    }
    assert_hidden(run(tmp_path, task, "--check"))
    assert_hidden(run(tmp_path, task))
    written = (open_dir / "root" / "acme" / ".codex" / "config.toml").read_text()
    assert all(secret in written for secret in (VAULTED, PART, NAMED))
    # The old value is as secret as the new one, be it changed or taken out.
    (open_dir / "root" / "acme" / ".codex" / "config.toml").write_text(written.replace(NAMED, OLD))
    told = run(tmp_path, task)
    assert all(secret not in told for secret in (VAULTED, PART, NAMED, OLD)) and "(hidden) -> (hidden)" in told
    workspaces["workspaces"][0]["config"] = {"model": "shown", "file": "SHOWN_TOO"}
    told = run(tmp_path, {"alive.codex.codex_workspaces": workspaces})
    assert all(secret not in told for secret in (PART, NAMED, OLD)) and "removed" in told


def test_in_what_is_refused(tmp_path: Path, workspaces: dict[str, Any]) -> None:
    workspaces["workspaces"][0]["surplus"] = "x"
    told = run(tmp_path, {"alive.codex.codex_workspaces": {**workspaces, "config": CONFIG}})
    assert "has surplus, which is unknown" in told
    assert_hidden(told)


@pytest.mark.root
def test_in_the_hosts_config(tmp_path: Path, open_dir: Path) -> None:
    task = {
        "alive.codex.codex_policy": {"directory": str(open_dir / "etc"), "codex_path": "/nowhere", "config": CONFIG}
    }
    assert_hidden(run(tmp_path, task, "--check"))
    assert_hidden(run(tmp_path, task))
    written = open_dir / "etc" / "config.toml"
    assert all(secret in written.read_text() for secret in (VAULTED, PART, NAMED))
    written.write_text(written.read_text().replace(NAMED, OLD) + "[")
    told = run(tmp_path, task)
    assert all(secret not in told for secret in (VAULTED, PART, NAMED, OLD)) and "no TOML" in told
