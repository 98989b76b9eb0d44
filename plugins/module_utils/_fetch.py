# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the tarballs of releases for hosts that get them from here: what codex_tarballs does. Private to the collection
alive.codex.

Below the directory: ``<version>-<platform>/`` with the tarballs and ``pack.json``, which has their digests; each is
complete. ``.staging/`` is what a download makes, ``.lock`` keeps two of them apart.
"""

from __future__ import annotations

import json
import os
from typing import Sequence

from ansible_collections.alive.codex.plugins.module_utils import _npm, _tarballs, _tree
from ansible_collections.alive.codex.plugins.module_utils._binary import PACKAGE, Platform
from ansible_collections.alive.codex.plugins.module_utils._flock import locked
from ansible_collections.alive.codex.plugins.module_utils._newfiles import (
    PUBLIC_DIRECTORY,
    PUBLIC_FILE,
    new_directory,
    public_directories,
    write_file,
)
from ansible_collections.alive.codex.plugins.module_utils._safefs import opened
from ansible_collections.alive.codex.plugins.module_utils._tarballs import Tarball, TarballError
from ansible_collections.alive.codex.plugins.module_utils._version import parse

# Since then the binary is in a package of its own.
_FIRST_WITH_PLATFORM_PACKAGE = "0.99.0"


def kept(directory: str, version: str, platform: Platform) -> Sequence[Tarball]:
    """The tarballs of a release that are there whole; none where they are not."""
    folder = _folder(directory, version, platform)
    try:
        with open(os.path.join(folder, "pack.json"), encoding="utf-8") as stream:
            digests = json.load(stream)
        tarballs = [Tarball(os.path.join(folder, os.path.basename(name)), digest) for name, digest in digests.items()]
        _tarballs.check(tarballs)
    except (OSError, ValueError, AttributeError, TarballError):
        return []
    return tarballs


def fetch(npm: _npm.Npm, directory: str, version: str, platform: Platform) -> bool:
    """Downloads the tarballs of an exact version, unless another run has done so meanwhile; whether it had to. Raises
    NpmError, TimeoutError or OSError, and leaves what was there."""
    public_directories(directory)
    with opened(os.open(directory, os.O_RDONLY | os.O_DIRECTORY)) as dir_fd, locked(".lock", dir_fd, npm.timeout):
        if kept(directory, version, platform):
            return False
        _download(npm, directory, version, platform)
        return True


def _download(npm: _npm.Npm, directory: str, version: str, platform: Platform) -> None:
    staging = os.path.join(directory, ".staging")
    _tree.remove(staging)  # of a run that was killed
    new_directory(staging, PUBLIC_DIRECTORY)
    try:
        specs = [f"{PACKAGE}@{version}"]
        if parse(version) >= parse(_FIRST_WITH_PLATFORM_PACKAGE):
            specs.append(f"{PACKAGE}@{version}-{platform.suffix}")
        cache = os.path.join(staging, "cache")
        digests = _npm.pack(npm, specs, staging, cache)
        _tree.remove(cache)
        _tarballs.check([Tarball(os.path.join(staging, name), digest) for name, digest in digests.items()])
        write_file(os.path.join(staging, "pack.json"), json.dumps(digests).encode(), PUBLIC_FILE)
        _tree.publish(staging)
        folder = _folder(directory, version, platform)
        _tree.remove(folder)  # it is damaged
        os.rename(staging, folder)
    finally:
        _tree.remove(staging)


def _folder(directory: str, version: str, platform: Platform) -> str:
    return os.path.join(directory, f"{version}-{platform.suffix}")
