"""The packer of the cron script: it finds what a script imports in every form, and fails where something is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ansible_collections.alive.codex.plugins.plugin_utils import _zipapp
from support.pythons import OLDEST, find, missing

PACKAGE = _zipapp.PACKAGE
FORMS = {
    "from a module": f"from {PACKAGE}._room.leaf import VALUE",
    "from a module, more than one line": f"from {PACKAGE}._room.leaf import (\n    OTHER,\n    VALUE,\n)",
    "from a module, under another name": f"from {PACKAGE}._room.leaf import VALUE as kept\nVALUE = kept",
    "from a module, everything": f"from {PACKAGE}._room.leaf import *",
    "from a package": f"from {PACKAGE}._room import leaf\nVALUE = leaf.VALUE",
    "from a package, under another name": f"from {PACKAGE}._room import leaf as it\nVALUE = it.VALUE",
    "from the library itself": f"from {PACKAGE} import flat\nVALUE = flat.VALUE",
    "a flat module": f"from {PACKAGE}.flat import VALUE",
    "a module by its whole name": f"import {PACKAGE}._room.leaf\nVALUE = {PACKAGE}._room.leaf.VALUE",
    "a module by its whole name, under another": f"import {PACKAGE}._room.leaf as it\nVALUE = it.VALUE",
    "within a function": f"def load():\n    from {PACKAGE}._room.leaf import VALUE\n    return VALUE\nVALUE = load()",
    "after a semicolon": f"import sys; from {PACKAGE}._room.leaf import VALUE",
    "with a comment and a backslash": f"from {PACKAGE}._room.leaf \\\n    import VALUE  # as it is",
    "what imports from beside it": f"from {PACKAGE}._room.beside import VALUE",
    "what imports a neighbour": f"from {PACKAGE}._room.neighbour import VALUE",
    "what imports from another room": f"from {PACKAGE}._room.other_room import VALUE",
    "what imports a whole other room": f"from {PACKAGE}._room.whole import VALUE",
    "what imports only when it is asked": f"from {PACKAGE}._room.lazy import load\nVALUE = load()",
}
LIBRARY = {
    "flat.py": "VALUE = 42",
    "_room/leaf.py": "VALUE = 42\nOTHER = 0",
    "_room/beside.py": "from .leaf import VALUE",
    "_room/neighbour.py": "from . import leaf\nVALUE = leaf.VALUE",
    "_room/other_room.py": "from .._next.stone import VALUE",
    "_room/whole.py": "from .._next import stone\nVALUE = stone.VALUE",
    "_room/lazy.py": "def load():\n    from .._next import stone\n    return stone.VALUE",
    "_next/stone.py": "from .._room.leaf import VALUE",
    "_room/unused.py": "raise SystemExit('nobody asked for this')",
}
MISSING = {
    "a module": f"from {PACKAGE}._room.lost import VALUE",
    "a name of a package": f"from {PACKAGE}._room import lost",
    "a package": f"from {PACKAGE}._lost import leaf",
    "a module by its whole name": f"import {PACKAGE}._room.lost",
    "a package alone": f"import {PACKAGE}._room",
    "what a needed file imports": f"from {PACKAGE}._room.broken import VALUE",
    "what lies above the library": f"from {PACKAGE}._room.climber import VALUE",
    "a relative import of the script": "from .leaf import VALUE",
    "Ansible": "from ansible.module_utils.basic import AnsibleModule",
    "Ansible, in a needed file": f"from {PACKAGE}._room.ansible_user import VALUE",
    "what runs on the control node only": f"from {_zipapp.COLLECTION}.plugins.plugin_utils import _slots",
}
BROKEN = {
    "_room/broken.py": "from .lost import VALUE",
    "_room/climber.py": "from ....lost import VALUE",
    "_room/ansible_user.py": "import ansible.constants\nVALUE = 1",
}


@pytest.fixture
def library(tmp_path):
    for name, source in {**LIBRARY, **BROKEN}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source + "\n")
    return tmp_path


@pytest.fixture(params=["oldest", "newest"])
def python(request):
    oldest = find(OLDEST) if request.param == "oldest" else sys.executable
    if oldest is None:
        pytest.skip(missing(OLDEST))
    return oldest


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_import_is_packed_and_runs(form, library, tmp_path, python):
    path = tmp_path / "packed"
    path.write_bytes(_zipapp.pack(f"{FORMS[form]}\nprint(VALUE)\n", library))
    ran = subprocess.run([python, "-I", path], capture_output=True, text=True, cwd="/", check=False)
    assert (ran.stdout, ran.stderr) == ("42\n", "")
    assert b"nobody asked" not in path.read_bytes()


@pytest.mark.parametrize("case", MISSING)
def test_an_import_that_leads_nowhere_fails_while_packing(case, library):
    with pytest.raises(_zipapp.PackError, match=r"(line 1: .*(there is no|leads out|needs Ansible))"):
        _zipapp.pack(MISSING[case] + "\n", library)
