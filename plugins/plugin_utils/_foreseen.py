# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What the cron job of the pruner would be refused for, seen from a host's variables before a deploy changes a host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.alive.codex.plugins.module_utils._sessions import job
from ansible_collections.alive.codex.plugins.module_utils._sessions.options import OPTIONS, rules_of

PREFIX = "codex_prune_"
# Where the role has a default of its own, one that is in order too.
_SPEC: dict[str, dict[str, Any]] = {
    **OPTIONS,
    "minute": {"type": "str", "default": "0"},
    "hour": {"type": "str", "default": "1"},
    "weekday": {"type": "str", "default": "*"},
    "mailto": {"type": "str", "default": "root"},
    "python": {"type": "path", "default": "/usr/bin/python3"},
}


def problem_of_pruner(variables: Mapping[str, Any]) -> str | None:
    """A sentence, which names the variable; None where all that is given is in order, or there is to be no job."""
    given = {}
    for name in ("state", *_SPEC):
        try:
            if PREFIX + name in variables:
                given[name] = variables[PREFIX + name]
        except Exception:  # a template that cannot be filled in here, which the role itself tells
            continue
    if given.pop("state", "present") != "present" or not given:
        return None
    if not given.get("archive"):
        given.pop("archive", None)  # as the role does
    done = ArgumentSpecValidator(_SPEC).validate(given)
    if done.error_messages:
        return f"{PREFIX}*: {'; '.join(done.error_messages)}"
    params = done.validated_parameters
    try:
        rules_of(params)
        job.crontab(job.Schedule(*(params[name] or "" for name in job.Schedule._fields)), params["python"], "/", "/")
    except ValueError as error:
        return f"{PREFIX}{error}"
    return None
