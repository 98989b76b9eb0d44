"""What the tenants of the hosts met while a release moved, and what moved."""

from __future__ import annotations

from testinfra.host import Host

LOAD = "/var/tmp/load"


def test_each_host_is_on_the_new_release(host: Host) -> None:
    assert host.check_output("/usr/local/bin/codex --version") == "codex-cli 0.171.0"
    if host.exists("npm"):
        assert "@openai/codex@0.171.0" in host.check_output("npm ls --global")


def test_no_spawn_failed(host: Host) -> None:
    assert host.file(f"{LOAD}/failed").content_string == ""
    versions = set(host.file(f"{LOAD}/spawned").content_string.splitlines()) - {"spawned"}
    assert versions == {"codex-cli 0.160.0", "codex-cli 0.171.0"}


def test_what_began_in_the_old_release_still_runs_from_it(host: Host) -> None:
    pid = host.file(f"{LOAD}/long").content_string.strip()
    with host.sudo():
        program = host.check_output(f"readlink /proc/{pid}/exe")
        assert "/releases/0.160.0/" in program
        assert host.file(program).is_file
