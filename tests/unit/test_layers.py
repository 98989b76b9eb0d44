"""The collection's house: which file is in which layer, and that imports run downwards only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
PREFIX = "ansible_collections.alive.codex.plugins"

# Top to bottom. A file imports from layers below its own, or from files of its own layer without a circle.
LAYERS = {
    "what each face does": [
        "_exec",
        "_turn",
        "_release",
        "_validate",
        "_install",
        "_npm",
        "_fetch",
        "_policy",
        "_tarballs",
        "_manifest",
        "_workspaces",
        "_settled",
        "_preparation",
        "_prune",
        "_prune_home",
        "_codex_store",
        "_lineage",
        "_claude_store",
        "_state",
        "_sqlite",
        "_survey",
    ],
    "pure": [
        "_args",
        "_events",
        "_packing",
        "_schema",
        "_sessions",
        "_toml",
        "_tomldoc",
        "_tomledit",
        "_units",
        "_version",
        "_words",
        "_workspacelist",
        "_workspacereport",
    ],
    "operating system": [
        "_access",
        "_archive",
        "_binary",
        "_flock",
        "_home",
        "_homes",
        "_inuse",
        "_lease",
        "_newfiles",
        "_npmtar",
        "_process",
        "_safefs",
        "_slots",
        "_supervise",
        "_surroundings",
        "_tenant",
        "_zstd",
        "_tree",
        "_users",
        "_newusers",
    ],
}
# The two lowest layers do not know each other: data does not touch the host, and the host knows no formats of ours.
PURE = set(LAYERS["pure"])
# What a pure file has no use for.
IMPURE_MODULES = {
    "os",
    "subprocess",
    "socket",
    "pathlib",
    "shutil",
    "sqlite3",
    "tempfile",
    "signal",
    "fcntl",
    "pwd",
    "io",
}

UTILS = sorted((PLUGINS / "module_utils").glob("*.py"))
FACES = sorted(path for kind in ("modules", "action", "inventory") for path in (PLUGINS / kind).glob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively; Ansible's payload wants full names"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def utils_imported(path: Path) -> set[str]:
    prefix = f"{PREFIX}.module_utils."
    return {name[len(prefix) :].partition(".")[0] for name in imported(path) if name.startswith(prefix)}


def rank(util: str) -> int:
    return next((rank for rank, files in enumerate(LAYERS.values()) if util in files), -1)


@pytest.mark.parametrize("path", UTILS, ids=lambda path: path.stem)
def test_every_shared_file_has_its_layer(path):
    assert rank(path.stem) >= 0, f"name the layer of {path.name} in {Path(__file__).name}"


@pytest.mark.parametrize("path", UTILS, ids=lambda path: path.stem)
def test_shared_files_import_downwards_only(path):
    below = {name for name in utils_imported(path) if rank(name) < rank(path.stem)}
    assert not below, f"{path.name} reaches up to {sorted(below)}"
    faces = {name for name in imported(path) if name.startswith(PREFIX) and ".module_utils." not in name}
    assert not faces, f"{path.name} imports a face: {sorted(faces)}"


def test_no_file_is_part_of_a_circle():
    graph = {path.stem: utils_imported(path) for path in UTILS}
    while leaves := {name for name, uses in graph.items() if not uses & graph.keys()}:
        graph = {name: uses for name, uses in graph.items() if name not in leaves}
    assert not graph, f"these import each other in a circle: {sorted(graph)}"


@pytest.mark.parametrize("path", [path for path in UTILS if path.stem in PURE], ids=lambda path: path.stem)
def test_pure_files_do_not_touch_the_host(path):
    assert not {name.partition(".")[0] for name in imported(path)} & IMPURE_MODULES
    assert utils_imported(path) <= PURE


@pytest.mark.parametrize("path", UTILS, ids=lambda path: path.stem)
def test_shared_files_need_no_ansible(path):
    foreign = {name for name in imported(path) if name.startswith("ansible.")}
    assert not foreign, f"{path.name} would not run outside Ansible: {sorted(foreign)}"


@pytest.mark.parametrize("path", FACES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_faces_do_not_import_faces(path):
    others = {name for name in imported(path) if name.startswith(PREFIX)}
    assert not {name for name in others if name.split(".")[4] in ("modules", "action", "inventory")}
