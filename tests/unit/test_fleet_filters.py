"""What the playbooks tell of many hosts."""

from __future__ import annotations

import pytest
from ansible_collections.alive.codex.plugins.filter.fleet import deployed, handmade, preflight_problems


def test_all_problems_of_all_hosts_are_told_whatever_kind_they_are():
    owners = [{"workspaces": ["acme", "globex"], "msg": ".: belongs to UID 7"}]
    gone = {"unreachable": True, "msg": "no route"}
    wrong = {"failed": True, "msg": "Task failed: Incorrect sudo password"}
    hostvars = {
        "fine": {"codex_cli_preflight": {"problems": []}, "codex_workspaces_foreseen": {"failures": []}},
        "full": {"codex_cli_preflight": {"problems": [{"check": "space", "text": "make room"}]}},
        "gone": dict.fromkeys(("codex_cli_preflight", "codex_workspaces_foreseen"), gone),
        "locked": {"codex_cli_preflight": {"failed": False, "msg": "Missing sudo password"}},
        "refused": dict.fromkeys(("codex_cli_preflight", "codex_workspaces_foreseen"), wrong),
        "changed": {"codex_cli_preflight": {"problems": []}, "codex_workspaces_foreseen": {"failures": owners}},
        "skipped": {"codex_workspaces_foreseen": {"skipped": True, "msg": "conditional"}},
        "mute": {"codex_cli_preflight": {"failed": False, "failed_when_result": False}},
    }
    assert preflight_problems(hostvars, hostvars) == [
        {"name": "full", "check": "space", "text": "make room"},
        {"name": "gone", "check": "reach", "text": "no route"},
        {"name": "locked", "check": "start", "text": "Missing sudo password"},
        {"name": "refused", "check": "start", "text": "Task failed: Incorrect sudo password"},
        {"name": "changed", "check": "owners", "text": "acme, globex: .: belongs to UID 7"},
        {"name": "mute", "check": "start", "text": "the look at it ended without a result: see it with -vvv"},
    ]


def test_a_deploy_is_told_by_its_parts():
    hostvars = {
        "new": {
            "codex_cli_released": {"changed": True},
            "codex_prune_job": {"changed": True},
            "codex_validated": {"version": None},
        },
        "in part": {"codex_prune_job": {"changed": True}},
        "gone": {"codex_cli_removed": {"changed": True}, "codex_cli_released": {"changed": False, "skipped": True}},
        "same": {"codex_cli_released": {"changed": False}, "codex_validated": {"version": "0.171.0"}},
        "seen": {"codex_cli_preflight": {"version": "0.171.0"}, "codex_validated": {"skipped": True}},
        "broken": {"codex_cli_preflight": {"version": "0.171.0"}, "codex_validated": {"version": None}},
    }
    assert deployed(hostvars, hostvars) == [
        {"name": "new", "version": None, "changed": "release, pruner"},
        {"name": "in part", "version": "not looked at", "changed": "pruner"},
        {"name": "gone", "version": "not looked at", "changed": "release"},
        {"name": "same", "version": "0.171.0", "changed": ""},
        {"name": "seen", "version": "0.171.0", "changed": ""},
        {"name": "broken", "version": None, "changed": ""},
    ]


def test_what_is_gone_is_not_told_again():
    line = {"path": "/etc/crontab", "line": 3, "text": "rm -rf", "what": "deletes", "kept": ""}
    stays = {**line, "line": 9, "kept": "it is one command of a script"}
    result = {"found": [line, stays], "removed": [line]}
    told = handmade(["w"], {"w": {"codex_handmade": result}})
    assert told == ["w: /etc/crontab:9: rm -rf: deletes; it stays, as it is one command of a script"]
    assert handmade(["w"], {"w": {}}) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"minute": 60}, "codex_prune_minute must be one field of a crontab"),
        # Before ansible-core 2.19, null is no text.
        ({"hour": None}, ("codex_prune_hour must be one field of a crontab", "codex_prune_*: argument 'hour' is of")),
        ({"max_age": "0d"}, "codex_prune_max_age: '0d' is an age of nothing"),
        ({"keep_last": "many"}, "codex_prune_*: argument 'keep_last' is of type"),
        ({"stores": ["gemini"]}, "codex_prune_*: value of stores must be one or more of"),
        ({"root": "relative"}, "codex_prune_root must be an absolute path"),
    ],
)
def test_a_job_that_would_be_refused_is_foreseen(given, said):
    variables = {f"codex_prune_{name}": value for name, value in given.items()}
    [problem] = preflight_problems(["w"], {"w": variables}, True)
    assert (problem["name"], problem["check"]) == ("w", "pruner") and problem["text"].startswith(said)
    assert preflight_problems(["w"], {"w": {**variables, "codex_prune_state": "absent"}}, True) == []


def test_a_job_that_is_in_order_is_no_problem():
    given = {"minute": 5, "max_age": 0, "archive": "", "stores": "codex,claude", "keep_last": "3", "sweep": "no"}
    assert preflight_problems(["w"], {"w": {f"codex_prune_{name}": value for name, value in given.items()}}, True) == []
