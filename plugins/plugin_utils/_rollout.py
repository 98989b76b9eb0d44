# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Which hosts an update moves first, and how many at a time. Ansible takes a batch of 0 for all hosts at once, and
leaves out a pattern that no host matches.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

DEFAULT_BATCHES: list[int | str] = [1, "10%", "30%", "100%"]
_NUMBER = re.compile("[1-9][0-9]{0,6}")
_SHARE = re.compile("(?:[1-9][0-9]?|100)%")


def batches(value: Any) -> list[int | str]:
    """What ``serial`` takes: numbers from 1 on, and shares from 1% to 100%. A text holds one of them, several with
    commas between them, or JSON; nothing stands for the default.

    Raises ValueError.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if value is None or value == []:
        return list(DEFAULT_BATCHES)
    return [_batch(each) for each in (value if isinstance(value, (list, tuple)) else [value])]


def _parsed(text: str) -> Any:
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError(f"codex_update_batches is no list, such as {json.dumps(DEFAULT_BATCHES)}") from None
    return [part.strip() for part in text.split(",")] if text.strip() else None


def _batch(value: Any) -> int | str:
    text = str(value)
    if not isinstance(value, bool) and isinstance(value, (int, str)):
        if _NUMBER.fullmatch(text):
            return int(text)
        if _SHARE.fullmatch(text):
            return text
    raise ValueError(
        f"each of codex_update_batches must be a number of hosts from 1 on, or a share such as 10%, not {text[:40]!r}"
    )


def canaries(named: Collection[str], pattern: str, hosts: Collection[str]) -> list[str]:
    """The hosts that ``pattern`` names, of those to update.

    Raises ValueError where there is none, or one that is not to be updated.
    """
    if not pattern.strip():
        return []
    others = [name for name in named if name not in hosts]
    if others or not named:
        what = f"{others[0]}, which is none of the hosts to update" if others else "no host of the inventory"
        raise ValueError(f"codex_update_canaries {pattern[:80]!r} names {what}")
    return list(named)
