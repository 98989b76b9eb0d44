"""What runs on targets loads on the oldest Python that is promised."""

from __future__ import annotations

import subprocess

import pytest
from conftest import CHECKOUT, COLLECTIONS
from support.pythons import MISSING, find_oldest

UTILS = sorted(path.stem for path in (CHECKOUT / "plugins/module_utils").glob("*.py"))


@pytest.fixture(scope="module")
def oldest() -> str:
    found = find_oldest()
    if found is None:
        pytest.skip(MISSING)
    return found


def test_shared_files_load_on_the_oldest_python(oldest):
    loading = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    names = [f"ansible_collections.alive.codex.plugins.module_utils.{name}" for name in UTILS]
    subprocess.run([oldest, "-c", loading, *names], env={"PYTHONPATH": str(COLLECTIONS)}, check=True)
