# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Codex's sessions that are just being removed, put where no turn finds them. Runs as the owner of a HOME."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Iterable

from .home import Home, split
from .plan import ROLLOUT, UUID

_NAME = ".alive-codex-aside"
# Stands in the name of a file that is aside for what separates directories: no path of a session has one.
_SLASH = ","
_PART = re.compile(rf"(?:(?:archived_)?sessions(?:,[0-9]+)*|generated_images),(?:{ROLLOUT.pattern}|{UUID.pattern})")


class Aside:
    """The place of one of Codex's directories, ``root``. Paths are below HOME, in there. OSError where a file cannot be
    moved."""

    def __init__(self, home: Home, root: str) -> None:
        self.place = f"{root}/{_NAME}"
        self._home = home
        self._root = root
        self._here = Home(home.fd)  # apart, as two directories are open at a time

    def put(self, parts: Iterable[str]) -> None:
        """Moves a session there, whole or not at all."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(_NAME, 0o700, dir_fd=self._home.directory(self._root))
        moved = []
        try:
            for part in parts:
                above, name = split(part)
                here = self._here.directory(self.place)
                os.rename(name, self._named(part), src_dir_fd=self._home.directory(above), dst_dir_fd=here)
                moved.append(part)
        except BaseException:
            self.bring_back(moved)
            raise

    def bring_back(self, parts: Iterable[str]) -> None:
        """Moves a session to where it was."""
        for part in parts:
            above, name = split(part)
            self._make(above)
            here = self._here.directory(self.place)
            os.rename(self._named(part), name, src_dir_fd=here, dst_dir_fd=self._home.directory(above))

    def _make(self, path: str) -> None:
        """Makes the directories of a path that somebody has removed meanwhile."""
        made = ""
        for name in path.split("/"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=self._home.directory(made))
            made = f"{made}/{name}" if made else name

    def remove(self, parts: Iterable[str]) -> None:
        for part in parts:
            self._home.remove(f"{self.place}/{self._named(part)}")

    def end(self) -> None:
        """Brings back what a run that was killed has left there, and removes the place. OSError where some stays."""
        failed: OSError | None = None
        for name in filter(_PART.fullmatch, self._here.names(self.place)):
            try:
                self.bring_back([f"{self._root}/{name.replace(_SLASH, '/')}"])
            except OSError as error:
                failed = error
        if failed:
            raise failed
        with contextlib.suppress(OSError):
            os.rmdir(_NAME, dir_fd=self._home.directory(self._root))

    def _named(self, part: str) -> str:
        return part[len(self._root) + 1 :].replace("/", _SLASH)
