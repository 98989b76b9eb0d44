# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What the stores of sessions have in common. Runs as the owner of a HOME."""

from __future__ import annotations

import os
import re
from typing import Tuple

from .._host.safefs import printable
from .home import Home
from .plan import UUID

# A session, or a part of one: its id, last activity, bytes, and paths below HOME.
Entry = Tuple[str, float, int, Tuple[str, ...]]
# What is named by a session's id, whole or in front.
NAMED = re.compile(rf"({UUID.pattern})(?:[-.].*)?")


class Store:
    """The sessions in ``root``, a directory below HOME. ``problems`` says what of it cannot be looked at."""

    name = ""

    def __init__(self, home: Home, root: str) -> None:
        self.home = home
        self.root = root
        # Both CLIs may have been told to use one directory.
        self.key = f"{self.name}:{root}"
        self.problems: list[str] = []

    def names(self, directory: str = "") -> list[str]:
        """What is in a directory of the store, nothing where it does not exist; a problem where it is something else
        than a directory of the tenant's own."""
        return os.listdir(self.home.directory(self.path(directory))) if self.is_there(directory) else []

    def is_there(self, directory: str) -> bool:
        """Whether a directory of the store exists; a problem where it, or the store's own, is something else."""
        for path in (self.root, self.path(directory)):
            try:
                if not self.home.is_own(path):
                    return False
            except OSError as error:
                self.problem(path, error)
                return False
        return True

    def path(self, directory: str) -> str:
        """Its path below HOME."""
        return f"{self.root}/{directory}" if directory else self.root

    def problem(self, path: str, error: OSError) -> None:
        text = f"{printable(path)}: {error.strerror}: what is there is neither counted nor pruned"
        if text not in self.problems:
            self.problems.append(text)
