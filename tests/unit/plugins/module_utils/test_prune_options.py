"""The configuration of the pruner's script, and what its options and the module's may be."""

from __future__ import annotations

import json

import pytest
from ansible_collections.alive.codex.plugins.module_utils._sessions import options
from ansible_collections.alive.codex.plugins.module_utils._sessions.prune_all import orders_from
from hypothesis import given
from hypothesis import strategies as st

NEEDED = {"log_dir": "/var/log/x"}


def config(**keys: object) -> bytes:
    return json.dumps({**NEEDED, **keys}).encode()


def test_what_is_not_given_has_the_modules_default():
    defaults = {name: spec.get("default") for name, spec in options.OPTIONS.items()}
    assert options.read_config(config()) == {**defaults, **NEEDED}


def test_every_option_can_be_given():
    given = {
        **{
            "root": "/srv",
            "workspaces": ["a"],
            "stores": ["claude"],
            "codex_homes": ["a/b*"],
            "claude_homes": ["c"],
            "max_age": "2w",
            "keep_last": 3,
        },
        **{"max_bytes": "1G", "sweep": False, "archive": "/a", "codex_path": "codex", "now": 1},
    }
    assert given.keys() == options.OPTIONS.keys()
    assert options.read_config(config(**given)) == {**given, **NEEDED}
    nothing = {name: None for name, spec in options.OPTIONS.items() if "default" not in spec}
    assert options.read_config(config(**nothing)) == options.read_config(config())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (config(workspaces=[1]), "each of workspaces must be of type str, not 1"),
        (config(workspaces="acme"), 'workspaces must be of type list, not "acme"'),
        (config(max_age=None), 'max_age must be of type str, such as "30d", not null'),
        (config(max_age=30), 'max_age must be of type str, such as "30d", not 30'),
        (config(max_age="30 days"), "max_age: '30 days' is not an age"),
        (config(max_age="9" * 5000 + "s"), "max_age: '999"),
        (config(max_age="0d"), "max_age: '0d' is an age of nothing: give 0 alone for off"),
        (config(max_bytes="9" * 400), "max_bytes: '999"),
        (config(max_bytes="0K"), "max_bytes: '0K' is a size of nothing: give 0 alone for off"),
        (config(max_bytes=None), "max_bytes must be of type str"),
        (config(keep_last=True), "keep_last must be of type int, such as 0, not true"),
        (config(keep_last=1.5), "keep_last must be of type int, such as 0, not 1.5"),
        (config(keep_last=-1), "keep_last must not be negative"),
        (config(stores="codex"), 'stores must be of type list, such as ["codex", "claude"], not "codex"'),
        (config(stores=[["codex"]]), 'each of stores must be of type str, not ["codex"]'),
        (config(stores=["gemini"]), 'each of stores must be one of codex, claude, not "gemini"'),
        (
            config(codex_homes=["/srv"]),
            'each of codex_homes must be a plain path below HOME, not "/srv": a part is empty',
        ),
        (config(claude_homes=["a/../b"]), 'below HOME, not "a/../b": a part names a directory that is there already'),
        (config(codex_homes=["a//b"]), 'below HOME, not "a//b": a part is empty'),
        (config(sweep=1), "sweep must be of type bool, such as true, not 1"),
        (config(now="x"), 'now must be seconds since the epoch, up to the year 9999, not "x"'),
        (config(now=True), "now must be seconds since the epoch, up to the year 9999, not true"),
        (config(now=[1]), "now must be seconds since the epoch, up to the year 9999, not [1]"),
        (config(now=1e300), "now must be seconds since the epoch"),
        (config(now=-1), "now must be seconds since the epoch"),
        (config(now=float("nan")), "NaN is no number of JSON"),
        (config(now=float("-inf")), "-Infinity is no number of JSON"),
        (b'{"now": 1e999}', 'the number "1e999" is too large'),
        (b'{"keep_last": %s}' % (b"9" * 5000), "a number has 5000 digits; at most 20 make sense here"),
        (config(root="srv"), 'root must be an absolute path, not "srv"'),
        (config(root=""), 'root must be an absolute path, not ""'),
        (config(root=None), "root must be of type path"),
        (config(archive="~/kept"), 'archive must be an absolute path, not "~/kept"'),
        (config(archive="/a\0b"), 'archive must be a path without control characters, not "/a\\u0000b"'),
        (config(codex_path="/c\ud800"), "codex_path must be a path without control characters"),
        (config(log_dir=None), "log_dir must be of type path, not null"),
        (b"{}", "log_dir is missing"),
        (config(maxage="30d"), '"maxage" is no option; there are archive, claude_homes'),
        (config(**{"\n": 1}), '"\\n" is no option'),
        (b'{"root": "/a", "root": "/b"}', '"root" is given twice; keep one of them'),
        (b"[]", "it must be a mapping, not []"),
        (b"null", "it must be a mapping, not null"),
        (b"", "it must be JSON: Expecting value"),
        (b"root: /srv", "it must be JSON: Expecting value"),
        (config()[:-1], "it must be JSON: Expecting"),
        (b"[" * 200_000, "it is nested too deep"),
        (b'{"root": "\xe9"}', "it must be JSON in UTF-8; byte 10 is not"),
        (config().decode().encode("utf-16"), "it must be JSON in UTF-8; byte 0 is not"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(content, said):
    with pytest.raises(ValueError) as refused:
        options.read_config(content)
    assert said in str(refused.value)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 200


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["codex", "30d", "1G", "/x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
DOCUMENTS = VALUES | st.dictionaries(st.sampled_from(sorted(options.CONFIG)) | st.text(), VALUES)


def is_taken_or_refused(content: bytes) -> None:
    try:
        taken = options.read_config(content)
    except ValueError as error:
        assert str(error).isprintable()
    else:
        orders_from(taken, dry_run=True)


@given(DOCUMENTS.map(lambda document: json.dumps(document).encode()) | st.binary())
def test_whatever_the_file_holds_it_is_taken_or_refused(content):
    is_taken_or_refused(content)


# One key at a time beside what is needed, or hardly a document would be taken.
@given(st.sampled_from(sorted(options.CONFIG)), VALUES)
def test_whatever_an_option_holds_it_is_taken_or_refused(name, value):
    is_taken_or_refused(config(**{name: value}))


@pytest.mark.parametrize("now", [float("nan"), float("inf"), -1.0, 1e300, 10**400, "9" * 400])
def test_the_modules_values_are_held_to_the_same(now):
    defaults = {name: spec.get("default") for name, spec in options.OPTIONS.items()}
    with pytest.raises(ValueError, match="now must be seconds since the epoch"):
        orders_from({**defaults, "now": now}, dry_run=True)
