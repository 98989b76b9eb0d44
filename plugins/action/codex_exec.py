# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives the module of the same name: hands it what lies on the control node, and watches the turn while it runs."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from datetime import date
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.common.validation import check_type_int
from ansible.module_utils.errors import UnsupportedError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.alive.codex.plugins.module_utils._formats.text import clean, one_line
from ansible_collections.alive.codex.plugins.module_utils._turn import options
from ansible_collections.alive.codex.plugins.module_utils._turn.outcome import fit_for_people
from ansible_collections.alive.codex.plugins.plugin_utils import _live, _progress, _scripts, _slots, _watch

MODULE = "alive.codex.codex_exec"
# What the last line of a turn in live_path says of it.
RESULT = ("thread_id", "status", "reason", "msg", "usage", "duration")
# Of a line that says that a turn has ended.
WIDTH = 80

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    _supports_check_mode = True
    _supports_async = True
    # The task and thread of the attempt before: a retry is another action object for the same task, in one process.
    _attempt: tuple[object, str | None] = (None, None)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        given = read_options(self._task.args)
        if self._task.async_val and _is_mitogens(self._connection):
            raise AnsibleActionFail(
                "async hangs under Mitogen, which cannot give a background module what it imports of its collection: "
                "leave async out, as a turn takes the time that it needs without it, or give the play strategy: linear"
            )
        try:
            args = {**self._inventory_args(given, task_vars), **self._module_args(given)}
            if self._task.async_val and given["live_path"] is not None:
                raise AnsibleActionFail("live_path: nobody watches an asynchronous task; leave out async, or live_path")
            wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
            if self._task.check_mode:
                args.update(_no_secrets(given))
            elif not self._arguments_are_piped(wrap_async):
                args = self._hide_secrets(args, given)
            if self._task.async_val or self._task.check_mode:
                module_result = self._execute_module(MODULE, args, task_vars=task_vars, wrap_async=wrap_async)
            else:
                with _worker_slot(task_vars):
                    module_result = self._watched(args, given, task_vars)
                ActionModule._attempt = (self._task, module_result.get("thread_id"))
            result.update(fit_for_people(module_result))
        finally:
            if not self._task.async_val:
                _watch.remove_files(self)
        return result

    def _watched(self, args: dict[str, Any], given: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {"failed": True}
        live = self._live_file(given["live_path"], args.get("workspace"), task_vars)
        try:
            result = _watch.run_watched(self, task_vars, lambda: self._start(args, task_vars), live)
        except AnsibleError as error:
            result["msg"] = str(error)
            raise
        finally:
            if live is not None:
                with live:
                    ended = {"status": "aborted", **fit_for_people(result)}
                    live.append({"type": "result", **{name: ended.get(name) for name in RESULT}})
            if given["show"] == "ends" and not self._task.no_log:
                _show_end(result, self._task, task_vars)
        if live is not None and live.problem is not None:
            result["warnings"] = [*result.get("warnings", []), f"live_path is incomplete: {live.problem}"]
        return result

    def _live_file(self, path: str | None, workspace: Any, task_vars: dict[str, Any]) -> _live.LiveFile | None:
        if path is None:
            return None
        about = {"host": str(task_vars.get("inventory_hostname")), "workspace": workspace and str(workspace)}
        try:
            return _live.LiveFile(self._loader.path_dwim(path), about)
        except (OSError, ValueError) as error:
            raise AnsibleActionFail(f"live_path cannot be written on the control node: {error}") from error

    def _start(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        started: dict[str, Any] = self._execute_module(MODULE, {**args, "_detach": True}, task_vars=task_vars)
        return started

    def _inventory_args(self, given: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The workspace that the inventory alive.codex.workspaces made a host of, unless the task names another place,
        and the CLI of its worker."""
        if "codex_workspace" not in task_vars:
            return {}
        names = {"codex_path": "codex_cli_bin"}
        if not (given["workspace"] or given["home"]):
            names.update(workspace="codex_workspace", root="codex_workspaces_root")
        args = {option: self._templar.template(task_vars.get(variable)) for option, variable in names.items()}
        return {option: value for option, value in args.items() if value is not None}

    def _module_args(self, given: dict[str, Any]) -> dict[str, Any]:
        """The task's arguments, with what lies on the control node read or copied to the target. The rest is left as it
        is, for the module to read: a path is the target's, say."""
        args = {name: value for name, value in self._task.args.items() if value is not None}
        task, thread_id = self._attempt
        if task is self._task and thread_id and not given["thread_id"]:
            args.update(thread_id=thread_id, thread_missing="start")
        if given["prompt_src"] is not None:
            if given["prompt"] is not None:
                raise AnsibleActionFail("give one of prompt and prompt_src, not both")
            del args["prompt_src"]
            args["prompt"] = self._read("prompt_src", given["prompt_src"])
        if given["output_schema_src"] is not None:
            del args["output_schema_src"]
            try:
                args["output_schema"] = json.loads(self._read("output_schema_src", given["output_schema_src"]))
            except ValueError as error:
                raise AnsibleActionFail(f"output_schema_src holds no JSON: {error}") from error
        if given["images_src"] and not self._task.check_mode:
            args["images_src"] = self._copy(given["images_src"])
        return args

    def _arguments_are_piped(self, wrap_async: bool) -> bool:
        """Whether the module's arguments reach it without a file. Where nobody says so, such as ansible-core before
        2.19 or another strategy's connection, they may not."""
        try:
            return bool(self._connection.is_pipelining_enabled(wrap_async))
        except Exception:
            return False

    def _hide_secrets(self, args: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """The arguments without their secrets, which the module finds elsewhere: Ansible is about to write them to a
        file."""
        secrets = {name: given[name] for name in ("api_key", "env", "extra_env") if given[name] is not None}
        if not secrets:
            return args
        text = json.dumps(secrets).encode()
        done = self._low_level_execute_command(_scripts.secrets_script(), in_data=text, sudoable=True)
        if done["rc"] != 0:
            said = clean(done["stderr"] or done["stdout"])
            raise AnsibleActionFail(f"secrets cannot be passed to the target: {said}")
        path = done["stdout"].split()[-1]
        return {**{name: value for name, value in args.items() if name not in secrets}, "_secrets": path}

    def _read(self, option: str, path: str) -> str:
        try:
            with open(self._find(path), encoding="utf-8") as file:
                content: str = file.read()
        except (AnsibleError, OSError, UnicodeDecodeError) as error:
            raise AnsibleActionFail(f"{option} cannot be read on the control node: {error}") from error
        return content

    def _find(self, path: str) -> str:
        """Where a role or playbook has its files.

        Raises AnsibleError.
        """
        found: str = self._loader.path_dwim_relative_stack(self._task.get_search_path(), "files", path)
        return found

    def _copy(self, images: list[str]) -> list[str]:
        tmpdir: str = self._connection._shell.tmpdir or self._make_tmp_path()
        copies: list[str] = []
        for number, image in enumerate(images):
            try:
                source = self._loader.get_real_file(self._find(image))
            except AnsibleError as error:
                raise AnsibleActionFail(f"images_src cannot be read on the control node: {error}") from error
            name = f"image-{number}{os.path.splitext(image)[1]}"
            copies.append(self._transfer_file(source, self._connection._shell.join_path(tmpdir, name)))
        self._fixup_perms2((tmpdir, *copies))
        return copies


def _is_mitogens(connection: object) -> bool:
    return any(each.__module__.startswith("ansible_mitogen.") for each in type(connection).__mro__)


def read_options(args: Mapping[str, Any]) -> dict[str, Any]:
    """A task's arguments as the module is going to read them: every option, converted to its type. Null is as if an
    option were not given.

    As ActionBase.validate_argument_spec, but of the decrypted values, and without secrets in its errors.

    Raises AnsibleActionFail.
    """
    plain = {str(name): _plain(value) for name, value in args.items() if value is not None}
    validator = ArgumentSpecValidator(
        options.SPEC, mutually_exclusive=options.MUTUALLY_EXCLUSIVE, required_one_of=options.REQUIRED_ONE_OF
    )
    done = validator.validate(plain)
    if done.error_messages:
        message = done.errors.msg
        if isinstance(done.errors[0], UnsupportedError):
            message = f"Unsupported parameters for ({MODULE}) module: {message}"
        variables = [plain.get(name) for name in ("env", "extra_env")]
        mappings = [each if isinstance(each, dict) else {"SECRET": each or ""} for each in variables]
        secrets = options.secrets_of(plain.get("api_key"), *mappings)
        raise AnsibleActionFail(clean(remove_values(message, [secret.decode() for secret in secrets])))
    validated: dict[str, Any] = done.validated_parameters
    return validated


def _plain(value: Any) -> Any:
    """The value as JSON carries it to the module. What is vaulted is decrypted by turning it into a string."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)


def _no_secrets(given: dict[str, Any]) -> dict[str, Any]:
    """In place of the secrets in check mode, which has no use for them: Ansible may write its arguments to a file."""
    variables = {name: given[name] for name in ("env", "extra_env") if given[name] is not None}
    blank = {name: {key: type(value)() for key, value in each.items()} for name, each in variables.items()}
    return {"api_key": None, "env": None, "extra_env": None, **blank}


def _worker_slot(task_vars: dict[str, Any]) -> contextlib.AbstractContextManager[None]:
    """Holds back while this run has as many turns on the worker as the inventory allows."""
    given = task_vars.get("codex_worker_limit") or 0
    try:
        limit = check_type_int(given)
    except (TypeError, ValueError, OverflowError):
        limit = -1
    if limit < 0:
        raise AnsibleActionFail(f"codex_worker_limit must be a number of turns, or 0 for no limit, not {given!r:.40}")
    if not 0 < limit < (context.CLIARGS.get("forks") or C.DEFAULT_FORKS):
        return contextlib.nullcontext()  # no more than forks run at once
    # This directory is one run's own, removed at its end, and known to all its forks.
    worker = task_vars.get("codex_worker") or task_vars.get("inventory_hostname")
    return _slots.taken(C.DEFAULT_LOCAL_TMP, str(worker), limit)


def _show_end(result: dict[str, Any], task: Any, task_vars: dict[str, Any]) -> None:
    """Says that a turn has ended, and where each host has one, how many of them have."""
    done = _progress.one_more(C.DEFAULT_LOCAL_TMP, str(task._uuid))
    of = "" if task.loop or task.run_once or task.until else f" of {len(task_vars.get('ansible_play_batch') or [])}"
    how = str(result.get("status", "failed"))
    how += f" after {result['duration']:.1f} s" if result.get("duration") else ""
    how += f": {result['msg']}" if result.get("failed") and result.get("msg") else ""
    line = f"[{done}{of} done] {task_vars.get('inventory_hostname')}: {how}"
    display.display(one_line(line, WIDTH), stderr=True)
