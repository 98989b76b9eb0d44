# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The host's users, found by the thousand.

Looking users up one by one reads the whole of /etc/passwd each time.
"""

from __future__ import annotations

import pwd

from . import process


class Users:
    """The users of this host, as they were when this was made."""

    def __init__(self) -> None:
        entries = pwd.getpwall()
        self._by_name = {entry.pw_name: entry for entry in entries}
        self._by_uid = {entry.pw_uid: entry for entry in reversed(entries)}

    def named(self, name: str) -> process.Identity | None:
        """The user of that name; directories that do not enumerate their users are asked too."""
        entry = self._by_name.get(name)
        if entry is None:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                return None
        return process.Identity(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)

    def numbered(self, uid: int, gid: int | None) -> process.Identity:
        """Whoever has that UID, a passwd entry or not."""
        if gid is not None:
            return process.Identity(uid, gid)
        entry = self._by_uid.get(uid)
        return process.Identity(uid, entry.pw_gid) if entry else process.identity_of(uid)
