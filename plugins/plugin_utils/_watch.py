# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Watches a turn from the control node while it runs on the target.

The module starts a supervisor there and returns. Each poll renews the turn's lease and brings events for the terminal,
the last one the result. However this process is made to end, it cancels the turn if it still can; where it cannot, the
lease runs out.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.alive.codex.plugins.module_utils._formats.text import one_line
from ansible_collections.alive.codex.plugins.module_utils._turn import lease
from ansible_collections.alive.codex.plugins.module_utils._turn.events import CUT_LENGTH
from ansible_collections.alive.codex.plugins.module_utils._turn.options import POLL_SECONDS
from ansible_collections.alive.codex.plugins.plugin_utils import _scripts
from ansible_collections.alive.codex.plugins.plugin_utils._live import LiveFile

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A poll that has not come back so long after its time hangs on a dead connection.
HANGS_AFTER = 8.0
RETRY_SECONDS = 1.0

# This file is read before the workers are forked, by the process that forks them, whose end is to be that of the turns.
_READ_BY = os.getpid()
# The workers have no terminal of their own.
COLUMNS = os.get_terminal_size(2).columns if os.isatty(2) else CUT_LENGTH

display = Display()


class _Interrupted(BaseException):
    """This process was told to end."""


class _Hangs(Exception):
    """A poll did not come back."""


def run_watched(
    action: ActionBase, task_vars: dict[str, Any], start: Callable[[], dict[str, Any]], live: LiveFile | None = None
) -> dict[str, Any]:
    """The result of a turn that ``start`` starts. What ``start`` returns is the module's own result: how to watch the
    turn, or why there is none. Its events go to ``live`` too."""
    parent = os.getppid()  # before the turn starts: killed meanwhile, it is another one
    if _is_orphan():
        raise _Interrupted
    with _signals() as interrupted:
        started = start()
        if "watch" not in started:
            return started
        watch = _Watch(action, started.pop("watch"), task_vars, live, parent)
        try:
            if interrupted:
                raise _Interrupted
            interrupted.armed = True
            # The supervisor has copies of its own; these would stay if this process were killed.
            remove_files(action)
            result = watch.result()
        finally:
            interrupted.armed = False
            watch.end()
    for key in ("warnings", "deprecations"):
        if started.get(key):
            result[key] = [*started[key], *result.get(key, [])]
    return {**started, **result}


def _is_orphan() -> bool:
    """Whether the process that forked this worker was killed before it came here."""
    parent = os.getppid()
    if _READ_BY in (os.getpid(), parent):
        return False
    try:
        os.kill(_READ_BY, 0)
    except ProcessLookupError:
        return True
    return parent == 1


def remove_files(action: ActionBase) -> None:
    """Ansible's temporary files on the target. That the connection is lost must not hide what is known."""
    with contextlib.suppress(AnsibleConnectionFailure):
        action.cleanup(force=True)


