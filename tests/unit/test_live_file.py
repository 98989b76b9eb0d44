"""The file of live events: whole lines, whoever appends to it, and for nobody else to read."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.plugin_utils._live import LiveFile

WRITERS, LINES = 8, 200


def test_lines_of_many_processes_stay_whole(tmp_path: Path):
    path = tmp_path / "live.jsonl"
    children = []
    for writer in range(WRITERS):
        children.append(os.fork())
        if children[-1] == 0:
            try:
                with LiveFile(str(path), {"host": f"w{writer}"}) as live:
                    for number in range(LINES):
                        live.append({"number": number, "text": "\n\u2028x" * (number * 17 % 3000)})
                os._exit(live.problem is not None)
            finally:
                os._exit(1)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * WRITERS
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    for writer in range(WRITERS):
        assert [line["number"] for line in lines if line["host"] == f"w{writer}"] == list(range(LINES))
    assert all(line["time"].endswith("Z") for line in lines)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_it_is_for_its_user_alone(tmp_path: Path, umask: int):
    path = tmp_path / "live.jsonl"
    former = os.umask(umask)
    try:
        LiveFile(str(path), {}).__exit__(None, None, None)
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o666)
        LiveFile(str(path), {}).__exit__(None, None, None)
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(former)


def test_what_is_no_file_of_its_users_is_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "fifo")
    os.symlink("elsewhere", tmp_path / "link")
    for name in ("fifo", "link", "missing/live.jsonl"):
        with pytest.raises((OSError, ValueError)):
            LiveFile(str(tmp_path / name), {})
    assert not (tmp_path / "elsewhere").exists()
    if os.geteuid() == 0:
        (tmp_path / "other").touch()
        os.chown(tmp_path / "other", 61299, 61299)
        with pytest.raises(ValueError, match="belongs to UID 61299"):
            LiveFile(str(tmp_path / "other"), {})


def test_a_line_that_finds_no_room_is_told_of(tmp_path: Path):
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    with LiveFile(str(tmp_path / "live.jsonl"), {}) as live:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, former[1]))
        try:
            live.append({"text": "x" * 200})
            live.append({"text": "lost"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert live.problem == "a line was cut off"
    assert (tmp_path / "live.jsonl").stat().st_size == 100
