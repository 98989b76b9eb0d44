"""What was set up by hand is gone, without a moment in which a tenant found no binary."""

from __future__ import annotations

from testinfra.host import Host

LOAD = "/var/tmp/load"


def test_at_no_moment_was_there_no_binary(host: Host) -> None:
    # Node.js reads npm's launcher by its name, some time after it was started: that one spawn may read the new file.
    failed = host.file(f"{LOAD}/failed").content_string
    assert failed.count("ended with") <= 1 and ("SyntaxError" in failed or not failed), failed
    assert "codex-cli 0.171.0" in host.file(f"{LOAD}/spawned").content_string


def test_the_line_that_deletes_live_sessions_and_the_other_binary_are_gone(host: Host) -> None:
    with host.sudo():
        assert host.run("grep -rs 'rm -rf' /etc/cron.d /etc/crontab /var/spool/cron").stdout == ""
    assert not host.file("/usr/bin/codex").exists
    assert host.check_output("/usr/local/bin/codex --version") == "codex-cli 0.160.0"
