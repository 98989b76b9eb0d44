"""The argument vector, without the SDK at hand; tests/system/test_sdk_parity.py holds it against the real one."""

from __future__ import annotations

import pytest
from ansible_collections.alive.codex.plugins.module_utils._turn import argv, overrides
from hypothesis import given
from hypothesis import strategies as st
from support.turns import wanted


def test_every_option_has_its_place() -> None:
    options = {
        "codex_path": "/codex",
        "prompt": "x",
        "config": {"a": {"b": 1}, "empty": {}},
        "config_overrides": ["raw=true"],
        "base_url": "http://x/v1",
        "model": "m",
        "thread_source": "cli",
        "sandbox_mode": "read-only",
        "working_directory": "/w",
        "additional_directories": ["/a", "/b"],
        "skip_git_repo_check": True,
        "cyber_access_program": "standard",
        "model_reasoning_effort": "high",
        "network_access_enabled": False,
        "web_search_mode": "cached",
        "web_search_enabled": True,
        "approval_policy": "never",
        "protect_api_key": True,
        "extra_args": ["--new-flag"],
        "thread_id": "T",
    }
    assert " ".join(argv.build_argv(wanted(**options), ["i.png"], "/s.json")) == (
        "/codex exec --experimental-json --config a.b=1 --config empty={} --config raw=true "
        '--config openai_base_url="http://x/v1" --model m --sandbox read-only --cd /w --add-dir /a --add-dir /b '
        "--skip-git-repo-check --output-schema /s.json --cyber-access-program standard "
        '--config model_reasoning_effort="high" --config sandbox_workspace_write.network_access=false '
        '--config web_search="cached" --config approval_policy="never" '
        '--config shell_environment_policy.exclude=["CODEX_API_KEY"] --new-flag resume T --image i.png'
    )


@pytest.mark.parametrize(
    ("options", "tail"),
    [
        ({"prompt": "x", "web_search_enabled": True}, '--config web_search="live"'),
        ({"prompt": "x", "web_search_enabled": False}, '--config web_search="disabled"'),
        ({"prompt": "x", "ephemeral": True}, "--ephemeral"),
        ({"prompt": "x", "thread_id": "T", "fork": True}, "fork T - --image i.png"),
        ({"prompt": "x", "thread_id": "T", "fork": True, "thread_source": "cli"}, "--thread-source cli fork T -"),
        ({"prompt": "x", "review": {}}, "review -"),
        ({"review": {"uncommitted": True}}, "review --uncommitted"),
        ({"review": {"base": "main", "uncommitted": None}}, "review --base main"),
        ({"review": {"commit": "HEAD", "title": "A B"}}, "review --commit HEAD --title A B"),
        ({"review": {"base": "main"}, "ephemeral": True}, "--ephemeral review --base main"),
    ],
)
def test_each_alone(options, tail) -> None:
    images = ["i.png"] if tail.endswith("i.png") else []
    assert " ".join(argv.build_argv(wanted(codex_path="/codex", **options), images)) == (
        f"/codex exec --experimental-json {tail}"
    )


def test_the_key_joins_what_is_excluded_already() -> None:
    options = {"config": {"shell_environment_policy": {"exclude": ["AWS_*"]}}, "protect_api_key": True}
    assert (
        argv.build_argv(wanted(prompt="x", **options))[-1]
        == 'shell_environment_policy.exclude=["AWS_*", "CODEX_API_KEY"]'
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"), (-0.0, "0"), (3.0, "3"), (-2.5, "-2.5"), (1e20, "100000000000000000000"), (1e21, "1e+21"),
        (1.5e-6, "0.0000015"), (1e-6, "0.000001"), (1e-7, "1e-7"), (1.25e-10, "1.25e-10"), (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"), (123456.789, "123456.789"), (0.1, "0.1"), (100.0, "100"),
    ],
)  # fmt: skip
def test_floats_are_printed_as_javascript_prints_them(number: float, text: str) -> None:
    assert overrides.flatten({"n": number}) == [f"n={text}"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_survives(number: float) -> None:
    [override] = overrides.flatten({"n": number})
    assert float(override[2:]) == number


def test_keys_that_look_like_indices_come_first() -> None:
    assert overrides.flatten({"b": 1, "10": 2, "2": 3, "01": 4}) == ["2=3", "10=2", "b=1", "01=4"]


@pytest.mark.parametrize("config", [{"": 1}, {"a": None}, {"a": [{"": 2}]}, {"a": float("inf")}, {"a": {1}}])
def test_what_has_no_form_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="config"):
        overrides.flatten(config)


def test_parts_become_a_prompt_and_images() -> None:
    parts = [
        {"type": "text", "text": "one"},
        {"type": "local_image", "path": "a.png"},
        {"type": "text", "text": "two"},
    ]
    options = wanted(input=parts, images=["b.png"])
    assert (options.prompt, options.images) == ("one\n\ntwo", ("a.png", "b.png"))


def test_the_environment_is_replaced_or_inherited_and_added_to() -> None:
    inherited = {"PATH": "/bin", "X": "1"}
    sdk = {"CODEX_INTERNAL_ORIGINATOR_OVERRIDE": "codex_sdk_ts"}
    assert argv.build_environment(wanted(prompt="x"), inherited) == {**inherited, **sdk}
    options = wanted(prompt="x", env={"A": "b"}, api_key="sk-fake", base_url="http://x")
    assert argv.build_environment(options, inherited) == {"A": "b", **sdk, "CODEX_API_KEY": "sk-fake"}
    old = argv.build_environment(options, inherited, base_url_setting=False)
    assert old["OPENAI_BASE_URL"] == "http://x"


def test_what_is_inherited_stays_as_it_is_and_what_is_given_becomes_utf_8() -> None:
    inherited = {"X": "\udcff"}  # a byte that is no UTF-8
    assert argv.build_environment(wanted(prompt="x", extra_env={"Y": "\ud800"}), inherited) == {
        "X": "\udcff",
        "Y": "\ufffd",
        argv.ORIGINATOR: "codex_sdk_ts",
    }
    assert argv.build_environment(wanted(prompt="x", env={"Z": "\ud800"}), inherited) == {
        "Z": "\ufffd",
        argv.ORIGINATOR: "codex_sdk_ts",
    }
