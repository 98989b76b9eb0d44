"""The role on a real host: a real cron daemon runs the job, and a second deploy changes nothing."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import hosts
from support.turns import wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(hosts.why_not()), reason=f"NOT RUN: real hosts cannot be made here: {hosts.why_not()}"),
]
SESSION = "rollout-2026-01-02T03-04-05-00000000-0000-7000-8000-000000000001.jsonl"
PLAY = """
- name: Install the pruner
  hosts: all
  gather_facts: false
  become: true
  roles:
    - role: alive.codex.codex_prune
"""
PREPARE = f"""
set -eu
home=/var/lib/claude-sessions/acme
mkdir -p $home/.codex/sessions/2026/01/02
echo '{{}}' > $home/.codex/sessions/2026/01/02/{SESSION}
touch --date '40 days ago' $home/.codex/sessions/2026/01/02/{SESSION}
chown -R 20001:20001 $home
mkdir /var/lib/claude-sessions/of-root /var/lib/claude-sessions/lost+found /var/lib/claude-sessions/.snapshots
# What any mail server has in this place; this one delivers to a file.
printf '#!/bin/sh\ncat > /run/mail.part && mv /run/mail.part /run/mail\n' > /usr/sbin/sendmail
chmod 755 /usr/sbin/sendmail
"""
# A syslog daemon, which these hosts lack.
SYSLOG = """
import os, socket
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
os.chmod("/dev/log", 0o666)
print("listening", flush=True)
with open("/run/syslog", "ab", buffering=0) as file:
    while True:
        file.write(log.recv(65536) + b"\\n")
"""


@contextlib.contextmanager
def syslog_on(host: hosts.Host) -> Iterator[None]:
    with subprocess.Popen(host.command("python3", "-c", SYSLOG), stdout=subprocess.PIPE) as daemon:
        try:
            assert daemon.stdout and daemon.stdout.readline() == b"listening\n"
            yield
        finally:
            daemon.kill()


def test_cron_prunes_tells_what_went_wrong_and_the_role_comes_and_goes(tmp_path):
    play = tmp_path / "play.yml"
    play.write_text(PLAY)
    with hosts.Fleet("test-prune").started("worker") as fleet:
        worker = fleet.hosts["worker"]

        def deploy(*arguments: str, playbook: str = str(play)) -> str:
            ansible_playbook = str(Path(sys.executable).parent / "ansible-playbook")
            argv = [ansible_playbook, "-i", str(fleet.inventory), playbook, *arguments]
            end = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert end.returncode == 0, end.stdout + end.stderr
            return end.stdout

        worker.run("sh", "-c", PREPARE)
        every_minute = ("-e", "codex_prune_minute=*", "-e", "codex_prune_hour=*")
        deploy("--check", *every_minute)
        assert not worker.run("ls", "/etc/cron.d/alive-codex-prune", check=False).stdout
        with syslog_on(worker):  # before a minute can begin in which the job is there
            deploy(*every_minute)
            # The default, as a terminal gives it: what Ansible takes for a list.
            assert "changed=0" in deploy(*every_minute, "-e", "codex_prune_stores=codex,claude")
            wait_until(lambda: worker.run("test", "-e", "/run/mail", check=False).returncode == 0, 130)
        first = json.loads(worker.run("head", "--lines=1", "/var/log/alive-codex-prune/runs.log").stdout)
        problem = "/var/lib/claude-sessions/of-root: belongs to root"
        assert (first["pruned"], first["ok"], len(first["problems"])) == (1, False, 1)
        assert first["problems"][0].startswith(problem)
        last = json.loads(worker.run("cat", "/var/log/alive-codex-prune/last.json").stdout)
        assert [each["name"] for each in last["workspaces"]] == ["acme", "of-root"]
        mail = worker.run("cat", "/run/mail").stdout
        assert "To: root\n" in mail and f"\n\nalive-codex-prune: {problem}" in mail
        log = worker.run("cat", "/run/syslog").stdout.splitlines()
        assert any(re.search(rf"alive-codex-prune\[\d+\]: {problem}", line) for line in log)
        assert not worker.run("find", "/var/lib/claude-sessions", "-name", SESSION).stdout

        deploy(
            "-e", "codex_hosts=all", "-e", f"codex_status_directory={tmp_path}/status", playbook="alive.codex.status"
        )
        [host] = json.loads((tmp_path / "status" / "status.json").read_text())["hosts"]
        assert (host["last_prune"]["pruned"], host["last_prune"]["ok"], host["state"]) == (1, False, "problems")
        assert any(text.startswith(f"the last prune had 1 problem: {problem}") for text in host["problems"])
        assert 0 < host["disk"]["free"] <= host["disk"]["bytes"]
        assert [workspace["name"] for workspace in host["workspaces"]] == ["acme", "of-root"]

        deploy("-e", "codex_prune_state=absent")
        left = worker.run("find", "/etc", "/usr/local", "/var/log", "-name", "*alive-codex-prune*").stdout
        assert left == ""
        assert "changed=0" in deploy("-e", "codex_prune_state=absent")
