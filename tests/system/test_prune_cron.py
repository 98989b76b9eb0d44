"""The role on a real host: a real cron daemon runs the job, and a second deploy changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import hosts

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
"""


def test_cron_prunes_and_the_role_comes_and_goes(tmp_path):
    play = tmp_path / "play.yml"
    play.write_text(PLAY)
    with hosts.Fleet("test-prune").started("worker") as fleet:
        worker = fleet.hosts["worker"]

        def deploy(*arguments: str) -> str:
            ansible_playbook = str(Path(sys.executable).parent / "ansible-playbook")
            argv = [ansible_playbook, "-i", str(fleet.inventory), str(play), *arguments]
            end = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert end.returncode == 0, end.stdout + end.stderr
            return end.stdout

        worker.run("sh", "-c", PREPARE)
        every_minute = ("-e", "codex_prune_minute=*", "-e", "codex_prune_hour=*")
        deploy("--check", *every_minute)
        assert not worker.run("ls", "/etc/cron.d/alive-codex-prune", check=False).stdout
        deploy(*every_minute)
        assert "changed=0" in deploy(*every_minute)

        deadline = time.monotonic() + 130
        while worker.run("test", "-e", "/var/log/alive-codex-prune/last.json", check=False).returncode:
            assert time.monotonic() < deadline, "cron did not run the job"
            time.sleep(0.5)
        run = json.loads(worker.run("cat", "/var/log/alive-codex-prune/last.json").stdout)
        assert run["ok"] and run["totals"]["pruned"] == 1
        assert not worker.run("find", "/var/lib/claude-sessions", "-name", SESSION).stdout

        deploy("-e", "codex_prune_state=absent")
        left = worker.run("find", "/etc", "/usr/local", "/var/log", "-name", "*alive-codex-prune*").stdout
        assert left == ""
        assert "changed=0" in deploy("-e", "codex_prune_state=absent")
