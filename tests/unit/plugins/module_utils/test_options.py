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
        ({"grace_period": 2.0}, "grace_period must be more than the 2 s"),
        ({"events_path": "events.jsonl"}, "events_path must be an absolute path"),
        ({"workspace": "a/b", "root": "/r"}, "'a/b' is not the name of a directory below /r"),
        ({"fork": True}, "fork needs thread_id"),
        ({"review": {"base": "main"}}, "review: give one of"),
        ({"prompt": None, "review": {}}, "review: give one of"),
        ({"prompt": None, "review": {"uncommitted": False}}, "review: give one of"),
        ({"review": {}, "images": ["a.png"]}, "review: images"),
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
