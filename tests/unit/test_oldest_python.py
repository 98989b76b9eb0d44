"""What runs on targets loads on the oldest Python that is promised."""

from __future__ import annotations

import subprocess

import pytest
from conftest import CHECKOUT, COLLECTIONS
from support.pythons import MISSING, find_oldest

PLUGINS = CHECKOUT / "plugins"
UTILS = sorted(
    ".".join(path.relative_to(PLUGINS).with_suffix("").parts) for path in (PLUGINS / "module_utils").rglob("*.py")
)


@pytest.fixture(scope="module")
def oldest() -> str:
    found = find_oldest()
    if found is None:
        pytest.skip(MISSING)
    return found


def test_shared_files_load_on_the_oldest_python(oldest):
    loading = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    names = [f"ansible_collections.alive.codex.plugins.{name}" for name in UTILS]
    assert len(names) > 40, "the shared files were not found"
    subprocess.run([oldest, "-c", loading, *names], env={"PYTHONPATH": str(COLLECTIONS)}, check=True)
