"""``codex_exec`` under the keywords of a playbook, and ad hoc: turns of the real CLI on this machine.

One run of ansible-playbook with many tasks, each of which registers its result under a name; the tests look at those.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.plays import LOCAL, environment
from support.stub import FAKE_KEY, ResponsesStub
from support.turns import make_home, real

# As ``-e name=value`` hands them over: strings.
TYPED = ["yes_typed=yes", "seconds_typed=30.5", "bytes_typed=4096", "files_typed=300", "word_typed=perhaps"]


def turn(register: str, keywords: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """A task. Options that each turn has are the plays' defaults."""
    return {"alive.codex.codex_exec": options, "register": register, "ignore_errors": True, **(keywords or {})}


# What makes no sense, and words that the refusal must hold.
REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"prompt": "x", "skip_git_repo_check": "{{ word_typed }}"}, ["skip_git_repo_check", "perhaps", "boolean"]),
    ({"prompt": "x", "timeout": "{{ word_typed }}"}, ["timeout", "float"]),
    ({"prompt": "x", "timeout": "-1"}, ["timeout must be more than 0"]),
    ({"prompt": "x", "grace_period": 2}, ["grace_period must be more than the 2 s"]),
    ({"prompt": "x", "limits": {"nofile": "{{ word_typed }}"}}, ["limits", "nofile", "perhaps", "whole number"]),
    ({"prompt": "x", "events_path": "events.jsonl"}, ["events_path must be an absolute path"]),
    ({"prompt": "x", "env": {"A": True}}, ["env: A", "quote it"]),
    ({"prompt": "x", "input": [{"type": "text", "text": "y"}]}, ["one of prompt"]),
    ({"prompt_src": "/nonexistent"}, ["prompt_src cannot be read on the control node"]),
    ({"prompt": "x", "prompt_src": "/nonexistent"}, ["prompt and prompt_src, not both"]),
    ({}, ["prompt, prompt_src, input"]),
]
EACH = {"loop": ["acme", "beta"]}
ON_ONE_HOST = [
    turn("looped", EACH, workspace="{{ item }}", prompt="[[run:pwd]] [[output]]"),
    turn(
        "retried",
        {**EACH, "until": "retried.resumed", "retries": 2, "delay": 0},
        workspace="{{ item }}",
        prompt="[[say:again]]",
    ),
    turn(
        "typed",
        prompt="[[run:ulimit -n]] [[big:9000]] [[output]]",
        skip_git_repo_check="{{ yes_typed }}",
        network_access_enabled="{{ yes_typed }}",
        timeout="{{ seconds_typed }}",
        max_bytes="{{ bytes_typed }}",
        limits={"nofile": "{{ files_typed }}"},
    ),
    *(turn(f"refused_{number}", **options) for number, (options, _words) in enumerate(REFUSED)),
    turn("failing", prompt="[[status:400]]"),
    turn("previewed", {"check_mode": True}, prompt="x", timeout="{{ seconds_typed }}"),
]
# When each turn was at work, in nanoseconds.
SPAN = "[[run:date +%s%N; sleep 0.5; date +%s%N]] [[output]]"
ON_ALL = [turn("throttled", {"throttle": 1}, prompt=SPAN), turn("together", prompt=SPAN)]
FROM_NOWHERE = [
    turn("delegated", {"delegate_to": "one"}, prompt="[[run:pwd]] [[output]]"),
    turn("mistaken", prompt="x", timeout="{{ word_typed }}"),
]
PLAYS = {"one": ON_ONE_HOST, "one:two:three": ON_ALL, "nowhere": FROM_NOWHERE}


