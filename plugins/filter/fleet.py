# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks say of many hosts, from what each host's tasks registered. A file beside this documents each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.alive.codex.plugins.plugin_utils._foreseen import problem_of_pruner

# What a person calls that which a deploy registers, by these names: those of a way in and those of a way out, as a task
# that is skipped registers that it was.
PARTS = {
    "release": ("codex_cli_released", "codex_cli_removed"),
    "policy": ("codex_cli_policy", "codex_cli_policy_gone"),
    "workspaces": ("codex_workspaces_prepared", "codex_workspaces_purged"),
    "pruner": ("codex_prune_job",),
    "hand-made": ("codex_handmade",),
}
LOOKS = ("codex_cli_preflight", "codex_workspaces_foreseen")


def preflight_problems(
    hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], pruner: bool = False
) -> list[dict[str, str]]:
    """``[{"name": host, "check": word, "text": sentence}]``, from the preflight of each host; with ``pruner``, from the
    variables of its cron job too."""
    found: list[dict[str, str]] = []
    for host in hosts:
        variables = hostvars[host]  # Ansible gathers them anew each time
        for look in LOOKS:
            told = [{"name": host, **problem} for problem in _problems(_registered(variables, look))]
            found += [problem for problem in told if problem not in found]  # once is enough
        wrong = problem_of_pruner(variables) if pruner else None
        found += [{"name": host, "check": "pruner", "text": wrong}] if wrong else []
    return found


def _problems(result: Mapping[str, Any]) -> list[dict[str, str]]:
    if result.get("unreachable"):
        return [{"check": "reach", "text": str(result.get("msg", "unreachable"))}]
    if "problems" in result:
        return list(result["problems"])
    if "failures" in result:
        return [
            {"check": "owners", "text": f"{', '.join(each['workspaces'][:5])}: {each['msg']}"}
            for each in result["failures"]
        ]
    if not result or result.get("skipped"):
        return []
    # What came before the module, such as become or a Python, or an error that ended it, of which not every
    # ansible-core keeps the words where a task is not to fail.
    said = " ".join(str(result.get(key) or "").strip() for key in ("msg", "module_stderr")).strip()
    return [{"check": "start", "text": said or "the look at it ended without a result: see it with -vvv"}]


def deployed(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a host: ``name``; ``version``, null where there is no binary; and in ``changed`` the parts of a deploy that
    changed something."""
    rows = []
    for host in hosts:
        variables = hostvars[host]
        changed = [
            part for part, names in PARTS.items() if any(_registered(variables, name).get("changed") for name in names)
        ]
        validated = _registered(variables, "codex_validated")
        seen = validated if "version" in validated else _registered(variables, "codex_cli_preflight")
        version = seen.get("version") if seen else "not looked at"  # tags leave it out
        rows.append({"name": host, "version": version, "changed": ", ".join(changed)})
    return rows


def handmade(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each set-up that was made by hand: where it is, and what it does."""
    return [
        f"{host}: {each['path']}{':' + str(each['line']) if each['line'] else ''}: {each['text']}: {each['what']}"
        + (f"; it stays, as {each['kept']}" if each["kept"] else "")
        for host in hosts
        for result in [_registered(hostvars[host], "codex_handmade")]
        for each in result.get("found", [])
        if [each["path"], each["line"]] not in [[gone["path"], gone["line"]] for gone in result.get("removed", [])]
    ]


def _registered(variables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A result; an empty one where the task did not run."""
    result = variables.get(name)
    return result if isinstance(result, Mapping) else {}


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"preflight_problems": preflight_problems, "deployed": deployed, "handmade": handmade}
