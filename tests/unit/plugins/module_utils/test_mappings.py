from __future__ import annotations

from ansible_collections.alive.codex.plugins.module_utils._formats.mappings import merge


def test_merging_goes_deep():
    merged = merge({"a": {"b": 1, "c": 2}, "d": [1], "e": 1}, {"a": {"c": 3}, "d": [2], "e": {"f": 1}})
    assert merged == {"a": {"b": 1, "c": 3}, "d": [2], "e": {"f": 1}}
