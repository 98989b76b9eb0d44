# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Begins one run of the Codex CLI. ``run``, which reads what it says, is imported while it starts: the bench row exec
shows what that saves."""

from __future__ import annotations

import time
from typing import NamedTuple, Sequence

from .argv import well_formed
from .bounds import Bounds
from .child import Command, Started, start
from .options import TurnOptions
from .tenant import Tenant


class Turn(NamedTuple):
    """Everything that a supervisor needs for one turn."""

    options: TurnOptions
    tenant: Tenant
    argv: list[str]
    env: dict[str, str]
    images: tuple[str, ...]
    schema_file: str | None
    events_fd: int | None


class Begun(NamedTuple):
    """A run that was begun, at ``at`` (monotonic seconds). ``started`` is the CLI, or why there is none."""

    argv: list[str]
    at: float
    bounds: Bounds
    started: Started | OSError | ValueError


def begin(turn: Turn, argv: list[str]) -> Begun:
    """Starts the CLI by ``argv``. The caller ends its bounds."""
    at = time.monotonic()
    bounds = Bounds(turn.options, turn.tenant)
    started: Started | OSError | ValueError
    try:
        started = start(_command(turn, argv, bounds))
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        started = error
    return Begun(argv, at, bounds, started)


def _command(turn: Turn, argv: Sequence[str], bounds: Bounds) -> Command:
    return Command(
        argv=argv,
        env=turn.env,
        stdin=well_formed(turn.options.prompt).encode(),
        cwd=turn.tenant.home,
        identity=turn.tenant.identity,
        umask=None if turn.tenant.home is None else 0o077,
        limits=bounds.limits,
        cgroup=bounds.cgroup,
        contained=turn.tenant.identity is not None,
    )
