# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Keeps the tarballs of releases for hosts that get them from here: what codex_tarballs does.

Below the directory: ``<version>-<platform>/`` with the tarballs and ``pack.json``, which has their digests; each is
complete. ``.staging/`` is what a download makes, ``.lock`` keeps two of them apart.
"""

from __future__ import annotations

import json
import os
from typing import Sequence

from .._formats.version import parse_version
from .._host import trees
from .._host.locks import locked
from .._host.new_files import PUBLIC_DIRECTORY, PUBLIC_FILE, new_directory, public_directories, write_file
from .._host.safefs import opened
from .binary import PACKAGE, Platform
from .npm import Npm, pack
from .tarballs import Tarball, TarballError, check_tarballs

# Since then the binary is in a package of its own.
_FIRST_WITH_PLATFORM_PACKAGE = "0.99.0"


def kept(directory: str, version: str, platform: Platform) -> Sequence[Tarball]:
    """The tarballs of a release that are there whole; none where they are not."""
    folder = _folder(directory, version, platform)
    try:
        with open(os.path.join(folder, "pack.json"), encoding="utf-8") as stream:
            digests = json.load(stream)
        tarballs = [Tarball(os.path.join(folder, os.path.basename(name)), digest) for name, digest in digests.items()]
        check_tarballs(tarballs)
    except (OSError, ValueError, AttributeError, TarballError):
        return []
    return tarballs


def fetch(npm: Npm, directory: str, version: str, platform: Platform) -> bool:
    """Downloads the tarballs of an exact version, unless another run has done so meanwhile; whether it had to. Raises
    NpmError, TimeoutError or OSError, and leaves what was there."""
    public_directories(directory)
    with opened(os.open(directory, os.O_RDONLY | os.O_DIRECTORY)) as dir_fd, locked(".lock", dir_fd, npm.timeout):
        if kept(directory, version, platform):
            return False
        _download(npm, directory, version, platform)
        return True


def _download(npm: Npm, directory: str, version: str, platform: Platform) -> None:
    staging = os.path.join(directory, ".staging")
    trees.remove(staging)  # of a run that was killed
    new_directory(staging, PUBLIC_DIRECTORY)
    try:
        specs = [f"{PACKAGE}@{version}"]
        if parse_version(version) >= parse_version(_FIRST_WITH_PLATFORM_PACKAGE):
            specs.append(f"{PACKAGE}@{version}-{platform.suffix}")
        cache = os.path.join(staging, "cache")
        digests = pack(npm, specs, staging, cache)
        trees.remove(cache)
        check_tarballs([Tarball(os.path.join(staging, name), digest) for name, digest in digests.items()])
        write_file(os.path.join(staging, "pack.json"), json.dumps(digests).encode(), PUBLIC_FILE)
        trees.publish(staging)
        folder = _folder(directory, version, platform)
        trees.remove(folder)  # it is damaged
        os.rename(staging, folder)
    finally:
        trees.remove(staging)


def _folder(directory: str, version: str, platform: Platform) -> str:
    return os.path.join(directory, f"{version}-{platform.suffix}")
