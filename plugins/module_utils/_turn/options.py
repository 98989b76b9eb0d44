# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What a turn can be asked for: the options of ``codex_exec``, and what they amount to once they are checked.

The module reads its arguments by these rules, and so does the action, on the control node.
"""

from __future__ import annotations

import re
import resource
from typing import Any, Mapping, NamedTuple

from .._formats.names import name_problem
from .._formats.units import parse_part
from . import overrides

# While a control node watches a turn, it gives a sign of life so often, in seconds.
POLL_SECONDS = 2
# No Linux has more.
MOST_PROCESSES = 2**22

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSPHRASE", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/@\s]*:([^/@\s]+)@", re.IGNORECASE)
# A shorter value is no secret, but would blot out half of the result. Of a key, it is known that it is one.
_SECRET_LENGTH = 8
_KEY_LENGTH = 4
HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"

SPEC: dict[str, Any] = {
    "prompt": {"type": "str"},
    "prompt_src": {"type": "path"},
    "input": {
        "type": "list",
        "elements": "dict",
        "options": {
            "type": {"type": "str", "choices": ["text", "local_image"], "required": True},
            "text": {"type": "str"},
            "path": {"type": "str"},
        },
        "required_if": [("type", "text", ["text"]), ("type", "local_image", ["path"])],
    },
    "images": {"type": "list", "elements": "str"},
    "images_src": {"type": "list", "elements": "path"},
    "workspace": {"type": "str"},
    "root": {"type": "path", "default": "/var/lib/claude-sessions"},
    "home": {"type": "path"},
    "codex_path": {"type": "path", "default": "/usr/local/bin/codex"},
    "thread_id": {"type": "str"},
    "thread_missing": {"type": "str", "choices": ["fail", "start"], "default": "fail"},
    "fork": {"type": "bool", "default": False},
    "ephemeral": {"type": "bool", "default": False},
    "review": {
        "type": "dict",
        "options": {
            "uncommitted": {"type": "bool"},
            "base": {"type": "str"},
            "commit": {"type": "str"},
            "title": {"type": "str"},
        },
        "mutually_exclusive": [("uncommitted", "base", "commit")],
        "required_by": {"title": ["commit"]},
    },
    "thread_source": {"type": "str"},
    "model": {"type": "str"},
    "model_reasoning_effort": {"type": "str"},
    "sandbox_mode": {"type": "str", "choices": ["read-only", "workspace-write", "danger-full-access"]},
    "approval_policy": {"type": "str", "choices": ["never", "on-request", "on-failure", "untrusted"]},
    "working_directory": {"type": "str"},
    "additional_directories": {"type": "list", "elements": "str"},
    "skip_git_repo_check": {"type": "bool", "default": False},
    "network_access_enabled": {"type": "bool"},
    "web_search_mode": {"type": "str", "choices": ["disabled", "cached", "live"]},
    "web_search_enabled": {"type": "bool"},
    "output_schema": {"type": "dict"},
    "output_schema_src": {"type": "path"},
    "cyber_access_program": {"type": "str"},
    "config": {"type": "dict"},
    "config_overrides": {"type": "list", "elements": "str"},
    "extra_args": {"type": "list", "elements": "str"},
    "base_url": {"type": "str"},
    "api_key": {"type": "str", "no_log": True},
    "protect_api_key": {"type": "bool", "default": False, "no_log": False},
    "env": {"type": "dict", "no_log": True},
    "extra_env": {"type": "dict", "no_log": True},
    "max_processes": {"type": "int", "default": 2048},
    "max_memory": {"type": "str", "default": "50%"},
    "limits": {"type": "dict"},
    "timeout": {"type": "float"},
    "idle_timeout": {"type": "float"},
    "grace_period": {"type": "float", "default": 30},
    "events": {"type": "str", "choices": ["all", "items", "none"], "default": "all"},
    "max_bytes": {"type": "int", "default": 1048576},
    "events_path": {"type": "path"},
    "live_path": {"type": "path"},
    "show": {"type": "str", "choices": ["events", "ends", "none"], "default": "events"},
}
# What the action alone sets. ``_detach``: it polls the supervisor, instead of having the module wait. ``_secrets``: a
# FIFO on which it offers what is secret, where Ansible would write the module's arguments to a file.
PRIVATE_SPEC: dict[str, Any] = {
    "_detach": {"type": "bool"},
    "_secrets": {"type": "path", "no_log": False},
}
MUTUALLY_EXCLUSIVE = [("workspace", "home"), ("output_schema", "output_schema_src"), ("review", "thread_id")]
REQUIRED_ONE_OF = [("prompt", "prompt_src", "input", "review")]


class CannotRun(Exception):
    """The turn cannot be started; says why and what to do."""


class TurnOptions(NamedTuple):
    """What one turn is asked for, checked.

    Fields have the names and meanings of the module's options, but for these: ``prompt`` and ``images`` have the parts
    of ``input`` in them, ``limits`` are by the numbers of the ``resource`` module, all variables are text. A
    list or mapping that was not given is empty, anything else None; so is ``env``, as an empty one has a meaning.
    """

    prompt: str
    images: tuple[str, ...]
    images_src: tuple[str, ...]
    workspace: str | None
    root: str
    home: str | None
    codex_path: str
    thread_id: str | None
    thread_missing: str
    fork: bool
    ephemeral: bool
    review: Mapping[str, Any] | None
    thread_source: str | None
    model: str | None
    model_reasoning_effort: str | None
    sandbox_mode: str | None
    approval_policy: str | None
    working_directory: str | None
    additional_directories: tuple[str, ...]
    skip_git_repo_check: bool
    network_access_enabled: bool | None
    web_search_mode: str | None
    web_search_enabled: bool | None
    output_schema: Mapping[str, Any] | None
    cyber_access_program: str | None
    config: Mapping[str, Any]
    config_overrides: tuple[str, ...]
    extra_args: tuple[str, ...]
    base_url: str | None
    api_key: str | None
    protect_api_key: bool
    env: Mapping[str, str] | None
    extra_env: Mapping[str, str]
    max_processes: int
    max_memory: str
    limits: Mapping[int, int]
    timeout: float | None
    idle_timeout: float | None
    grace_period: float
    events: str
    max_bytes: int
    events_path: str | None
    live_path: str | None
    show: str

    def secrets(self) -> list[bytes]:
        """What must not be repeated; see ``secrets_of``."""
        return secrets_of(self.api_key, self.env, self.extra_env)


def read(params: Mapping[str, Any]) -> TurnOptions:
    """The turn that is asked for by the module's parameters: every name in SPEC, None for what was not given.

    Raises CannotRun for what makes no sense.
    """
    # Ansible lets null stand even where there is a default.
    params = {name: rule.get("default") if params[name] is None else params[name] for name, rule in SPEC.items()}
    _check(params)
    parts = params["input"] or ()
    texts = [part["text"] for part in parts if part["type"] == "text"]
    images = [part["path"] for part in parts if part["type"] == "local_image"]
    lists = {name: tuple(params[name] or ()) for name, rule in SPEC.items() if rule["type"] == "list"}
    given: dict[str, Any] = {
        **params,
        **lists,
        "prompt": "\n\n".join(texts) if params["prompt"] is None else params["prompt"],
        "images": (*images, *lists["images"]),
        "config": _read_config(params),
        "env": None if params["env"] is None else _read_variables("env", params["env"]),
        "extra_env": _read_variables("extra_env", params["extra_env"] or {}),
        "limits": _read_limits(params["limits"] or {}),
    }
    return TurnOptions(**{name: given[name] for name in TurnOptions._fields})


def without_secrets(params: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in place of each value that is secret: the names of variables stay."""
    hidden: dict[str, Any] = {}
    for name in ("api_key", "env", "extra_env"):
        value = params.get(name)
        if isinstance(value, dict):
            hidden[name] = dict.fromkeys(value, HIDDEN)
        elif value is not None:
            hidden[name] = HIDDEN
    return hidden


