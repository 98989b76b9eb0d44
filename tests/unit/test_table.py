"""Tables for the terminal: what does not fit is cut, what is not safe is not shown."""

from __future__ import annotations

import unicodedata

import pytest
from ansible_collections.alive.codex.plugins.plugin_utils._table import Column, table, wrapped
from hypothesis import given
from hypothesis import strategies as st

COLUMNS = [Column("HOST", ["name"], missing="?"), Column("IN", ["usage.in"]), Column("ANSWER", ["msg", "answer"])]


def test_columns_are_as_wide_as_what_is_in_them():
    rows = [{"name": "w1", "usage": {"in": 12345}, "answer": "yes"}, {"name": "worker2", "usage": None, "msg": "lost"}]
    assert table(COLUMNS, rows, 80) == ["HOST        IN  ANSWER", "w1       12345  yes", "worker2         lost"]


def test_a_long_text_is_cut_and_a_number_never():
    rows = [{"name": "h" * 30, "usage": {"in": 123456}, "answer": "a" * 100}]
    assert table(COLUMNS, rows, 40) == [
        f"{'HOST':15}  {'IN':>6}  ANSWER",
        f"{'h' * 12}...  123456  {'a' * 12}...",
    ]


def test_what_a_row_lacks():
    assert table(COLUMNS, [{}], 80)[1] == "?"
    assert table([Column("SIZE", ["a.b"], size=True)], [{"a": {"b": 2048}}, {"a": []}], 80) == [
        "   SIZE",
        "2.0 KiB",
        "",
    ]
    assert table([Column("FIRST", ["p.0"])], [{"p": ["x", "y"]}, {"p": []}], 80) == ["FIRST", "x", ""]
    assert table([Column("PROBLEMS", ["p"])], [{"p": ["x", "y"]}, {"p": []}], 80)[1:] == ["       2", "       0"]


@given(st.lists(st.tuples(st.text(), st.integers(0, 10**9), st.text()), max_size=5), st.integers(50, 120))
def test_no_line_is_too_long_or_unsafe(rows, width):
    lines = table(COLUMNS, [{"name": a, "usage": {"in": b}, "answer": c} for a, b, c in rows], width)
    assert len(lines) == len(rows) + 1
    assert all(line.isprintable() and len(line) <= width + sum(map(is_combining, line)) for line in lines)


def is_combining(char: str) -> bool:
    return bool(unicodedata.combining(char))


@pytest.mark.parametrize("text", ["世界" * 40, "e\u0301" * 60])
def test_what_takes_two_columns_or_none(text):
    line = table([Column("A", ["a"])], [{"a": text}], 21)[1]
    assert line.endswith("...") and line[:-3] in text


def test_notes_keep_their_lines():
    assert wrapped("one two three\n\nfour\x1b[2J", 8) == ["one two", "  three", "", "four?[2J"]
