"""The host's defaults and policy take effect for a tenant, as the real CLI proves, and no tenant can loosen policy."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from support.modules import CHECKOUT, run_module
from support.packages import native_codex
from support.proxy import Proxy
from support.settings import usual_umask
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
    """What is /etc/codex on hosts ``on_such_a_host``; not there yet."""
    path = open_dir / "etc"
    with usual_umask():
        path.mkdir()
    return path / "codex"


def policy(etc, **options):
    return run_module("codex_policy", {"directory": str(etc), "codex_path": str(native_codex()), **options})


def shipped(name):
    return yaml.safe_load(DEFAULTS.read_text())[name]


def turn(etc, home, stub, prompt, *options, env=None):
    """A turn of a tenant on a host whose /etc/codex is ``etc``: its events, return code and words."""
    argv = [str(native_codex()), "exec", "--experimental-json", "--skip-git-repo-check", *options]
    argv += ["--config", f'openai_base_url="{stub.base_url}"', prompt]
    with on_such_a_host(etc, home, argv, env) as process:
        stdout, stderr = process.communicate(timeout=60)
    return [json.loads(line) for line in stdout.splitlines()], process.returncode, stderr


def on_such_a_host(etc, home, argv, env=None):
    """A tenant's command on a host whose /etc/codex is ``etc``."""
    script = 'mount --bind "$0" /etc && exec setpriv --reuid 54321 --regid 54321 --clear-groups -- "$@"'
    return subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, etc.parent, *argv],
        env={"HOME": str(home), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CODEX_API_KEY": FAKE_KEY, **(env or {})},
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outputs(events):
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    return "".join(item["aggregated_output"] for item in items if item["type"] == "command_execution")


def test_the_key_stays_out_of_the_models_shell(etc, home, stub):
    prompt = "[[run:env]] [[run:cat ~/.codex/shell_snapshots/* 2>/dev/null; true]]"
    options = ("--sandbox", "danger-full-access")
    with usual_umask():
        etc.mkdir()
    events, rc, errors = turn(etc, home, stub, prompt, *options)
    assert rc == 0 and FAKE_KEY in outputs(events), errors  # what it is for

    result = policy(etc, config=shipped("codex_cli_config"))
    assert result["changed"] and result["checked"] and result["files"] == [str(etc / "config.toml")]
    events, rc, errors = turn(etc, home, stub, prompt, *options)
    assert rc == 0 and "HOME=" in outputs(events) and FAKE_KEY not in outputs(events), errors


@pytest.mark.parametrize(
    ("left_out", "asked"),
    [((), None), (("features", "plugins"), "github.com:443"), (("analytics", "enabled"), "ab.chatgpt.com:443")],
)
def test_a_turn_talks_to_the_model_alone(etc, home, stub, left_out, asked):
    config = without(shipped("codex_cli_config"), *left_out)
    assert policy(etc, config=config)["checked"]
    with Proxy() as proxy:
        env = {**proxy.environment(), "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
        _events, rc, errors = turn(etc, home, stub, "[[run:sleep 1]]", env=env)
    assert rc == 0, errors
    if asked:
        assert asked in proxy.asked
    else:
        assert proxy.asked == []
        assert not (home / ".codex" / ".tmp").exists()


def without(config, section=None, setting=None):
    """The configuration, one setting left out."""
    if section:
        config[section] = {name: value for name, value in config[section].items() if name != setting}
    return {name: value for name, value in config.items() if value}


@pytest.mark.parametrize("bounded", [True, False])
def test_a_turn_that_cannot_connect_ends(etc, home, stub, bounded):
    left_out = () if bounded else ("features", "unbounded_connection_retries")
    assert policy(etc, config=without(shipped("codex_cli_config"), *left_out))["checked"]
    stub.stop()
    argv = [str(native_codex()), "exec", "--experimental-json", "--skip-git-repo-check"]
    if "ALIVE_TRIALS" in os.environ:  # as everybody has it: half a minute
        argv += ["--config", f'openai_base_url="{stub.base_url}"']
    else:
        quick = 'env_key="CODEX_API_KEY", wire_api="responses", request_max_retries=0, stream_max_retries=1'
        provider = f'{{name="quick", base_url="{stub.base_url}", {quick}}}'
        argv += ["--config", f"model_providers.quick={provider}", "--config", 'model_provider="quick"']
    with on_such_a_host(etc, home, [*argv, "hello"]) as process:
        for line in process.stdout:
            if "waiting for network" in line:  # it would for ever
                assert not bounded
                process.kill()
                return
        assert bounded and process.wait() == 1
        assert json.loads(line)["type"] == "turn.failed"


LOOSE = 'sandbox_mode = "danger-full-access"\napproval_policy = "never"\n'
ATTEMPTS = {
    "nothing": (),
    "flag": ("--sandbox", "danger-full-access"),
    "override": ("--config", 'sandbox_mode="danger-full-access"', "--config", 'approval_policy="never"'),
    "bypass": ("--dangerously-bypass-approvals-and-sandbox",),
    "permissions": ("--config", 'default_permissions=":danger-full-access"'),
    "profile": ("--profile", "loose"),
    "without-configuration": ("--ignore-user-config", "--ignore-rules", "--approve-for-me"),
    "other-home": (),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_tenant_cannot_loosen_policy(etc, home, stub, attempt):
    wanted = {"allowed_sandbox_modes": ["read-only"], "allowed_approval_policies": ["untrusted"]}
    assert policy(etc, requirements=wanted, config=shipped("codex_cli_config"))["checked"]
    other = home / "other"
    other.mkdir()
    for file in ("config.toml", "requirements.toml", "loose.config.toml"):
        text = LOOSE if "config" in file else 'allowed_sandbox_modes = ["danger-full-access"]\n'
        for folder in (home / ".codex", other):
            (folder / file).write_text(text)
            os.chown(folder / file, TENANT, TENANT)
    os.chown(other, TENANT, TENANT)
    env = {"CODEX_HOME": str(other)} if attempt == "other-home" else {}
    events, _rc, errors = turn(etc, home, stub, "[[run:touch ~/written]]", *ATTEMPTS[attempt], env=env)
    assert events[-1]["type"] == "turn.completed", errors
    assert not (home / "written").exists()
    rollout = next(home.rglob("rollout-*.jsonl")).read_text().splitlines()
    context = next(entry["payload"] for entry in map(json.loads, rollout) if entry["type"] == "turn_context")
    assert (context["sandbox_policy"]["type"], context["approval_policy"]) == ("read-only", "untrusted")


def test_without_policy_a_tenant_may_do_so(etc, home, stub):
    with usual_umask():
        etc.mkdir()
    turn(etc, home, stub, "[[run:touch ~/written]]", *ATTEMPTS["bypass"])
    assert (home / "written").exists()


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
    assert run_module("codex_policy", options)["diff"] == foreseen["diff"]
    assert {path.name: path.stat().st_mode & 0o777 for path in etc.iterdir()} == {
        "config.toml": 0o644,
        "requirements.toml": 0o644,
    }
    assert etc.stat().st_mode & 0o777 == 0o755
    assert policy(etc, **wanted)["changed"] is False
    assert policy(etc)["changed"] is False


THEIRS = (
    "# security team\n"
    'allowed_approval_policies = ["never", "on-request"]  # both\n\n'
    "[rules]\n"
    'prefix_rules = [{ pattern = [{ token = "rm" }], decision = "forbidden" }]\n'
)
OURS = {"requirements": {"allowed_sandbox_modes": ["read-only"]}}


@pytest.fixture
def theirs(etc):
    """A policy that somebody else has written."""
    with usual_umask():
        etc.mkdir()
        (etc / "requirements.toml").write_text(THEIRS)
    return etc / "requirements.toml"


def test_a_policy_of_somebody_else_is_not_replaced_without_a_word_and_a_copy(etc, theirs):
    for check in (True, False):
        told = run_module(
            "codex_policy", {"directory": str(etc), "codex_path": str(native_codex()), **OURS}, check=check
        )
        assert told["changed"] and told["checked"], told
        assert "which this module did not write" in told["warnings"][0], told
        assert "allowed_approval_policies, rules.prefix_rules" in told["warnings"][0], told
    copy = next(path for path in etc.iterdir() if path.name.startswith("requirements.toml."))
    assert copy.read_text() == THEIRS and str(copy) in told["warnings"][0]
    assert "warnings" not in policy(etc, **OURS)
    looser = policy(etc, requirements={"allowed_sandbox_modes": ["read-only", "workspace-write"]})
    assert "loses or gets another allowed_sandbox_modes" in looser["warnings"][0], looser


def test_a_policy_can_be_merged_and_taken_out_again(etc, theirs):
    merged = policy(etc, existing="merge", **OURS)
    assert merged["changed"] and merged["checked"] and "warnings" not in merged, merged
    assert THEIRS.splitlines() == [line for line in theirs.read_text().splitlines() if line in THEIRS.splitlines()]
    assert 'allowed_sandbox_modes = ["read-only"]' in theirs.read_text()
    assert policy(etc, existing="merge", **OURS)["changed"] is False
    clash = policy(etc, existing="merge", requirements={"allowed_approval_policies": ["never"]})
    assert "loses or gets another allowed_approval_policies" in str(clash["warnings"])
    assert "rm" in theirs.read_text() and "allowed_sandbox_modes" not in theirs.read_text()
    assert policy(etc, state="absent")["files"] == [str(theirs)]
    assert "rm" in theirs.read_text() and "alive.codex" not in theirs.read_text()


@pytest.mark.parametrize("kind", ["FIFO", "directory", "no UTF-8", "link", "broken link"])
def test_whatever_lies_where_the_policy_goes(etc, theirs, kind, open_dir):
    theirs.rename(open_dir / "elsewhere")
    if kind == "FIFO":
        os.mkfifo(theirs)
    elif kind == "directory":
        theirs.mkdir()
    elif kind == "no UTF-8":
        theirs.write_bytes(b"\xff")
    else:
        theirs.symlink_to(open_dir / ("elsewhere" if kind == "link" else "nowhere"))
    result = policy(etc, **OURS)
    if "link" in kind:
        assert result["changed"] and f"was a link to {open_dir}" in result["warnings"][0], result
        assert (open_dir / "elsewhere").read_text() == THEIRS and not theirs.is_symlink()
    else:
        assert "move it away" in result["msg"], result


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o600])
def test_a_directory_that_is_closed_is_opened(etc, home, stub, mode):
    wanted = {"config": {"model": "x"}}
    assert policy(etc, **wanted)["changed"]
    etc.chmod(mode)
    _events, rc, errors = turn(etc, home, stub, "hello")
    assert rc == 1 and "Permission denied" in errors  # what it is for
    opened = policy(etc, **wanted)
    assert opened["changed"] and opened["files"] == [str(etc)] and etc.stat().st_mode & 0o777 == 0o755, opened
    _events, rc, errors = turn(etc, home, stub, "hello")
    assert rc == 0, errors


def test_a_label_of_the_file_that_is_replaced_stays(etc):
    """SELinux's, which any file system takes where no policy is loaded."""
    assert policy(etc, config={"model": "x"})["changed"]
    label = b"system_u:object_r:etc_codex_t:s0\0"
    os.setxattr(etc / "config.toml", "security.selinux", label)
    assert policy(etc, config={"model": "y"})["changed"]
    assert os.getxattr(etc / "config.toml", "security.selinux") == label


def test_without_a_binary_it_warns(etc):
    result = policy(etc, config={"model": "x"}, codex_path="/nowhere/codex")
    assert result["changed"] and not result["checked"] and "is not checked" in result["warnings"][0]


def test_what_it_puts_in_place_for_the_check_lies_in_no_tenants_reach(etc, home, open_dir, monkeypatch):
    seen = open_dir / "seen"
    seen.touch()
    seen.chmod(0o666)
    codex = open_dir / "codex"
    codex.write_text(f"#!/bin/sh\ngrep ' /etc ' /proc/self/mountinfo >>{seen}\n")
    codex.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(home))
    result = policy(etc, config={"model": "x"}, codex_path=str(codex))
    assert result["changed"] and result["checked"], result
    assert seen.read_text() and str(home) not in seen.read_text()
    os.chown(codex, TENANT, TENANT)
    refused = policy(etc, config={"model": "y"}, codex_path=str(codex), user="root")
    assert "root does not run what another user could change" in refused["warnings"][0]


