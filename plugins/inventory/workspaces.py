# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every workspace of every worker as a host, from the same variables that the role codex_workspaces reads."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: workspaces
short_description: Every workspace of every worker as an inventory host
version_added: "0.1.0"
author:
  - Alive maintainers (@alive)
description:
  - Makes a host C(<workspace>@<worker>) of every workspace, so that a pattern of workspaces fans out over Ansible's own
    forks.
  - The workers are hosts of an inventory source before this one, in O(workers) or a group below it. Ansible reads the
    sources in the order of C(-i), and the files of a directory in the order of their names.
  - Their workspaces are those that the variables of the role P(alive.codex.codex_workspaces#role) name,
    C(codex_workspaces_workspaces), C(codex_workspaces_file), C(codex_workspaces_names) and C(codex_workspaces_removed).
    Variables of the inventory count, with C(group_vars) and C(host_vars) beside its sources; those of a play do not.
  - Each host has the variables C(codex_workspace), C(codex_worker) and the worker's connection variables, and its
    C(codex_workspaces_root) and C(codex_cli_bin) where the inventory has them, so that M(alive.codex.codex_exec) needs
    none of O(alive.codex.codex_exec#module:workspace), O(alive.codex.codex_exec#module:root) and
    O(alive.codex.codex_exec#module:codex_path).
  - The hosts are in the group C(codex_workspaces), and in a group C(codex_workspaces_<worker>) for each worker. They
    are listed with the workers taking turns, so that the forks spread over them. Workers themselves stay as they are;
    plays meant for workers name the workers' group rather than C(all).
  - Where no worker or no workspace is found, a warning says so.
  - The file's name ends in C(codex.yml) or C(codex.yaml).
options:
  plugin:
    description: Says that the file is for this plugin.
    type: str
    required: true
    choices: [alive.codex.workspaces]
  workers:
    description: The group of hosts whose workspaces to list.
    type: str
    default: all
  limit:
    description:
      - How many turns of M(alive.codex.codex_exec) one run of Ansible has on a worker at once, however many forks it
        has. V(0) sets no limit. Tasks with C(async) do not count.
    type: int
    default: 0
"""

EXAMPLES = r"""
# inventory/2-workspaces.codex.yml, beside inventory/1-workers.yml:
plugin: alive.codex.workspaces
workers: workers
limit: 4

# Ask in all workspaces whose names begin with acme, at most four at a time on each worker:
#   ansible -i inventory -f 40 'acme*@*' -m alive.codex.codex_exec -a 'prompt="Say hello"'
"""

from itertools import zip_longest
from typing import Any

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.inventory.group import Group
from ansible.inventory.host import Host
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin, to_safe_group_name
from ansible.utils.vars import combine_vars
from ansible.vars.plugins import get_vars_from_inventory_sources
from ansible_collections.alive.codex.plugins.module_utils._formats.names import name_problem
from ansible_collections.alive.codex.plugins.plugin_utils import _wanted

GROUP = "codex_workspaces"
PREFIX = _wanted.PREFIX


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]  # ansible-core has no types
    NAME = "alive.codex.workspaces"

    def verify_file(self, path: str) -> bool:
        return super().verify_file(path) and path.endswith(("codex.yml", "codex.yaml"))

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        group = self.get_option("workers")
        if self.get_option("limit") < 0:
            raise AnsibleParserError(f"limit in {path} must be a number of turns, or 0 for no limit")
        if group not in inventory.groups:
            raise AnsibleParserError(f"there is no group {group!r}: name the source with the workers before {path}")
        workers = [
            host
            for host in inventory.hosts.values()
            if group in ("all", *(g.name for g in _groups_of(host, inventory)))
            and "codex_workspace" not in host.get_vars()  # another source of this kind made it
        ]
        sources = [*inventory.processed_sources, path]
        listed = [self._add_worker(worker, inventory, loader, sources) for worker in workers]
        if not workers:
            self.display.warning(
                f"{path} makes no host: no worker is in the group {group!r} yet. Name the source with the workers"
                " before this one (files of a directory are read in the order of their names), or their group as"
                " 'workers'."
            )
        elif not any(listed):
            self.display.warning(
                f"{path} makes no host: no worker in the group {group!r} ({len(workers)} in all) has a workspace. Give"
                f" {PREFIX}names, {PREFIX}workspaces or {PREFIX}file in the inventory, or in group_vars or host_vars"
                " beside it."
            )
        for turn in zip_longest(*listed):
            for entry in filter(None, turn):
                workspace, worker, worker_group = entry
                name = inventory.add_host(f"{workspace}@{worker}", group=GROUP)
                inventory.add_child(worker_group, name)
                inventory.set_variable(name, "codex_workspace", workspace)

    def _add_worker(
        self, worker: Host, inventory: InventoryData, loader: DataLoader, sources: list[str | None]
    ) -> list[tuple[str, str, str]]:
        """Makes the group of a worker that has workspaces, and lists these as (workspace, worker, group)."""
        variables = self._variables(worker, inventory, loader, sources)
        names = self._workspaces(worker.name, variables, loader)
        if not names:
            return []
        group = inventory.add_group(to_safe_group_name(f"{GROUP}_{worker.name}"))
        inventory.add_group(GROUP)
        inventory.add_child(GROUP, group)
        shared = {name: value for name, value in variables.items() if name.startswith("ansible_")}
        shared.setdefault("ansible_host", worker.name)
        shared["codex_worker"] = worker.name
        shared["codex_worker_limit"] = self.get_option("limit")
        shared.update((name, variables[name]) for name in (f"{PREFIX}root", "codex_cli_bin") if name in variables)
        for name, value in shared.items():
            inventory.set_variable(group, name, self._templated(worker.name, name, value))
        return [(name, worker.name, group) for name in names]

    def _variables(
        self, worker: Host, inventory: InventoryData, loader: DataLoader, sources: list[str | None]
    ) -> dict[str, Any]:
        """What the inventory says of a worker, and what lies in group_vars and host_vars beside it, in Ansible's order
        of precedence."""
        everyone = inventory.groups["all"]
        groups = _groups_of(worker, inventory)
        variables: dict[str, Any] = {}
        for more in (
            everyone.get_vars(),
            *(group.get_vars() for group in groups),
            get_vars_from_inventory_sources(loader, sources, [everyone], "all"),
            get_vars_from_inventory_sources(loader, sources, groups, "all"),
            worker.get_vars(),
            get_vars_from_inventory_sources(loader, sources, [worker], "all"),
        ):
            variables = combine_vars(variables, more)
        variables.setdefault("inventory_hostname", worker.name)
        self.templar.available_variables = variables
        return variables

    def _workspaces(self, worker: str, variables: dict[str, Any], loader: DataLoader) -> list[str]:
        given = {
            name: self._templated(worker, PREFIX + name, variables[PREFIX + name])
            for name in ("workspaces", "file", "names", "removed")
            if PREFIX + name in variables
        }
        try:
            items = _wanted.mappings(f"{PREFIX}workspaces", given.get("workspaces"))
            if given.get("file"):
                content = loader.load_from_file(loader.path_dwim(str(given["file"])))
                items += _wanted.mappings(f"the content of {PREFIX}file", content)
            items += _wanted.by_rule(given.get("names"), 1)  # which UIDs they have is the role's matter
            removed = set(_wanted.names("removed", given.get("removed")))
        except ValueError as error:
            raise AnsibleParserError(f"the workspaces of {worker} cannot be listed: {error}") from error
        names: dict[str, None] = {}
        for item in items:
            name = item.get("name")
            problem = name_problem(name)
            if problem:
                raise AnsibleParserError(f"the workspace name {name!r} of {worker} {problem}")
            if item.get("state") != "absent" and name not in removed:
                names[str(name)] = None
        return list(names)

    def _templated(self, worker: str, name: str, value: Any) -> Any:
        try:
            return self.templar.template(value)
        except AnsibleError as error:
            raise AnsibleParserError(f"the variable {name} of {worker} cannot be used here: {error}") from error


def _groups_of(host: Host, inventory: InventoryData) -> list[Group]:
    """The groups of a host but ``all``, each before those that override it, as they will be once all sources are read:
    only then does Ansible put every group below ``all``, one step deeper, and a host without any into ``ungrouped``."""
    everyone = inventory.groups["all"]
    named = [group for group in host.get_groups() if group.name not in ("all", "ungrouped")]
    named.sort(key=lambda g: (g.depth + (everyone not in g.get_ancestors()), g.priority, g.name))
    return named or [inventory.groups["ungrouped"]]
