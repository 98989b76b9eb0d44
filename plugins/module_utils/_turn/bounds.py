# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""How much of the host a turn may use at once: processes, and memory."""

from __future__ import annotations

import os
import resource
from typing import Mapping

from .._formats.units import format_size, parse_part
from .._host.memory_group import MemoryGroup
from .options import TurnOptions
from .tenant import Tenant


class Bounds:
    """What one run of the CLI is bounded by: its ``limits``, by the numbers of the ``resource`` module, and the cgroup
    that it enters by the file ``cgroup``, None for none, which is there until the end."""

    def __init__(self, options: TurnOptions, tenant: Tenant) -> None:
        self.limits: Mapping[int, int] = options.limits
        self.cgroup: str | None = None
        self.warnings: list[str] = []
        self.killed = 0
        self._memory: int | None = None
        self._group: MemoryGroup | None = None
        if tenant.home is None:
            return  # a turn of the caller's own, with whatever limits the caller has
        if options.max_processes and resource.RLIMIT_NPROC not in self.limits:
            _soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
            most = options.max_processes if hard == resource.RLIM_INFINITY else min(options.max_processes, hard)
            self.limits = {**self.limits, resource.RLIMIT_NPROC: most}
        if tenant.identity is None:
            return
        self._memory = parse_part(options.max_memory, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        if self._memory is None:
            return
        try:
            self._group = MemoryGroup(self._memory)
            self.cgroup = self._group.entrance
        except OSError as error:
            self.warnings.append(
                f"max_memory is not in force, as the turn cannot have a cgroup of its own ({error.strerror}): have "
                "the memory controller mounted writable on this host, or give max_memory: 0"
            )

    def end(self) -> None:
        """Once nothing runs in it any more."""
        if self._group is not None:
            self.killed = self._group.killed()
            self._group.remove()
        if self.killed:
            self.warnings.append(f"{self.reached()}, and the kernel killed {self.killed} of its processes")

    def reached(self) -> str:
        """What happened where the kernel has ``killed``."""
        return f"the turn reached its max_memory of {format_size(self._memory or 0)}"

    def in_force(self) -> dict[str, int | None]:
        """By the names of the options."""
        return {
            "max_processes": self.limits.get(resource.RLIMIT_NPROC),
            "max_memory": None if self._group is None else self._memory,
        }
