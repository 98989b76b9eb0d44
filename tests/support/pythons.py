"""The Pythons of this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# The oldest that targets may have, with ansible-core up to 2.19; from 2.20 on, it is 3.9.
OLDEST = "3.8"


def missing(version: str) -> str:
    return f"NOT RUN: there is no Python {version} on this machine, for targets that have it"


def find(version: str) -> str | None:
    """A Python such as ``3.8``, pyenv's or one on PATH. Not pyenv's shim, which may be there and not run."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    own = sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/python")))
    path = [part for part in os.environ["PATH"].split(os.pathsep) if Path(part).name != "shims"]
    return own[-1] if own else shutil.which(f"python{version}", path=os.pathsep.join(path))
