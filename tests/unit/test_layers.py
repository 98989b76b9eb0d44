"""The collection's house: what may import what, by the folder that a file lies in.

A file is in the room whose folder it lies in, so that a new one needs no mention here. Rooms are named only where they
differ from what every domain is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
PREFIX = "ansible_collections.alive.codex.plugins"
FOUNDATIONS = {"_host", "_formats"}  # know no domain, nor each other
# A domain knows no other domain, but for:
SIDEWAYS = {("_sessions", "_workspaces.homes")}
# What takes and returns plain values, besides all of _formats.
PURE = {
    "_turn": {"argv", "describe", "events", "options", "outcome", "overrides", "sandbox", "shell_policy"},
    "_sessions": {"options", "plan"},
    "_workspaces": {"request", "report"},
}
HOST_MODULES = {
    *("ctypes", "fcntl", "grp", "io", "multiprocessing", "os", "pathlib", "pwd", "resource", "select", "selectors"),
    *("shutil", "signal", "socket", "sqlite3", "subprocess", "syslog", "tempfile", "threading", "time"),
}
# What is data in, data out there, too: libzstd, and the names of limits.
FOREIGN_DATA = {"module_utils._formats.zstd": {"ctypes"}, "module_utils._turn.options": {"resource"}}


def sources(plugins: Path) -> dict[str, str]:
    """The source of every plugin file by its dotted name, such as ``module_utils._turn.argv``."""
    paths = sorted(plugins.rglob("*.py"))
    return {".".join(path.relative_to(plugins).with_suffix("").parts): path.read_text() for path in paths}


def imports(name: str, source: str) -> Iterator[str]:
    """Every name that a file imports, in full; those of this collection begin with ``PREFIX``."""
    package = [*PREFIX.split("."), *name.split(".")[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield from (".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names)


def faults(files: dict[str, str]) -> list[str]:
    """What is wrong with a house, in words."""
    found = []
    graph: dict[str, set[str]] = {}
    for name, source in files.items():
        foreign = set(imports(name, source))
        ours = {each[len(PREFIX) + 1 :] for each in foreign if each.startswith(f"{PREFIX}.")}
        # `from room.file import name` and `from room import file` both mean the file.
        graph[name] = {each if each in files else each.rpartition(".")[0] for each in ours}
        found += [f"{name} may not import {other}" for other in sorted(graph[name]) if not may_import(name, other)]
        modules = {each.split(".")[0] for each in foreign}
        if name.startswith("module_utils.") and "ansible" in modules:
            found.append(f"{name} needs Ansible, which the cron script does not have")
        if is_pure(name):
            touched = modules & HOST_MODULES - FOREIGN_DATA.get(name, set())
            found += [f"{name} is pure, and imports {module}" for module in sorted(touched)]
            found += [f"{name} is pure, and {other} is not" for other in sorted(graph[name]) if not is_pure(other)]
    while leaves := {name for name, uses in graph.items() if not uses & graph.keys()}:
        graph = {name: uses for name, uses in graph.items() if name not in leaves}
    return [*found, *(f"{name} is part of a circle" for name in sorted(graph))]


def may_import(name: str, other: str) -> bool:
    kind, other_kind = name.split(".")[0], other.split(".")[0]
    if other_kind == "plugin_utils":
        return kind not in ("modules", "module_utils")  # what runs on targets does not have it
    if other_kind != "module_utils":
        return False  # nobody imports a face
    if kind != "module_utils":
        return True
    room, target = name.split(".")[1], other.split(".")[1]
    if room == target:
        return True
    return room not in FOUNDATIONS and (target in FOUNDATIONS or (room, other.partition(".")[2]) in SIDEWAYS)


def is_pure(name: str) -> bool:
    kind, *rest = name.split(".")
    return kind == "module_utils" and (rest[0] == "_formats" or rest[-1] in PURE.get(rest[0], ()))


def test_the_house_is_in_order():
    files = sources(PLUGINS)
    assert len(files) > 50, "the files of the collection were not found"
    assert faults(files) == []


def test_shared_files_lie_in_rooms():
    shared = PLUGINS / "module_utils"
    assert [path.name for path in shared.iterdir() if not path.is_dir()] == []
    rooms = {path.parent for path in shared.rglob("*.py")}
    assert all(room.parent == shared and room.name.startswith("_") for room in rooms)


def test_pure_files_are_there():
    files = sources(PLUGINS)
    named = {f"module_utils.{room}.{file}" for room, names in PURE.items() for file in names}
    assert named | set(FOREIGN_DATA) <= files.keys()


FACE = f"from {PREFIX}.module_utils._turn import run"
BAD = {
    "a foundation that reaches up": {"module_utils._host.process": "from .._turn.run import run"},
    "formats that reach for the host": {"module_utils._formats.toml": "from .._host import process"},
    "a host that knows a format": {"module_utils._host.process": "from .._formats.toml import dumps"},
    "a domain beside another": {"module_utils._release.store": "from .._turn import run"},
    "the sideways arrow to another file": {"module_utils._sessions.home": "from .._workspaces.look import Look"},
    "the sideways arrow turned round": {"module_utils._workspaces.homes": "from .._sessions.home import Home"},
    "a shared file that imports a face": {"module_utils._turn.run": f"from {PREFIX}.modules.codex_exec import main"},
    "a face that imports a face": {"action.codex_exec": f"from {PREFIX}.modules import codex_exec"},
    "a module that imports what the target lacks": {"modules.codex_exec": f"import {PREFIX}.plugin_utils._watch"},
    "a lazy import": {"module_utils._host.process": "def f():\n    from .._turn import run"},
    "a circle in a room": {"module_utils._turn.a": "from . import b", "module_utils._turn.b": "from .a import x"},
    "a circle of three": {
        "module_utils._host.a": "from . import b",
        "module_utils._host.b": "from .c import x",
        "module_utils._host.c": f"from {PREFIX}.module_utils._host.a import x",
    },
    "a shared file that needs Ansible": {"module_utils._turn.run": "from ansible.module_utils import basic"},
    "a format that opens files": {"module_utils._formats.toml": "import os.path"},
    "a pure file that takes the time": {"module_utils._turn.events": "from time import monotonic"},
    "a pure file that leans on another": {"module_utils._sessions.plan": "from .home import Home"},
}


@pytest.mark.parametrize("case", BAD)
def test_the_rule_sees(case):
    house = {"module_utils._turn.run": "", "module_utils._sessions.home": "", "modules.codex_exec": FACE}
    assert faults(house) == []
    assert faults({**house, **BAD[case]}) != []
