"""Options at their borders: each value is taken, or refused in one line that names the option."""

from __future__ import annotations

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats.values import check_line, check_path, check_seconds


@pytest.mark.parametrize(
    "path",
    [
        "",
        "codex",
        "./x",
        "~x",
        "/a\n",
        "/a\x1b[2J",
        "/a\0",
        "/" + "a" * 256,
        "/a" * 3000,
        "/a" * 2048,
        "/\x7f",
        "/\x1f",
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"^prefix [^\n]{1,200}$"):
        check_path("prefix", path)


@pytest.mark.parametrize("path", ["/", "/a b", "/.hidden", "/lost+found", "/ä", "/" + "a" * 255, "/a" * 2047 + "/"])
def test_what_is_a_path_is_taken(path: str) -> None:
    check_path("prefix", path)


@pytest.mark.parametrize("seconds", [0, -1, 1_000_001, 10**400, -(10**4000)])
def test_what_is_no_time_is_refused(seconds: int) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be from 1 to 1000000 seconds, not [^\n]{1,40}$"):
        check_seconds("timeout", seconds)


def test_what_is_a_time_is_taken() -> None:
    check_seconds("timeout", 1)
    check_seconds("timeout", 1_000_000)


def test_a_line_has_one_line() -> None:
    check_line("npm", "a b")
    with pytest.raises(ValueError, match=r"^npm must hold no control characters"):
        check_line("npm", "a\nb")


def test_what_is_shown_is_short() -> None:
    with pytest.raises(ValueError, match=rf"not '{'a' * 80}'$"):
        check_path("prefix", "a" * 80)
    with pytest.raises(ValueError, match=rf"not '{'a' * 80}\.\.\.'$"):
        check_path("prefix", "a" * 81)
    with pytest.raises(ValueError, match=r"not 'codex'$"):
        check_path("prefix", "codex")
    with pytest.raises(ValueError, match=r"not -5$"):
        check_seconds("timeout", -5)
    with pytest.raises(ValueError, match=r"not -1000000$"):
        check_seconds("timeout", -1_000_000)
    with pytest.raises(ValueError, match=r"not a number of more digits$"):
        check_seconds("timeout", -1_000_001)