class Site:
    """HOMEs and a stub, and an inventory of three hosts that are this machine, and of one that is none."""

    def __init__(self, directory: Path, root: Path, stub: ResponsesStub) -> None:
        self.directory, self.root = directory, root
        for number, name in enumerate(("acme", "beta")):
            make_home(root, name, 61245 + number)
        self.options = {**real(stub), "root": str(root), "workspace": "acme"}
        hosts = dict.fromkeys(("one", "two", "three"), LOCAL) | {"nowhere": {"ansible_host": "192.0.2.1"}}
        (directory / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [argv[0], "-i", str(self.directory / "inventory.json"), *argv[1:]],
            env=environment(self.directory),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def play(self) -> dict[str, dict[str, Any]]:
        """Runs all plays. The registered results of each host."""
        plays = []
        for hosts, tasks in PLAYS.items():
            results = ", ".join(f"'{task['register']}': {task['register']}" for task in tasks)
            save = {
                "ansible.builtin.copy": {
                    "content": f"{{{{ {{{results}}} | to_json }}}}",
                    "dest": f"{self.directory}/{hosts.replace(':', '-')}-{{{{ inventory_hostname }}}}.json",
                },
                "delegate_to": "localhost",
                "vars": LOCAL,
            }
            defaults = {"alive.codex.codex_exec": self.options}
            plays.append({"hosts": hosts, "gather_facts": False, "module_defaults": defaults, "tasks": [*tasks, save]})
        (self.directory / "play.json").write_text(json.dumps(plays))
        typed = [part for value in TYPED for part in ("-e", value)]
        self.output = self.run("ansible-playbook", *typed, str(self.directory / "play.json")).stderr
        results = {}
        for path in self.directory.glob("*-*.json"):
            results.setdefault(path.stem.rpartition("-")[2], {}).update(json.loads(path.read_text()))
        return results


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="alive-codex-test-") as root, ResponsesStub() as stub:
        os.chmod(root, 0o755)
        yield Site(tmp_path_factory.mktemp("manners"), Path(root), stub)


@pytest.fixture(scope="module")
def results(site: Site) -> dict[str, dict[str, Any]]:
    return site.play()


def test_a_loop_runs_a_turn_in_each_workspace(results: dict[str, Any], site: Site) -> None:
    turns = results["one"]["looped"]["results"]
    assert [turn["final_response"].strip() for turn in turns] == [str(site.root / name) for name in ("acme", "beta")]
    assert not any(turn["resumed"] for turn in turns) and len({turn["thread_id"] for turn in turns}) == 2


def test_each_item_of_a_loop_is_retried_in_its_own_thread(results: dict[str, Any]) -> None:
    for turn in results["one"]["retried"]["results"]:
        assert (turn["status"], turn["final_response"], turn["attempts"]) == ("completed", "again", 2), turn
    assert len({turn["thread_id"] for turn in results["one"]["retried"]["results"]}) == 2


def test_booleans_and_numbers_that_come_as_strings_are_understood(results: dict[str, Any]) -> None:
    turn = results["one"]["typed"]
    assert turn["status"] == "completed" and turn["final_response"].strip() == "300", turn
    assert "--skip-git-repo-check" in turn["argv"] and turn["events_cut"]
    assert "sandbox_workspace_write.network_access=true" in turn["argv"]


def test_what_makes_no_sense_is_refused_by_name(results: dict[str, Any]) -> None:
    for number, (options, words) in enumerate(REFUSED):
        refused = results["one"][f"refused_{number}"]
        assert refused["failed"] and not refused["changed"], options
        assert not [word for word in words if word not in refused["msg"]], (options, refused["msg"])


def test_a_mistake_is_told_before_a_host_is_contacted(results: dict[str, Any]) -> None:
    mistaken = results["nowhere"]["mistaken"]
    assert mistaken["failed"] and "timeout" in mistaken["msg"] and not mistaken.get("unreachable"), mistaken


def test_changed_tells_whether_a_turn_ran(results: dict[str, Any]) -> None:
    changed = {name: results["one"][name]["changed"] for name in ("typed", "failing", "previewed")}
    assert changed == {"typed": True, "failing": True, "previewed": False}


def test_throttle_holds_turns_apart(results: dict[str, Any]) -> None:
    def spans(name: str) -> list[tuple[int, int]]:
        texts = [results[host][name]["final_response"].split() for host in ("one", "two", "three")]
        return sorted((int(start), int(end)) for start, end in texts)

    def one_by_one(name: str) -> bool:
        return all(end < start for (_start, end), (start, _end) in itertools.pairwise(spans(name)))

    assert one_by_one("throttled") and not one_by_one("together")


def test_a_turn_runs_where_it_is_delegated_to(results: dict[str, Any], site: Site) -> None:
    assert results["nowhere"]["delegated"]["final_response"].strip() == str(site.root / "acme")
    assert "[nowhere -> one acme] " in site.output


def test_ad_hoc(site: Site) -> None:
    options = {**site.options, "prompt": "[[run:pwd]] [[say:Hello there.]]", "events": "items"}
    done = site.run("ansible", "one", "-m", "alive.codex.codex_exec", "-a", json.dumps(options))
    shown = [line for line in done.stderr.splitlines() if line.startswith("[one acme] ")]
    assert len(shown) == 5 and shown[3].endswith("says: Hello there.")
    assert done.stdout.startswith("one | CHANGED => {") and '"final_response": "Hello there."' in done.stdout
    assert FAKE_KEY not in done.stdout + done.stderr
