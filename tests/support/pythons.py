"""The Pythons of this machine."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

# The oldest that targets may have, with ansible-core up to 2.19; from 2.20 on, it is 3.9.
OLDEST = "3.8"
# Said by a Python of itself: the one that a virtual environment rests on, and whether it can make such.
ASK = """
import importlib.util, json, sys
control = all(map(importlib.util.find_spec, ("venv", "ensurepip", "ssl", "sqlite3")))
print(json.dumps([sys.version_info[:2], getattr(sys, "_base_executable", sys.executable), control]))
"""


class Python(NamedTuple):
    """``version`` is (3, 11), say; ``control`` whether a virtual environment for Ansible can be made with it."""

    version: tuple[int, int]
    path: str
    control: bool

    def __str__(self) -> str:
        return ".".join(map(str, self.version))


@functools.cache
def find_pythons() -> list[Python]:
    """One of each version, oldest first: this process's, else the first in PATH, of pyenv or of the system, where one
    that can be the control node's comes before others. Version managers' shims are left out: they are there for every
    version, and run for few."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [*map(Path, os.get_exec_path()), *sorted(pyenv.glob("versions/*/bin"), reverse=True), Path("/usr/bin")]
    programs = [str(path) for folder in folders if folder.name != "shims" for path in sorted(folder.glob("python3*"))]
    found: dict[tuple[int, int], Python] = {}
    for path in dict.fromkeys([sys.executable, *programs]):
        python = _ask(path) if re.fullmatch(r"python3?(\.\d+)?", Path(path).name) else None
        if python and (python.version not in found or python.control > found[python.version].control):
            found[python.version] = python
    return [found[version] for version in sorted(found)]


def _ask(path: str) -> Python | None:
    try:
        answer = subprocess.run([path, "-Ic", ASK], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None  # a link to nowhere, say
    version, base, control = json.loads(answer)
    return Python(tuple(version), base, control)


def find(version: str) -> str | None:
    """Of the version ``3.8``, say."""
    return next((python.path for python in find_pythons() if str(python) == version), None)


def missing(version: str) -> str:
    return f"NOT RUN: there is no Python {version} on this machine, for targets that have it"
