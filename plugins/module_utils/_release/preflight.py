# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What would stop a release from being installed on a host, all at once and before anything is changed."""

from __future__ import annotations

import os
import shutil
from typing import Iterator, Mapping, NamedTuple

from .._formats.version import is_exact, printed_version
from .._host import access
from .._host.identity import Identity
from .binary import VERSION_SECONDS, ask, this_platform
from .npm import NpmError, ready_npm
from .store import ReleaseStore

# A release takes some 400 MB, what it is unpacked from and npm's cache of that, beside it, some 150 MB more.
ROOM = 600 * 1024 * 1024


class Problem(NamedTuple):
    """``check`` is one word, for a table; ``text`` says what, where, and what to do."""

    check: str
    text: str


class Places(NamedTuple):
    """Where a release is to go; see the documentation of codex_release. ``npm`` is none where none is needed."""

    version: str
    prefix: str
    bin: str
    npm: str | None
    user: Identity


def look(places: Places, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Everything that is wrong."""
    try:
        store = ReleaseStore(places.prefix, places.bin, this_platform())
    except LookupError as error:
        yield Problem("machine", str(error))
        return
    for name, path in (("prefix", places.prefix), ("bin", os.path.dirname(places.bin))):
        parent = access.nearest_directory(path)
        blocked = access.closed_at(parent, places.user)
        if blocked:
            yield Problem(name, f"{path}: {places.user} cannot go through {blocked}: chmod a+x {blocked}")
        for problem in access.changeable(parent, (os.geteuid(),)):
            yield Problem(name, f"{path} is not safe from other users: {problem}")
        if not os.access(parent, os.W_OK):
            yield Problem(name, f"{path}: {parent} cannot be written to")
    if os.path.isdir(places.bin):
        yield Problem("bin", f"{places.bin} is a directory")
    if is_exact(places.version) and os.path.isdir(store.path(places.version)):
        return
    free = shutil.disk_usage(access.nearest_directory(places.prefix)).free
    if free < ROOM:
        yield Problem(
            "space", f"{places.prefix} has {_mib(free)} MiB free, a release needs {_mib(ROOM)} MiB: make room"
        )
    if places.npm is not None:
        try:
            with ready_npm(places.npm, environ, None, None, VERSION_SECONDS):
                pass
        except NpmError as error:
            yield Problem("npm", str(error))


def runs_now(places: Places) -> str | None:
    """The version that the stable path runs; None where it runs none."""
    if not os.path.exists(places.bin):
        return None
    try:
        done = ask(places.bin, ["--version"], places.user, VERSION_SECONDS)
    except OSError:
        return None
    return printed_version(done.stdout.decode(errors="replace"))


def _mib(size: int) -> int:
    return size // 1024 // 1024
