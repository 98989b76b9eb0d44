# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What people read of a result, as terminals, logs and mails can be given it. The rest of it is data."""

from __future__ import annotations

from typing import Any

from .._formats.text import MESSAGE_LENGTH, clean

STDERR_LENGTH = 64 * 1024
FAILURE_LENGTH = 10_000
_LENGTHS = {"msg": FAILURE_LENGTH, "warnings": MESSAGE_LENGTH, "errors": MESSAGE_LENGTH, "stderr": STDERR_LENGTH}


def fit_for_people(result: dict[str, Any]) -> dict[str, Any]:
    """The result with these texts, and lists of texts, clean. A warning of Ansible's own is no text, and stays."""
    return {name: _clean(value, _LENGTHS[name]) if name in _LENGTHS else value for name, value in result.items()}


def _clean(value: Any, length: int) -> Any:
    if isinstance(value, list):
        return [_clean(each, length) for each in value]
    return clean(value, length) if isinstance(value, str) else value
