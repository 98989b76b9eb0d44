"""Releases of ansible-core beside the one that runs the tests."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from support.packages import cache_dir

OWN = ".".join(version("ansible-core").split(".")[:2])
# The last one that takes Python 3.8 on targets. It runs under each Python that the tests do.
LAST_FOR_OLD_TARGETS = "2.19"


def for_old_targets() -> str:
    return min(OWN, LAST_FOR_OLD_TARGETS, key=_order)


def python_with(core: str, interpreter: str = sys.executable, beside: str = "") -> Path:
    """The Python of a virtual environment with the newest ansible-core of a line such as ``2.19``, its commands beside
    it, and a package ``beside`` it such as ``mitogen==0.3.54``: this one where it has that, else one made at the first
    call, by ``interpreter``, and kept in the cache."""
    if core == OWN and interpreter == sys.executable and not beside:
        return Path(sys.executable)
    tag = subprocess.check_output([interpreter, "-c", "import sys; print(sys.implementation.cache_tag)"], text=True)
    place = cache_dir() / "cores" / "-".join(filter(None, (core, tag.strip(), beside)))
    place.parent.mkdir(exist_ok=True)
    python = place / "bin" / "python"
    with (place.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / ".installed").exists() or subprocess.run([python, "-c", ""], check=False).returncode:
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([interpreter, "-m", "venv", place], check=True)
            install = [python, "-m", "pip", "install", "--quiet", f"ansible-core=={core}.*", "packaging"]
            install += [beside] if beside else []
            subprocess.run(install, check=True)
            (place / ".installed").touch()
    return python


def _order(core: str) -> tuple[int, ...]:
    return tuple(map(int, core.split(".")))
