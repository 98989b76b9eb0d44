# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Which variables the CLI keeps from the commands that the model runs: its settings ``shell_environment_policy``.

Source: the CLI itself; a test holds both against each other, over each form that a configuration can have.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Iterable, Mapping

from .._formats.mappings import merge
from .._formats.toml_document import TomlError, parse_toml

SECTION = "shell_environment_policy"
# What ``ignore_default_excludes = false`` excludes.
_DEFAULT_EXCLUDES = ("*KEY*", "*SECRET*", "*TOKEN*")
# What ``inherit`` may leave in the environment: neither holds a key.
_BARE = ("none", "core")


def keeps_from_shell(settings: Mapping[str, Any], variable: str) -> bool:
    """Whether a configuration keeps a variable of the CLI's own from the model's commands. One that the CLI refuses, so
    that no turn runs, may be judged either way. ``variable`` must not be one that each shell has, such as PATH."""
    policy = settings.get(SECTION)
    if not isinstance(policy, dict):
        return False
    if policy.get("inherit") in _BARE:
        return True
    replaced = policy.get("set")
    if isinstance(replaced, dict) and variable in replaced:
        return True
    excluded = _texts(policy.get("exclude"))
    if policy.get("ignore_default_excludes") is False:
        excluded += _DEFAULT_EXCLUDES
    included = _texts(policy.get("include_only"))
    return _any_matches(excluded, variable) or (included != () and not _any_matches(included, variable))


def layered(settings: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """The configuration that the settings of a file make with those of ``--config key.path=value`` above them."""
    above: dict[str, Any] = {}
    for override in overrides:
        path, _equals, text = override.partition("=")
        *tables, name = path.strip().split(".")
        table = above
        for part in tables:
            if not isinstance(table.get(part), dict):
                table[part] = {}
            table = table[part]
        table[name] = _value(text)
    return merge(settings, above)


def _value(text: str) -> Any:
    try:
        return parse_toml(f"value = {text}").data["value"]
    except TomlError:
        return text.strip()  # what is no TOML is a string


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _any_matches(patterns: Iterable[str], name: str) -> bool:
    """Patterns have ``*`` and ``?``, but no classes of characters; upper and lower case are the same."""
    return any(fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]")) for pattern in patterns)
