# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What ``npm install --global`` has put into npm's trees by itself, and how it becomes a release to go back to."""

from __future__ import annotations

import os
import stat
import time
from typing import Callable, Sequence

from .._formats.version import is_exact
from .._host import trees
from .binary import PACKAGE, Platform, native_in, stated_version
from .npm import at_work
from .replaced import note_plain
from .store import ReleaseError, ReleaseStore

_POLL = 0.1  # seconds between two looks at somebody else's npm


def plain_version(tree: str, platform: Platform) -> str | None:
    """The version of a plain installation that has a binary, and that nobody else could have changed."""
    if os.path.islink(tree) or not os.path.isdir(tree):
        return None
    version = stated_version(tree)
    if version is None or not is_exact(version) or not all(map(_is_ours_alone, trees.entries(tree))):
        return None
    return version if native_in(tree, platform) else None


def _is_ours_alone(path: str) -> bool:
    info = os.lstat(path)
    foreign = stat.S_IWOTH if info.st_gid == os.getegid() else stat.S_IWOTH | stat.S_IWGRP
    return info.st_uid == os.geteuid() and (stat.S_ISLNK(info.st_mode) or not info.st_mode & foreign)


def wait_for_npm(found_in: Sequence[str], seconds: float) -> None:
    """Waits while somebody's own npm is at work and may be changing the package in one of these trees.

    Raises ReleaseError where that takes longer.
    """
    deadline = time.monotonic() + seconds
    while any(not os.path.islink(tree) for tree in found_in):
        busy = at_work()
        if busy is None:
            break
        if time.monotonic() > deadline:
            raise ReleaseError(
                f"{busy} has been at work for {seconds:g} s, and may be changing {PACKAGE}: wait for it, or end it, "
                "then run this again"
            )
        time.sleep(_POLL)


def adopt(store: ReleaseStore, tree: str, version: str, ailment: Callable[[str, str], str | None]) -> None:
    """Makes a release of a plain installation, where ``ailment`` finds nothing wrong with that package of that version
    in a release's place and modes. The installation stays where it is."""
    with store.staged() as staging:
        copy = os.path.join(staging, version)
        package = os.path.join(copy, "lib", "node_modules", PACKAGE)
        os.makedirs(os.path.dirname(package))
        trees.clone(tree, package)
        os.mkdir(os.path.join(copy, "bin"))
        os.symlink(f"../lib/node_modules/{PACKAGE}/bin/codex.js", os.path.join(copy, "bin", "codex"))
        trees.publish(copy)
        if ailment(package, version) is None:
            store.commit(copy, version)
            store.retire(version)
            note_plain(store, tree, version)
