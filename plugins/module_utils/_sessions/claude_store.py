# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Claude's sessions in one HOME. Runs as the owner of that HOME.

A session is its transcript, ``projects/<directory>/<id>.jsonl``, and all that lies under the same id: the directory
beside it, the transcripts of its subagents, and entries of its own in other directories. Left in part, its id could be
used no more. ``memory/``, settings, credentials, the history and plans belong to no session.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import AbstractSet, Container, Iterator

from .codex_store import Entry
from .home import Home, first_line
from .plan import CLAUDE, CLAUDE_TRANSCRIPT, UUID, Tally

ROOT = ".claude"
_PROJECTS = ".claude/projects"
# Entries of a session in other directories: named by its id, whole or in front.
_BESIDE = ("todos", "tasks", "debug", "session-env", "file-history")
_BESIDE_NAME = re.compile(rf"({UUID.pattern})(?:[-.].*)?")
_SUBAGENT = re.compile(r"agent-[^/]*\.jsonl")
# A session breaks without the snapshot of its own shell, and nothing says whose a snapshot is: these have a long life.
_SNAPSHOTS = ".claude/shell-snapshots"
_SNAPSHOT_AGE = 30 * 86400.0


class ClaudeStore:
    name = CLAUDE

    def __init__(self, home: Home) -> None:
        self.home = home
        self.problems: list[str] = []

    def scan(self, cutoff: float, newer: Tally) -> Iterator[Entry]:
        """Every session whose last activity lies before ``cutoff``, its transcript as the last of its parts; ``newer``
        counts the others."""
        sides: dict[str, list[str]] = {}
        transcripts: list[tuple[str, str]] = []
        for project in self.home.names(_PROJECTS):
            self._look_into(f"{_PROJECTS}/{project}", sides, transcripts)
        for directory in _BESIDE:
            for name in self.home.names(f"{ROOT}/{directory}"):
                match = _BESIDE_NAME.fullmatch(name)
                if match:
                    sides.setdefault(match.group(1), []).append(f"{ROOT}/{directory}/{name}")
        mains: dict[str, list[str]] = {}
        for session, path in transcripts:
            mains.setdefault(session, []).append(path)
        for session in sorted(mains.keys() | sides.keys()):
            entry = self._measure(session, sides.get(session, []), mains.get(session, []))
            if entry and entry[1] < cutoff:
                yield entry
            elif entry:
                newer.add(1, entry[2])

    def _look_into(self, project: str, sides: dict[str, list[str]], transcripts: list[tuple[str, str]]) -> None:
        for name in self.home.names(project):
            match = CLAUDE_TRANSCRIPT.fullmatch(name)
            if match:
                transcripts.append((match.group(1), f"{project}/{name}"))
            elif UUID.fullmatch(name):
                sides.setdefault(name, []).append(f"{project}/{name}")
            elif _SUBAGENT.fullmatch(name):
                session = _session_of(first_line(name, self.home.directory(project)))
                if session:
                    sides.setdefault(session, []).append(f"{project}/{name}")

    def _measure(self, session: str, sides: list[str], mains: list[str]) -> Entry | None:
        total, newest = 0, 0.0
        found = []
        for path in (*sorted(sides), *sorted(mains)):
            with contextlib.suppress(FileNotFoundError):
                size = self.home.size(path)
                total += size.bytes
                newest = max(newest, size.modified)
                found.append(path)
        return (session, newest, total, tuple(found)) if found else None

    def parents(self, unread: Container[str] = ()) -> Iterator[tuple[str, str, frozenset[str]]]:
        """Claude's sessions depend on no other."""
        return iter(())

    def without_rollout(self, threads: AbstractSet[str]) -> set[str]:
        """None of Codex's sessions is here."""
        return set(threads)

    def remember(self) -> None:
        """There is nothing to remember of them."""

    def in_use(self) -> set[str]:
        """Claude locks nothing: only an open file tells, which is looked for elsewhere."""
        return set()

    def closed(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def leftovers(self, now: float, live: AbstractSet[str]) -> Iterator[tuple[str, int]]:
        """Paths that belong to no session and have outlived their use, and their bytes."""
        for name in self.home.names(_SNAPSHOTS):
            with contextlib.suppress(OSError):
                size = self.home.size(f"{_SNAPSHOTS}/{name}")
                if now - size.modified > _SNAPSHOT_AGE:
                    yield f"{_SNAPSHOTS}/{name}", size.bytes


def _session_of(line: bytes) -> str | None:
    try:
        session = json.loads(line)["sessionId"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return session if isinstance(session, str) and UUID.fullmatch(session) else None
