"""What is known of a release's files before the last of them is there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._release import record


def test_a_content_is_known_early_and_never_that_of_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    digest = record._digest
    monkeypatch.setattr(record, "_digest", lambda path: read.append(Path(path).name) or digest(path))
    for number, name in enumerate(("done", "grows", "rewritten", "last")):
        (tmp_path / name).write_text("begun")
        os.utime(tmp_path / name, ns=(0, number))
    digests = record.Digests()
    digests.look(str(tmp_path))
    assert not read  # each may be being written
    (tmp_path / "grows").write_text("begun, and ended")
    os.utime(tmp_path / "grows", ns=(0, 1))
    digests.look(str(tmp_path))
    assert sorted(read) == ["done", "rewritten"]

    (tmp_path / "rewritten").write_text("ended")
    read.clear()
    for name in ("done", "grows", "rewritten", "last"):
        path = tmp_path / name
        assert digests.of(str(path), path.stat()) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read == ["grows", "rewritten", "last"]
