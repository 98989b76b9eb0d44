"""What a turn may be asked for: checked by the module at the door, and by the action before it uses anything."""

from __future__ import annotations

import resource
from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.module_utils._turn import options
from support.turns import wanted


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"input": []}, "one of prompt, prompt_src and input"),
        ({"prompt": None, "prompt_src": "/p"}, "prompt_src is read on the control node"),
        ({"output_schema_src": "/s"}, "output_schema_src is read on the control node"),
        *(({name: bad}, f"{name} must be more than 0") for name in ("timeout", "idle_timeout") for bad in (0.0, -1.0)),
        ({"timeout": float("nan")}, "timeout must be more than 0"),
        ({"max_bytes": 0}, "max_bytes must be more than 0"),
        *(({"max_processes": bad}, "a number of processes up to 4194304, or 0") for bad in (-1, 2**22 + 1)),
        ({"max_memory": "much"}, "max_memory: 'much' is not a size"),
        ({"max_memory": "101%"}, "max_memory: '101%' is not a share"),
        ({"grace_period": 2.0}, "grace_period must be more than the 2 s"),
        ({"events_path": "events.jsonl"}, "events_path must be an absolute path"),
        ({"workspace": "a/b", "root": "/r"}, "'a/b' is not the name of a directory below /r"),
        ({"fork": True}, "fork needs thread_id"),
        ({"review": {"base": "main"}}, "review: give one of"),
        ({"prompt": None, "review": {}}, "review: give one of"),
        ({"prompt": None, "review": {"uncommitted": False}}, "review: give one of"),
        ({"review": {}, "images": ["a.png"]}, "review: images"),
        ({"review": {}, "images_src": ["a.png"]}, "review: images"),
        (
            {"prompt": None, "input": [{"type": "local_image", "path": "a", "text": None}], "review": {}},
            "review: images",
        ),
        ({"review": {"commit": "HEAD"}}, "review: give one of"),
        ({"limits": {"nofile": -1}}, "nofile must be a whole number, not -1"),
        ({"config": {"shell_environment_policy": {"exclude": {}}}, "protect_api_key": True}, "must be a list"),
        ({"limits": {"nonsense": 1}}, "no limit 'nonsense'"),
        ({"limits": {"nofile": True}}, "nofile must be a whole number, not True"),
        *(({"env": {"A": bad}}, "env: A must be a string") for bad in (True, None, [], {})),
        ({"extra_env": {"A": True}}, "extra_env: A must be a string"),
        ({"config": {"a": None}}, "config: a must not be null"),
        ({"config": {"shell_environment_policy": {"exclude": "AWS_*"}}, "protect_api_key": True}, "must be a list"),
        ({"config": {"shell_environment_policy": "none"}, "protect_api_key": True}, "must be a list"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(options.CannotRun) as refused:
        wanted(**{"prompt": "x", **given})
    assert words in str(refused.value)


def test_numbers_become_what_the_turn_takes() -> None:
    turn = wanted(prompt="x", env={"A": 1, "B": 1.5}, limits={"nofile": "300"})
    assert turn.env == {"A": "1", "B": "1.5"}
    assert turn.limits == {resource.RLIMIT_NOFILE: 300}


def test_null_is_as_if_an_option_were_not_given() -> None:
    nothing = dict.fromkeys(options.SPEC)
    assert options.read({**nothing, "prompt": "x"}) == wanted(prompt="x")


def test_every_option_reaches_the_turn() -> None:
    """But for those that the action or the reader turns into another one."""
    merged = {"prompt_src", "input", "output_schema_src"}
    assert set(options.SPEC) - merged == set(options.TurnOptions._fields)


@pytest.mark.parametrize(
    "given",
    [
        {"max_processes": 0, "grace_period": 2.5, "timeout": 0.5, "idle_timeout": 0.5, "max_bytes": 1},
        {"max_processes": 2**22, "max_memory": "0", "events_path": "/e", "workspace": "a"},
        {"prompt": None, "review": {"uncommitted": True}},
        {"prompt": None, "review": {"base": "main"}},
        {"prompt": None, "review": {}, "input": [{"type": "text", "text": "t", "path": None}]},
        {"review": {"uncommitted": False, "base": None}},
        {"fork": True, "thread_id": "T"},
        {"limits": {"core": 0, "nofile": "300"}},
        {"config": {"shell_environment_policy": {"exclude": ["A"]}}, "protect_api_key": True},
        {"config": {"shell_environment_policy": "none"}},
    ],
)
def test_what_makes_sense_is_taken(given: dict[str, Any]) -> None:
    turn = wanted(**{"prompt": "x", **given})
    for name, value in given.items():
        if name in ("max_processes", "grace_period", "events_path", "review", "config", "fork", "workspace"):
            assert getattr(turn, name) == value


def test_what_was_not_given_is_empty_or_none() -> None:
    turn = wanted(prompt=None, input=[{"type": "text", "text": "t", "path": None}])
    assert (turn.prompt, turn.images, turn.config, turn.limits, dict(turn.extra_env)) == ("t", (), {}, {}, {})
    assert turn.env is None and wanted(prompt="x", env={}).env == {}


def test_what_is_secret_is_known_longest_first() -> None:
    variables = {
        "MY_KEY": "12345678",
        "my_token": "1234567890",
        "A_SECRET": "1234567",  # too short to be one, but not to be in every other word
        "DB_PASSWORD": 123456789,
        "HTTPS_PROXY": "http://me:pass-word@proxy:80/",
        "PLAIN": "http://proxy/a:b@c",
        "SHORT": "http://me:pass@proxy",
    }
    found = options.secrets_of("sk-4", variables, None, {"PASSPHRASE": "x" * 20})
    assert found[0] == b"x" * 20 and found[-1] == b"sk-4"
    assert set(found[1:-1]) == {b"1234567890", b"123456789", b"12345678", b"pass-word"}
    assert [len(each) for each in found] == sorted(map(len, found), reverse=True)
    assert options.secrets_of("sk-", {}) == options.secrets_of(None) == []
    assert wanted(prompt="x", api_key="sk-fake", env={"T_KEY": "a" * 8}, extra_env={"U_KEY": "b" * 9}).secrets() == [
        b"b" * 9,
        b"a" * 8,
        b"sk-fake",
    ]


def test_no_value_of_a_secret_option_stays() -> None:
    hidden = options.without_secrets({"api_key": "k", "env": {"A": "v"}, "extra_env": None, "model": "m"})
    assert hidden == {"api_key": options.HIDDEN, "env": {"A": options.HIDDEN}}
    assert options.without_secrets({"env": "A=v"}) == {"env": options.HIDDEN}
