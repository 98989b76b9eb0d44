# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The package.json of an unpacked package, each of its values checked."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Sequence

from .binary import Platform
from .npm_archive import MalformedError, plain_parts, shown

_MOST_BYTES = 256 << 10  # Codex's own have 2 KB


class Manifest(NamedTuple):
    """What of it matters here."""

    name: str
    version: str
    launcher: str | None  # the file of the command codex, below the package
    optional: Sequence[str]  # the names of the optional dependencies
    os: Sequence[str]  # both empty where it is for all
    cpu: Sequence[str]

    def fits(self, platform: Platform) -> bool:
        """Whether it is for such a machine."""
        system, _separator, machine = platform.suffix.partition("-")
        return system in (self.os or [system]) and machine in (self.cpu or [machine])


def read_manifest(path: str) -> Manifest:
    """Raises MalformedError where it is not there or a value is of another type than npm's."""
    try:
        with open(path, "rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise MalformedError("is no npm tarball: it holds no package.json") from None
    try:
        values = json.loads(content) if len(content) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise MalformedError("is no npm tarball: its package.json is no JSON mapping of a sensible size")
    return Manifest(
        _typed(values, "name", str, None),
        _typed(values, "version", str, None),
        _launcher(_typed(values, "bin", (str, dict), {})),
        list(_typed(values, "optionalDependencies", dict, {})),
        _words(values, "os"),
        _words(values, "cpu"),
    )


def _typed(values: dict[str, Any], key: str, kind: type | tuple[type, ...], default: Any) -> Any:
    value = values.get(key, default)
    if not isinstance(value, kind):
        raise MalformedError(f"is no npm tarball: its package.json has {_shown_value(value)} as {key}")
    return value


def _words(values: dict[str, Any], key: str) -> list[str]:
    value = _typed(values, key, (str, list), [])
    words = [value] if isinstance(value, str) else value
    if not all(isinstance(word, str) for word in words):
        raise MalformedError(f"is no npm tarball: its package.json has {_shown_value(value)} as {key}")
    return words


def _launcher(binaries: str | dict[str, Any]) -> str | None:
    value = binaries.get("codex") if isinstance(binaries, dict) else binaries
    if value is None:
        return None
    try:
        if not isinstance(value, str):
            raise ValueError("is no text")
        return "/".join(plain_parts(value[2:] if value.startswith("./") else value))
    except ValueError as reason:
        raise MalformedError(f"names {_shown_value(value)} as the command codex, which {reason}") from None


def _shown_value(value: Any) -> str:
    """Its type where it is no plain value: it may be nested as deep as it likes."""
    return shown(value) if isinstance(value, (str, int, float, type(None))) else f"a {type(value).__name__}"
