# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""A limit on how many processes of one run do something at once.

A slot is a file with a lock, which the kernel frees when its process ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator

from ansible_collections.alive.codex.plugins.module_utils._host.locks import POLL, try_lock


@contextlib.contextmanager
def taken(directory: str, what: str, limit: int) -> Iterator[None]:
    """Holds one of ``limit`` slots for ``what`` during the block; waits until one is free. Processes that share
    ``directory`` share the slots."""
    name = hashlib.sha256(what.encode(errors="surrogateescape")).hexdigest()[:16]
    files = [os.open(f"{directory}/{name}.{n}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for n in range(limit)]
    try:
        while not any(map(try_lock, files)):
            time.sleep(POLL)
        yield
    finally:
        for file in files:
            os.close(file)
