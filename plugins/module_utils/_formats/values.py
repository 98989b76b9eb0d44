# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What the values of options may be, whatever module they are of. Each raises ValueError with one line that tells."""

from __future__ import annotations

_MOST_SECONDS = 1_000_000  # eleven days; the system's own waits end at 24
_LONGEST_PATH = 4095  # of Linux, in bytes
_LONGEST_NAME = 255


def check_path(option: str, path: str) -> None:
    """An absolute path that any tool, log and shell can name."""
    if not path.startswith("/"):
        raise ValueError(f"{option} must be an absolute path, not {_shown(path)}")
    encoded = path.encode(errors="surrogateescape")
    if len(encoded) > _LONGEST_PATH or any(len(part) > _LONGEST_NAME for part in encoded.split(b"/")):
        raise ValueError(f"{option} {_shown(path)} is longer than a path can be")
    check_line(option, path)


def check_line(option: str, text: str) -> None:
    """A text without control characters, which would end a line, a file's name or a terminal's patience."""
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValueError(f"{option} must hold no control characters, as {_shown(text)} does")


def check_seconds(option: str, seconds: int) -> None:
    if not 0 < seconds <= _MOST_SECONDS:
        number = str(seconds) if abs(seconds) <= _MOST_SECONDS else "a number of more digits"
        raise ValueError(f"{option} must be from 1 to {_MOST_SECONDS} seconds, not {number}")


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else f"{text[:80]}...")
