# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells which values of a configuration have come out of a vault.

A template leaves no trace of it on some ansible-cores, and on none where it puts a vaulted text into another. So the
vaulted texts that the task can have used are looked for in what it asks for. Only the places of what is found travel to
the target, which has the values anyhow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible.playbook.task import Task

_NOT_OF_A_HOST = {"hostvars", "vars", "groups", "ansible_facts", "environment"}
_SHORTEST = 4  # characters, of a text that is looked for inside others


def vaulted_texts(task: Task, task_vars: Mapping[str, Any]) -> set[str]:
    """The vaulted texts among the task's own words and the variables of its host."""
    variables = [value for name, value in task_vars.items() if name not in _NOT_OF_A_HOST]
    texts = set()
    for secret in _encrypted([task.get_ds(), task.args, variables]):
        try:
            texts.add(str(secret))
        except Exception:  # it cannot be decrypted, so nobody has used it
            continue
    return texts - {""}


def vaulted_paths(config: Any, texts: Iterable[str]) -> list[list[str]]:
    """Where in a configuration one of the texts is, alone or as part of another."""
    known = set(texts)
    longer = [text for text in known if len(text) >= _SHORTEST]
    return [
        path
        for path, value in _leaves(config, [])
        if value in known or value.strip() in known or any(text in value for text in longer)
    ]


def _leaves(config: Any, path: list[str]) -> Iterator[tuple[list[str], str]]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from _leaves(value, [*path, str(key)])
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _leaves(value, path)
    elif config is not None and not isinstance(config, bool):
        yield path, str(config)


def _encrypted(places: list[Any]) -> Iterator[Any]:
    """All encrypted values below, each place looked at once."""
    seen = set()
    while places:
        value = places.pop()
        if type(value) in (str, int, bool, float, type(None)):
            continue
        if type(value).__name__ in ("EncryptedString", "AnsibleVaultEncryptedUnicode"):  # from 2.19 on, and before
            yield value
        elif isinstance(value, (Mapping, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            places += value.values() if isinstance(value, Mapping) else value