def secrets_of(api_key: str | None, *variables: Mapping[str, Any] | None) -> list[bytes]:
    """What must not be repeated, longest first: the API key, values of variables whose names say that they are secret,
    and passwords in URLs, a proxy's, say."""
    named = [(name, str(value)) for each in variables for name, value in (each or {}).items()]
    values = [value for name, value in named if _SECRET_NAME.search(name)]
    values += [match[1] for _name, value in named for match in [_URL_PASSWORD.match(value)] if match]
    secrets = {value.encode() for value in values if len(value) >= _SECRET_LENGTH}
    if api_key and len(api_key) >= _KEY_LENGTH:
        secrets.add(api_key.encode())
    return sorted(secrets, key=len, reverse=True)


def _check(params: Mapping[str, Any]) -> None:
    if sum(params[name] is not None for name in ("prompt", "prompt_src", "input")) > 1:
        raise CannotRun("give one of prompt, prompt_src and input, not several")
    if params["fork"] and not params["thread_id"]:
        raise CannotRun("fork needs thread_id, the thread to start from")
    _check_review(params)
    for name in ("prompt_src", "output_schema_src"):
        if params[name] is not None:
            raise CannotRun(f"{name} is read on the control node: run this as a task, not the module by itself")
    for name in ("timeout", "idle_timeout", "grace_period", "max_bytes"):
        if params[name] is not None and not params[name] > 0:
            raise CannotRun(f"{name} must be more than 0")
    if not 0 <= params["max_processes"] <= MOST_PROCESSES:
        raise CannotRun(f"max_processes must be a number of processes up to {MOST_PROCESSES}, or 0 for no limit")
    try:
        parse_part(params["max_memory"], 1)
    except ValueError as error:
        raise CannotRun(f"max_memory: {error}") from error
    if params["grace_period"] <= POLL_SECONDS:
        raise CannotRun(f"grace_period must be more than the {POLL_SECONDS} s between two signs of life")
    if params["events_path"] is not None and not params["events_path"].startswith("/"):
        raise CannotRun(f"events_path must be an absolute path, not {params['events_path']}")
    name = params["workspace"]
    problem = None if name is None else name_problem(name)
    if problem:
        raise CannotRun(f"workspace {name!r} is not the name of a directory below {params['root']}: it {problem}")


