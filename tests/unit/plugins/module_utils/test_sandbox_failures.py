"""A command that failed as the sandbox did is told from one that failed by itself."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.module_utils._turn.sandbox import SandboxFailures

# As the CLI's releases from 0.99 to 0.171 have printed them, on hosts that lack something.
FAILS = [
    "bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)",
    "bwrap: No permissions to create a new namespace, likely because the kernel does not allow non-privileged user "
    "namespaces. On e.g. debian this can be enabled with 'sysctl kernel.unprivileged_userns_clone=1'.",
    "bwrap: setting up uid map: Permission denied",
    "bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted",
    "bwrap: Can't mount proc on /newroot/proc: Operation not permitted",
    "\nthread 'main' (15090) panicked at linux-sandbox/src/linux_run_main.rs:472:9:\nfilesystem-restricted execution "
    "requires bubblewrap to isolate app-server sockets\nnote: run with `RUST_BACKTRACE=1`",
    "thread 'main' panicked at linux-sandbox/src/linux_run_main.rs:30:9:\nerror running: Sandbox(LandlockRestrict)",
    "error applying legacy Linux sandbox restrictions: Sandbox(LandlockRestrict)",
    "bubblewrap is unavailable: no system bwrap was found on PATH and no bundled one was found",
    "failed to exec system bubblewrap /usr/bin/bwrap: No such file or directory",
]
FAILS_BY_ITSELF = [
    "bash: line 1: bwrap: command not found",
    "ls: cannot access 'x': No such file or directory",
    "Permission denied",
    "thread 'main' panicked at src/main.rs:3:5:\nassertion failed",
    "",
]


def ran(output: Any, code: Any = 1, command: Any = "/bin/bash -lc 'echo hi'") -> dict[str, Any]:
    item = {"type": "command_execution", "command": command, "aggregated_output": output, "exit_code": code}
    return {"type": "item.completed", "item": item}


@pytest.mark.parametrize("output", FAILS)
def test_the_sandbox_that_failed_is_seen(output: str) -> None:
    found = SandboxFailures()
    for event in (ran(output), ran("hi\n", 0), {"type": "item.started", "item": ran(output)["item"]}):
        found.note(event)
    assert (found.commands, found.failed) == (2, 1)
    assert found.words in " ".join(output.split("\n")) and len(found.words) > 10


@pytest.mark.parametrize("output", FAILS_BY_ITSELF)
def test_a_command_that_failed_is_no_matter_of_the_sandbox(output: str) -> None:
    found = SandboxFailures()
    found.note(ran(output))
    found.note(ran(FAILS[0], 0))
    found.note(ran(FAILS[0], 1, "bwrap --unshare-all true"))
    assert (found.commands, found.failed) == (3, 0)


def test_whatever_an_event_holds() -> None:
    found = SandboxFailures()
    for event in (
        None,
        [],
        {"type": "item.completed"},
        {"type": "item.completed", "item": []},
        ran(5),
        ran({}, "x", 7),
    ):
        found.note(event)
    assert found.failed == 0
