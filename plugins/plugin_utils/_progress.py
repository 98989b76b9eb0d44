# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Counts what the processes of one run have done, each on its own: how many of how many is known to none of them."""

from __future__ import annotations

import fcntl
import hashlib
import os


def one_more(directory: str, what: str) -> int:
    """How many of ``what`` are done, this one included. Processes that share ``directory`` count together."""
    name = hashlib.sha256(what.encode(errors="surrogateescape")).hexdigest()[:16]
    file = os.open(f"{directory}/{name}.done", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.write(file, b".")
        return os.fstat(file).st_size
    finally:
        os.close(file)
