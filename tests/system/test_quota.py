"""A file system that has room, and a quota that has none left."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import quota
from support.modules import run_module
from support.sessions import Workspace, gone, prune
from support.turns import isolated, make_home, stand_in, turn

pytestmark = pytest.mark.root
UID = 61_283
COMPLETED = '{"type":"turn.completed","usage":{}}'
MESSAGE = {"type": "item.completed", "item": {"id": "i", "type": "agent_message", "text": "x" * 100_000}}


@pytest.fixture
def limited(open_dir: Path) -> Iterator[Path]:
    """A place that has room for a turn's files, not for a release of the CLI."""
    with quota(open_dir, "24M") as place:
        yield place


def fill(place: Path) -> None:
    with (place / "fill").open("wb", buffering=0) as file, pytest.raises(OSError, match="Disk quota exceeded"):
        while True:
            file.write(os.urandom(2**16))


def test_a_turn_ends_and_says_what_its_events_lack(limited: Path, open_dir: Path) -> None:
    (open_dir / "message").write_text(f"{json.dumps(MESSAGE)}\n")
    (open_dir / "message").chmod(0o644)
    home = make_home(limited, "acme", UID)
    flood = f"i=0; while [ $i -lt 400 ]; do i=$((i+1)); cat {open_dir}/message; done; echo '{COMPLETED}'"
    place = {"root": str(limited), "workspace": "acme", "events_path": str(home / "events"), "events": "none"}
    result = isolated(lambda: turn(prompt="x", **place, **stand_in(open_dir, flood)))
    assert (result["status"], result["event_count"]) == ("completed", 401), result
    assert "events_path is incomplete: Disk quota exceeded" in result["warnings"]


def test_a_release_that_does_not_fit_names_the_quota(limited: Path) -> None:
    params = {"prefix": str(limited / "codex"), "bin": str(limited / "bin")}
    refused = run_module("codex_release", params)
    assert refused["failed"] and "quota" in refused["msg"], refused
    assert os.listdir(limited / "codex/releases") == [] and not (limited / "bin").exists()
    fill(limited)
    assert "make room there, or raise the quota" in run_module("codex_release", params)["msg"]


def test_sessions_are_pruned_where_nothing_can_be_written(limited: Path) -> None:
    limited.chmod(0o711)
    acme = Workspace(limited, "acme", UID)
    name = "01a1b2c3-0000-7000-8000-000000000001"
    path = acme.home / f".codex/sessions/2026/01/02/rollout-2026-01-02T03-04-05-{name}.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("{}\n")
    os.utime(path, (0, 0))
    for below in (path, *path.parents):
        if below == acme.home:
            break
        os.chown(below, UID, UID)
    fill(limited)
    result = prune(limited)
    assert gone(result) == {name} and not path.exists(), result
