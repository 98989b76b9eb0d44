"""What anybody may have written, made fit for people."""

from __future__ import annotations

import re

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats.text import (
    abridged,
    clean,
    counted,
    first_of,
    one_line,
    shorten,
)
from hypothesis import given
from hypothesis import strategies as st

ANY = st.text(st.characters(exclude_categories=[]), max_size=300)
# ESC, C1, DEL, bidirectional overrides and isolates, zero width, tags, line separators, halves of pairs.
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]")  # fmt: skip  # noqa: E501


@given(ANY, st.integers(60, 400))
def test_nothing_is_left_that_a_terminal_would_obey(text: str, length: int) -> None:
    for shown in (clean(text, length), one_line(text, length)):
        assert not UNFIT.search(shown) and len(shown) <= length
        assert clean(shown, length) == shown, "what is clean stays as it is"
    assert "\n" not in one_line(text, length)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain: tab\tand\nline", "plain: tab\tand\nline"),
        ("Grüße 世界 👍", "Grüße 世界 👍"),
        ("\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),
        ("abc\u202egnp.exe", r"abc\u202egnp.exe"),
        ("a\r\nb\rc", "a\nb\\rc"),
    ],
)
def test_what_people_read_stays_and_the_rest_is_seen(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_what_is_cut_says_so_within_the_length() -> None:
    assert clean("x" * 900_000, 100).endswith("x... [cut, 900000 characters]")
    assert len(clean("\x1b" * 50, 100)) <= 100
    assert first_of(["a", "b", "c"], 2, "problem") == ["a", "b", "and 1 more problem"]
    assert first_of(["a"], 2, "problem") == ["a"]


def test_what_fits_exactly_is_not_cut() -> None:
    assert clean("x" * 100, 100) == shorten("x" * 100, 100) == one_line("x" * 100, 100) == "x" * 100
    assert first_of(["a", "b"], 2, "problem") == ["a", "b"]
    assert abridged(["a", "b"], limit=2) == "a, b" and abridged(["a"], limit=2) == "a"
    assert shorten("x" * 99, 100) == "x" * 99
    assert one_line("a" + " " * 120 + "b", 100) == one_line("a" + " " * 198 + "b", 100) == "a b"
    # Each becomes four characters, which do not all fit.
    assert clean("\x1b" * 25, 100) == r"\x1b" * 25
    assert clean("\x1b" * 26, 100).endswith("... [cut, 26 characters]")


def test_what_is_cut_begins_as_the_text_does() -> None:
    assert shorten("x" * 101, 100) == "x" * 100 + "... [cut, 101 characters]"
    assert clean("x" * 2001) == "x" * 1974 + "... [cut, 2001 characters]"
    assert one_line("x" * 101, 100) == "x" * 97 + "..."
    assert abridged("abcdefghijkl") == "a, b, c, d, e, f, g, h, i, j and 2 more"
    assert abridged("abc", "; ", 1) == "a and 2 more"
    assert first_of(list("abcd"), 2, "problem") == ["a", "b", "and 2 more problems"]


def test_one_line_is_one_of_words() -> None:
    assert one_line(" a\n\tb  c\x1b\u202e ", 100) == "a b c??"
    assert one_line("a" + " " * 150 + "b" * 100, 100) == "a " + "b" * 49 + "..."
    assert [counted(number, "turn") for number in (0, 1, 2)] == ["0 turns", "1 turn", "2 turns"]
