"""What runs on targets loads on the oldest Python that is promised."""

from __future__ import annotations

import subprocess

import pytest
from conftest import CHECKOUT, COLLECTIONS
from support.pythons import OLDEST, find, missing

PLUGINS = CHECKOUT / "plugins"
# What Ansible sends, and what a role copies.
SENT = [*PLUGINS.glob("modules/*.py"), *CHECKOUT.glob("roles/*/files/*.py")]
UTILS = sorted(
    ".".join(path.relative_to(PLUGINS).with_suffix("").parts) for path in (PLUGINS / "module_utils").rglob("*.py")
)


@pytest.fixture(scope="module")
def oldest() -> str:
    found = find(OLDEST)
    if found is None:
        pytest.skip(missing(OLDEST))
    return found


def test_shared_files_load_on_the_oldest_python(oldest):
    loading = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    names = [f"ansible_collections.alive.codex.plugins.{name}" for name in UTILS]
    assert len(names) > 40, "the shared files were not found"
    subprocess.run([oldest, "-c", loading, *names], env={"PYTHONPATH": str(COLLECTIONS)}, check=True)


def test_faces_compile_on_the_oldest_python(oldest):
    assert {path.parent.name for path in SENT} == {"modules", "files"}
    compiling = "import sys\nfor path in sys.argv[1:]: compile(open(path, encoding='utf-8').read(), path, 'exec')"
    subprocess.run([oldest, "-c", compiling, *SENT], check=True)
