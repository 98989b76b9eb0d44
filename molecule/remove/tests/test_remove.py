"""After the way out: nothing of ours is left but the workspaces, and one host has again what it had before."""

from __future__ import annotations

import pytest
from testinfra.host import Host

OURS = [
    "/usr/local/lib/alive-codex",
    "/usr/local/sbin/alive-codex-prune",
    "/etc/cron.d/alive-codex-prune",
    "/var/log/alive-codex-prune",
]
POLICY = "/etc/codex/requirements.toml"


@pytest.fixture(autouse=True)
def _as_root(host: Host) -> object:
    with host.sudo():
        yield


def test_nothing_of_ours_is_left(host: Host) -> None:
    assert [path for path in OURS if host.file(path).exists] == []
    assert host.run("find / -xdev -name '*alive-codex*' -not -path '/proc/*'").stdout == ""


def test_the_workspaces_are(host: Host) -> None:
    sessions = host.file("/var/lib/claude-sessions/acme/.codex/sessions")
    assert (sessions.is_directory, sessions.uid, sessions.gid, sessions.mode) == (True, 20001, 20001, 0o700)


def test_what_was_there_before_is_again(host: Host) -> None:
    if host.backend.get_hostname() != "worker1":
        assert not host.file("/usr/local/bin/codex").exists
        assert not host.file("/etc/codex").exists
        return
    assert "@openai/codex@0.160.0" in host.check_output("npm ls --global")
    assert host.run("/usr/local/bin/codex --version").rc == 0
    policy = host.file(POLICY)
    assert policy.content_string == '# security team\nallowed_approval_policies = ["never"]\n'
    assert (policy.user, policy.mode) == ("root", 0o640)
    assert host.check_output("ls /etc/codex") == "requirements.toml"
