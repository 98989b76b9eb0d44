"""What of a configuration is shown, and what is not."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats import toml
from ansible_collections.alive.codex.plugins.module_utils._formats.secrets import HIDDEN, Secrets
from ansible_collections.alive.codex.plugins.module_utils._formats.toml_document import parse_toml
from hypothesis import given
from hypothesis import strategies as st

SECRET = [
    "token", "experimental_bearer_token", "client_secret", "password", "PASSWD", "passphrase", "db_pwd", "api_key",
    "api-key", "apikey", "x-api-key", "private_key", "access_key", "signing-key", "credentials", "Authorization",
    "authorisation", "bearer", "cookie", "proxy-auth", "auth", "pat", "github_pat", "key", "ssh_key",
]  # fmt: skip
PLAIN = [
    "model", "keyboard", "keys", "path", "pattern", "author", "auth_mode", "max_output_tokens", "token_limit",
    "token_limits", "token_count", "token_ttl", "api_key_env", "bearer_token_env_var", "secret_env_vars", "env_key",
    "token_file", "key_path", "token_url", "secret_exclude",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET)
def test_what_a_name_calls_secret_is_hidden(name: str) -> None:
    for config in ({name: "v"}, {"a": {name: "v"}}, {name: {"a": "v"}}, {name: ["v", {"a": "v"}]}):
        assert "v" not in str(Secrets().hide(config)).replace(name, "")


@pytest.mark.parametrize("name", PLAIN)
def test_what_only_looks_secret_is_shown(name: str) -> None:
    config = {"a": {name: "v"}, name: [1, "v"]}
    assert Secrets().hide(config) == config


@pytest.mark.parametrize("holder", ["env", "http_headers", "headers", "query_params", "set"])
def test_all_that_people_name_themselves_is_hidden(holder: str) -> None:
    hidden = Secrets().hide({"server": {holder: {"A": "v", "B": {"C": 7}}, "url": "u"}, holder: "shown"})
    assert hidden == {"server": {holder: {"A": HIDDEN, "B": {"C": HIDDEN}}, "url": "u"}, holder: "shown"}


def test_what_was_in_a_vault_is_hidden_with_all_that_is_in_it() -> None:
    config = {"a": {"b": "v", "c": {"d": [1, 2]}}, "b": "shown"}
    assert Secrets([("a", "c")]).hide(config) == {"a": {"b": "v", "c": {"d": HIDDEN}}, "b": "shown"}
    assert Secrets([("a", "b")]).hide(config) == {**config, "a": {**config["a"], "b": HIDDEN}}
    assert Secrets([()]).hide(config) == {"a": {"b": HIDDEN, "c": {"d": HIDDEN}}, "b": HIDDEN}


def test_a_switch_tells_nothing_and_lists_are_looked_into() -> None:
    config = {"token": True, "list": [{"token": "v", "a": 1}, [{"key": 5}]], "pair": ("x", "y")}
    assert Secrets().hide(config) == {
        "token": True,
        "list": [{"token": HIDDEN, "a": 1}, [{"key": HIDDEN}]],
        "pair": ["x", "y"],
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("no toml", "(hidden): 7 characters that are no TOML\n"),
        (
            '# mine\n[a] # A\ntoken = "v" # why\nurl = "u"\nenv.X = 1\n[a.api_key]\nx = "v"\ny = true\n',
            '# mine\n[a] # A\ntoken = "(hidden)" # why\nurl = "u"\nenv.X = "(hidden)"\n[a.api_key]\nx = "(hidden)"\n'
            "y = true\n",
        ),
        ('[[a]]\nkey = "v"\nb = 1\n[[a]]\nb = 2\n', '[[a]]\nkey = "(hidden)"\nb = 1\n[[a]]\nb = 2\n'),
        ('a = { b = 1, key = "v", c = { token = 2 } }', 'a = { b = 1, key = "(hidden)", c = { token = "(hidden)" } }'),
        ('a = [{ key = "v" }]\nb = [{ c = 1 }]\n', 'a = "(hidden)"\nb = [{ c = 1 }]\n'),
    ],
)
def test_a_document_is_shown_as_it_is_but_for_its_secrets(text: str, shown: str) -> None:
    assert Secrets().hide_in_document(text) == shown


@pytest.mark.parametrize(
    ("path", "text", "shown"),
    [
        (("a", "key"), '"v"', HIDDEN),
        (("a", "b"), '"v"', '"v"'),
        (("a",), '{ key = "v", b = "u" }', '{ key = "(hidden)", b = "u" }'),
        (("a", "env"), '{ key = "v", b = "u" }', '{ key = "(hidden)", b = "(hidden)" }'),
        (("a", "env"), 'b = "u"\n', 'b = "(hidden)"\n'),
        (("a",), '[b]\nkey = "v"\nc = 1\n', '[b]\nkey = "(hidden)"\nc = 1\n'),
        (("a",), '[env]\nB = "u"\n', '[env]\nB = "(hidden)"\n'),
        (("a",), 'env.B = "u"\n', 'env.B = "(hidden)"\n'),
        (("a",), "no toml", HIDDEN),
    ],
)
def test_the_text_of_a_value_or_section_is_shown_without_them(path: tuple[str, ...], text: str, shown: str) -> None:
    assert Secrets().hide_in_value(path, text) == shown


TREES = st.recursive(
    st.sampled_from(["SECRET", 7, True, 1.5]),
    lambda inner: st.dictionaries(st.sampled_from(SECRET + PLAIN), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(SECRET + PLAIN), TREES, max_size=4))
def test_the_text_and_the_data_hide_the_same(config: dict[str, Any]) -> None:
    secrets = Secrets()
    assert parse_toml(secrets.hide_in_document(toml.dumps(config))).data == _whole(secrets, config)


def _whole(secrets: Secrets, data: Any, path: tuple[str, ...] = ()) -> Any:
    """As the text has it, in which a value that is no table is hidden as one."""
    if isinstance(data, dict):
        return {key: _whole(secrets, value, (*path, key)) for key, value in data.items()}
    return data if isinstance(data, bool) or secrets.hide(data, path) == data else HIDDEN
