# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Where in a HOME sessions are: in ``.codex`` and ``.claude``, and where CODEX_HOME or CLAUDE_CONFIG_DIR had them. Runs
as the owner of that HOME."""

from __future__ import annotations

import fnmatch
import itertools
import os
import re
from typing import Iterator, Mapping, Sequence

from .._host.safefs import printable
from .claude_store import ROOT as CLAUDE_ROOT
from .codex_store import ROOT as CODEX_ROOT
from .home import Home
from .plan import CLAUDE, CODEX, PROJECTS, SESSIONS

_ROOTS = {CODEX: CODEX_ROOT, CLAUDE: CLAUDE_ROOT}
_OPTIONS = {CODEX: "codex_homes", CLAUDE: "claude_homes"}
# Where sessions lie, and what the CLI puts beside it.
_SIGNS = {
    CODEX: (SESSIONS, re.compile(r"state_[0-9]+\.sqlite|thread-writer-locks|installation_id")),
    CLAUDE: (PROJECTS, re.compile(r"\.claude\.json|\.credentials\.json|history\.jsonl|shell-snapshots|todos")),
}
# How far is looked: levels below HOME, directories, and names in one. A tenant's own files may be many.
_LEVELS = 3
_DIRECTORIES = 500
_NAMES = 5000
_OTHERS = frozenset({".git", "node_modules"})


def roots(home: Home, store: str, more: Sequence[str]) -> list[str]:
    """The directories below HOME in which the store's sessions are: the usual one, and each that one of ``more`` stands
    for, paths in which ``*`` is any part of a name."""
    found = [_ROOTS[store]]
    for pattern in more:
        paths = [""]
        for part in pattern.split("/"):
            paths = [_below(path, name) for path in paths for name in _matching(home, path, part)]
        found += paths
    return list(dict.fromkeys(found))


def _matching(home: Home, path: str, part: str) -> list[str]:
    if "*" not in part:
        return [part]
    matches = re.compile(fnmatch.translate(part.replace("[", "[[]").replace("?", "[?]"))).match
    return sorted(filter(matches, home.names(path)))


def unknown(home: Home, known: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A sentence for each directory that looks like one of those, and is none of the ``known`` ones of its store."""
    left_out = set(itertools.chain(*known.values()))
    pending = [""]
    for path in itertools.islice(pending, _DIRECTORIES):  # goes on to what is added meanwhile
        directories, files = _listed(home, path)
        for store, (sessions, beside) in _SIGNS.items():
            if path and sessions in directories and any(map(beside.fullmatch, (*directories, *files))):
                yield (
                    f"{printable(path)} looks like a home of {store}, and its sessions are neither counted nor pruned:"
                    f" name it in {_OPTIONS[store]}, or remove it"
                )
                break
        else:
            if path.count("/") < _LEVELS - 1:
                below = (_below(path, name) for name in directories if name not in _OTHERS)
                pending += [each for each in below if each not in left_out]


def _listed(home: Home, path: str) -> tuple[list[str], list[str]]:
    """The names of the directories in a directory, and of all else."""
    names: tuple[list[str], list[str]] = ([], [])
    try:
        with os.scandir(home.directory(path)) as entries:
            for entry in itertools.islice(entries, _NAMES):
                names[not entry.is_dir(follow_symlinks=False)].append(entry.name)
    except OSError:
        pass  # what this user cannot look into, its CLI cannot either
    return names


def _below(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
