"""A turn ends with the run of Ansible that started it, whenever that is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.plugin_utils import _watch

TURN = {
    "directory": "/the/turn",
    "grace_period": 30.0,
    "contained": True,
    "show": "none",
    "thread_id": None,
    "max_bytes": 1000,
    "workspace": None,
}


def run_and_kill(work: Callable[[], None]) -> None:
    """Has a process fork another one, which does that, and is then killed by it."""
    main = os.fork()
    if main == 0:
        _watch._READ_BY = os.getpid()
        if os.fork() == 0:
            try:
                work()
            finally:
                os._exit(0)
        signal.pause()
    os.waitpid(main, 0)


def kill_parent() -> None:
    parent = os.getppid()
    os.kill(parent, signal.SIGKILL)
    while os.getppid() == parent:
        pass


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_run_that_is_killed_while_the_turn_starts_ends_it(tmp_path: Path, when: str) -> None:
    done, ended = os.pipe()
    scripts = tmp_path / "scripts"

    def execute(script: str, **_how: Any) -> dict[str, Any]:
        with scripts.open("a") as file:
            file.write(f"{'end' if script == _watch._scripts.end_script(TURN['directory']) else 'poll'}\n")
        return {"rc": 0, "stdout": '{"status": "completed"}'}

    def start() -> dict[str, Any]:
        scripts.write_text("start\n")
        if when == "meanwhile":
            kill_parent()
        return {"watch": dict(TURN)}

    def work() -> None:
        os.close(done)
        if when == "before":
            kill_parent()
        task = SimpleNamespace(no_log=False, delegate_to=None)
        action: Any = SimpleNamespace(_task=task, cleanup=lambda force: None, _low_level_execute_command=execute)
        _watch.run_watched(action, {}, start)

    run_and_kill(work)
    os.close(ended)
    assert os.read(done, 1) == b""  # once the orphan has ended
    os.close(done)
    assert (scripts.read_text().split() if scripts.exists() else []) == {"before": [], "meanwhile": ["start", "end"]}[
        when
    ]
