# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Versions of the Codex CLI, in the one order that everything here compares them in.

Source: Semantic Versioning 2.0.0, of which npm's versions are, and what every release of the CLI prints. The order is
that of PEP 440, so that requirements mean what they mean everywhere else in Ansible. Alphas, betas and release
candidates come before their release. A prerelease of any other name (``-nightly.20261127``, ``-dev``, ``-1``) is a
development build: it comes before all of these, and all such builds of one release are equal. Build metadata has no
part in the order.
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

# What a release without the part in question counts as: below or above all numbers.
BEFORE, AFTER = -1, float("inf")
STAGES = {"alpha": 0, "a": 0, "beta": 1, "b": 1, "rc": 2, "c": 2, "pre": 2, "preview": 2}
NO_STAGE = (len(STAGES), 0)
UNFINISHED = (BEFORE, 0)

_LONGEST = 100  # characters; npm allows more, and no file's name
_TAG = re.compile(r"(?![vVxX]?[0-9xX.*]*$)[A-Za-z][0-9A-Za-z._-]*")
_PRERELEASE = r"(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
_SEMVER = re.compile(rf"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?{_PRERELEASE}")
_FULL = rf"[0-9]+\.[0-9]+\.[0-9]+{_PRERELEASE}".replace("(?:-([", "(?:-(?:[")
_STAGE = re.compile(r"(alpha|a|beta|b|rc|c|preview|pre)[.-]?([0-9]*)", re.IGNORECASE)
_DEV = re.compile(r"dev[.-]?([0-9]*)", re.IGNORECASE)
_PRINTED = re.compile(rf"^(?:codex(?:-cli)?\s+)?v?({_FULL})\s*$", re.MULTILINE)


class Version(NamedTuple):
    """A version that compares as PEP 440 orders it; ``release`` has no zeros at its end. Versions of the CLI have
    neither ``epoch`` nor ``post``, those of a requirement may."""

    epoch: int
    release: tuple[int, ...]
    stage: tuple[float, int]
    post: int = BEFORE
    dev: float = AFTER

    @property
    def is_prerelease(self) -> bool:
        """Whether it comes before its release."""
        return self.stage[0] in (0, 1, 2) or self.dev != AFTER


def parse_version(text: str) -> Version:
    """The version of a CLI: ``0.44.0``, ``0.170.0-alpha.3``; ``0.44`` counts as 0.44.0.

    Raises ValueError.
    """
    match = _SEMVER.fullmatch(text) if len(text) <= _LONGEST else None
    if not match:
        raise ValueError(f"{text[:_LONGEST]!r} is not a version such as {DEFAULT}")
    major, minor, patch, prerelease = match.groups()
    release = without_end_zeros((int(major), int(minor), int(patch or 0)))
    if prerelease is None:
        return Version(0, release, NO_STAGE)
    stage = _STAGE.fullmatch(prerelease)
    if stage:
        return Version(0, release, (STAGES[stage[1].lower()], int(stage[2] or 0)))
    dev = _DEV.fullmatch(prerelease)
    return Version(0, release, UNFINISHED, dev=int(dev[1] or 0) if dev else 0)


def without_end_zeros(release: tuple[int, ...]) -> tuple[int, ...]:
    """``(1, 2, 0)`` as ``(1, 2)``, since both are the same release."""
    end = len(release)
    while end and not release[end - 1]:
        end -= 1
    return release[:end]


def why_unproven(version: str) -> str | None:
    """What there is to say of a release that is newer than all that were tried here; None for any other."""
    if parse_version(version) <= parse_version(NEWEST_PROVEN):
        return None
    return (
        f"Codex {version} is newer than {NEWEST_PROVEN}, the newest release that this version of alive.codex was tried "
        "with: look for a newer version of alive.codex, or set warn_unproven: false"
    )


def is_exact(text: str) -> bool:
    """Whether ``text`` is one exact version, and no dist-tag or range."""
    return len(text) <= _LONGEST and re.fullmatch(_FULL, text) is not None


def check_request(text: str) -> None:
    """Raises ValueError for what is neither an exact version nor a dist-tag: a range, another package, a file."""
    # npm takes what begins with a digit, v or x for a version or range, and anything else of these for a tag.
    if not is_exact(text) and (len(text) > _LONGEST or not _TAG.fullmatch(text)):
        raise ValueError(
            f"version must be an exact version, such as {DEFAULT}, or a dist-tag, such as latest, not "
            f"{text[:_LONGEST]!r}"
        )


def printed_version(output: str) -> str | None:
    """The version in what ``codex --version`` printed, or None: ``codex-cli 0.44.0``, ``codex 0.1.2026021700``,
    ``0.1.2504172351``. Lines that are something else (warnings, say) are passed over."""
    match = _PRINTED.search(output)
    return match.group(1) if match else None
