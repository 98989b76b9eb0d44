# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Packs a script, and the parts of this collection that it imports, into one file that Python runs without Ansible.

Imports are read from the syntax tree, in every form that Python has for a name that is written out, wherever they
stand. What is packed is complete: an import that leads nowhere, or to what needs Ansible, raises PackError here, not an
ImportError on the host.
"""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

COLLECTION = "ansible_collections.alive.codex"
PACKAGE = f"{COLLECTION}.plugins.module_utils"
MODULE_UTILS = Path(__file__).resolve().parent.parent / "module_utils"
SHEBANG = b"#!/usr/bin/python3 -I\n"
EPOCH = (1980, 1, 1, 0, 0, 0)


class PackError(Exception):
    """The script cannot be packed; says which import of which file is why."""


def pack(script: str, library: Path = MODULE_UTILS) -> bytes:
    """A zip application of the script's source and what it imports below ``library``, which stands for PACKAGE.

    It is stored, not compressed, and without times, so that neither the day nor the version of zlib shows in it, and a
    person can read it.

    Raises PackError, or SyntaxError for what is no Python.
    """
    members = {"__main__.py": script, **_library_files(script, library)}
    packages = {str(parent) for name in members for parent in Path(name).parents if parent.name}
    members.update({f"{package}/__init__.py": "" for package in packages})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            member = zipfile.ZipInfo(name, EPOCH)
            member.external_attr = 0o644 << 16
            archive.writestr(member, members[name])
    return SHEBANG + packed.getvalue()


def _library_files(script: str, library: Path) -> dict[str, str]:
    """The source of every file of the library that the script needs, and those that they need, by its place in the
    archive."""
    found: dict[str, str] = {}
    pending = list(_needed(script, "", "the script", library))
    while pending:
        module = pending.pop()
        name = f"{module.replace('.', '/')}.py"
        if name in found:
            continue
        path = library.joinpath(*module.split(".")[PACKAGE.count(".") + 1 :]).with_suffix(".py")
        found[name] = path.read_text(encoding="utf-8")
        pending += _needed(found[name], module.rpartition(".")[0], str(path), library)
    return found


def _needed(source: str, package: str, where: str, library: Path) -> Iterator[str]:
    """The library's modules that a source imports. ``package`` is the one that the source is in, empty for none."""
    for node in _statements(ast.parse(source, where)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _modules(alias.name, [], f"{where}, line {node.lineno}", library)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if package else []
                if not above:
                    raise PackError(f"{where}, line {node.lineno}: a relative import leads out of the package")
                base = ".".join([*above, *filter(None, [node.module])])
            yield from _modules(base, [alias.name for alias in node.names], f"{where}, line {node.lineno}", library)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every statement below a node, wherever it stands; not what it consists of, which is ten times as much."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.expr):
            yield child
            yield from _statements(child)


def _modules(base: str, names: list[str], where: str, library: Path) -> Iterator[str]:
    """The modules behind ``from base import names``, or ``import base``."""
    if base.partition(".")[0] == "ansible" or (_is_in(COLLECTION, base) and not _is_in(PACKAGE, base)):
        raise PackError(f"{where}: {base} needs Ansible, and is not there on the host")
    if not _is_in(PACKAGE, base):
        return
    place = library.joinpath(*base.split(".")[PACKAGE.count(".") + 1 :])
    if place.with_suffix(".py").is_file() and base != PACKAGE:
        yield base
        return
    for name in names or [""]:
        if (place / f"{name}.py").is_file():
            yield f"{base}.{name}"
        elif not name or not (place / name).is_dir():
            raise PackError(f"{where}: there is no {f'{base}.{name}'.rstrip('.')}")


def _is_in(package: str, name: str) -> bool:
    return name == package or name.startswith(f"{package}.")
