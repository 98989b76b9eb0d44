# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What Codex leaves in its databases for ever: rows of sessions without a file, write-ahead logs, and room that nothing
takes any more. Runs as the owner of a HOME."""

from __future__ import annotations

import os
import time
from typing import Callable

from .._formats.text import counted
from .._formats.units import format_size
from .codex_databases import StateDatabases
from .codex_store import CodexStore
from .sqlite import Strange, Unavailable

_DAY = 86400.0
_LOG_AGE = 3600.0
# What giving back room may take in one of Codex's directories.
GIVE_BACK_SECONDS = 20.0


class Upkeep:
    """One store, once: ``swept`` and ``swept_bytes`` say what went, ``problems`` what did not. ``now`` is seconds since
    the epoch."""

    def __init__(self, store: CodexStore, databases: Callable[[], StateDatabases], now: float, dry_run: bool) -> None:
        self._store = store
        self._databases = databases
        self._now = now
        self._dry_run = dry_run
        self.problems: list[str] = []
        self.swept = self.swept_bytes = 0

    def run(self) -> None:
        works = (
            (self._forget_orphans, "rows of sessions without a file may stay"),
            (self._checkpoint, "write-ahead logs stay"),
            (self._give_back, "room that databases do not need stays"),
        )
        try:
            with self._databases() as state:
                for work, stays in works:
                    try:
                        work(state)
                    except (OSError, Strange, Unavailable) as error:
                        self.problems.append(f"codex: {stays}: {error}")
        except (FileNotFoundError, NotADirectoryError):
            return  # there are none
        except (OSError, Strange, Unavailable) as error:
            self.problems.append(f"codex: {works[0][1]}: {error}")

    def _forget_orphans(self, state: StateDatabases) -> None:
        """Removes the rows of sessions without a file that were last noted a day ago or more: somebody else removed the
        file, or a turn that began while it went noted it again."""
        stay = 0
        for listed in state.listed_before(self._now - _DAY):
            # Nearly every one has its file where it was noted, and none is looked for anywhere else.
            orphans = self._store.without_rollout({thread for thread, path in listed if not os.path.lexists(path)})
            if state.strange:
                stay += len(orphans)
                continue
            if orphans and not self._dry_run:
                with self._store.closed():
                    orphans = self._store.without_rollout(orphans) - self._store.in_use()
                    state.forget(orphans)
            self.swept += len(orphans)
        if stay:
            self.problems.append(f"codex: rows of {counted(stay, 'session')} without a file stay: {state.strange}")

    def _checkpoint(self, state: StateDatabases) -> None:
        logs = state.forgotten_logs(self._now - _LOG_AGE)
        if logs and not self._dry_run:
            state.checkpoint()
        self._note(logs)

    def _give_back(self, state: StateDatabases) -> None:
        before = state.room()
        if before and not self._dry_run:
            state.give_back(time.monotonic() + GIVE_BACK_SECONDS)
            left = state.room()
            if left:
                stay = f"codex: {format_size(sum(left))} that databases do not need stay"
                self.problems.append(f"{stay}: {GIVE_BACK_SECONDS:.0f} s did not suffice. The next run goes on")
                before = [sum(before) - sum(left)]
        self._note(before)

    def _note(self, sizes: list[int]) -> None:
        self.swept += len(sizes)
        self.swept_bytes += sum(sizes)
