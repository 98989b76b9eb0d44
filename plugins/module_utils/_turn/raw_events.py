# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The whole stream of a turn, kept in a file for the tenant: as much of it as the tenant itself could write there."""

from __future__ import annotations

import errno
import os
from typing import Sequence

from .._host.descriptors import write_all
from .._host.identity import Identity, acting_as

# A longer line is not copied to have its end appended.
_COPIED_BYTES = 64 * 1024


class RawEvents:
    """``fd`` is the open, empty file, ``writer`` the tenant (None: whoever this process is), ``limit`` the bytes that
    a file of the turn may have (None: any). ``error`` says what is missing, once something is."""

    def __init__(self, fd: int, writer: Identity | None, limit: int | None) -> None:
        self.error: str | None = None
        self._fd = fd
        self._writer = writer or Identity(os.geteuid(), os.getegid())
        self._limit = limit
        self._size = 0

    def keep(self, lines: Sequence[bytes]) -> None:
        """Appends these lines, which come without their ends. After an error, nothing more."""
        if self.error is not None or not lines:
            return
        try:
            with acting_as(self._writer):
                for line in lines:
                    for piece in (line + b"\n",) if len(line) < _COPIED_BYTES else (line, b"\n"):
                        self._append(piece)
        except OSError as error:
            self.error = f"events_path is incomplete: {error.strerror}"

    def _append(self, piece: bytes) -> None:
        """As write(2) does under RLIMIT_FSIZE, which is the turn's and not this process's."""
        room = len(piece) if self._limit is None else self._limit - self._size
        write_all(self._fd, memoryview(piece)[:room])
        self._size += min(room, len(piece))
        if room < len(piece):
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