class _Watch:
    """Polls one supervisor until it has a result."""

    def __init__(
        self,
        action: ActionBase,
        started: dict[str, Any],
        task_vars: dict[str, Any],
        live: LiveFile | None,
        parent: int,
    ) -> None:
        """``started`` is what the module says of the turn that it started: its directory, and options as it read
        them. ``parent`` is the process with whose end it ends."""
        self._action = action
        self._live = live
        self._directory: str = started["directory"]
        self._grace: float = started["grace_period"]
        self._contained: bool = started["contained"]
        self._quiet = started["show"] != "events" or bool(action._task.no_log)
        self._parent = parent
        self._end: str | None = _scripts.end_script(self._directory)
        self._thread_id: str | None = started["thread_id"]
        self._items: list[Any] = []
        self._room: int = started["max_bytes"]
        host = str(task_vars.get("inventory_hostname", ""))
        if action._task.delegate_to:
            host += f" -> {action._task.delegate_to}"
        self._name = one_line(f"{host} {started['workspace'] or ''}".rstrip(), CUT_LENGTH)

    def result(self) -> dict[str, Any]:
        grace = self._grace
        number = 0
        reached = time.monotonic()
        while True:
            number += 1
            if os.getppid() != self._parent:
                raise _Interrupted
            try:
                with _deadline(POLL_SECONDS + HANGS_AFTER):
                    done = self._execute(_scripts.poll_script(self._directory, number))
            except (AnsibleError, _Hangs) as error:  # ansible-core 2.17: not always AnsibleConnectionFailure
                if time.monotonic() - reached > grace:
                    self._end = None
                    message = f"the connection was lost for more than {grace:g} s, and the target ends the turn"
                    return {"unreachable": True, **self._lost(lease.EXPIRED, f"{message}: {error}")}
                time.sleep(RETRY_SECONDS)
                if isinstance(error, _Hangs):
                    self._action._connection.reset()
                continue
            reached = time.monotonic()
            for line in done["stdout"].splitlines():
                # Where the tenant itself runs the supervisor, it may have written anything.
                with contextlib.suppress(ValueError, TypeError, AttributeError):
                    document: dict[str, Any] = json.loads(line)
                    if "status" in document:
                        return document
                    self._note(document, len(line))
                    self._show(document)
                    self._pass_on(document)
            if done["rc"] == _scripts.RC_GONE:
                message = f"the target heard nothing from the control node for {grace:g} s, and ended the turn"
                return {"failed": True, **self._lost(lease.EXPIRED, message)}
            if done["rc"] == _scripts.RC_DEAD:
                self._end = _scripts.cleanup_script(self._directory)
                return {"failed": True, **self._lost(lease.KILLED, lease.killed(self._contained))}

    def end(self) -> None:
        """Lets the supervisor go; a turn that still runs is ended. What goes wrong here, the lease mends."""
        if self._end is not None:
            with contextlib.suppress(AnsibleError, _Hangs), _deadline(HANGS_AFTER):
                self._execute(self._end)

    def _execute(self, script: str) -> dict[str, Any]:
        done: dict[str, Any] = self._action._low_level_execute_command(script, sudoable=True)
        return done

    def _note(self, line: dict[str, Any], size: int) -> None:
        """Keeps what a result says that never comes, as far as the bytes that it may take go."""
        if isinstance(line.get("thread_id"), str):
            self._thread_id = line["thread_id"]
        self._room -= size
        is_result = line.get("type", "item.completed") == "item.completed"
        if is_result and isinstance(line.get("item"), dict) and self._room > 0:
            self._items.append(line["item"])

    def _show(self, line: dict[str, Any]) -> None:
        if self._quiet:
            return
        if "dropped" in line:
            display.display(f"[{self._name}] ... {int(line['dropped'])} events not shown", stderr=True)
        if "text" in line:
            head = f"[{self._name}] {float(line['at']):6.1f}s  "
            room = CUT_LENGTH if display.verbosity else max(COLUMNS - len(head), 20)
            display.display(head + one_line(line["text"], room), stderr=True)

    def _pass_on(self, line: dict[str, Any]) -> None:
        """What a program is told: see the option live_path."""
        if self._live is not None:
            told: dict[str, Any] = {
                name: line[name] for name in ("dropped", "at", "type", "text", "item") if name in line
            }
            if "text" in told:
                told["text"] = one_line(told["text"], CUT_LENGTH)
            self._live.append({"thread_id": self._thread_id, **told})

    def _lost(self, reason: str, message: str) -> dict[str, Any]:
        """The result where the supervisor's own never came: what is known of the turn here."""
        messages = [item.get("text") for item in self._items if item.get("type") == "agent_message"]
        return {
            "status": "aborted",
            "reason": reason,
            "msg": message,
            "changed": True,
            "thread_id": self._thread_id,
            "final_response": messages[-1] if messages else "",
            "thread_items": self._items,
        }


class _Signals:
    """Whether a signal came. While ``armed``, one interrupts; before, it is only noted."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.armed = False

    def __bool__(self) -> bool:
        return self.number is not None

    def handle(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        if self.armed:
            self.armed = False
            raise _Interrupted


@contextlib.contextmanager
def _signals() -> Iterator[_Signals]:
    """Takes SIGINT and SIGTERM over for the block; what came is raised again at its end, with its first effect."""
    state = _Signals()
    former = {number: signal.signal(number, state.handle) for number in SIGNALS}
    try:
        yield state
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if state.number is not None:
            os.kill(os.getpid(), state.number)


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Ends the block once it has taken so long. The alarm signal is not used: it is the task keyword ``timeout``'s.

    Raises _Hangs.
    """

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise _Hangs(f"no answer for {seconds:g} s")

    former = signal.signal(signal.SIGUSR1, expire)
    timer = threading.Timer(seconds, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGUSR1, former)
