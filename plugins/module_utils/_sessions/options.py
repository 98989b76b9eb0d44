# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What the pruner can be told: the options of the module ``codex_prune``, and the keys of the cron script's
configuration.

Ansible converts and checks the types of the module's options; ``read_config`` checks those of the configuration. What
values are allowed is said once, for both.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Callable, Mapping

from .._formats.names import name_problem
from .._formats.units import parse_age, parse_size
from .plan import CLAUDE, CODEX, STORES, Rules

OPTIONS: dict[str, dict[str, Any]] = {
    "root": {"type": "path", "default": "/var/lib/claude-sessions"},
    "workspaces": {"type": "list", "elements": "str"},
    "stores": {"type": "list", "elements": "str", "choices": list(STORES), "default": list(STORES)},
    "codex_homes": {"type": "list", "elements": "str", "default": []},
    "claude_homes": {"type": "list", "elements": "str", "default": []},
    "max_age": {"type": "str", "default": "30d"},
    "keep_last": {"type": "int", "default": 0},
    "max_bytes": {"type": "str", "default": "0"},
    "sweep": {"type": "bool", "default": True},
    "archive": {"type": "path"},
    "codex_path": {"type": "path", "default": "/usr/local/bin/codex"},
    # Ansible's own conversion to a float fails with a traceback where the number is too large for one.
    "now": {"type": "raw"},
}
CONFIG: dict[str, dict[str, Any]] = {**OPTIONS, "log_dir": {"type": "path", "required": True}}

# What the process starts in means nothing to them.
_DIRECTORIES = ("root", "archive", "log_dir")
# The last second of the year 9999, where Python's dates end.
_LATEST = 253402300799
_TYPES: dict[str, Any] = {"path": str, "str": str, "int": int, "bool": bool, "list": list, "raw": object}
# No path can hold a NUL or half of a surrogate pair; the other control characters garble a log.
_UNFIT = re.compile("[\0-\x1f\x7f\ud800-\udfff]")
_MAX_DIGITS = 20
_MAX_SHOWN = 40


def rules_of(options: Mapping[str, Any]) -> Rules:
    """Checks the values of all options, and returns what may stay.

    Raises ValueError, which names the option.
    """
    for name, spec in CONFIG.items():
        value = options.get(name)
        if spec["type"] == "path" and value is not None:
            if name in _DIRECTORIES and not value.startswith("/"):
                raise ValueError(f"{name} must be an absolute path, not {_shown(value)}")
            if _UNFIT.search(value):
                raise ValueError(f"{name} must be a path without control characters, not {_shown(value)}")
    homes_of(options)
    if options["keep_last"] < 0:
        raise ValueError("keep_last must not be negative")
    now_of(options)
    return Rules(
        _parsed(parse_age, "max_age", options), options["keep_last"], _parsed(parse_size, "max_bytes", options)
    )


def homes_of(options: Mapping[str, Any]) -> dict[str, list[str]]:
    """Where else below a HOME each store's sessions are.

    Raises ValueError.
    """
    homes = {CODEX: "codex_homes", CLAUDE: "claude_homes"}
    for option in homes.values():
        for path in options[option]:
            for part in path.split("/"):
                problem = name_problem(part)
                if problem:
                    shown = _shown(path)
                    raise ValueError(f"each of {option} must be a plain path below HOME, not {shown}: a part {problem}")
    return {store: options[option] for store, option in homes.items()}


def now_of(options: Mapping[str, Any]) -> float | None:
    """The option ``now``, a number or one as text; None where it is not given.

    Raises ValueError.
    """
    value = options["now"]
    if value is None:
        return None
    try:
        seconds = float("nan" if isinstance(value, bool) else value)
    except (ValueError, TypeError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds <= _LATEST:
        raise ValueError(f"now must be seconds since the epoch, up to the year 9999, not {_shown(value)}")
    return seconds


def _parsed(parse: Callable[[str], Any], name: str, options: Mapping[str, Any]) -> Any:
    try:
        return parse(options[name])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def read_config(content: bytes) -> dict[str, Any]:
    """The options in a configuration, a mapping as JSON; those that are not given have their defaults.

    Raises ValueError, which says in one line what is wrong and what would be right.
    """
    config = _read_json(content)
    if not isinstance(config, dict):
        raise ValueError(f"it must be a mapping, not {_shown(config)}")
    for name in config.keys() - CONFIG.keys():
        raise ValueError(f"{_shown(name)} is no option; there are {', '.join(sorted(CONFIG))}")
    for name, spec in CONFIG.items():
        if name not in config:
            if spec.get("required"):
                raise ValueError(f"{name} is missing")
            config[name] = spec.get("default")
        elif config[name] is not None or "default" in spec or spec.get("required"):
            _check_type(name, config[name], spec)
    rules_of(config)
    return config


def _check_type(name: str, value: Any, spec: Mapping[str, Any]) -> None:
    if not _is_of(spec["type"], value):
        example = f", such as {json.dumps(spec['default'])}," if "default" in spec else ","
        raise ValueError(f"{name} must be of type {spec['type']}{example} not {_shown(value)}")
    if spec["type"] == "list":
        for element in value:
            if not _is_of(spec["elements"], element):
                raise ValueError(f"each of {name} must be of type {spec['elements']}, not {_shown(element)}")
            if element not in spec.get("choices", [element]):
                raise ValueError(f"each of {name} must be one of {', '.join(spec['choices'])}, not {_shown(element)}")


def _is_of(kind: str, value: Any) -> bool:
    # To Python, a bool is an int.
    return isinstance(value, _TYPES[kind]) and (kind in ("bool", "raw") or not isinstance(value, bool))


def _read_json(content: bytes) -> Any:
    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_read_int,
            parse_float=_read_float,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"it must be JSON in UTF-8; byte {error.start} is not") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it must be JSON: {error}") from None
    except RecursionError:
        raise ValueError("it must be a mapping of plain values; it is nested too deep") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for name, value in pairs:
        if name in mapping:
            raise ValueError(f"{_shown(name)} is given twice; keep one of them")
        mapping[name] = value
    return mapping


def _read_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(text)} digits; at most {_MAX_DIGITS} make sense here")
    return int(text)


def _read_float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {_shown(text)} is too large")
    return number


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _shown(value: Any) -> str:
    """A value as JSON on a terminal, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
