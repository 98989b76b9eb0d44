"""What the variables of the role codex_workspaces may be, and those of the playbook update."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.plugin_utils import _rollout, _wanted

MAPPING = {"name": "zeta", "uid": 7}


def test_every_way_to_name_a_workspace_counts() -> None:
    assert _wanted.wanted([MAPPING], [{"name": "eta"}], "acme, globex,initech", "20001", ["globex", "old", "old"]) == [
        MAPPING,
        {"name": "eta"},
        {"name": "acme", "uid": 20001},
        {"name": "initech", "uid": 20003},
        {"name": "globex", "state": "absent"},
        {"name": "old", "state": "absent"},
    ]
    assert _wanted.wanted([], None, [], 1, []) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workspaces": "acme"}, "codex_workspaces_workspaces must be a list of mappings"),
        ({"workspaces": {"name": "a"}}, "codex_workspaces_workspaces must be a list of mappings"),
        ({"of_file": "some text"}, "the content of codex_workspaces_file must be a list of mappings"),
        ({"of_file": ["acme"]}, "the content of codex_workspaces_file must be a list of mappings"),
        ({"of_file": MAPPING}, "the content of codex_workspaces_file must be a list of mappings"),
        ({"listed": {"acme": 1}}, "codex_workspaces_names must be a list of names"),
        ({"listed": [["acme"]]}, "in codex_workspaces_names is not text"),
        ({"listed": [1]}, "in codex_workspaces_names is not text"),
        ({"listed": ""}, "in codex_workspaces_names is empty"),
        ({"listed": ["../x"]}, "in codex_workspaces_names has a slash"),
        ({"listed": ["a\x1b"]}, "in codex_workspaces_names has a slash or a control character"),
        ({"listed": ["a", "b", "a"]}, "'a' is in codex_workspaces_names twice"),
        ({"removed": "a,../b"}, "in codex_workspaces_removed has a slash"),
        ({"removed": [None]}, "in codex_workspaces_removed is empty"),
        ({"first_uid": 0}, "codex_workspaces_first_uid must be a number from 1"),
        ({"first_uid": True}, "codex_workspaces_first_uid must be a number from 1"),
        ({"first_uid": "9" * 5000}, "codex_workspaces_first_uid must be a number from 1"),
        ({"first_uid": float("inf")}, "codex_workspaces_first_uid must be a number from 1"),
        ({"first_uid": 2**32 - 2, "listed": ["a", "b"]}, "small enough for all names"),
    ],
)
def test_what_names_no_workspace_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        _wanted.wanted(**{"workspaces": [], "of_file": [], "listed": [], "first_uid": 1, "removed": [], **given})
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        (None, _rollout.DEFAULT_BATCHES),
        ("", _rollout.DEFAULT_BATCHES),
        ([], _rollout.DEFAULT_BATCHES),
        (3, [3]),
        ("3", [3]),
        ("1, 50%", [1, "50%"]),
        ('[1, 5, "50%"]', [1, 5, "50%"]),
        (["1", 5, "100%"], [1, 5, "100%"]),
    ],
)
def test_batches_that_an_update_takes(given: Any, sizes: list[int | str]) -> None:
    assert _rollout.batches(given) == sizes


NO_BATCHES = [0, -1, True, 1.5, float("inf"), "abc", "1,", "[1, 2", "[[1]]", "9" * 400, {"a": 1}, [0], [None], [1.5]]


@pytest.mark.parametrize(
    "given", [*NO_BATCHES, *([f"{each}%"] for each in ("0", "-5", "101", "1.5", "", "1e400", "\u0663"))]
)
def test_no_batch_is_all_hosts_at_once_unless_it_says_so(given: Any) -> None:
    with pytest.raises(ValueError, match="codex_update_batches"):
        _rollout.batches(given)


def test_canaries_are_some_of_the_hosts_to_update() -> None:
    assert _rollout.canaries([], " ", ["w1"]) == []
    assert _rollout.canaries(["w2"], "w2", ["w1", "w2"]) == ["w2"]
    for named, pattern, said in (
        ([], "w9", "no host"),
        (["w2", "db"], "*", "db, which is none of the hosts to update"),
    ):
        with pytest.raises(ValueError, match=said):
            _rollout.canaries(named, pattern, ["w1", "w2"])
