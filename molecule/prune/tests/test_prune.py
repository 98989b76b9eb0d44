"""What has been pruned, and what has stayed."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

SESSIONS = "/var/lib/claude-sessions/acme/.codex/sessions"


@pytest.fixture(autouse=True)
def _as_root(host: Host) -> object:
    with host.sudo():
        yield


def test_the_old_session_is_gone_and_the_young_one_is_there(host: Host) -> None:
    assert host.check_output(f"find {SESSIONS} -name 'rollout-*' -printf '%f\\n'").endswith("7001.jsonl")
    assert not host.file(f"{SESSIONS}/2025/01/01").exists


def test_what_a_link_of_the_tenant_leads_to_is_there(host: Host) -> None:
    assert host.file("/srv/precious/rollout-2025-01-01T00-00-00-01941f29-7c00-7000-8000-000000000002.jsonl").is_file


def test_the_cron_job_sees_the_same_and_names_the_link(host: Host) -> None:
    done = host.run("python3 -I /usr/local/sbin/alive-codex-prune --cron")
    assert (done.rc, "acme: .codex/sessions/2024: is a symbolic link" in done.stderr) == (1, True), done.stderr
    last = json.loads(host.file("/var/log/alive-codex-prune/runs.log").content_string.splitlines()[-1])
    assert (last["ok"], last["pruned"], last["kept"]) == (False, 0, 1)
