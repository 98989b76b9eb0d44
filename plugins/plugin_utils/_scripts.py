# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What the control node runs on a target for a turn: its half of ``module_utils/_turn/lease``, as shell scripts."""

from __future__ import annotations

import shlex

from ansible_collections.alive.codex.plugins.module_utils._turn.lease import SECRETS_SECONDS
from ansible_collections.alive.codex.plugins.module_utils._turn.options import POLL_SECONDS

# What a poll exits with where it finds no directory, and where it finds a dead supervisor.
RC_GONE = 44
RC_DEAD = 45


def secrets_script() -> str:
    """Reads a text from standard input, offers it on a FIFO for a minute, and prints the FIFO's path. The text stays
    in the memory of a shell, for a module whose own arguments would be written to a file."""
    return (
        "umask 077; secret=$(cat); directory=$(mktemp -d /tmp/alive-codex-XXXXXXXX) || exit; "
        'mkfifo -m 600 "$directory/secrets" || exit; '
        f'( trap \'\' HUP; printf %s "$secret" | timeout {SECRETS_SECONDS} sh -c \'cat >"$1"\' - "$directory/secrets"; '
        'rm -rf "$directory" ) >/dev/null 2>&1 & '
        'echo "$directory/secrets"'
    )


def poll_script(directory: str, number: int) -> str:
    """Renews the lease, waits for something to tell, and prints it: JSON objects, a line each, the result last."""
    return (
        f"umask 077; cd {shlex.quote(directory)} 2>/dev/null || exit {RC_GONE}; "
        f"echo {number} >lease; "
        "read -r pid <pid; "
        f'[ -e result ] || kill -0 "$pid" 2>/dev/null || {{ cat thread 2>/dev/null; exit {RC_DEAD}; }}; '
        f"[ -e result ] || timeout {POLL_SECONDS} cat live; "
        "[ ! -e result ] || cat result"
    )


def end_script(directory: str) -> str:
    """Cancels the turn, or lets the supervisor go whose result has been fetched, and waits until nothing is left."""
    place = shlex.quote(directory)
    # No program is started but rm where the result is there: each costs the task what it takes (bench row exec).
    return (
        f"cd {place} 2>/dev/null || exit 0; read -r pid <pid; "
        f'kill -TERM "$pid" 2>/dev/null; [ ! -e result ] || rm -rf {place}; '
        f'i=0; while {{ [ -e {place} ] || kill -0 "$pid" 2>/dev/null; }} && [ $i -lt 300 ]; '
        "do sleep 0.01; i=$((i+1)); done"
    )


def cleanup_script(directory: str) -> str:
    """Removes what a supervisor left that was killed. Its PID may be another process's by now."""
    return f"rm -rf {shlex.quote(directory)}"
