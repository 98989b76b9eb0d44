# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Commands of a turn that failed as the CLI's sandbox did: the command itself never ran, and the CLI ends as if all
were well."""

from __future__ import annotations

import re
from typing import Any, Mapping

# What bubblewrap says of itself, and the CLI's helper around it, and around Landlock and seccomp in older releases.
_SAYS = re.compile(
    r"^(?:bwrap|bubblewrap|codex-linux-sandbox): "
    r"|panicked at \S*linux-sandbox/"
    r"|applying (?:legacy )?Linux sandbox restrictions"
    r"|\b(?:LandlockRestrict|LandlockRuleset|LandlockPathFd|SeccompInstall|SeccompBackend)\b"
    r"|Landlock was not able to fully enforce"
    r"|seccomp (?:setup|backend) error"
    r"|codex-linux-sandbox (?:was required|executable)"
    r"|\b(?:error|failed|invalid|unavailable|mismatch)\b.*\bbubblewrap\b|\bbubblewrap\b.*\b(?:unavailable|mismatch)\b"
)
# It is at the head of what a command says, as the command never began.
_LINES = 6
_LENGTH = 4000


class SandboxFailures:
    """Which of a turn's commands failed so, of how many, and the first one's words."""

    def __init__(self) -> None:
        self.commands = 0
        self.failed = 0
        self.words = ""

    def note(self, event: Any) -> None:
        """Looks at one event, whatever it is."""
        item = event.get("item") if isinstance(event, dict) and event.get("type") == "item.completed" else None
        if not isinstance(item, dict) or item.get("type") != "command_execution":
            return
        self.commands += 1
        words = _words(item)
        if words:
            self.failed += 1
            self.words = self.words or words


def _words(item: Mapping[str, Any]) -> str:
    """What the sandbox says in the output of a command; empty where it says nothing, or the command is about it."""
    output, command = item.get("aggregated_output"), item.get("command")
    if not isinstance(output, str) or item.get("exit_code") == 0:
        return ""
    if isinstance(command, str) and re.search("bwrap|bubblewrap|landlock|codex-linux-sandbox", command[:_LENGTH]):
        return ""
    lines = [line.strip() for line in output[:_LENGTH].splitlines() if line.strip()][:_LINES]
    for number, line in enumerate(lines):
        if _SAYS.search(line):
            return " ".join(lines[number : number + 2]) if "panicked at" in line else line
    return ""
