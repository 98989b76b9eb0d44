"""What anybody may have written, made fit for people."""

from __future__ import annotations

import re

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats.text import clean, first_of, one_line
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