def _check_review(params: Mapping[str, Any]) -> None:
    if params["review"] is None:
        return
    instructed = any(params[name] is not None for name in ("prompt", "input"))
    if instructed == any(params["review"].get(name) for name in ("uncommitted", "base", "commit")):
        raise CannotRun("review: give one of uncommitted, base and commit, or instructions as prompt, and not both")
    if params["images"] or params["images_src"] or any(part["type"] != "text" for part in params["input"] or ()):
        raise CannotRun("review: images cannot be reviewed")


def _read_config(params: Mapping[str, Any]) -> Mapping[str, Any]:
    config: Mapping[str, Any] = params["config"] or {}
    try:
        overrides.flatten(config)
    except ValueError as error:
        raise CannotRun(str(error)) from error
    if params["protect_api_key"]:  # which adds to this list
        policy = config.get("shell_environment_policy", {})
        if not isinstance(policy, dict) or not isinstance(policy.get("exclude", []), list):
            raise CannotRun("config: with protect_api_key, shell_environment_policy.exclude must be a list")
    return config


def _read_variables(option: str, variables: Mapping[str, Any]) -> Mapping[str, str]:
    for name, value in variables.items():
        if isinstance(value, (bool, dict, list, type(None))):
            raise CannotRun(f"{option}: {name} must be a string, not {type(value).__name__}; quote it")
    return {name: str(value) for name, value in variables.items()}


def _read_limits(limits: Mapping[str, Any]) -> Mapping[int, int]:
    found = {}
    for name, value in limits.items():
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if number is None:
            raise CannotRun(f"limits: this system has no limit {name!r}")
        if not str(value).isdecimal():
            raise CannotRun(f"limits: {name} must be a whole number, not {value!r}")
        found[number] = int(value)
    return found
