# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Takes all releases away, and gives back what they replaced.

In an order that a killed run can be gone on with: first what others use is given back or removed, then what it led to,
last the lock.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from .._host import trees
from .replaced import give_back, is_ours, plan_return
from .store import ReleaseError, ReleaseStore

_OURS = ("releases", "staging", "npm-root", "rollback", "unconfirmed", "replaced", "lock")


class Uninstalled(NamedTuple):
    """What was done, or in check mode would be. ``given_back`` are paths."""

    changed: bool
    given_back: list[str]
    warnings: list[str]


def uninstall(store: ReleaseStore, force: bool, timeout: float, check: bool) -> Uninstalled:
    """Raises ReleaseError where a process runs a release, unless ``force``; OSError."""
    places = [
        *map(trees.temporary_name, (store.bin, *store.trees())),
        *(os.path.join(store.prefix, name) for name in _OURS),
    ]
    if not any(map(os.path.lexists, places)) and store.active() is None:
        return Uninstalled(False, [], [])
    _refuse_in_use(store, force)
    if check:
        planned, gone = plan_return(store), {*places, *_links(store)}
    else:
        with store.locked(timeout):
            _refuse_in_use(store, force)
            planned, gone = plan_return(store), set()
            give_back(store, planned)
            for path in _links(store):
                os.unlink(path)
                if path != store.bin:
                    with contextlib.suppress(OSError):  # something else of @openai is there
                        os.rmdir(os.path.dirname(path))
            for place in places:
                trees.remove(place)
    warnings = [f"{each.path} is not given back: {each.problem}" for each in planned if each.problem]
    with contextlib.suppress(FileNotFoundError):
        left = sorted(name for name in os.listdir(store.prefix) if os.path.join(store.prefix, name) not in gone)
        if left:
            warnings.append(f"{store.prefix} stays, as {left[0]} in it is none of ours")
        elif not check:
            os.rmdir(store.prefix)
    return Uninstalled(True, [each.path for each in planned if not each.problem], warnings)


def _links(store: ReleaseStore) -> list[str]:
    """The stable path and npm's trees, where they lead to us."""
    return [path for path in (store.bin, *store.trees()) if os.path.islink(path) and is_ours(store, path)]


def _refuse_in_use(store: ReleaseStore, force: bool) -> None:
    users = {version: count for version, count in store.users().items() if count}
    if users and not force:
        shown = " and ".join(sorted(users))
        raise ReleaseError(
            f"{sum(users.values())} process(es) run {shown}, turns perhaps, and nothing was removed: wait for them to "
            "end, or set force, with which what they start from now on fails"
        )
