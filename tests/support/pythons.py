"""The Pythons of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

OLDEST = "3.8"
MISSING = f"NOT RUN: there is no Python {OLDEST} on this machine"


def find_oldest() -> str | None:
    """The oldest that targets may have. Not a version manager's shim, which may be there and not run."""
    versions = Path.home() / ".pyenv/versions"
    if versions.exists():
        return next(map(str, versions.glob(f"{OLDEST}.*/bin/python")), None)
    return shutil.which(f"python{OLDEST}")
