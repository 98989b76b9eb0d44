"""Turns of ``codex_exec`` without Ansible around them: what the module's supervisor runs, in a child process. And what
every test of turns needs: a tenant's HOME, the real CLI's options, stand-ins, and a look at what runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.alive.codex.plugins.module_utils._turn import begin, cautions, lease, options, prepare, run

from support.packages import native_codex
from support.stub import FAKE_KEY, ResponsesStub

TENANT = 61235

DEFAULTS: dict[str, Any] = {name: rule.get("default") for name, rule in options.SPEC.items()}


def wanted(**given: Any) -> options.TurnOptions:
    """The turn that these options of the module ask for, each of the type that it has. Raises CannotRun."""
    return options.read({**DEFAULTS, **given})


class Unwatched:
    """The end of a supervisor that nobody watches."""

    wakes: tuple[int, ...] = ()

    def tend(self) -> tuple[str | None, float]:
        return None, 60.0

    def ready(self) -> bool:
        return False

    def show(self, line: dict[str, Any]) -> None:
        pass

    def deliver(self, result: dict[str, Any]) -> None:
        pass


def run_turn(prepared: begin.Turn, link: lease.Link) -> dict[str, Any]:
    """What a supervisor does with a turn. To be called in a process of its own: see ``isolated``."""
    return run.run_turn(prepared, begin.begin(prepared, prepared.argv), link)


def turn(**given: Any) -> dict[str, Any]:
    """One turn with these options of the module. To be called in a process of its own: see ``isolated``."""
    with tempfile.TemporaryDirectory(prefix="alive-codex-test-") as inputs:
        os.chmod(inputs, 0o711)
        try:
            prepared = prepare.prepare(wanted(**given), inputs)
        except options.CannotRun as error:
            return {"status": "spawn_failed", "msg": str(error), "thread_id": given.get("thread_id")}
        result = run_turn(prepared, Unwatched())
        result["warnings"] = [*cautions.cautions(prepared.options), *result.get("warnings", [])]
        return result


def isolated(work: Callable[[], Any]) -> Any:
    """What ``work`` returns, as JSON holds it, from a child process: a supervisor reaps every child it finds."""
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


def make_home(directory: Path, name: str, uid: int = TENANT) -> Path:
    """A tenant's HOME: as root, of a user without a passwd entry, else our own."""
    path = directory / name
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(path, uid, uid)
    return path


def real(stub: ResponsesStub) -> dict[str, Any]:
    """Options that have the real CLI talk to the stub."""
    return {
        "codex_path": str(native_codex()),
        "base_url": stub.base_url,
        "api_key": FAKE_KEY,
        "skip_git_repo_check": True,
        "sandbox_mode": "danger-full-access",
        "config": {"features": {"plugins": False}},
    }


def stand_in(directory: Path, script: str) -> dict[str, Any]:
    """Options for a shell script in place of the CLI."""
    path = directory / "codex"
    path.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && echo 'codex-cli 0.44.0' && exit\n{script}\n")
    path.chmod(0o755)
    return {"codex_path": str(path)}


def command_line(pid: int) -> str:
    """Of one process; empty where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    return ""


def command_lines() -> Iterator[str]:
    """Those of everything that runs on this machine."""
    for path in Path("/proc").glob("[0-9]*"):
        yield command_line(int(path.name))


def processes_of(uid: int) -> dict[int, str]:
    """The command lines of a user's processes, in whatever namespace, by PID; zombies are left out."""
    found = {}
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended
            text = Path("/proc", process, "status").read_text()
            if f"\nUid:\t{uid}\t" in text and "\nState:\tZ" not in text:
                found[int(process)] = command_line(int(process))
    return found


def wait_until(condition: Callable[[], bool], limit: float = 60, otherwise: Callable[[], object] = lambda: "") -> float:
    """The seconds that it took; past ``limit``, a failure that shows what ``otherwise`` finds."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < limit, f"not within {limit} s: {otherwise()}"
        time.sleep(0.02)
    return time.monotonic() - start


SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)
