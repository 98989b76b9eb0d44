from __future__ import annotations

import pytest
import tomllib
from ansible_collections.alive.codex.plugins.module_utils._formats import toml
from hypothesis import given
from hypothesis import strategies as st

KEYS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), KEYS
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=12)


@given(st.dictionaries(KEYS, VALUES))
def test_a_document_reads_back_as_what_was_written(document):
    assert tomllib.loads(toml.dumps(document)) == document


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), b"bytes", "\ud800", {1: 2}])
def test_what_toml_cannot_say_is_refused(value):
    with pytest.raises(ValueError):
        toml.dumps_value(value)


def test_tables_follow_the_plain_keys():
    assert toml.dumps({"a": {"b": 1}, "c": [{"d": True}]}) == "c = [{d = true}]\n\n[a]\nb = 1\n"
