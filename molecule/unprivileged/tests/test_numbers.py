"""What a login without rights left: everything belongs to tenants, who are numbers only, or to root."""

from __future__ import annotations

import pytest
from testinfra.host import Host

TENANTS = {"acme": (20001, 20001), "globex": (20002, 20012)}


@pytest.fixture(autouse=True)
def _as_root(host: Host) -> object:
    with host.sudo():
        yield


def test_tenants_are_numbers_and_nothing_else(host: Host) -> None:
    for uid, _gid in TENANTS.values():
        assert host.run(f"getent passwd {uid}").rc == 2


def test_each_session_is_its_tenants_and_closed_to_others(host: Host) -> None:
    for name, owner in TENANTS.items():
        home = f"/var/lib/claude-sessions/{name}"
        found = host.check_output(f"find {home} -printf '%U %G %m %y %f\\n'").splitlines()
        assert {tuple(map(int, line.split()[:2])) for line in found} == {owner}
        rollouts = [line.split() for line in found if line.split()[4].startswith("rollout-")]
        assert rollouts, found
        assert {(mode[-2:], kind) for _uid, _gid, mode, kind, _name in rollouts} == {("00", "f")}
        assert host.file(home).mode == 0o700


def test_the_binary_is_roots(host: Host) -> None:
    binary = host.file(host.check_output("readlink -e /usr/local/bin/codex"))
    assert (binary.user, binary.group, binary.mode) == ("root", "root", 0o755)


def test_the_login_keeps_no_right_and_no_copy(host: Host) -> None:
    codex = "/usr/local/lib/alive-codex /usr/local/bin /etc/codex /etc/cron.d /var/lib/claude-sessions"
    assert host.check_output(f"find {codex} -user alice") == ""
    assert host.check_output("find /home/alice/.ansible /tmp /var/tmp -type f -name '*nsible*'") == ""
