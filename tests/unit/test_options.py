"""What a turn may be asked for: checked by the module at the door, and by the action before it uses anything."""

from __future__ import annotations

import datetime
import resource
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.alive.codex.plugins.action.codex_exec import read_options
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


class Vaulted:
    """A value of core 2.17 and 2.18 that was encrypted: no string, but one when it is turned into one."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


class TestTheAction:
    def test_reads_what_the_module_will_read(self) -> None:
        given = {"prompt": 5, "timeout": Vaulted("30"), "api_key": Vaulted("sk-hush-hush"), "images_src": "a.png,b.png"}
        found = read_options(given)
        assert (found["prompt"], found["timeout"], found["api_key"]) == ("5", 30.0, "sk-hush-hush")
        assert found["images_src"] == ["a.png", "b.png"]
        assert (found["thread_missing"], found["workspace"]) == ("fail", None)
        assert isinstance(given["timeout"], Vaulted), "what is passed on was changed"

    def test_takes_null_for_nothing(self) -> None:
        null = dict.fromkeys(("prompt", "workspace", "output_schema", "show"))
        given = {"prompt_src": "/p", "home": "/h", "output_schema_src": "/s"}
        assert read_options({**null, **given}) == read_options(given)
        with pytest.raises(AnsibleActionFail, match="one of the following is required"):
            read_options({"prompt": None})

    @pytest.mark.parametrize("env", ['{"A": "1"}', {"A": Vaulted("1")}, "A=1"])
    def test_reads_each_form_of_a_mapping(self, env: object) -> None:
        assert read_options({"prompt": "x", "env": env})["env"] == {"A": "1"}

    def test_leaves_it_to_the_module_what_a_variable_may_be(self) -> None:
        env = {"A": True, "B": ["x"], "C": 1, "D": datetime.datetime(2026, 1, 2, 3), 5: None}
        read = {"A": True, "B": ["x"], "C": 1, "D": "2026-01-02T03:00:00", "5": None}
        assert read_options({"prompt": "x", "env": env})["env"] == read

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({}, "one of the following is required: prompt, prompt_src, input"),
            ({"prompt": "x", "promt": "y"}, "Unsupported parameters for (alive.codex.codex_exec) module: promt."),
            ({"prompt": "x", "workspace": "a", "home": "/h"}, "mutually exclusive: workspace|home"),
            ({"prompt": "x", "timeout": "soon"}, "timeout"),
            ({"input": [{"type": "text"}]}, "text"),
        ],
    )
    def test_refuses_what_the_module_would_refuse(self, given: dict[str, Any], words: str) -> None:
        with pytest.raises(AnsibleActionFail) as refused:
            read_options(given)
        assert words in str(refused.value)
        assert "_detach" not in str(refused.value) and "_secrets" not in str(refused.value)

    def test_refuses_what_it_sets_itself(self) -> None:
        for name in options.PRIVATE_SPEC:
            with pytest.raises(AnsibleActionFail, match="Unsupported parameters"):
                read_options({"prompt": "x", name: "/tmp/fifo"})

    @pytest.mark.parametrize("secret", [{"api_key": Vaulted("sk-hush-hush")}, {"env": {"MY_TOKEN": "sk-hush-hush"}}])
    def test_repeats_no_secret(self, secret: dict[str, Any]) -> None:
        with pytest.raises(AnsibleActionFail) as refused:
            read_options({"prompt": "x", "show": "with sk-hush-hush", **secret})
        assert "show" in str(refused.value) and "hush" not in str(refused.value)
