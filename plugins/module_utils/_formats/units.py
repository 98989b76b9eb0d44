# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Ages, sizes and times as people write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import NoReturn

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST = datetime(1, 1, 1, tzinfo=timezone.utc)
_LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
# As many digits as a float holds: more make no sense, and too many an error of Python's own.
_AGE = re.compile(r"([0-9]{1,15})([smhdw])")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)

_SHARE = re.compile(r"([0-9]{1,15})%")


def parse_age(text: str) -> float | None:
    """Seconds in ``30d``, ``12h``, ``45m``, ``90s`` or ``2w``; None for ``0``, which is off.

    Raises ValueError.
    """
    if text.strip() == "0":
        return None
    match = _AGE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text[:40]!r} is not an age: give a number with s, m, h, d or w, such as 30d, or 0 for off")
    return float(int(match.group(1)) * _SECONDS[match.group(2)] or _refuse_none(text, "an age", "1s"))


def parse_size(text: str) -> int | None:
    """Bytes in ``10G``, ``1.5 GiB``, ``500MB`` or ``4096`` (K is 1024); None for ``0``, which is off. Raises
    ValueError."""
    if text.strip() == "0":
        return None
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text[:40]!r} is not a size: give a number with K, M, G or T, such as 10G, or 0 for off")
    return int(float(match.group(1)) * _BYTES[match.group(2).upper()]) or _refuse_none(text, "a size", "1K")


def _refuse_none(text: str, what: str, least: str) -> NoReturn:
    """One reader takes a 0 with a unit for off, another for nothing at all."""
    raise ValueError(f"{text[:40]!r} is {what} of nothing: give 0 alone for off, or {least} for next to nothing")


def parse_part(text: str, whole: int) -> int | None:
    """Bytes in a share of ``whole``, such as ``50%``, or in what ``parse_size`` takes; None for ``0``, which is off.

    Raises ValueError.
    """
    share = _SHARE.fullmatch(text.strip())
    if not share:
        return parse_size(text)
    if not 0 < int(share.group(1)) <= 100:
        raise ValueError(f"{text[:40]!r} is not a share: give 1% to 100%")
    return whole * int(share.group(1)) // 100


def format_size(count: int) -> str:
    """``1.5 GiB``; below a KiB, ``12 B``."""
    if count < 1024:
        return f"{count} B"
    size, units = count / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.1f} {units[0]}"


def format_time(seconds: float) -> str:
    """``2026-11-27T09:30:00Z``, of seconds since the epoch. Files can have times before the year 1 and after 9999:
    those become the nearest time that can be written so."""
    try:
        time = _EPOCH + timedelta(seconds=int(seconds))
    except OverflowError:
        time = _LAST if seconds > 0 else _FIRST
    return time.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)
