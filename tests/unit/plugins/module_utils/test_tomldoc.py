"""Reading TOML with places, held against the standard library's reader."""

from __future__ import annotations

import pytest
import tomllib
from ansible_collections.alive.codex.plugins.module_utils._formats import toml, toml_document
from hypothesis import given
from hypothesis import strategies as st

EXAMPLES = [
    "",
    "\n\n",
    "a = 1",
    "a=1#c\r\n[b]\r\nc.'d e'.\"f\\u00e9\" = 'x' # y\r\n",
    "# only a comment",
    "a = [1, [2, 3,], # c\n\n 4 ,\n]\n",
    "a = {}\nb = { c = 1, d.e = [ {f = 2} ] }\n",
    "[[a]]\nb = 1\n[[a]]\n[a.c]\nd = 1\n[[a.e]]\n",
    "[a.b.c]\nx = 1\n[a]\ny = 2\n[a.b]\nz = 3\n",
    "[fruit]\napple.color = 1\napple.taste.sweet = true\n[fruit.apple.texture]\nsmooth = true\n",
    '"" = 1\n"a.b" = 2\n\'c\' = 3\n1.2 = 4\n',
    'a = """\nx\\\n   \n  y""z"""""\nb = \'\'\'\n\'a\'\'\'\'\'\n',
    'a = "\\b\\t\\n\\f\\r\\"\\\\\\u00e9\\U0001F600"',
    "a = 0xDEAD_beef\nb = 0o17\nc = 0b1_0\nd = -0\ne = +1_000\n",
    "a = 1.5\nb = -1e10\nc = 6.6_2e-3_4\nd = inf\ne = -inf\nf = 1E+02\n",
    "a = 1979-05-27\nb = 07:32:00.999999999\nc = 1979-05-27 07:32:00Z\nd = 1979-05-27t00:32:00.5-07:30\n",
]
BROKEN = [
    "a",
    "a =",
    "= 1",
    "a = 1 b = 2",
    "a = 1\na = 2",
    "[a]\n[a]",
    "a = 1\n[a]",
    "a = 1\n[a.b]",
    "a = {}\n[a.b]",
    "a = {b = 1}\na.c = 2",
    "a = []\n[[a]]",
    "[[a]]\n[a]",
    "[a]\n[[a]]",
    "a.b = 1\n[a]",
    "[a.b.c]\nz = 9\n[a]\nb.c.t = 1",
    "[[a]]\nb = 1\n[c]\n[a.b]\n",
    "[a] b = 1",
    "[a",
    "[[a]",
    "[]",
    "[a.]",
    "a = [1 2]",
    "a = [",
    "a = 01",
    "a = 1__0",
    "a = 1.",
    "a = .5",
    "a = 0x",
    "a = +0x1",
    "a = True",
    "a = nul",
    'a = "x',
    'a = "\\x"',
    'a = "\\uD800"',
    'a = "\\U00110000"',
    'a = """x""',
    'a = """x""""""',
    "a = 'x\ny'",
    'a = "x\x00"',
    "a = 1 # \x01",
    "a = 1\r",
    "a = 1979-13-01",
    "a = 1979-02-30",
    "a = 24:00:00",
    "a = 1979-05-27T07:32:00+25:00",
    "a.b.c = 1\na.b = 2",
    "é = 1",
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_reads_what_the_standard_library_reads(text):
    assert toml_document.parse_toml(text).data == tomllib.loads(text)


@pytest.mark.parametrize("text", BROKEN)
def test_refuses_what_the_standard_library_refuses(text):
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(text)
    with pytest.raises(toml_document.TomlError, match=r"^line \d+ is not TOML"):
        toml_document.parse_toml(text)


keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
scalars = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)
documents = st.dictionaries(keys, values, max_size=6)


@given(documents)
def test_reads_what_is_written(document):
    assert toml_document.parse_toml(toml.dumps(document)).data == document


WORDS = """[ ] [[ ]] a b 'c_d' "e" . = 1 -1.5e3 true "s" ''' """ + '""" { } , \\ #c'
LINES = ["a = 1\n", "[a]\n", "[a.b]\n", "a.b = 2\n", "[[b]]\n", "b = {a = 1}\n"]
fragments = st.sampled_from([*WORDS.split(), " ", "\n", "\r\n", *LINES])


@given(st.lists(fragments, max_size=14).map("".join))
def test_agrees_with_the_standard_library_on_any_text(text):
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(toml_document.TomlError):
            toml_document.parse_toml(text)
    else:
        assert toml_document.parse_toml(text).data == expected


@pytest.mark.parametrize("text", EXAMPLES)
def test_places_are_those_in_the_text(text):
    document = toml_document.parse_toml(text)
    for section in document.sections[1:]:
        assert text[section.start : section.end].lstrip().startswith("[")
    for start, end in document.comments:
        assert text[start:end].lstrip().startswith("#")
    for section in document.sections:
        for pair in [] if section.is_array else section.pairs:
            line = text[pair.start : pair.value.end]
            assert tomllib.loads(line)
            data = document.data
            for part in pair.path:
                data = data[-1][part] if isinstance(data, list) else data[part]
            assert tomllib.loads(f"v = {text[pair.value.start : pair.value.end]}") == {"v": data}


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "{b = " * 5000, ".".join("a" * 5000) + " = 1"])
def test_bottomless_values_are_refused_and_not_descended(text):
    with pytest.raises(toml_document.TomlError, match="more than 80"):
        toml_document.parse_toml(text)


def test_complaints_show_nothing_of_the_text():
    with pytest.raises(toml_document.TomlError) as caught:
        toml_document.parse_toml('ok = 1\ntoken = "sk-fake-1')
    assert str(caught.value) == "line 2 is not TOML: a string has no end, or a control character in it"
