"""Turns of ``codex_exec`` without Ansible around them: what the module's supervisor runs, in a child process."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from typing import Any

from ansible_collections.alive.codex.plugins.module_utils import _exec

OMITTED = """
prompt prompt_src input images images_src workspace home thread_id thread_source model model_reasoning_effort
sandbox_mode approval_policy working_directory additional_directories network_access_enabled web_search_mode
web_search_enabled output_schema output_schema_src cyber_access_program config config_overrides extra_args base_url
api_key env limits timeout idle_timeout events_path
"""
DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(OMITTED.split()),
    "root": "/var/lib/claude-sessions",
    "codex_path": "/usr/local/bin/codex",
    "thread_missing": "fail",
    "skip_git_repo_check": False,
    "protect_api_key": False,
    "grace_period": 30.0,
    "events": "all",
    "max_bytes": 1 << 20,
    "show": "events",
}


class Unwatched:
    """The end of a supervisor that nobody watches."""

    wakes: tuple[int, ...] = ()

    def tend(self) -> tuple[str | None, float]:
        return None, 60.0

    def show(self, line: dict[str, Any]) -> None:
        pass

    def deliver(self, result: dict[str, Any]) -> None:
        pass


def turn(**options: Any) -> dict[str, Any]:
    """One turn with these options of the module. To be called in a process of its own: see ``isolated``."""
    with tempfile.TemporaryDirectory(prefix="alive-codex-test-") as inputs:
        os.chmod(inputs, 0o711)
        try:
            prepared, warnings = _exec.prepare({**DEFAULTS, **options}, inputs)
        except _exec.CannotRun as error:
            return {"status": "spawn_failed", "msg": str(error), "thread_id": options.get("thread_id")}
        result = _exec.run_turn(prepared, Unwatched())
        result["warnings"] = [*warnings, *result.get("warnings", [])]
        return result


def isolated(work: Callable[[], Any]) -> Any:
    """What ``work`` returns, as JSON holds it, from a child process: a supervisor buries every child it finds."""
    with tempfile.TemporaryFile() as file:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                file.write(json.dumps(work()).encode())
                file.flush()
                status = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0, "the child failed; its traceback is above"
        file.seek(0)
        return json.load(file)
