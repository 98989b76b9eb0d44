"""After going back twice: the old release runs, npm and Node.js see it too, and the new one is kept."""

from __future__ import annotations

from testinfra.host import Host

CODEX = "/usr/local/bin/codex"


def test_the_old_release_runs_and_the_new_one_is_kept(host: Host) -> None:
    assert host.check_output(f"{CODEX} --version") == "codex-cli 0.160.0"
    assert "/releases/0.160.0/" in host.check_output(f"readlink -e {CODEX}")
    releases = host.check_output("ls /usr/local/lib/alive-codex/releases").split()
    assert releases == ["0.160.0", "0.171.0"]


def test_npm_sees_the_old_release(host: Host) -> None:
    if host.exists("npm"):
        assert "@openai/codex@0.160.0" in host.check_output("npm ls --global")
