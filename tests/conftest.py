"""Makes ``ansible_collections.alive.codex`` importable from this checkout, wherever it lies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
COLLECTIONS = CHECKOUT / ".cache" / "checkout"


def _link_checkout() -> None:
    link = COLLECTIONS / "ansible_collections" / "alive" / "codex"
    if link.resolve() != CHECKOUT:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(CHECKOUT)


_link_checkout()
sys.path.insert(0, str(COLLECTIONS))
os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(COLLECTIONS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="NOT RUN: needs root, to drop privileges to other users"))
