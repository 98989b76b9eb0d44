"""File systems in files, mounted while a test runs, as root alone. Their tools come from the package mirror."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.packages import debian_packages

PACKAGES = ("btrfs-progs", "liblzo2-2")


@contextlib.contextmanager
def btrfs(directory: Path) -> Iterator[Path]:
    """A file system of 600 MiB below ``directory`` that can share blocks between files."""
    image, place = directory / "image", directory / "mounted"
    place.mkdir()
    subprocess.run(["truncate", "-s", "600M", image], check=True)
    _run("mkfs.btrfs", "-q", image)
    mounted = subprocess.run(["mount", "-o", "loop", image, place], check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"NOT RUN: needs loop devices and Btrfs: {mounted.stderr.strip()}")
    try:
        place.chmod(0o755)
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@contextlib.contextmanager
def quota(directory: Path, size: str) -> Iterator[Path]:
    """A place below ``directory`` that holds no more than ``size``, such as 40M, on a file system with far more room:
    Btrfs's is the only kind of quota that needs nothing of the kernel besides the file system."""
    with btrfs(directory) as place:
        limited = place / "limited"
        _run("btrfs", "quota", "enable", place)
        _run("btrfs", "subvolume", "create", limited)
        _run("btrfs", "qgroup", "limit", size, limited)
        limited.chmod(0o755)
        yield limited


def _run(program: str, *arguments: str | Path) -> None:
    try:
        tools = debian_packages(*PACKAGES)
    except FileNotFoundError as error:
        pytest.skip(f"NOT RUN: {error}")
    [found] = tools.glob(f"**/*bin/{program}")
    libraries = ":".join(str(path.parent) for path in tools.glob("**/*.so*"))
    env = {**os.environ, "LD_LIBRARY_PATH": libraries}
    subprocess.run([found, *arguments], check=True, capture_output=True, env=env)
