"""What would stop a deploy is told before anything is changed."""

from __future__ import annotations

from pathlib import Path

from support.modules import run_module


def test_a_user_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    places = {name: str(tmp_path / name) for name in ("prefix", "bin", "root")}
    result = run_module("codex_preflight", {**places, "probe_user": "nobody-of-that-name", "needs_root": False})
    (text,) = [problem["text"] for problem in result["problems"] if problem["check"] == "user"]
    assert "nobody-of-that-name" in text
    assert list(tmp_path.iterdir()) == []
