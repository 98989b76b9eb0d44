# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Versions of the Codex CLI.

Source: Semantic Versioning 2.0.0, of which npm's versions are, and what every release of the CLI prints.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# What is installed where nobody asks for another. Roles, their argument specs and the documentation cannot import it;
# a test holds them to it.
DEFAULT = "0.171.0"
# Releases before and after these may serve as well; with these, all that depends on the CLI was tried.
OLDEST_PROVEN = "0.160.0"
NEWEST_PROVEN = "0.171.0"
# The first whose `exec --experimental-json` sends the events of the SDK and which reads CODEX_API_KEY.
OLDEST_THAT_SERVES = "0.44.0"
# Sessions that a newer CLI has written to are damaged for good by releases older than this.
OLDEST_THAT_READS_NEWER_SESSIONS = "0.150.0"

_SEMVER = r"(\d+)\.(\d+)(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
_FULL = r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_PRINTED = re.compile(rf"^(?:codex(?:-cli)?\s+)?v?({_FULL})\s*$", re.MULTILINE)
_CLAUSE = re.compile(rf"\s*(>=|<=|==|!=|>|<)\s*({_SEMVER})\s*")


class Version(NamedTuple):
    """A version that compares as Semantic Versioning orders it. Build metadata has no part in the order."""

    release: tuple[int, int, int]
    stage: tuple[tuple[int, int, str], ...]  # greater without a prerelease than with any


def parse(text: str) -> Version:
    """The version ``text`` is: ``0.44.0``, ``0.170.0-alpha.3``; ``0.44`` counts as 0.44.0. Raises ValueError."""
    match = re.fullmatch(_SEMVER, text)
    if not match:
        raise ValueError(f"{text!r} is not a version such as {DEFAULT}")
    major, minor, patch, prerelease = match.groups()
    release = (int(major), int(minor), int(patch or 0))
    if prerelease is None:
        return Version(release, ((2, 0, ""),))
    # Numbers order by value and below words; fewer identifiers order below more.
    stage = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in prerelease.split("."))
    return Version(release, stage)


def is_exact(text: str) -> bool:
    """Whether ``text`` is one exact version, and no dist-tag or range."""
    return re.fullmatch(_FULL, text) is not None


def printed_version(output: str) -> str | None:
    """The version in what ``codex --version`` printed, or None: ``codex-cli 0.44.0``, ``codex 0.1.2026021700``,
    ``0.1.2504172351``. Lines that are something else (warnings, say) are passed over."""
    match = _PRINTED.search(output)
    return match.group(1) if match else None


def satisfies(version: str, requires: str) -> bool:
    """Whether a version fits every clause of ``>=0.150,<1.0``; an empty text asks for nothing. The operators are
    >=, >, <=, <, == and !=. Raises ValueError for what cannot be read."""
    return all(_holds(parse(version), clause) for clause in requires.split(",") if requires.strip())


def _holds(version: Version, clause: str) -> bool:
    match = _CLAUSE.fullmatch(clause)
    if not match:
        raise ValueError(f"{clause.strip()!r} is not a requirement such as >=0.150")
    other = parse(match.group(2))
    return {
        ">=": version >= other,
        ">": version > other,
        "<=": version <= other,
        "<": version < other,
        "==": version == other,
        "!=": version != other,
    }[match.group(1)]
