"""The host's defaults and policy take effect for a tenant, as the real CLI proves, and no tenant can loosen policy."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import yaml
from support.modules import CHECKOUT, run_module
from support.packages import native_codex
from support.stub import FAKE_KEY

TENANT = 54321
DEFAULTS = CHECKOUT / "roles" / "codex_cli" / "defaults" / "main.yml"

pytestmark = pytest.mark.root


@pytest.fixture
def home(open_dir):
    path = open_dir / "home"
    (path / ".codex").mkdir(parents=True)
    for created in (path, path / ".codex"):
        os.chown(created, TENANT, TENANT)
    return path


@pytest.fixture
def etc(open_dir):
    """What is /etc/codex in the namespaces of ``as_tenant``."""
    return open_dir / "etc" / "codex"


def policy(etc, **options):
    return run_module("codex_policy", {"directory": str(etc), "codex_path": str(native_codex()), **options})


def shipped(name):
    return yaml.safe_load(DEFAULTS.read_text())[name]


def turn(etc, home, stub, prompt, *options):
    """A turn of a tenant on a host whose /etc/codex is ``etc``: its events, return code and words."""
    argv = [str(native_codex()), "exec", "--experimental-json", "--skip-git-repo-check", *options]
    done = on_such_a_host(etc, home, [*argv, "--config", f'openai_base_url="{stub.base_url}"', prompt])
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode, done.stderr


def on_such_a_host(etc, home, argv):
    """A tenant's command on a host whose /etc/codex is ``etc``."""
    script = 'mount --bind "$0" /etc && exec setpriv --reuid 54321 --regid 54321 --clear-groups -- "$@"'
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, etc.parent, *argv],
        env={"HOME": str(home), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CODEX_API_KEY": FAKE_KEY},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def outputs(events):
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    return "".join(item["aggregated_output"] for item in items if item["type"] == "command_execution")


def test_the_defaults_shipped_take_effect(etc, home, stub):
    prompt = "[[run:env]] [[run:cat ~/.codex/shell_snapshots/* 2>/dev/null; true]]"
    options = ("--sandbox", "danger-full-access")
    etc.mkdir(parents=True)
    events, rc, errors = turn(etc, home, stub, prompt, *options)
    assert rc == 0 and FAKE_KEY in outputs(events), errors  # what it is for

    result = policy(etc, config=shipped("codex_cli_config"))
    assert result["changed"] and result["checked"] and result["files"] == [str(etc / "config.toml")]
    events, rc, errors = turn(etc, home, stub, prompt, *options)
    assert rc == 0 and "HOME=" in outputs(events) and FAKE_KEY not in outputs(events), errors
    features = on_such_a_host(etc, home, [str(native_codex()), "features", "list"]).stdout
    states = {line.split()[0]: line.split()[-1] for line in features.splitlines()}
    assert (states["plugins"], states["unbounded_connection_retries"]) == ("false", "false")


def test_a_tenant_cannot_loosen_policy(etc, home, stub):
    wanted = {"allowed_sandbox_modes": ["read-only"], "allowed_approval_policies": ["never"]}
    assert policy(etc, requirements=wanted)["checked"]
    prompt = "[[run:touch ~/written && echo wrote]]"
    (home / ".codex" / "config.toml").write_text(
        'sandbox_mode = "danger-full-access"\napproval_policy = "on-request"\n'
    )
    attempts = [(), ("--sandbox", "danger-full-access"), ("--config", 'sandbox_mode="danger-full-access"')]
    for options in attempts:
        events, _rc, _errors = turn(etc, home, stub, prompt, *options)
        assert "wrote" not in outputs(events)
        assert not (home / "written").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"config": {"model": 5}}, "expected a string"),
        ({"config": {"modle": "x"}}, "unknown configuration field `modle`"),
        ({"config": {"model": None}}, "has no TOML form"),
        ({"requirements": {"allowed_sandbox_modes": ["nosuch"]}}, "unknown variant `nosuch`"),
        ({"config": {"model": "x"}, "requirements": {"allowed_sandbox_modes": "read-only"}}, "expected a sequence"),
        ({"config": {"model": "x"}, "user": "nosuchuser"}, "nosuchuser"),
    ],
)
def test_what_codex_refuses_changes_nothing(etc, options, told):
    result = policy(etc, **options)
    assert result["failed"] and told in result["msg"]
    assert not etc.exists()


def test_writes_whole_files_that_everybody_can_read(etc):
    wanted = {"config": {"model": "x"}, "requirements": {"allowed_sandbox_modes": ["read-only"]}}
    options = {"directory": str(etc), "codex_path": str(native_codex()), **wanted}
    foreseen = run_module("codex_policy", options, check=True)
    assert foreseen["changed"] and not etc.exists()
    assert run_module("codex_policy", options, umask=0o077)["diff"] == foreseen["diff"]
    assert {path.name: path.stat().st_mode & 0o777 for path in etc.iterdir()} == {
        "config.toml": 0o644,
        "requirements.toml": 0o644,
    }
    assert etc.stat().st_mode & 0o777 == 0o755
    assert policy(etc, **wanted)["changed"] is False
    assert policy(etc)["changed"] is False


def test_without_a_binary_it_warns(etc):
    result = policy(etc, config={"model": "x"}, codex_path="/nowhere/codex")
    assert result["changed"] and not result["checked"] and "is not checked" in result["warnings"][0]
