"""Editing TOML: what is set and removed, and that nothing else moves."""

from __future__ import annotations

import json

import pytest
import tomllib
from ansible_collections.alive.codex.plugins.module_utils._formats import toml, toml_document, toml_edit
from hypothesis import assume, given
from hypothesis import strategies as st

MARK = "# Managed by alive.codex: "

TENANT = """\
# my own settings
model = 'gpt-5'   # a good one

[projects."/home/x/a.b"]
trust_level = "trusted"

[tools]
web_search = true # please
"""


def body(text: str) -> str:
    """Without the line that remembers what is managed."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(MARK))


def edited(text: str, config: dict) -> str:
    return toml_edit.edit(text, config).text


class TestSetting:
    def test_an_empty_document(self):
        result = toml_edit.edit("", {"model": "gpt-5", "tools": {"web_search": True}, "a": {"b": {"c": [1, 2]}}})
        assert body(result.text) == 'model = "gpt-5"\n\n[tools]\nweb_search = true\n\n[a.b]\nc = [1, 2]\n'
        assert [change.key for change in result.changes] == ["model", "tools.web_search", "a.b.c"]

    def test_everything_else_stays_as_it_is(self):
        config = {"model": "o3", "tools": {"view_image": False}, "features": {"x.y": 1}, "approval_policy": "never"}
        assert body(edited(TENANT, config)) == (
            TENANT.replace("'gpt-5'", '"o3"').replace("one\n", 'one\napproval_policy = "never"\n')
            + 'view_image = false\n\n[features]\n"x.y" = 1\n'
        )

    def test_a_value_in_another_notation_stays(self):
        result = toml_edit.edit(TENANT, {"model": "gpt-5", "tools": {"web_search": True}})
        assert (body(result.text), result.changes) == (TENANT, [])

    def test_types_are_told_apart(self):
        assert body(edited("a = 1\nb = 1\nc = true\n", {"a": True, "b": 1.0, "c": 1})) == "a = true\nb = 1.0\nc = 1\n"

    @pytest.mark.parametrize(
        ("text", "config", "expected"),
        [
            ("t = {a = 1}\n", {"t": {"b": 2}}, "t = {a = 1, b = 2}\n"),
            ("t = { }\n", {"t": {"b": {"c": 2}}}, "t = {b.c = 2 }\n"),
            ("t = {a = {b.c = 1} }\n", {"t": {"a": {"b": {"d": 2}}}}, "t = {a = {b.c = 1, b.d = 2} }\n"),
            ("t = {a = 1, b = 2}\n", {"t": {"a": 3}}, "t = {a = 3, b = 2}\n"),
            ("t.a = 1\n", {"t": {"b": 2}}, "t.a = 1\nt.b = 2\n"),
            ("[t]\na.b = 1\n", {"t": {"a": {"c": 2}}}, "[t]\na.b = 1\na.c = 2\n"),
            ("[t.a.b]\n", {"t": {"a": {"c": 2}}}, "[t.a.b]\n\n[t.a]\nc = 2\n"),
            ("[t]\n[u]\n", {"t": {"a": 1}}, "[t]\na = 1\n[u]\n"),
            ("[t]\n", {"a": 1}, "a = 1\n[t]\n"),
            ("a = [\n 1, # one\n]", {"b": 1}, "a = [\n 1, # one\n]\nb = 1\n"),
            ("[t]\na = 1\n", {"t": {}}, "[t]\na = 1\n"),
            ("", {"t": {}}, "t = {}\n"),
            ("[[t]]\na = 1\n", {"t": [{"a": 1}]}, "[[t]]\na = 1\n"),
        ],
    )
    def test_tables_are_extended_the_way_they_are_written(self, text, config, expected):
        assert body(edited(text, config)) == expected

    @pytest.mark.parametrize(
        ("text", "config", "expected"),
        [
            ("a = 1\nb = 2\n", {"a": {"c": 3}}, "b = 2\n\n[a]\nc = 3\n"),
            ("[a]\nb = 1\n# c\n[a.d]\n[e]\n", {"a": 1}, "a = 1\n[e]\n"),
            ("a.b = 1\na.c = 2\n", {"a": 1}, "a = 1\n"),
            ("[[a]]\nb = 1\n[a.c]\n[[a]]\n", {"a": {"b": 2}}, "[a]\nb = 2\n"),
            ("[[a]]\nb = 1\n[[a]]\n", {"a": {}}, "a = {}\n"),
            ("t = {a = 1, b = 2, c = 3}\n", {"t": {"b": {"x": 1}}}, "t = {a = 1, c = 3, b.x = 1}\n"),
            ("t = {a = {b = 1}}\n", {"t": {"a": 5}}, "t = {a = 5}\n"),
        ],
    )
    def test_what_is_in_the_way_makes_room(self, text, config, expected):
        assert body(edited(text, config)) == expected


class TestRemembering:
    def test_keys_no_longer_given_are_removed_and_no_others(self):
        both = edited(TENANT, {"model": "o3", "tools": {"view_image": False}, "mcp_servers": {"x": {"command": "y"}}})
        result = toml_edit.edit(both, {"tools": {"view_image": False}})
        assert body(result.text) == TENANT.replace("model = 'gpt-5'   # a good one\n", "") + "view_image = false\n"
        assert [(change.key, change.after) for change in result.changes] == [
            ("model", None),
            ("mcp_servers.x.command", None),
        ]
        assert edited(result.text, {}) == TENANT.replace("model = 'gpt-5'   # a good one\n", "")

    def test_a_header_goes_with_its_last_key_only_where_it_was_ours(self):
        assert edited(edited("[t]\n", {"t": {"a": 1}}), {}) == "[t]\n"
        assert edited(edited("", {"t": {"a": 1}}), {}) == ""
        with_comment = edited("", {"t": {"a": 1}}).replace("a = 1\n", "a = 1\n# mine\n")
        assert edited(with_comment, {}) == "# mine\n"

    def test_what_the_cli_appends_behind_the_memory_is_kept(self):
        appended = '\n[projects."/x"]\ntrust_level = "trusted"\n'
        text = edited("", {"t": {"a": 1}}) + appended
        assert edited(text, {"t": {"a": 1}}) == text
        assert edited(text, {}) == appended.lstrip("\n") or edited(text, {}) == appended

    def test_keys_inside_inline_tables_are_removed(self):
        text = "t = {a = 1, b = 2}\n"
        assert edited(edited(text, {"t": {"x": 1, "y": {"z": 2}}}), {}) == text

    @pytest.mark.parametrize(
        "forged",
        [
            "",
            "{",
            "[]",
            "null",
            '{"keys": 1}',
            '{"keys": [[1]], "tables": [["t"]]}',
            '{"keys": ["ab"], "tables": []}',
            "[" * 50_000,
        ],
    )
    def test_a_forged_memory_harms_nothing(self, forged):
        text = f"a = 1\n{MARK}{forged}\n"
        assert body(edited(text, {"b": 2})) == "a = 1\nb = 2\n"

    def test_what_looks_like_the_memory_in_a_string_is_none(self):
        text = f"a = '''\n{MARK}" + json.dumps({"keys": [["a"]], "tables": []}) + "\n'''\n"
        assert edited(text, {}) == text

    def test_a_long_forged_memory_takes_no_time(self):
        count = 4000
        text = "".join(f"k{n} = {{a = 1}}\n" for n in range(count))
        forged = {"keys": [[f"k{n}", "a"] for n in range(count)], "tables": []}
        result = edited(text + MARK + json.dumps(forged) + "\n", {"z": 1})
        assert body(result) == "".join(f"k{n} = {{}}\n" for n in range(count)) + "z = 1\n"


@pytest.mark.parametrize("keys", [[[]], [["a"], ["a", "b"]], [["b"]]])
def test_a_forged_memory_makes_up_no_value(keys):
    forged = f"a = 5\n{MARK}{json.dumps({'keys': keys, 'tables': []})}\n"
    assert toml_edit.managed(forged) in ({}, {"a": 5})


def test_a_broken_document_is_refused():
    with pytest.raises(toml_document.TomlError):
        toml_edit.edit("a = \n", {"b": 1})


# Few and short keys, so that documents and configurations meet.
keys = st.sampled_from(["a", "b", "c", "d.e", "é\n", ""])
scalars = st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", '"', "\n\x7f", "é"]) | st.floats(0, 1)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)
configs = st.dictionaries(keys, values, max_size=4)
LINES = """
a = 1
a = {b = 1, c.a = {a = 2}}
a = {a = {}, b = [{c = 1}]}
b = {}
a.b = 'x' # c
c = [ # c\\n1,\\n]
b.a.c = true
c = 1
"d.e" = 1.5
[a]
[b]
[b.c]
[a.b]
[c.a.b]
[a."d.e"]
[[a]]
[[b.c]]
# c
"""
lines = st.sampled_from([line.replace("\\n", "\n") for line in LINES.split("\n")[1:]])
documents = st.lists(lines, max_size=8).map(lambda chosen: "".join(f"{line}\n" for line in chosen)) | configs.map(
    toml.dumps
)


def valid(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def flat(data, path=()) -> dict:
    if isinstance(data, dict) and (data or path == ()):
        return {p: v for key, value in data.items() for p, v in flat(value, (*path, key)).items()}
    return {path: data}


def related(one: tuple, other: tuple) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


@given(documents, configs)
def test_what_is_given_is_set_and_the_rest_stays(text, config):
    assume(valid(text))
    result = toml_edit.edit(text, config)
    before, after, wanted = flat(tomllib.loads(text)), flat(tomllib.loads(result.text)), flat(config)
    for path, value in wanted.items():
        if value != {}:
            assert (path, after.get(path, after)) == (path, value)
    for path, value in before.items():
        if value != {} and not any(related(path, each) for each in wanted):
            assert after[path] == value
    assert not {path for path in after if not any(related(path, each) for each in [*before, *wanted])}


@given(documents, configs)
def test_a_second_run_changes_nothing(text, config):
    assume(valid(text))
    once = toml_edit.edit(text, config).text
    assert toml_edit.edit(once, config) == (once, [])


@given(documents, configs)
def test_nothing_remains_of_keys_that_were_added_and_are_given_no_longer(text, config):
    assume(valid(text) and not any(related(p, q) for p in flat(tomllib.loads(text)) for q in flat(config)))
    assert edited(edited(text, config), {}) == text


@given(documents, configs)
def test_what_was_given_can_be_read_again(text, config):
    assume(valid(text))
    read = flat(toml_edit.managed(edited(text, config)))
    assert {path: value for path, value in read.items() if value != {}} == {
        path: value for path, value in flat(config).items() if value != {}
    }
    assert toml_edit.managed(text) == {}


@given(documents, configs, configs)
def test_one_configuration_replaces_another(text, first, second):
    assume(valid(text) and not any(related(p, q) for p in flat(tomllib.loads(text)) for q in flat(first)))
    via = tomllib.loads(edited(edited(text, first), second))
    assert via == tomllib.loads(edited(text, second))


def is_within(part: str, whole: str) -> bool:
    """Whether all characters of ``part`` stand in ``whole`` in their order."""
    rest = iter(whole)
    return all(char in rest for char in part)


@given(documents, configs)
def test_what_is_only_added_to_keeps_every_byte(text, config):
    assume(valid(text))
    result = toml_edit.edit(text, config)
    if all(change.before is None for change in result.changes):
        assert is_within(text, body(result.text))


@given(documents, configs, st.lists(lines, max_size=3), st.integers(0, 20), configs)
def test_whatever_a_tenant_edits_in_between_what_is_given_is_set_and_the_rest_stays(text, first, more, at, second):
    """Managed keys written again in another notation, moved, made tables or arrays of tables of."""
    assume(valid(text))
    theirs = edited(text, first).splitlines(keepends=True)
    theirs[at:at] = [f"{line}\n" for line in more]
    text = "".join(theirs)
    assume(valid(text))
    result = toml_edit.edit(text, second)
    before, after, wanted = flat(tomllib.loads(text)), flat(tomllib.loads(result.text)), flat(second)
    for path, value in wanted.items():
        if value != {}:
            assert after[path] == value
    for path, value in before.items():
        if value != {} and not any(related(path, each) for each in [*wanted, *flat(first)]):
            assert after[path] == value
    assert toml_edit.edit(result.text, second) == (result.text, [])