def test_what_was_written_goes_and_what_others_wrote_stays(etc):
    wanted = {"config": {"analytics": {"enabled": False}}, "requirements": {"allowed_sandbox_modes": ["read-only"]}}
    policy(etc, **wanted)
    assert policy(etc, state="absent")["changed"]
    assert not etc.exists()
    assert policy(etc, state="absent")["changed"] is False

    policy(etc, **wanted)
    (etc / "requirements.toml").write_text("# the security team's\n")
    foreseen = run_module("codex_policy", {"directory": str(etc), "state": "absent"}, check=True)
    assert foreseen["files"] == [str(etc / "config.toml")]
    assert policy(etc, state="absent")["files"] == foreseen["files"]
    assert os.listdir(etc) == ["requirements.toml"]


@pytest.mark.parametrize("existing", ["replace", "merge"])
def test_what_was_replaced_comes_back_byte_for_byte(etc, theirs, existing):
    theirs.chmod(0o640)
    for options in (OURS, {"requirements": {"allowed_approval_policies": ["never"]}}):
        assert policy(etc, existing=existing, **options)["changed"]
    policy(etc, config={"model": "x"})
    foreseen = run_module("codex_policy", {"directory": str(etc), "state": "absent"}, check=True)
    assert theirs.read_text() != THEIRS
    result = policy(etc, state="absent")
    assert result["given_back"] == foreseen["given_back"] == [str(theirs)], result
    assert result["diff"] == foreseen["diff"] and result["diff"][1]["after"].startswith("# security team\n")
    assert result["files"] == [str(etc / "config.toml"), str(theirs)] and result["copies"] == []
    assert os.listdir(etc) == [theirs.name]
    assert theirs.read_text() == THEIRS and theirs.stat().st_mode & 0o777 == 0o640
    again = policy(etc, state="absent")
    assert again["changed"] is False and again["given_back"] == []


def test_what_somebody_has_changed_since_is_not_undone(etc, theirs):
    policy(etc, existing="merge", **OURS)
    theirs.write_text("# changed since\n" + theirs.read_text())
    result = policy(etc, state="absent")
    assert result["given_back"] == [] and result["files"] == [str(theirs)], result
    assert theirs.read_text() == "# changed since\n" + THEIRS
    copy = next(path for path in etc.iterdir() if path != theirs)
    assert result["copies"] == [str(copy)] and copy.read_text() == THEIRS


def test_of_two_that_were_replaced_the_later_comes_back(etc, theirs):
    policy(etc, **OURS)
    theirs.write_text("# written since\n")
    policy(etc, **OURS)
    policy(etc, requirements={"allowed_sandbox_modes": ["read-only", "workspace-write"]})  # ours, which is kept too
    assert len(os.listdir(etc)) == 4
    result = policy(etc, state="absent")
    assert theirs.read_text() == "# written since\n" and result["given_back"] == [str(theirs)]
    assert [Path(path).read_text() for path in result["copies"]] == [THEIRS]
    assert len(os.listdir(etc)) == 2
