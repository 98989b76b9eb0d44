# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""``codex delete``, which removes a session with its rows, whatever its databases are like. Runs as the owner of a
HOME, in a process of its own.

That process adopts what the CLI leaves behind, and kills it. A turn is in a PID namespace, which only root can make:
not who has dropped to the owner for good, and has to see in the host's /proc what other processes have open.
"""

from __future__ import annotations

import sys
import time
from typing import Mapping

from .._host.identity import current_identity
from .._host.linux import become_subreaper
from .._host.process import bare_environment, kill_descendants, run
from .._host.safefs import printable

# What one call may take, all calls in one HOME together, and how many in a row may fail.
CALL_SECONDS = 30.0
SECONDS = 240.0
FAILURES = 5


class CodexDelete:
    """The CLI at the path ``codex`` in the HOME ``home``, with ``more`` in its environment. Its time runs from now."""

    def __init__(self, codex: str, home: str, more: Mapping[str, str]) -> None:
        self._codex = codex
        self._home = home
        self._environment = {**bare_environment(current_identity(), home), **more}
        self._deadline = time.monotonic() + SECONDS
        self._said = ""
        self._failures = 0
        self._deleted = 0
        become_subreaper()

    def delete(self, session: str) -> bool:
        """Whether it removed what is left of the session."""
        try:
            try:
                end = run([self._codex, "delete", "--force", session], self._environment, CALL_SECONDS)
            finally:
                survivors = kill_descendants()
        except OSError as error:
            return self._failed(str(error))
        except ImportError as error:  # one that only who started us can read
            return self._failed(f"{sys.executable} cannot be read by the owner of {self._home}: {error}")
        if survivors:
            return self._failed(f"left processes that cannot be killed: {survivors}")
        if end.timed_out:
            return self._failed(f"took more than {CALL_SECONDS:.0f} s")
        if end.rc:
            lines = end.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            return self._failed(printable(lines[-1][-200:]))
        self._failures = 0
        self._deleted += 1
        return True

    def _failed(self, why: str) -> bool:
        self._said = why
        self._failures += 1
        return False

    @property
    def is_over(self) -> bool:
        """Whether there is no use in going on."""
        return self._failures >= FAILURES or self._is_late()

    def __str__(self) -> str:
        """Why it did not remove all, for a person."""
        if self._failures < FAILURES and self._is_late():
            return f"{self._codex} delete came as far as {self._deleted} in the {SECONDS:.0f} s that it has"
        return f"{self._codex} delete fails ({self._said})"

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline
