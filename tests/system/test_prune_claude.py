"""Pruning what the real Claude Code keeps: never under a process of it that lives, and the whole of a session."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from support.claude import Messages, claude
from support.sessions import DAY, UUID, Workspace, gone, prune, workspaces_root
from support.turns import wait_until

pytestmark = pytest.mark.root


@pytest.fixture
def messages():
    with Messages() as server:
        yield server


@pytest.fixture
def acme():
    with workspaces_root() as root:
        yield Workspace(root, "acme", 61_801)
        for place in Path("/tmp").glob("c[cl]*-61801"):
            shutil.rmtree(place, ignore_errors=True)


def age(workspace: Workspace, place: str = ".claude") -> None:
    """All that it keeps was last touched 40 days ago."""
    for path in (workspace.home / place).rglob("*"):
        os.utime(path, (time.time() - 40 * DAY,) * 2, follow_symlinks=False)


def sessions(workspace: Workspace, place: str = ".claude") -> set[str]:
    return {path.stem for path in (workspace.home / place / "projects").rglob("*.jsonl") if UUID.fullmatch(path.stem)}


def test_a_session_stays_as_long_as_its_process_lives_and_goes_whole(acme, messages):
    with claude(acme, messages, "-p", "hello") as process:
        assert process.wait(180) == 0
    (ended,) = sessions(acme)
    with claude(acme, messages, "-p", "wait") as process:
        assert messages.asked.wait(180)
        wait_until(lambda: len(sessions(acme)) == 2 and list((acme.home / ".claude/sessions").glob("*.json")), 60)
        age(acme)
        result = prune(acme.home.parent)
        assert (gone(result), result["problems"]) == ({ended}, [])
        (running,) = sessions(acme)
        process.kill()
    assert list((acme.home / ".claude/sessions").glob("*.json"))  # as it could not clean up
    age(acme)
    assert gone(prune(acme.home.parent)) == {running}
    assert not [path for path in (acme.home / ".claude").rglob("*") if running in path.name or ended in path.name]
    assert not list((acme.home / ".claude/sessions").iterdir())


def test_a_job_in_the_background_belongs_to_its_session(acme, messages):
    with claude(acme, messages, "--bg", "wait") as process:
        assert process.wait(180) == 0
        assert messages.asked.wait(180)
        wait_until(lambda: len(sessions(acme)) == 1, 60)
        (session,) = sessions(acme)
        age(acme)
        assert gone(prune(acme.home.parent)) == set()
    (job,) = [path for path in (acme.home / ".claude/jobs").iterdir() if path.is_dir()]
    assert job.name == session[:8] and json.loads((job / "state.json").read_text())["sessionId"] == session
    age(acme)
    result = prune(acme.home.parent)
    assert (gone(result), result["problems"]) == ({session}, [])
    assert not list((acme.home / ".claude").rglob(f"*{job.name}*"))


def test_sessions_where_its_configuration_is_elsewhere_are_pruned_or_told_of(acme, messages):
    place = acme.home / "agents" / "a1"
    place.mkdir(parents=True)
    for path in (place, place.parent):
        os.chown(path, acme.uid, acme.uid)
    with claude(acme, messages, "-p", "hello", CLAUDE_CONFIG_DIR=str(place)) as process:
        assert process.wait(180) == 0
    (session,) = sessions(acme, "agents/a1")
    age(acme, "agents/a1")
    (problem,) = prune(acme.home.parent)["problems"]
    assert "agents/a1 looks like a home of claude" in problem and "name it in claude_homes" in problem
    result = prune(acme.home.parent, claude_homes=["agents/*"])
    assert (gone(result), result["problems"], sessions(acme, "agents/a1")) == ({session}, [], set())
