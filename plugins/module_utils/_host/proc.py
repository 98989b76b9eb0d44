# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Which files processes hold open."""

from __future__ import annotations

import contextlib
import os
import re


def open_names(pattern: re.Pattern[str], proc: str = "/proc") -> dict[int, set[str]]:
    """Per UID, what ``pattern`` finds in the paths of the files that its processes have open, as far as this process
    may look. Reads links only: nothing of a tenant's file system is touched."""
    found: dict[int, set[str]] = {}
    for pid in filter(str.isdecimal, os.listdir(proc)):
        try:
            uid = os.stat(f"{proc}/{pid}").st_uid
            for fd in os.listdir(f"{proc}/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found.setdefault(uid, set()).update(pattern.findall(os.readlink(f"{proc}/{pid}/fd/{fd}")))
        except OSError:
            continue  # it has ended, or is not ours to look at
    return {uid: names for uid, names in found.items() if names}
