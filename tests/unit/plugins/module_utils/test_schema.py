"""Validation of structured responses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats import json_schema
from hypothesis import given
from hypothesis import strategies as st

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "pattern": "^[A-Z]"},
        "age": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b", 1]}, "maxItems": 2, "uniqueItems": True},
        "boss": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        "pair": {"prefixItems": [{"const": 1}, {"$ref": "#/$defs/odd"}], "items": False},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"odd": {"not": {"multipleOf": 2}}},
}


@pytest.mark.parametrize(
    "value",
    [
        {"name": "Ada"},
        {"name": "Ada", "age": None, "tags": ["a", 1], "boss": {"name": "Bo", "boss": None}},
        {"name": "Ada", "age": 3.0, "pair": [1, 3]},
    ],
)
def test_what_satisfies_is_returned(value: Any) -> None:
    assert json_schema.parse_response(json.dumps(value), PERSON) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON"),
        ("NaN", "no JSON"),
        ("[" * 100_000, "deep"),
        ("[]", "/ does not satisfy type"),
        ("{}", "required"),
        ('{"name": "ada"}', "/name does not satisfy pattern"),
        ('{"name": ""}', "minLength"),
        ('{"name": "A", "age": 1.5}', "/age does not satisfy type"),
        ('{"name": "A", "age": true}', "/age does not satisfy type"),
        ('{"name": "A", "age": -1}', "minimum"),
        ('{"name": "A", "age": 150}', "exclusiveMaximum"),
        ('{"name": "A", "tags": ["a", "a"]}', "uniqueItems"),
        ('{"name": "A", "tags": [true]}', "/tags/0 does not satisfy enum"),
        ('{"name": "A", "boss": {"name": "b"}}', "/boss satisfies none of anyOf"),
        ('{"name": "A", "pair": [1, 2]}', "/pair/1 must not satisfy"),
        ('{"name": "A", "pair": [1, 3, 5]}', "/pair/2 must not be there"),
        ('{"name": "A", "more": 1}', "/more must not be there"),
    ],
)
def test_what_does_not_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        json_schema.parse_response(text, PERSON)


def test_one_of_is_exactly_one() -> None:
    schema = {"oneOf": [{"type": "integer"}, {"minimum": 5}]}
    assert json_schema.parse_response("1", schema) == 1
    assert json_schema.parse_response("5.5", schema) == 5.5
    with pytest.raises(ValueError, match="exactly one"):
        json_schema.parse_response("7", schema)


def test_a_reference_without_end_or_to_nowhere_is_an_error() -> None:
    with pytest.raises(ValueError, match="without end"):
        json_schema.parse_response("1", {"$ref": "#"})
    with pytest.raises(ValueError, match="nothing at"):
        json_schema.parse_response("1", {"$ref": "#/$defs/none"})
    with pytest.raises(ValueError, match="not part of it"):
        json_schema.parse_response("1", {"$ref": "other.json"})


def test_keywords_that_are_not_checked_are_named() -> None:
    schema = {"type": "object", "properties": {"if": {"format": "date"}}, "if": {}, "description": "x"}
    assert json_schema.unsupported(schema) == ["format (at /properties/if)", "if (at /)"]
    assert json_schema.unsupported(PERSON) == json_schema.unsupported(None) == []


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_a_value_satisfies_the_schema_of_itself(value: Any) -> None:
    assert json_schema.parse_response(json.dumps(value), {"const": value, "enum": [value]}) == value
