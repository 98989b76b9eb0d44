"""Whatever config.toml the real CLI reads, we edit, and the CLI reads the result: generated files are given to both."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats import toml_document, toml_edit
from hypothesis import given, settings
from hypothesis import strategies as st
from support.packages import native_codex

CONFIG = {"model": "m", "features": {"plugins": False}, "tools": {"web_search": True}, "x": {"a": {"z": 1}}}

SCALARS = [
    *("1", "-0", "+7", "0xff", "0o17", "0b1", "1_000", "9223372036854775807", "-9223372036854775808"),
    *("1.5", "1e06", "-nan", "inf", "1_0.0_1", "+1.5E-3", "true", "false"),
    *("1979-05-27", "07:32:00", "12:34", "1979-05-27T07:32:00Z", "1979-05-27 07:32", "1979-05-27t07:32:60.123456789z"),
    *("0000-01-01", "1979-05-27T07:32:00.5+23:59"),
    *('""', '"a\\tb"', '"\\e[0m"', '"\\x41\\u00e9\\U0010ffff"', "'a\\b'", '"# no comment"', '"\u2028\ufeff"'),
    *('"""\n"""""', '"""a\\  \n\n  b"""', "'''\n'a''''", "''''''", '"""\\\r\n b"""'),
]
KEYS = ["x", "a", "z", "model", '"a b"', "''", "'x'", "1", "-", '"\\u00e9"', "a.z", "x . a", "features.web"]
SPACES = st.sampled_from(["", " ", "\t", "\n", " # c\n", "\r\n "])


def containers(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Arrays and inline tables, with all the space that TOML allows in them."""
    pair = st.builds("{}={}".format, st.sampled_from(["p", "q", '"r s"', "t.u"]), values)
    comma = st.sampled_from([",", ""])

    def joined(opening: str, closing: str) -> Callable[[list[str], str, str, str], str]:
        def join(items: list[str], before: str, after: str, last: str) -> str:
            return f"{opening}{before}{f'{after},{before}'.join(items)}{last if items else ''}{after}{closing}"

        return join

    arrays = st.builds(joined("[", "]"), st.lists(values, max_size=3), SPACES, SPACES, comma)
    unique = st.lists(pair, max_size=3, unique_by=lambda text: text.partition("=")[0])
    return arrays | st.builds(joined("{", "}"), unique, SPACES, SPACES, comma)


VALUES = st.recursive(st.sampled_from(SCALARS), containers, max_leaves=4)
LINES = st.one_of(
    st.builds("{}{}= {}".format, st.sampled_from(KEYS), st.sampled_from(["", " ", "\t"]), VALUES),
    st.builds("[{}]".format, st.sampled_from(KEYS)),
    st.builds("[[{}]]".format, st.sampled_from(["y", "y.a", "x.a", "model_list"])),
    st.sampled_from(["", "  ", "# \ttext", toml_edit._MEMORY + '{"keys": [["x", "p"]], "tables": []}']),
)
DOCUMENTS = st.builds(
    lambda mark, lines, end, last: mark + end.join(lines) + last,
    st.sampled_from(["", "", "\ufeff"]),
    st.lists(LINES, max_size=6),
    st.sampled_from(["\n", "\r\n", " # c\n"]),
    st.sampled_from(["", "\n"]),
)


@pytest.fixture(scope="module")
def reads(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bool]:
    """Whether the CLI reads a file."""
    home = tmp_path_factory.mktemp("home")
    (home / ".codex").mkdir()
    codex = native_codex()

    def ask(text: str) -> bool:
        (home / ".codex" / "config.toml").write_bytes(text.encode())
        return run(codex, home).returncode == 0

    return ask


def run(codex: Path, home: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run([codex, "features", "list"], env=environment, cwd="/", capture_output=True, check=False)


@settings(max_examples=120)
@given(text=DOCUMENTS)
def test_what_the_cli_reads_can_be_edited(reads: Callable[[str], bool], text: str) -> None:
    try:
        edited = toml_edit.edit(text, CONFIG).text
    except toml_document.TomlError as error:
        assert not reads(text), error
        return
    if not reads(edited):
        assert not reads(text), edited
    assert toml_edit.edit(edited, CONFIG) == (edited, [])


@pytest.mark.parametrize("depth", [80, 81])
@pytest.mark.parametrize("kind", ["arrays", "tables", "a key", "a header"])
def test_what_is_too_deep_for_the_cli_is_so_for_us(reads: Callable[[str], bool], kind: str, depth: int) -> None:
    name = ".".join("d" * depth)
    text = {
        "arrays": f"d={'[' * depth}{']' * depth}",
        "tables": f"d={'{d=' * depth}1{'}' * depth}",
        "a key": f"{name}=1",
        "a header": f"[{name}]",
    }[kind]
    if reads(text):
        assert reads(toml_edit.edit(text, CONFIG).text)
    else:
        with pytest.raises(toml_document.TomlError):
            toml_document.parse_toml(text)
