# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The state of a fleet as one document, from what the tasks of the playbook ``status`` registered on each host.

``playbooks/files/status.schema.json`` is its schema. Whatever a host says, a document that does not fit the schema is
never made.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.alive.codex.plugins.module_utils._formats.text import counted
from ansible_collections.alive.codex.plugins.module_utils._formats.units import format_time
from ansible_collections.alive.codex.plugins.module_utils._formats.version import DEFAULT, is_exact

SCHEMA_VERSION = 1
# No text in the document is longer, in characters.
LONGEST = 1000

# Under these names the playbook registers what it asks each host.
VALIDATION = "codex_status_validation"
SESSIONS = "codex_status_sessions"
DISK = "codex_status_disk"
PRUNE = "codex_status_prune"


def document(
    found: Mapping[str, Mapping[str, Any]], hosts: Sequence[str], available: Mapping[str, Any], now: float
) -> dict[str, Any]:
    """The document. ``found`` has each host's variables, ``available`` the result of asking the registry, ``now`` is in
    seconds since the epoch."""
    newest = _text(available.get("version")) or None
    described = [_host(host, found[host], newest) for host in hosts]
    return {
        "schema_version": SCHEMA_VERSION,
        "generated": format_time(now),
        "available": {
            "version": newest,
            "problem": None if newest else _text(available.get("msg")) or "the registry was not asked",
        },
        "totals": {
            "hosts": len(described),
            "unreachable": sum(host["state"] == "unreachable" for host in described),
            "with_problems": sum(host["state"] == "problems" for host in described),
            **{key: sum(host["totals"][key] for host in described) for key in ("workspaces", "sessions", "bytes")},
        },
        "hosts": described,
    }


def _host(name: str, found: Mapping[str, Any], newest: str | None) -> dict[str, Any]:
    validation, survey = _mapping(found.get(VALIDATION)), _mapping(found.get(SESSIONS))
    wanted = _text(found.get("codex_cli_version") or DEFAULT)
    if wanted == "latest" and newest:
        wanted = newest
    installed = _text(validation.get("version")) or None
    unreachable = bool(validation.get("unreachable"))
    workspaces = [_workspace(each) for each in _list(survey.get("workspaces"))]
    prune = _last_prune(_mapping(found.get(PRUNE)))
    problems = []
    if unreachable:
        problems.append(_text(validation.get("msg")) or "the host is unreachable")
    else:
        problems += [_text(each) for each in _list(validation.get("problems"))]
        if "checks" not in validation:
            problems.append(f"the binary was not validated: {_why(validation)}")
        elif installed and is_exact(wanted) and installed != wanted:
            problems.append(f"{installed} is installed, {wanted} is wanted")
        if "totals" not in survey:
            problems.append(f"the workspaces were not looked at: {_why(survey)}")
        if prune and not prune["ok"]:
            had = counted(len(prune["problems"]), "problem")
            problems.append(f"the last prune had {had}: {'; '.join(prune['problems'])}"[:LONGEST])
    return {
        "name": _text(name),
        "state": "unreachable" if unreachable else "problems" if problems else "ok",
        "problems": problems,
        "installed": installed,
        "wanted": wanted,
        "available": newest,
        "disk": _disk(_mapping(found.get(DISK))),
        "last_prune": prune,
        "totals": {
            "workspaces": len(workspaces),
            "sessions": sum(each["sessions"] for each in workspaces),
            "bytes": sum(each["bytes"] for each in workspaces),
        },
        "workspaces": workspaces,
    }


def _workspace(report: Any) -> dict[str, Any]:
    report = _mapping(report)
    stores = [_mapping(store) for store in _mapping(report.get("stores")).values()]
    used = [store["newest"] for store in stores if _is_number(store.get("newest"))]
    return {
        "name": _text(report.get("name")),
        "owner": _text(report.get("owner")),
        "sessions": sum(_count(store.get("sessions")) for store in stores),
        "bytes": sum(_count(store.get("bytes")) for store in stores),
        "last_used": format_time(max(used)) if used else None,
        "problems": [_text(each) for each in _list(report.get("problems"))],
    }


def _disk(done: Mapping[str, Any]) -> dict[str, int] | None:
    """What ``df -Pk`` says of the file system of the workspaces, in bytes."""
    fields = _text(done.get("stdout")).rpartition("\n")[2].split()
    numbers = [int(field) * 1024 for field in fields[-5:-2] if field.isdecimal()]
    return {"bytes": numbers[0], "free": numbers[2]} if len(numbers) == 3 else None


def _last_prune(done: Mapping[str, Any]) -> dict[str, Any] | None:
    """The last line of the pruner's log; None where there is none."""
    try:
        run = _mapping(json.loads(str(done.get("stdout") or "")))
    except (ValueError, RecursionError):
        return None
    if not _is_number(run.get("started")) or not _is_number(run.get("duration")):
        return None
    return {
        "started": format_time(run["started"]),
        "seconds": max(run["duration"], 0),
        "ok": run.get("ok") is True,
        **{key: _count(run.get(key)) for key in ("pruned", "pruned_bytes", "kept", "kept_bytes")},
        "problems": [_text(each) for each in _list(run.get("problems"))],
    }


def _why(result: Mapping[str, Any]) -> str:
    return _text(result.get("msg")) or "there is no result"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _is_number(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int) and value > 0 else 0


def _text(value: Any) -> str:
    """Never one of Ansible's own strings, which carry where they come from."""
    return "" if value is None else "".join(map(str, str(value)[:LONGEST]))
