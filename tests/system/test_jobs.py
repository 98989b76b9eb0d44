"""The children that do a tenant's work: none outlives the process that waits for it, or takes more than its limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._host import jobs
from ansible_collections.alive.codex.plugins.module_utils._host.identity import current_identity
from support.modules import CHECKOUT
from support.turns import wait_until

PROGRAM = """
import os, time
from ansible_collections.alive.codex.plugins.module_utils._host import jobs
from ansible_collections.alive.codex.plugins.module_utils._host.identity import current_identity

def work(channel):
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(600)

job = jobs.Job("one", current_identity(), os.open("/", os.O_RDONLY), work)
list(jobs.run_jobs([job], 1, jobs.Limits()))
"""


def test_a_job_ends_with_its_parent() -> None:
    library = str(CHECKOUT / ".cache" / "checkout")
    argv = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": library}) as parent:
        assert parent.stdout is not None
        child = Path("/proc", parent.stdout.readline().decode().strip())
        assert (child / "stat").exists() and child.name != str(parent.pid)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        wait_until(lambda: not child.exists(), otherwise=lambda: f"{child.name} lives on")


@pytest.mark.parametrize(
    ("size", "ends"), [(64, ({"taken": 64}, "")), (192, ({}, "needed more than 128 MiB of memory"))]
)
def test_what_a_job_may_take_does_not_depend_on_what_its_parent_holds(size: int, ends: object) -> None:
    held = bytearray(256 * 2**20)  # of zeros, which take no room until they are written to

    def work(channel: jobs.Channel | None) -> dict[str, object]:
        return {"taken": len(bytearray(size * 2**20)) // 2**20}

    directory = os.open("/", os.O_RDONLY)
    job = jobs.Job("one", current_identity(), directory, work)
    (outcome,) = jobs.run_jobs([job], 1, jobs.Limits(memory=128 * 2**20))
    assert (outcome.result, outcome.error) == ends and len(held)
