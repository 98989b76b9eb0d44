# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The argument vector and environment of one turn, as the official TypeScript SDK makes them.

Source: ``@openai/codex-sdk`` 0.163.0, ``dist/index.js``; a test holds both against each other. ``options`` is always
the module's parameters: a mapping in which an option that was not given is None.

One difference is on purpose: the CLI splits the key of ``--config`` at every dot, quoted or not, so a mapping with a
key that itself contains a dot is passed as one inline table, in which the quotes count.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

ORIGINATOR = "CODEX_INTERNAL_ORIGINATOR_OVERRIDE"
API_KEY = "CODEX_API_KEY"
# From this version on the CLI reads its base URL from the setting; before, from the variable.
BASE_URL_SETTING_SINCE = "0.120.0"

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Input(NamedTuple):
    """What the model is given: the prompt for stdin, and images by their paths."""

    prompt: str
    images: tuple[str, ...]


def read_input(options: Mapping[str, Any]) -> Input:
    """``prompt`` or the parts of ``input``, and ``images`` after those of the parts."""
    parts = options.get("input") or []
    prompt = options.get("prompt")
    if prompt is None:
        prompt = "\n\n".join(part["text"] for part in parts if part["type"] == "text")
    images = [part["path"] for part in parts if part["type"] == "local_image"]
    return Input(prompt, (*images, *(options.get("images") or [])))


def build_argv(
    codex_path: str, options: Mapping[str, Any], images: Sequence[str] = (), schema_file: str | None = None
) -> list[str]:
    """The whole vector, program first. Raises ValueError for a ``config`` that has no TOML form."""
    return [well_formed(text) for text in (codex_path, *_arguments(options, images, schema_file))]


def well_formed(text: str) -> str:
    """The text with each lone surrogate replaced, as Node.js does when it encodes; nothing else has UTF-8 bytes."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def _arguments(options: Mapping[str, Any], images: Sequence[str], schema_file: str | None) -> Iterator[str]:
    thread_id = options.get("thread_id")
    yield from ("exec", "--experimental-json")
    for override in flatten_config(options.get("config") or {}):
        yield from ("--config", override)
    for override in options.get("config_overrides") or []:
        yield from ("--config", override)
    if options.get("base_url"):
        yield from ("--config", f"openai_base_url={_string(options['base_url'])}")
    if options.get("model"):
        yield from ("--model", options["model"])
    if options.get("thread_source") is not None and not thread_id:
        yield from ("--thread-source", options["thread_source"])
    if options.get("sandbox_mode"):
        yield from ("--sandbox", options["sandbox_mode"])
    if options.get("working_directory"):
        yield from ("--cd", options["working_directory"])
    for directory in options.get("additional_directories") or []:
        yield from ("--add-dir", directory)
    if options.get("skip_git_repo_check"):
        yield "--skip-git-repo-check"
    if schema_file:
        yield from ("--output-schema", schema_file)
    if options.get("cyber_access_program") is not None:
        yield from ("--cyber-access-program", options["cyber_access_program"])
    for key, value in _settings(options):
        yield from ("--config", f"{key}={value}")
    yield from options.get("extra_args") or []
    if thread_id:
        yield from ("resume", thread_id)
    for image in images:
        yield from ("--image", image)


def _settings(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The thread options that are settings. They come last, so that they win over ``config``."""
    if options.get("model_reasoning_effort"):
        yield "model_reasoning_effort", f'"{options["model_reasoning_effort"]}"'
    if options.get("network_access_enabled") is not None:
        yield "sandbox_workspace_write.network_access", _boolean(options["network_access_enabled"])
    if options.get("web_search_mode"):
        yield "web_search", f'"{options["web_search_mode"]}"'
    elif options.get("web_search_enabled") is not None:
        yield "web_search", '"live"' if options["web_search_enabled"] else '"disabled"'
    if options.get("approval_policy"):
        yield "approval_policy", f'"{options["approval_policy"]}"'
    if options.get("protect_api_key"):
        excluded = ((options.get("config") or {}).get("shell_environment_policy") or {}).get("exclude") or []
        yield "shell_environment_policy.exclude", _value([*excluded, API_KEY], "shell_environment_policy.exclude")


def build_environment(
    options: Mapping[str, Any], inherited: Mapping[str, str], base_url_setting: bool = True
) -> dict[str, str]:
    """``env`` where given, else ``inherited``, and on top what the SDK adds. ``base_url_setting`` says whether the CLI
    knows the setting ``openai_base_url``; one that does not is told by a variable."""
    env = dict(inherited if options.get("env") is None else options["env"])
    if not env.get(ORIGINATOR):
        env[ORIGINATOR] = "codex_sdk_ts"
    if options.get("api_key"):
        env[API_KEY] = options["api_key"]
    if options.get("base_url") and not base_url_setting:
        env["OPENAI_BASE_URL"] = options["base_url"]
    # What is inherited may be no UTF-8, which Python holds as surrogates and writes back as it was.
    return env if options.get("env") is None else {well_formed(k): well_formed(v) for k, v in env.items()}


def flatten_config(config: Mapping[str, Any]) -> list[str]:
    """``key.path=value`` for every leaf of a nested mapping, in JavaScript's order. Raises ValueError as the SDK does:
    for an empty key, a null, and a number that is not finite."""
    return list(_flatten(config, ""))


def _flatten(table: Mapping[str, Any], prefix: str) -> Iterator[str]:
    if prefix and (not table or any("." in key for key in table)):
        yield f"{prefix}={_value(table, prefix)}"
        return
    for key, value in _entries(table):
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping):
            yield from _flatten(value, path)
        else:
            yield f"{path}={_value(value, path)}"


def _entries(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Items as ``Object.entries`` orders them: array indices first, by number."""
    if "" in table:
        raise ValueError("config: a key must not be empty")
    indices = sorted((key for key in table if _ARRAY_INDEX.fullmatch(key) and int(key) < 2**32 - 1), key=int)
    return [(key, table[key]) for key in (*indices, *(key for key in table if key not in indices))]


def _value(value: Any, path: str) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return _boolean(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"config: {path} must be a finite number")
        return _float(value)
    if isinstance(value, Mapping):
        pairs = ((_key(key), _value(item, f"{path}.{key}")) for key, item in _entries(value))
        return "{{{}}}".format(", ".join(f"{key} = {item}" for key, item in pairs))
    if isinstance(value, (list, tuple)):
        return "[{}]".format(", ".join(_value(item, f"{path}[{index}]") for index, item in enumerate(value)))
    if value is None:
        raise ValueError(f"config: {path} must not be null; leave the key out")
    raise ValueError(f"config: {path} has a value of an unsupported type, {type(value).__name__}")


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _string(text: str) -> str:
    """``JSON.stringify`` of a string: non-ASCII stays, lone surrogates are escaped."""
    return _LONE_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))


def _float(number: float) -> str:
    """A float as JavaScript prints it: the shortest digits that round-trip, an exponent from 1e21 and below 1e-6.
    Source: ECMA-262, Number::toString."""
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    mantissa, _e, exponent = repr(abs(number)).partition("e")
    whole, _point, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The number is 0.DIGITS * 10 ** point.
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"
