"""The quick look that takes a workspace for settled: whatever is not as it should be is noticed, and mended."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.modules import run_module
from support.sessions import workspaces_root

pytestmark = pytest.mark.root
UID, GID, OTHER = 61_251, 61_252, 61_253
PLACES = (".", ".codex", ".codex/sessions", ".codex/config.toml")
CHANGES: dict[str, Callable[[Path], None]] = {
    "another group": lambda path: os.chown(path, -1, OTHER),
    "another mode": lambda path: path.chmod(0o755 if path.is_dir() else 0o644),
    "root's": lambda path: os.chown(path, 0, 0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_not_as_it_should_be_is_mended(change: str) -> None:
    with workspaces_root() as root:
        workspaces = [{"name": place.replace("/", "-").strip("."), "uid": UID, "gid": GID} for place in PLACES[1:]]
        workspaces.append({"name": "home", "uid": UID, "gid": GID})
        given = {"root": str(root), "workspaces": workspaces, "config": {"model": "x"}, "shared_uids": True}
        assert run_module("codex_workspaces", given)["summary"]["changed"] == len(PLACES)
        assert not run_module("codex_workspaces", given)["changed"]
        for workspace, place in zip(workspaces, (*PLACES[1:], "."), strict=True):
            CHANGES[change](root / workspace["name"] / place)
        result = run_module("codex_workspaces", given)
        failed = [name for failure in result["failures"] for name in failure["workspaces"]]
        changed = [name for entry in result["changes"] for name in entry["workspaces"]]
        assert sorted(failed + changed) == sorted(workspace["name"] for workspace in workspaces), result
