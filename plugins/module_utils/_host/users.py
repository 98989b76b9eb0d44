# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The host's users, found by the thousand.

Looking users up one by one reads the whole of /etc/passwd each time.
"""

from __future__ import annotations

import pwd

from . import identity


class Users:
    """The users of this host, as they were when this was made."""

    def __init__(self) -> None:
        entries = pwd.getpwall()
        self._by_name = {entry.pw_name: entry for entry in entries}
        self._by_uid = {entry.pw_uid: entry for entry in reversed(entries)}

    def named(self, name: str) -> identity.Identity | None:
        """The user of that name; directories that do not enumerate their users are asked too."""
        entry = self._by_name.get(name)
        if entry is None:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                return None
        return identity.Identity(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)

    def numbered(self, uid: int, gid: int | None) -> identity.Identity:
        """Whoever has that UID, a passwd entry or not."""
        if gid is not None:
            return identity.Identity(uid, gid)
        entry = self._by_uid.get(uid)
        return identity.Identity(uid, entry.pw_gid) if entry else identity.identity_of(uid)
