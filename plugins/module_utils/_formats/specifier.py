# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Requirements on versions, such as ``>=0.150,<0.180``, as targets judge them, which have no library for it.

Source: PEP 440, "Version specifiers". Every form of it is read. Prereleases fit where their order says so, but
``<0.170.0`` leaves out those of 0.170.0 itself. Tests hold the answers against those of the library ``packaging``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .version import AFTER, BEFORE, NO_STAGE, STAGES, UNFINISHED, Version, parse_version, without_end_zeros

EXAMPLE = ">=0.150,<1"

_SEPARATOR = r"[-_.]?"
_VERSION = re.compile(
    r"v?(?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)"
    rf"(?:{_SEPARATOR}(?P<stage>alpha|a|beta|b|preview|pre|c|rc){_SEPARATOR}(?P<stage_number>[0-9]*))?"
    rf"(?:-(?P<bare_post>[0-9]+)|{_SEPARATOR}(?P<post>post|rev|r){_SEPARATOR}(?P<post_number>[0-9]*))?"
    rf"(?:{_SEPARATOR}(?P<dev>dev){_SEPARATOR}(?P<dev_number>[0-9]*))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"(===|~=|==|!=|<=|>=|<|>)\s*(\S+)")
_SERIES = re.compile(r"v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)\.\*", re.IGNORECASE)


class Clause(NamedTuple):
    """One comparison. ``series`` are the first numbers that ``==0.170.*`` and ``~=0.170.1`` ask for; ``text`` is the
    version as it was written."""

    operator: str
    text: str
    version: Version
    series: tuple[int, ...] | None = None


def satisfies(version: str, requires: str) -> bool:
    """Whether a version of the CLI fits every clause; an empty text asks for nothing.

    Raises ValueError for what cannot be read.
    """
    clauses = read(requires)
    return all(_fits(version, clause) for clause in clauses)


def read(requires: str) -> list[Clause]:
    """The clauses of a requirement.

    Raises ValueError with the one that cannot be read.
    """
    return [_clause(part.strip()) for part in requires.split(",") if part.strip()]


def _clause(text: str) -> Clause:
    match = _CLAUSE.fullmatch(text)
    if match:
        operator, version = match.groups()
        if operator == "===":
            return Clause(operator, version, Version(0, (), NO_STAGE))
        series = _SERIES.fullmatch(version)
        if series and operator in ("==", "!="):
            release = _numbers(series[2])
            return Clause(operator, version, Version(int(series[1] or 0), release, NO_STAGE), release)
        found = _VERSION.fullmatch(version)
        if found and (not found["local"] or operator in ("==", "!=")):
            release = _numbers(found["release"])
            if operator != "~=":
                return Clause(operator, version, _version(found))
            if len(release) > 1:
                return Clause(operator, version, _version(found), release[:-1])
    raise ValueError(f"{text!r} is not a requirement such as {EXAMPLE}")


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


def _version(found: re.Match[str]) -> Version:
    dev = int(found["dev_number"] or 0) if found["dev"] else AFTER
    post = int(found["bare_post"] or found["post_number"] or 0) if found["bare_post"] or found["post"] else BEFORE
    if found["stage"]:
        stage: tuple[float, int] = (STAGES[found["stage"].lower()], int(found["stage_number"] or 0))
    else:
        stage = UNFINISHED if found["dev"] and post == BEFORE else NO_STAGE
    release = without_end_zeros(_numbers(found["release"]))
    return Version(int(found["epoch"] or 0), release, stage, post, dev)


def _fits(text: str, clause: Clause) -> bool:
    version, other = parse_version(text), clause.version
    if clause.operator == "===":
        return _normalised(version, text) == clause.text.lower()
    if clause.operator == "~=":
        return version >= other and _is_in_series(version, clause)
    if clause.operator in ("==", "!="):
        if clause.series is not None:
            equal = _is_in_series(version, clause)
        else:
            equal = version == other and ("+" not in clause.text or _local(text) == _local(clause.text))
        return equal is (clause.operator == "==")
    if clause.operator == "<":
        return version < (other if other.is_prerelease else _first_build_of(other))
    if clause.operator == ">":
        return version > other
    return version <= other if clause.operator == "<=" else version >= other


def _is_in_series(version: Version, clause: Clause) -> bool:
    series = clause.series or ()
    padded = version.release + (0,) * (len(series) - len(version.release))
    return version.epoch == clause.version.epoch and padded[: len(series)] == series


def _first_build_of(version: Version) -> Version:
    """The earliest development build of a release or post-release."""
    return version._replace(stage=UNFINISHED if version.post == BEFORE else version.stage, dev=0)


def _local(text: str) -> list[str]:
    """The parts of what follows a plus sign, in which numbers have no leading zeros."""
    parts = re.split("[-_.]", text.partition("+")[2].lower())
    return [str(int(part)) if part.isdecimal() else part for part in parts]


def _normalised(version: Version, text: str) -> str:
    """The version as PEP 440 writes it."""
    release = text.partition("-")[0].partition("+")[0]
    numbers = ".".join(str(int(number)) for number in release.split("."))
    stage = (
        f"{'abr'[int(version.stage[0])]}{version.stage[1]}".replace("r", "rc") if version.stage[0] in (0, 1, 2) else ""
    )
    dev = "" if version.dev == AFTER else f".dev{version.dev}"
    local = ".".join(_local(text)) if "+" in text else ""
    return f"{numbers}{stage}{dev}" + (f"+{local}" if local else "")
