# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What lay at the stable path and in npm's trees before us, kept below the prefix in ``replaced/``, to be given back.

There are what was at the stable path, a file or a link, under its own name; and in ``npm/`` for each plain ``npm
install --global`` a link, whose name is the quoted path of the package and whose text is the release that it became.
"""

from __future__ import annotations

import contextlib
import os
from typing import Iterator
from urllib.parse import quote, unquote

from .._host import trees
from .._host.new_files import PUBLIC_DIRECTORY, new_directory, public_directories
from .binary import PACKAGE
from .store import ReleaseStore


def keep_replaced(store: ReleaseStore) -> str | None:
    """Keeps what somebody put at the stable path by hand. Where that is a file, the path that it is kept at.

    A link is kept too, unless something is kept already, so that one made later does not take a file's place.
    """
    kept = os.path.join(store.replaced, os.path.basename(store.bin))
    if os.path.islink(store.bin):
        if not os.path.lexists(kept) and not _is_ours(store, store.bin):
            public_directories(store.replaced)
            os.symlink(os.readlink(store.bin), kept)
        return None
    if not os.path.exists(store.bin):
        return None
    public_directories(store.replaced)
    trees.remove(kept)
    trees.link_or_copy(store.bin, kept)
    return kept


def note_plain(store: ReleaseStore, tree: str, version: str) -> None:
    """Notes that a plain installation has become a release."""
    folder = os.path.join(store.replaced, "npm")
    public_directories(folder)
    trees.place_link(os.path.join(folder, quote(tree, safe="")), version)


def give_back(store: ReleaseStore) -> Iterator[tuple[str, str]]:
    """Gives back what was replaced, each in one step, npm's trees first, as the stable path may lead there. Tells of
    each its path, and, where it cannot be given back, why and how it is had again."""
    folder = os.path.join(store.replaced, "npm")
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(folder)):
            tree, version = unquote(name), os.readlink(os.path.join(folder, name))
            if os.path.islink(tree) and _is_ours(store, tree):
                if os.path.isdir(store.path(version)):
                    _plain_again(store, tree, version)
                    yield tree, ""
                else:
                    yield (
                        tree,
                        f"its release is gone by now: npm install --global {PACKAGE}@{version} brings it back",
                    )
            trees.remove(os.path.join(folder, name))
    kept = os.path.join(store.replaced, os.path.basename(store.bin))
    if not os.path.lexists(kept) or (os.path.lexists(store.bin) and not _is_ours(store, store.bin)):
        return
    if os.path.islink(kept):
        target = os.readlink(kept)
        led_to = os.path.join(os.path.dirname(store.bin), target)
        if os.path.exists(led_to) and not _is_ours(store, led_to):  # npm's link leads to us as long as its tree does
            trees.place_link(store.bin, target)
            yield store.bin, ""
        else:
            yield store.bin, f"it was a link to {target}, which is not there any more"
    else:
        temporary = trees.temporary_name(store.bin)
        trees.remove(temporary)
        trees.link_or_copy(kept, temporary)
        os.rename(temporary, store.bin)
        yield store.bin, ""


def _plain_again(store: ReleaseStore, tree: str, version: str) -> None:
    """Puts a release into npm's tree as npm does, the platform package in the package."""
    copy = trees.temporary_name(tree)
    trees.remove(copy)
    trees.clone(store.package(version), copy)
    beside = os.path.join(os.path.dirname(store.package(version)), os.path.basename(store.platform.package))
    nested = os.path.join(copy, "node_modules", store.platform.package)
    if os.path.isdir(beside) and not os.path.lexists(nested):
        for folder in (os.path.join(copy, "node_modules"), os.path.dirname(nested)):
            with contextlib.suppress(FileExistsError):
                new_directory(folder, PUBLIC_DIRECTORY)
        trees.clone(beside, nested)
    trees.exchange(copy, tree)
    trees.remove(copy)


def _is_ours(store: ReleaseStore, path: str) -> bool:
    """Whether a path leads into a release of ours."""
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(store.prefix), "releases", ""))
