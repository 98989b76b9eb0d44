"""What is done while a command runs, and what then still holds of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from ansible_collections.alive.codex.plugins.module_utils._host.process import run

ENV = {"PATH": "/usr/bin:/bin"}


def test_what_is_done_meanwhile_is_done_until_the_command_ends(tmp_path: Path) -> None:
    sign, calls = tmp_path / "sign", []

    def meanwhile() -> None:
        calls.append(1)
        if len(calls) == 3:
            sign.touch()

    waiting = ["/bin/sh", "-c", 'echo begun; while [ ! -e "$1" ]; do sleep 0.01; done; cat; echo ended', "-", str(sign)]
    done = run(waiting, ENV, 60, meanwhile=meanwhile)
    assert (done.rc, done.stdout, done.timed_out) == (0, b"begun\nended\n", False) and len(calls) >= 3


def test_a_limit_of_time_holds_meanwhile_too() -> None:
    done = run(["/bin/sh", "-c", "echo begun; exec sleep 60"], ENV, 0.5, meanwhile=lambda: None)
    assert (done.rc, done.stdout, done.timed_out) == (-9, b"begun\n", True)


def test_a_limit_of_time_holds_for_pipes_that_somebody_else_has_open(tmp_path: Path) -> None:
    left = tmp_path / "left"
    left_open = 'setsid sh -c "echo \\$\\$ >$1; exec sleep 60" &'
    script = f'{left_open} while [ ! -s "$1" ]; do sleep 0.01; done; echo begun; exit 3'
    done = run(["/bin/sh", "-c", script, "-", str(left)], ENV, 2)
    os.kill(int(left.read_text()), signal.SIGKILL)  # or there is none, as it had been waited for
    assert (done.rc, done.stdout, done.timed_out) == (3, b"begun\n", True)
