"""The mission, as each tenant meets it: on real hosts, over SSH, with the real Codex CLI."""

from __future__ import annotations

import json
import shlex
from typing import Any, NamedTuple

import pytest
from testinfra.backend.base import CommandResult
from testinfra.host import Host

CODEX = "/usr/local/bin/codex"
CRON = "/etc/cron.d/alive-codex-prune"
FORTY_DAYS = 40 * 86400


class Workspace(NamedTuple):
    """A tenant of the inventory on one host."""

    host: Host
    name: str
    uid: int
    gid: int

    @property
    def home(self) -> str:
        return f"/var/lib/claude-sessions/{self.name}"

    def run(self, command: str) -> CommandResult:
        """Runs a shell command as this tenant's numbers, with nothing but HOME and PATH."""
        drop = f"setpriv --reuid {self.uid} --regid {self.gid} --clear-groups"
        return self.host.run(f"sudo {drop} env -i HOME={self.home} PATH=/usr/bin:/bin sh -c {shlex.quote(command)}")

    def turn(self, prompt: str) -> dict[str, Any]:
        """One turn of the real CLI through the collection. The stand-in for the model does what the prompt says."""
        arguments = {
            "workspace": self.name,
            "prompt": prompt,
            "skip_git_repo_check": True,
            "sandbox_mode": "danger-full-access",
            "api_key": "sk-fake-molecule",
        }
        return dict(self.host.ansible("alive.codex.codex_exec", json.dumps(arguments), check=False, become=True))

    def rollout(self, thread_id: str) -> str:
        """The file of a thread's session, or nothing."""
        return self.run(f"find {self.home}/.codex/sessions -name 'rollout-*{thread_id}.jsonl*'").stdout.strip()


@pytest.fixture
def workspaces(host: Host) -> list[Workspace]:
    return [Workspace(host, **workspace) for workspace in host.ansible.get_variables()["codex_workspaces_workspaces"]]


def test_each_tenant_runs_the_binary_with_a_bare_environment(host: Host, workspaces: list[Workspace]) -> None:
    binary = host.file(host.check_output(f"readlink -e {CODEX}"))
    assert (binary.is_file, binary.mode, binary.user, binary.group) == (True, 0o755, "root", "root")
    for workspace in workspaces:
        assert workspace.run(f"env -i {CODEX} --version").stdout.startswith("codex-cli "), workspace.name


def test_only_the_host_with_a_registry_has_npm(host: Host) -> None:
    air_gapped = host.ansible.get_variables().get("codex_cli_fetch") == "controller"
    assert host.exists("npm") is not air_gapped
    assert host.exists("node") is not air_gapped
    if not air_gapped:
        assert "@openai/codex@" in host.check_output("npm ls --global")


def test_a_turn_returns_the_events_of_the_real_binary_with_the_right_home(workspaces: list[Workspace]) -> None:
    for workspace in workspaces:
        result = workspace.turn("[[run:echo $HOME $(id -u) $(id -g)]] [[output]]")
        assert result["status"] == "completed", result
        assert result["final_response"].split() == [workspace.home, str(workspace.uid), str(workspace.gid)]
        events = [event["type"] for event in result["events"]]
        assert events[:2] == ["thread.started", "turn.started"]
        assert events[-1] == "turn.completed"
        assert "command_execution" in [item["type"] for item in result["thread_items"]]
        rollout = workspace.host.file(workspace.rollout(result["thread_id"]))
        with workspace.host.sudo():
            assert (rollout.uid, rollout.gid) == (workspace.uid, workspace.gid)


def test_no_tenant_reads_the_sessions_of_another(workspaces: list[Workspace]) -> None:
    for owner in workspaces:
        sessions = f"{owner.home}/.codex/sessions"
        assert owner.run(f"ls {sessions}").rc == 0
        for other in workspaces:
            if other is not owner:
                for attempt in (f"ls {sessions}", f"ls {owner.home}", f"touch {sessions}/mark"):
                    assert "Permission denied" in other.run(attempt).stderr, attempt


def test_the_cron_job_prunes_an_aged_session_and_keeps_a_fresh_one(host: Host, workspaces: list[Workspace]) -> None:
    workspace = workspaces[0]
    aged, fresh = (workspace.turn("[[say:done]]")["thread_id"] for _ignored in range(2))
    age(workspace, aged)

    done = run_as_cron_would(host, CRON)

    assert done.rc == 0, done.stderr
    assert workspace.rollout(aged) == ""
    assert workspace.rollout(fresh) != ""


def age(workspace: Workspace, thread_id: str) -> None:
    """Makes a session one that was begun, and last touched, forty days ago."""
    rollout = workspace.rollout(thread_id)
    before = int(workspace.run("date +%s").stdout) - FORTY_DAYS
    directory = workspace.run(f"date --utc --date @{before} +{workspace.home}/.codex/sessions/%Y/%m/%d").stdout.strip()
    file = f"{directory}/{rollout.rpartition('/')[2]}"
    moved = workspace.run(f"mkdir -p {directory} && mv {rollout} {file} && touch --date @{before} {file}")
    assert moved.rc == 0, moved.stderr


def run_as_cron_would(host: Host, path: str) -> CommandResult:
    """Runs a crontab's command as cron does: as its user, in its shell, with its variables and no others."""
    with host.sudo():
        lines = [line for line in host.file(path).content_string.splitlines() if line and not line.startswith("#")]
    *settings, job = lines
    *_schedule, user, command = job.split(None, 6)
    variables = {"HOME": "/root", "LOGNAME": user, "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
    variables |= {name: value.strip('"') for name, _ignored, value in (line.partition("=") for line in settings)}
    words = " ".join(shlex.quote(f"{name}={value}") for name, value in variables.items())
    return host.run(f"sudo -u {user} env -i {words} {variables['SHELL']} -c {shlex.quote(command)}")
