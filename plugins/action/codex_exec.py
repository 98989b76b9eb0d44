# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives the module of the same name: hands it what lies on the control node, and watches the turn while it runs.

The module starts a supervisor on the target and returns. This action polls it; each poll renews the turn's lease and
brings events for the terminal, the last one the result. However this process is made to end, it cancels the turn if it
still can; where it cannot, the lease runs out.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.validation import check_type_dict, check_type_list
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.alive.codex.plugins.module_utils._turn import events, lease
from ansible_collections.alive.codex.plugins.plugin_utils import _slots

MODULE = "alive.codex.codex_exec"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A poll that has not come back so long after its time hangs on a dead connection.
HANGS_AFTER = 8.0
RETRY_SECONDS = 1.0

# This file is read before the workers are forked, which have no terminal of their own.
COLUMNS = os.get_terminal_size(2).columns if os.isatty(2) else events.CUT_LENGTH

display = Display()


class _Interrupted(BaseException):
    """This process was told to end."""


class _Hangs(Exception):
    """A poll did not come back."""


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    _supports_check_mode = True
    _supports_async = True
    # The task and thread of the attempt before: a retry is another action object for the same task, in one process.
    _attempt: tuple[object, str | None] = (None, None)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        try:
            args = {**_inventory_args(self._task.args, task_vars), **self._module_args()}
            wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
            if not (self._task.check_mode or self._is_pipelining_enabled("new", wrap_async)):
                args = self._hide_secrets(args)
            if self._task.async_val or self._task.check_mode:
                module_result = self._execute_module(MODULE, args, task_vars=task_vars, wrap_async=wrap_async)
            else:
                with _worker_slot(task_vars):
                    module_result = self._run_watched(args, task_vars)
                ActionModule._attempt = (self._task, module_result.get("thread_id"))
            result.update(module_result)
        finally:
            if not self._task.async_val:
                self._remove_files()
        return result

    def _remove_files(self) -> None:
        """Ansible's temporary files on the target. That the connection is lost must not hide what is known."""
        with contextlib.suppress(AnsibleConnectionFailure):
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _module_args(self) -> dict[str, Any]:
        """The task's arguments, with what lies on the control node read or copied to the target."""
        args = dict(self._task.args)
        task, thread_id = self._attempt
        if task is self._task and thread_id and not args.get("thread_id"):
            args.update(thread_id=thread_id, thread_missing="start")
        if args.get("prompt_src"):
            args["prompt"] = self._read("prompt_src", args)
        if args.get("output_schema_src"):
            try:
                args["output_schema"] = json.loads(self._read("output_schema_src", args))
            except ValueError as error:
                raise AnsibleActionFail(f"output_schema_src holds no JSON: {error}") from error
        if args.get("images_src") and not self._task.check_mode:
            args["images_src"] = self._copy(args["images_src"])
        return args

    def _hide_secrets(self, args: dict[str, Any]) -> dict[str, Any]:
        """The arguments without their secrets, which the module finds elsewhere: Ansible is about to write them to a
        file."""
        secrets: dict[str, Any] = {}
        if args.get("api_key"):
            secrets["api_key"] = str(args["api_key"])
        if args.get("env") is not None:
            try:
                env = check_type_dict(args["env"])
            except TypeError as error:
                raise AnsibleActionFail(f"env must be a mapping: {error}") from error
            # What is vaulted is decrypted by turning it into a string; what is no text is the module's to judge.
            plain = (bool, int, float, type(None))
            secrets["env"] = {
                str(name): value if isinstance(value, plain) else str(value) for name, value in env.items()
            }
        if not secrets:
            return args
        text = json.dumps(secrets).encode()
        done = self._low_level_execute_command(lease.secrets_script(), in_data=text, sudoable=True)
        if done["rc"] != 0:
            raise AnsibleActionFail(f"secrets cannot be passed to the target: {done['stderr'] or done['stdout']}")
        path = done["stdout"].split()[-1]
        return {**{name: value for name, value in args.items() if name not in secrets}, "_secrets": path}

    def _read(self, option: str, args: dict[str, Any]) -> str:
        if args.get(option.removesuffix("_src")) is not None:
            raise AnsibleActionFail(f"give one of {option.removesuffix('_src')} and {option}, not both")
        try:
            with open(self._find_needle("files", args.pop(option)), encoding="utf-8") as file:
                content: str = file.read()
        except (AnsibleError, OSError, UnicodeDecodeError) as error:
            raise AnsibleActionFail(f"{option} cannot be read on the control node: {error}") from error
        return content

    def _copy(self, images: Any) -> list[str]:
        try:
            paths = check_type_list(images)
        except TypeError as error:
            raise AnsibleActionFail(f"images_src must be a list: {error}") from error
        tmpdir: str = self._connection._shell.tmpdir or self._make_tmp_path()
        copies: list[str] = []
        for number, image in enumerate(paths):
            try:
                source = self._loader.get_real_file(self._find_needle("files", image))
            except AnsibleError as error:
                raise AnsibleActionFail(f"images_src cannot be read on the control node: {error}") from error
            name = f"image-{number}{os.path.splitext(image)[1]}"
            copies.append(self._transfer_file(source, self._connection._shell.join_path(tmpdir, name)))
        self._fixup_perms2((tmpdir, *copies))
        return copies

    def _run_watched(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        with _signals() as interrupted:
            started: dict[str, Any] = self._execute_module(MODULE, {**args, "_detach": True}, task_vars=task_vars)
            if "watch" not in started:
                return started
            watch = _Watch(self, started.pop("watch"), task_vars)
            try:
                if interrupted:
                    raise _Interrupted
                interrupted.armed = True
                # The supervisor has copies of its own; these would stay if this process were killed.
                self._remove_files()
                result = watch.result()
            finally:
                interrupted.armed = False
                watch.end()
        for key in ("warnings", "deprecations"):
            if started.get(key):
                result[key] = [*started[key], *result.get(key, [])]
        return {**started, **result}


def _inventory_args(args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
    """The workspace that the inventory alive.codex.workspaces made a host of, unless the task names another place."""
    if "codex_workspace" not in task_vars or args.get("workspace") or args.get("home"):
        return {}
    given = {"workspace": task_vars["codex_workspace"], "root": task_vars.get("codex_workspaces_root")}
    return {name: value for name, value in given.items() if value is not None}


def _worker_slot(task_vars: dict[str, Any]) -> contextlib.AbstractContextManager[None]:
    """Holds back while this run has as many turns on the worker as the inventory allows."""
    limit = int(task_vars.get("codex_worker_limit") or 0)
    if limit <= 0:
        return contextlib.nullcontext()
    # This directory is one run's own, removed at its end, and known to all its forks.
    return _slots.taken(C.DEFAULT_LOCAL_TMP, str(task_vars["codex_worker"]), limit)


class _Watch:
    """Polls one supervisor until it has a result."""

    def __init__(self, action: ActionBase, started: dict[str, Any], task_vars: dict[str, Any]) -> None:
        """``started`` is what the module says of the turn that it started: its directory, and options as it read
        them."""
        self._action = action
        self._directory: str = started["directory"]
        self._grace: float = started["grace_period"]
        self._quiet = started["show"] == "none" or bool(action._task.no_log)
        self._parent = os.getppid()
        self._end: str | None = lease.end_script(self._directory)
        self._thread_id: str | None = started["thread_id"]
        self._items: list[Any] = []
        self._room: int = started["max_bytes"]
        host = str(task_vars.get("inventory_hostname", ""))
        if action._task.delegate_to:
            host += f" -> {action._task.delegate_to}"
        self._name = events.printable(f"{host} {started['workspace'] or ''}".rstrip())

    def result(self) -> dict[str, Any]:
        grace = self._grace
        number = 0
        reached = time.monotonic()
        while True:
            number += 1
            if os.getppid() != self._parent:
                raise _Interrupted
            try:
                with _deadline(lease.POLL_SECONDS + HANGS_AFTER):
                    done = self._execute(lease.poll_script(self._directory, number))
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
                with contextlib.suppress(ValueError):
                    document: dict[str, Any] = json.loads(line)
                    if "status" in document:
                        return document
                    self._note(document, len(line))
                    self._show(document)
            if done["rc"] == lease.RC_GONE:
                message = f"the target heard nothing from the control node for {grace:g} s, and ended the turn"
                return {"failed": True, **self._lost(lease.EXPIRED, message)}
            if done["rc"] == lease.RC_DEAD:
                self._end = lease.bury_script(self._directory)
                message = "the turn's supervisor was killed, by the out-of-memory killer or by its own user"
                return {"failed": True, **self._lost(None, message)}

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
        self._thread_id = line.get("thread_id") or self._thread_id
        self._room -= size
        if isinstance(line.get("item"), dict) and self._room > 0:
            self._items.append(line["item"])

    def _show(self, line: dict[str, Any]) -> None:
        if self._quiet:
            return
        if "dropped" in line:
            display.display(f"[{self._name}] ... {int(line['dropped'])} events not shown", stderr=True)
        if "text" in line:
            head = f"[{self._name}] {float(line['at']):6.1f}s  "
            room = events.CUT_LENGTH if display.verbosity else max(COLUMNS - len(head), 20)
            display.display(head + events.printable(line["text"], room), stderr=True)

    def _lost(self, reason: str | None, message: str) -> dict[str, Any]:
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
    """Raises _Hangs in this block once it has taken so long. The alarm signal is the task keyword ``timeout``'s."""

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
