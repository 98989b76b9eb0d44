# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""File descriptors: reading one and writing to one, to the end, and leaving none open."""

from __future__ import annotations

import contextlib
import os
from typing import Collection, Iterator

from . import linux

_HIGHEST = 2**31 - 1


def pieces(fd: int, size: int) -> Iterator[bytes]:
    """What can be read of it, to its end, ``size`` bytes at a time.

    Raises OSError.
    """
    return iter(lambda: os.read(fd, size), b"")


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Writes all of it.

    Raises OSError, after part of it perhaps.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def close_all_but(kept: Collection[int]) -> None:
    """Closes every descriptor of this process that is not among ``kept``."""
    bounds = sorted({-1, *kept, _HIGHEST + 1})
    try:
        for below, above in zip(bounds, bounds[1:]):
            if above > below + 1:
                linux.close_range(below + 1, above - 1)
    except OSError:  # an older kernel has no such call
        for fd in map(int, os.listdir("/proc/self/fd")):
            if fd not in kept:
                with contextlib.suppress(OSError):  # the listing's own has gone already
                    os.close(fd)
