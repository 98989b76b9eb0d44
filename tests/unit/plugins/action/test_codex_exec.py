"""What the action takes of a turn's options, before it uses anything."""

from __future__ import annotations

import contextlib
import datetime
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.alive.codex.plugins.action.codex_exec import _worker_slot, read_options
from ansible_collections.alive.codex.plugins.module_utils._turn import options


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


@pytest.mark.parametrize("given", ["many", -1, "-1", 1.5, [1], float("inf")])
def test_a_limit_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(AnsibleActionFail, match="codex_worker_limit must be a number of turns") as refused:
        _worker_slot({"codex_worker_limit": given})
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("given", [0, "0", None, 10**9, "9" * 400])
def test_a_limit_that_no_run_reaches_takes_no_slots(given: object) -> None:
    assert isinstance(_worker_slot({"codex_worker_limit": given}), contextlib.nullcontext)
