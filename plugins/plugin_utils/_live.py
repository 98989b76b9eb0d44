# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Live events for programs: a file of JSON lines that the turns of many forks, and of many runs, append to at once."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any


class LiveFile:
    """The file, open for appending, for its user alone. ``about`` is in each line: which turn it is of.

    Raises OSError for what cannot be opened, ValueError for a file that is not its user's own.
    """

    def __init__(self, path: str, about: Mapping[str, Any]) -> None:
        self.problem: str | None = None
        self._about = about
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        try:
            info = os.fstat(self._file)
            if not stat.S_ISREG(info.st_mode):
                raise ValueError(f"{path} is not a regular file")
            if info.st_uid != os.geteuid():
                raise ValueError(f"{path} belongs to UID {info.st_uid}, not to UID {os.geteuid()}: name another file")
            os.fchmod(self._file, 0o600)
        except BaseException:
            os.close(self._file)
            raise

    def append(self, line: Mapping[str, Any]) -> None:
        """Adds a line, with the time of this machine. Lines of others come before or after it, never into it: it is
        appended by one system call. What cannot be written is in ``problem``, and nothing is written any more."""
        if self.problem is not None:
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = json.dumps({"time": time, **self._about, **line}).encode() + b"\n"
        try:
            if os.write(self._file, text) < len(text):
                self.problem = "a line was cut off"
        except OSError as error:
            self.problem = str(error.strerror)

    def __enter__(self) -> LiveFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)
