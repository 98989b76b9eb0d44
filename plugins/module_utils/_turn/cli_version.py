# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Which version of the CLI a turn is going to run."""

from __future__ import annotations

import time

from .._formats.version import printed_version
from .._host.access import changeable
from .._host.process import bare_environment, run
from .child import Command, start
from .supervise import Caller, supervise
from .tenant import Tenant

# The CLI takes 5 ms to print its version.
VERSION_SECONDS = 20
VERSION_BYTES = 64 * 1024


def cli_version(codex_path: str, tenant: Tenant) -> str | None:
    """The CLI's version, None where it cannot be had. A program that is not root's alone is held as a turn is."""
    runner = tenant.runner()
    argv = [codex_path, "--version"]
    env = bare_environment(runner, tenant.home or runner.home or "/")
    try:
        if tenant.identity is not None and any(changeable(codex_path, ())):
            printed = _printed_by_theirs(Command(argv, env, cwd="/", identity=runner, umask=0o077, contained=True))
        else:
            printed = run(argv, env, VERSION_SECONDS, tenant.identity).stdout
    except (OSError, ValueError):  # ValueError: a NUL in its path
        return None
    return printed_version(printed.decode("utf-8", "replace"))


def _printed_by_theirs(command: Command) -> bytes:
    """What a tenant's program prints, as far as somebody should look at it.

    Raises as ``start``.
    """
    deadline = time.monotonic() + VERSION_SECONDS
    printed = b""

    def take(chunk: bytes) -> str | None:
        nonlocal printed
        printed += chunk
        return "overlong" if len(printed) > VERSION_BYTES else None

    def tend() -> tuple[str | None, float]:
        left = deadline - time.monotonic()
        return ("timeout" if left <= 0 else None), max(left, 0)

    supervise(start(command), Caller(take, lambda _chunk: None, tend))
    return printed
