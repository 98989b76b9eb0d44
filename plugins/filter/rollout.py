# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order an update moves its hosts. A file beside this documents each."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.alive.codex.plugins.plugin_utils import _rollout


def rollout_batches(value: Any) -> list[int | str]:
    try:
        return _rollout.batches(value)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from None


def rollout_canaries(named: Collection[str], pattern: Any, hosts: Collection[str]) -> list[str]:
    try:
        return _rollout.canaries(named, str(pattern), hosts)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rollout_batches": rollout_batches, "rollout_canaries": rollout_canaries}
