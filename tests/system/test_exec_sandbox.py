"""The real CLI on a host that allows no user namespaces: its sandbox fails, not the model's command."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import hostile
from support.settings import TARGET_PYTHON
from support.stub import ResponsesStub
from support.turns import make_home, real, wait_until

SERVER = Path(hostile.__file__).with_name("turn_server.py")
# Root of a user namespace, which has the same users, and whose own users may make none. It has a root's rights from the
# exec(2) on that comes after its users are mapped.
FORBIDS = 'read go; exec sh -c "echo 0 >/proc/sys/user/max_user_namespaces; exec \\"\\$@\\"" sh "$@"'


@pytest.mark.root
def test_a_sandbox_that_fails_is_told_with_cause_and_cure(open_dir: Path, stub: ResponsesStub) -> None:
    home = make_home(open_dir, "acme")
    options = {**real(stub), "root": str(open_dir), "workspace": home.name, "sandbox_mode": "workspace-write"}
    process = subprocess.Popen(
        ["unshare", "--user", "sh", "-c", FORBIDS, "sh", TARGET_PYTHON, SERVER],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / ".cache" / "checkout")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    ours = os.readlink("/proc/self/ns/user")
    wait_until(lambda: os.readlink(f"/proc/{process.pid}/ns/user") != ours)
    for kind in ("uid", "gid"):
        Path(f"/proc/{process.pid}/{kind}_map").write_text("0 0 100000")
    asked = json.dumps({**options, "prompt": "[[run:echo hi]] [[say:All done.]]"})
    answer, _nothing = process.communicate(f"go\n{asked}\n", timeout=120)
    result = json.loads(answer)[0]
    assert (result["status"], result["final_response"]) == ("completed", "All done."), result
    [warning] = [text for text in result["warnings"] if "sandbox failed" in text]
    assert "1 of 1 command" in warning and "bwrap: " in warning
    assert "user.max_user_namespaces is 0 on this host" in warning
