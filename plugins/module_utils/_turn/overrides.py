# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Settings for ``codex exec --config``, as the official TypeScript SDK writes them.

Source: ``@openai/codex-sdk`` 0.163.0, ``dist/index.js``; a test holds both against each other.

One difference is on purpose: the CLI splits the key of ``--config`` at every dot, quoted or not, so a mapping with a
key that itself contains a dot is passed as one inline table, in which the quotes count.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Iterator, Mapping

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def flatten(config: Mapping[str, Any]) -> list[str]:
    """``key.path=value`` for every leaf of a nested mapping, in JavaScript's order.

    Raises ValueError as the SDK does: for an empty key, a null, and a number that is not finite.
    """
    return list(_flatten(config, ""))


def _flatten(table: Mapping[str, Any], prefix: str) -> Iterator[str]:
    if prefix and (not table or any("." in key for key in table)):
        yield f"{prefix}={render(table, prefix)}"
        return
    for key, value in _entries(table):
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping):
            yield from _flatten(value, path)
        else:
            yield f"{path}={render(value, path)}"


def _entries(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Items as ``Object.entries`` orders them: array indices first, by number."""
    if "" in table:
        raise ValueError("config: a key must not be empty")
    indices = sorted((key for key in table if _ARRAY_INDEX.fullmatch(key) and int(key) < 2**32 - 1), key=int)
    return [(key, table[key]) for key in (*indices, *(key for key in table if key not in indices))]


def render(value: Any, path: str) -> str:
    """A value as TOML, on one line; ``path`` names it in errors.

    Raises ValueError where it has no such form.
    """
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bool):
        return render_boolean(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"config: {path} must be a finite number")
        return _float(value)
    if isinstance(value, Mapping):
        pairs = ((_key(key), render(item, f"{path}.{key}")) for key, item in _entries(value))
        return "{{{}}}".format(", ".join(f"{key} = {item}" for key, item in pairs))
    if isinstance(value, (list, tuple)):
        return "[{}]".format(", ".join(render(item, f"{path}[{index}]") for index, item in enumerate(value)))
    if value is None:
        raise ValueError(f"config: {path} must not be null; leave the key out")
    raise ValueError(f"config: {path} has a value of an unsupported type, {type(value).__name__}")


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else quote(key)


def render_boolean(value: bool) -> str:
    """A boolean as TOML."""
    return "true" if value else "false"


def quote(text: str) -> str:
    """``JSON.stringify`` of a string, which is TOML, too: non-ASCII stays, lone surrogates are escaped."""
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
