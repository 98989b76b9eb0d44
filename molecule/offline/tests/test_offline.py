"""The host that has neither npm nor a way out runs the release that the control node brought."""

from __future__ import annotations

from testinfra.host import Host


def test_it_has_no_npm_and_no_way_out(host: Host) -> None:
    assert not host.exists("npm")
    assert not host.exists("node")
    assert " via " not in host.file("/proc/net/route").content_string
    with host.sudo():
        assert host.run("find / -xdev -name npm -not -path '/proc/*'").stdout == ""


def test_it_runs_the_release(host: Host) -> None:
    assert host.check_output("/usr/local/bin/codex --version") == "codex-cli 0.171.0"
    tenant = "sudo setpriv --reuid 20002 --regid 20012 --clear-groups env -i"
    assert host.check_output(f"{tenant} /usr/local/bin/codex --version") == "codex-cli 0.171.0"
