# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Writes TOML.

Source: the TOML 1.0.0 specification. Accepted values are what YAML and JSON give: strings, booleans, integers, finite
floats, lists and mappings with string keys. ``None`` has no TOML form and is refused.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Iterator, Mapping

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def dumps_key(part: str) -> str:
    """One part of a key, quoted where TOML asks for it."""
    return part if _BARE_KEY.fullmatch(part) else dumps_string(part)


def dumps_string(text: str) -> str:
    """A basic string on one line.

    Raises ValueError for a lone surrogate, which TOML cannot hold.
    """
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("text that is not valid Unicode has no TOML form")
    # JSON's escapes are TOML's, except that TOML wants DEL escaped too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def dumps_value(value: Any) -> str:
    """An inline value: ``"a"``, ``true``, ``3``, ``[1, 2]``, ``{a = 1}``.

    Raises ValueError for the rest.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _dumps_float(value)
    if isinstance(value, str):
        return dumps_string(value)
    if isinstance(value, Mapping):
        return "{{{}}}".format(", ".join(f"{dumps_key(_key(k))} = {dumps_value(v)}" for k, v in value.items()))
    if isinstance(value, (list, tuple)):
        return "[{}]".format(", ".join(dumps_value(item) for item in value))
    raise ValueError(f"{type(value).__name__} has no TOML form: {value!r}")


def dumps(document: Mapping[str, Any]) -> str:
    """A whole document, in the mapping's own order: plain keys first, then a table for every nested mapping."""
    return "\n".join(_table_lines(document, ())).lstrip("\n") + "\n" if document else ""


def _table_lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    if path and (plain or not table):
        yield ""
        yield "[{}]".format(".".join(dumps_key(part) for part in path))
    for key, value in plain.items():
        yield f"{dumps_key(_key(key))} = {dumps_value(value)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _table_lines(value, (*path, _key(key)))


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"a TOML key must be a string, not {key!r}")
    return key


def _dumps_float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"a number must be finite, not {value!r}")
    return repr(value)
