# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What lay at the stable path and in npm's trees before us, kept below the prefix in ``replaced/``, to be given back.

There are what was at the stable path, a file or a link, under its own name, and older ones under numbers; ``tree``,
which was in npm's tree and could be no release; and in ``npm/`` for each plain ``npm
install --global`` a link, whose name is the quoted path of the package and whose text is the release that it became.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Iterator, NamedTuple, Sequence
from urllib.parse import quote, unquote

from .._host import trees
from .._host.new_files import PUBLIC_DIRECTORY, new_directory, public_directories
from .binary import PACKAGE
from .store import ReleaseStore

_MOST_LINKS = 40  # as the kernel follows


def keep_replaced(store: ReleaseStore) -> Iterator[str]:
    """Keeps what somebody else has put at the stable path and in npm's trees, and tells what it was and where it is.

    What is to be given back is kept under its own name. A link that is found when something is kept already does not
    take its place, and is kept under a number, as an older file is when a newer one comes.
    """
    if os.path.lexists(store.bin) and not is_ours(store, store.bin):
        kept = os.path.join(store.replaced, os.path.basename(store.bin))
        public_directories(store.replaced)
        if os.path.islink(store.bin):
            target = os.readlink(store.bin)
            kept = _free(kept)
            os.symlink(target, kept)
            leads = os.path.join(os.path.dirname(store.bin), target)
            if not any(os.path.normpath(leads).startswith(f"{tree}/") for tree in store.trees()):  # it is npm's own
                yield f"{store.bin} was a link to {target} that no release had put there; it is kept as {kept}"
        else:
            if os.path.lexists(kept):
                os.rename(kept, _free(kept))
            trees.link_or_copy(store.bin, kept)
            yield f"{store.bin} was a file that no release had put there; it is kept as {kept}"
    for tree in store.trees():
        if os.path.lexists(tree) and not is_ours(store, tree) and not _is_noted(store, tree):
            public_directories(store.replaced)
            kept = _free(os.path.join(store.replaced, "tree"))
            try:
                os.rename(tree, kept)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                kept = _free(f"{tree}.replaced")
                os.rename(tree, kept)
            yield f"{tree} was no complete installation, or others could change it; it is kept as {kept}"


def _free(path: str) -> str:
    """The path, or with the first number that makes it new."""
    return next(
        name for name in (path, *(f"{path}.{number}" for number in range(1, 10_000))) if not os.path.lexists(name)
    )


def _is_noted(store: ReleaseStore, tree: str) -> bool:
    """Whether a plain installation has become a release, and is given back by that."""
    return os.path.lexists(os.path.join(store.replaced, "npm", quote(tree, safe="")))


def note_plain(store: ReleaseStore, tree: str, version: str) -> None:
    """Notes that a plain installation has become a release."""
    folder = os.path.join(store.replaced, "npm")
    public_directories(folder)
    trees.place_link(os.path.join(folder, quote(tree, safe="")), version)


class Return(NamedTuple):
    """Something that is to be at ``path`` again: the plain installation that became the release ``version``, or, where
    that is None, what is ``kept``. ``problem`` is why it cannot be given back, and how it is had again; else empty."""

    path: str
    kept: str
    version: str | None
    problem: str


def plan_return(store: ReleaseStore) -> list[Return]:
    """What can be given back, and what cannot. Changes nothing; ``give_back`` does it."""
    trees_again = list(_plan_trees(store))
    return [*trees_again, *_plan_bin(store, trees_again)]


def give_back(store: ReleaseStore, planned: Sequence[Return]) -> None:
    """Gives back what can be, each in one step, npm's trees first, as the stable path may lead there."""
    for each in planned:
        if each.problem:
            continue
        if each.version is not None:
            _plain_again(store, each.path, each.version)
        elif os.path.islink(each.kept):
            trees.place_link(each.path, os.readlink(each.kept))
        else:
            temporary = trees.temporary_name(each.path)
            trees.remove(temporary)
            trees.link_or_copy(each.kept, temporary)
            os.rename(temporary, each.path)


def _plan_trees(store: ReleaseStore) -> Iterator[Return]:
    folder = os.path.join(store.replaced, "npm")
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(folder)):
            note = os.path.join(folder, name)
            tree, version = unquote(name), os.readlink(note)
            if os.path.islink(tree) and is_ours(store, tree):
                gone = f"its release is gone by now: npm install --global {PACKAGE}@{version} brings it back"
                yield Return(tree, note, version, "" if os.path.isdir(store.path(version)) else gone)


def _plan_bin(store: ReleaseStore, trees_again: Sequence[Return]) -> Iterator[Return]:
    kept = os.path.join(store.replaced, os.path.basename(store.bin))
    if not os.path.lexists(kept) or (os.path.lexists(store.bin) and not is_ours(store, store.bin)):
        return
    problem = ""
    if os.path.islink(kept):
        target = os.readlink(kept)
        if not _will_be(store, os.path.join(os.path.dirname(store.bin), target), trees_again):
            problem = f"it was a link to {target}, which is not there any more"
    yield Return(store.bin, kept, None, problem)


def _will_be(store: ReleaseStore, path: str, trees_again: Sequence[Return]) -> bool:
    """Whether a path leads to something that is none of ours, once npm's trees are plain again."""
    now = {}  # where that is now which a tree will have in it
    for each in trees_again:
        if each.version is not None and not each.problem:
            package = store.package(each.version)
            now[os.path.join(os.path.realpath(os.path.dirname(each.path)), os.path.basename(each.path))] = package
            now[os.path.join(package, "node_modules", store.platform.package)] = _beside(store, each.version)
    at, is_in_tree, links = "/", False, 0
    ahead = path.split("/")[::-1]
    while ahead:
        at = os.path.normpath(os.path.join(at, ahead.pop()))
        if at in now:
            at, is_in_tree = now[at], True
        elif os.path.islink(at):
            links += 1
            if links > _MOST_LINKS:
                return False
            ahead += os.readlink(at).split("/")[::-1]
            at = "/" if os.readlink(at).startswith("/") else os.path.dirname(at)
    return os.path.exists(at) and (is_in_tree or not is_ours(store, at))


def _plain_again(store: ReleaseStore, tree: str, version: str) -> None:
    """Puts a release into npm's tree as npm does, the platform package in the package."""
    copy = trees.temporary_name(tree)
    trees.remove(copy)
    trees.clone(store.package(version), copy)
    beside = _beside(store, version)
    nested = os.path.join(copy, "node_modules", store.platform.package)
    if os.path.isdir(beside) and not os.path.lexists(nested):
        for folder in (os.path.join(copy, "node_modules"), os.path.dirname(nested)):
            with contextlib.suppress(FileExistsError):
                new_directory(folder, PUBLIC_DIRECTORY)
        trees.clone(beside, nested)
    trees.exchange(copy, tree)
    trees.remove(copy)


def _beside(store: ReleaseStore, version: str) -> str:
    """Where a release has its platform package, where it has one."""
    return os.path.join(os.path.dirname(store.package(version)), os.path.basename(store.platform.package))


def is_ours(store: ReleaseStore, path: str) -> bool:
    """Whether a path leads into a release of ours."""
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(store.prefix), "releases", ""))
