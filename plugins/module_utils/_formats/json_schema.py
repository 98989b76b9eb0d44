# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Validates a value against a JSON schema, as far as structured outputs use one.

Pure. Source: JSON Schema 2020-12. Keywords that are not known here are reported by ``unsupported``, never skipped in
silence. ``pattern`` is read as a Python regular expression, which agrees with ECMAScript's on what schemas use.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Callable, Hashable, Iterator, Mapping

from . import bounded_json

_ANNOTATIONS = {
    "$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "deprecated",
    "readOnly", "writeOnly",
}  # fmt: skip
_SCHEMAS = ("additionalProperties", "items", "not")
_LISTS_OF_SCHEMAS = ("anyOf", "allOf", "oneOf", "prefixItems")
_MAPPINGS_OF_SCHEMAS = ("properties", "$defs", "definitions")
MAX_DEPTH = 200


def parse_response(text: str, schema: Mapping[str, Any]) -> Any:
    """The value of a JSON text that satisfies ``schema``.

    Raises ValueError, which says where and why.
    """
    try:
        value = bounded_json.parse(text.encode("utf-8", "surrogatepass"))
    except bounded_json.TooMuch as error:
        raise ValueError(str(error)) from None
    except ValueError as error:
        raise ValueError(f"it is no JSON ({error})") from None
    for problem in _problems(value, schema, schema, "", 0):
        raise ValueError(problem)
    return value


def unsupported(schema: Any) -> list[str]:
    """The keywords in a schema that are not checked, with where they stand."""
    known = _ANNOTATIONS.union(_CHECKS, _SCHEMAS, _LISTS_OF_SCHEMAS, _MAPPINGS_OF_SCHEMAS, ["$ref"])
    return sorted(
        {f"{keyword} (at {place or '/'})" for place, keyword in _keywords(schema, "") if keyword not in known}
    )


def _keywords(schema: Any, place: str) -> Iterator[tuple[str, str]]:
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        yield place, keyword
        below = f"{place}/{keyword}"
        if keyword in _SCHEMAS:
            yield from _keywords(value, below)
        elif keyword in _LISTS_OF_SCHEMAS and isinstance(value, list):
            for index, item in enumerate(value):
                yield from _keywords(item, f"{below}/{index}")
        elif keyword in _MAPPINGS_OF_SCHEMAS and isinstance(value, dict):
            for name, item in value.items():
                yield from _keywords(item, f"{below}/{name}")


def _problems(value: Any, schema: Any, root: Mapping[str, Any], place: str, depth: int) -> Iterator[str]:
    """What is wrong with ``value``, the nearest to the root first."""
    if schema is True or schema is None:
        return
    if schema is False:
        yield f"{place or '/'} must not be there"
        return
    if depth > MAX_DEPTH:
        yield f"{place or '/'} is nested too deeply, or the schema refers to itself without end"
        return
    if "$ref" in schema:
        yield from _problems(value, _resolve(schema["$ref"], root), root, place, depth + 1)
    for keyword, check in _CHECKS.items():
        if keyword in schema and not check(value, schema[keyword]):
            yield f"{place or '/'} does not satisfy {keyword}: {json.dumps(schema[keyword])[:200]}"

    def fits(candidate: Any) -> bool:
        return next(_problems(value, candidate, root, place, depth + 1), None) is None

    for candidate in schema.get("allOf", ()):
        yield from _problems(value, candidate, root, place, depth + 1)
    if "anyOf" in schema and not any(fits(candidate) for candidate in schema["anyOf"]):
        yield f"{place or '/'} satisfies none of anyOf"
    if "oneOf" in schema and sum(fits(candidate) for candidate in schema["oneOf"]) != 1:
        yield f"{place or '/'} must satisfy exactly one of oneOf"
    if "not" in schema and fits(schema["not"]):
        yield f"{place or '/'} must not satisfy the schema in not"
    for name, item, below in _children(value, schema):
        yield from _problems(item, below, root, f"{place}/{name}", depth + 1)


def _children(value: Any, schema: Mapping[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Members and elements of a value, each with its schema."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name, item in value.items():
            yield name, item, properties[name] if name in properties else schema.get("additionalProperties")
    elif isinstance(value, list):
        prefix = schema.get("prefixItems", [])
        for index, item in enumerate(value):
            yield index, item, prefix[index] if index < len(prefix) else schema.get("items")


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    """The schema that ``#/$defs/name`` names.

    Raises ValueError for a reference elsewhere.
    """
    if not reference.startswith("#"):
        raise ValueError(f"output_schema refers to {reference}, which is not part of it")
    found: Any = root
    for part in reference[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ValueError(f"output_schema has nothing at {reference}") from None
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and value == math.floor(value),
    "number": _is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _same(one: Any, other: Any) -> bool:
    return _key(one) == _key(other)


def _key(value: Any) -> Hashable:
    """What equal values alone have in common, as JSON has it: 1 is 1.0, but true is not 1."""
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, list):
        return "list", tuple(map(_key, value))
    if isinstance(value, dict):
        return "dict", frozenset((name, _key(item)) for name, item in value.items())
    return "number" if _is_number(value) else "other", value


def _is_multiple(value: float, of: float) -> bool:
    try:
        ratio = value / of
        return math.isclose(ratio, round(ratio), rel_tol=1e-9, abs_tol=1e-9)
    except ArithmeticError:  # more than a float can be
        return False


def _is_type(value: Any, names: Any) -> bool:
    return any(name in _TYPES and _TYPES[name](value) for name in ([names] if isinstance(names, str) else names))


# Each holds for values that the keyword is not about.
_CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "type": _is_type,
    "enum": lambda value, choices: any(_same(value, choice) for choice in choices),
    "const": _same,
    "minimum": lambda value, limit: not _is_number(value) or value >= limit,
    "maximum": lambda value, limit: not _is_number(value) or value <= limit,
    "exclusiveMinimum": lambda value, limit: not _is_number(value) or value > limit,
    "exclusiveMaximum": lambda value, limit: not _is_number(value) or value < limit,
    "multipleOf": lambda value, of: not _is_number(value) or _is_multiple(value, of),
    "minLength": lambda value, limit: not isinstance(value, str) or len(value) >= limit,
    "maxLength": lambda value, limit: not isinstance(value, str) or len(value) <= limit,
    "pattern": lambda value, pattern: not isinstance(value, str) or re.search(pattern, value) is not None,
    "minItems": lambda value, limit: not isinstance(value, list) or len(value) >= limit,
    "maxItems": lambda value, limit: not isinstance(value, list) or len(value) <= limit,
    "uniqueItems": lambda value, wanted: not (wanted and isinstance(value, list)) or _are_unique(value),
    "required": lambda value, names: not isinstance(value, dict) or all(name in value for name in names),
    "minProperties": lambda value, limit: not isinstance(value, dict) or len(value) >= limit,
    "maxProperties": lambda value, limit: not isinstance(value, dict) or len(value) <= limit,
}


def _are_unique(values: list[Any]) -> bool:
    return len(set(map(_key, values))) == len(values)
