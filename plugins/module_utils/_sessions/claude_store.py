# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Claude's sessions in one HOME. Runs as the owner of that HOME.

A session is its transcript, ``projects/<directory>/<id>.jsonl``, and all that lies under the same id: what is beside
it, the transcripts of its subagents, and entries of its own in other directories. Left in part, its id could be used no
more. ``memory/``, settings, credentials, the history and plans belong to no session.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from typing import AbstractSet, Any, Container, Iterator

from .._host.proc import started
from .._host.safefs import read_file, replace_file
from .home import Home, first_line, pieces, split
from .plan import CLAUDE, CLAUDE_TRANSCRIPT, PROJECTS, UUID, Session, Tally
from .store import NAMED, Entry, Store

ROOT = ".claude"
# Entries of a session in other directories, by its id.
_BESIDE = (
    *("todos", "tasks", "debug", "session-env", "file-history", "image-cache", "uploads", "dump-prompts", "jobs"),
    *("usage-data/session-meta", "usage-data/facets"),
)
# A job is mostly named by the first digits of its session, which its state has whole.
_JOBS = ("jobs", "jobs/settled", "daemon/gateway-routed")
_JOB = re.compile(r"([0-9a-f]{8})(?:\.json)?")
_STATE = "state.json"
_SUBAGENT = re.compile(r"agent-[^/]*\.jsonl")
# The id stands near the start of a line, which may be long.
_LOOKED_AT = 2**20
_SESSION_ID = re.compile(rf'"sessionId"\s*:\s*"({UUID.pattern})"'.encode())
# The processes that live, as each writes down, and those that work in the background.
_PROCESSES = "sessions"
_PROCESS = re.compile(r"([0-9]{1,10})\.(?:json|[0-9a-f]+\.key)")
_ROSTER = "daemon/roster.json"
_MAX_BYTES = 8 * 2**20
# A list of a project's sessions, which some versions keep.
_INDEX = "sessions-index.json"
# A session breaks without the snapshot of its own shell, and nothing says whose a snapshot is: these have a long life.
_SNAPSHOTS = "shell-snapshots"
_SNAPSHOT_AGE = 30 * 86400.0


class ClaudeStore(Store):
    name = CLAUDE

    def __init__(self, home: Home, root: str = ROOT) -> None:
        super().__init__(home, root)

    def scan(self, cutoff: float, newer: Tally) -> Iterator[Entry]:
        """Every session whose last activity lies before ``cutoff``, its transcript as the last of its parts; ``newer``
        counts the others."""
        sides: dict[str, list[str]] = {}
        transcripts: list[tuple[str, str]] = []
        if not self.names():
            return
        for project in self.names(PROJECTS):
            self._look_into(f"{PROJECTS}/{project}", sides, transcripts)
        for directory in _BESIDE:
            for name in self.names(directory):
                match = NAMED.fullmatch(name)
                if match:
                    sides.setdefault(match.group(1), []).append(f"{self.root}/{directory}/{name}")
        for process in self._processes():
            sides.setdefault(process["sessionId"], []).extend(process["files"])
        mains: dict[str, list[str]] = {}
        for session, path in transcripts:
            mains.setdefault(session, []).append(path)
        for session, path in self._jobs(mains.keys() | sides.keys()):
            sides.setdefault(session, []).append(path)
        for session in sorted(mains.keys() | sides.keys()):
            entry = self._measure(session, sides.get(session, []), mains.get(session, []))
            if entry and entry[1] < cutoff:
                yield entry
            elif entry:
                newer.add(1, entry[2])

    def _look_into(self, project: str, sides: dict[str, list[str]], transcripts: list[tuple[str, str]]) -> None:
        for name in self._project(project):
            path = f"{self.root}/{project}/{name}"
            transcript, named = CLAUDE_TRANSCRIPT.fullmatch(name), NAMED.fullmatch(name)
            if transcript:
                transcripts.append((transcript.group(1), path))
            elif named:
                sides.setdefault(named.group(1), []).append(path)
            elif _SUBAGENT.fullmatch(name):
                session = self._session_of(path)
                if session:
                    sides.setdefault(session, []).append(path)

    def _session_of(self, path: str) -> str | None:
        """Whose a subagent's transcript is."""
        above, name = split(path)
        try:
            line, _is_whole = first_line(pieces(name, self.home.directory(above)), _LOOKED_AT)
        except OSError:
            return None
        match = _SESSION_ID.search(line)
        return match.group(1).decode() if match else None

    def _project(self, project: str) -> list[str]:
        """What is in a project's directory. A plain file beside those is none."""
        try:
            is_file = stat.S_ISREG(self.home.stat(f"{self.root}/{project}").st_mode)
        except FileNotFoundError:
            return []
        return [] if is_file else self.names(project)

    def _jobs(self, sessions: AbstractSet[str]) -> Iterator[tuple[str, str]]:
        """The sessions of jobs that are named by the first digits of one, and the paths of these."""
        by_digits = {session[:8]: session for session in sessions}
        for directory in _JOBS:
            for name in self.names(directory):
                match = _JOB.fullmatch(name)
                if match:
                    state = f"{directory}/{name}" if name.endswith(".json") else f"{directory}/{name}/{_STATE}"
                    job = self._read(state)
                    session = job.get("resumeSessionId") or job.get("sessionId") or by_digits.get(match.group(1))
                    if _is_session(session):
                        yield str(session), f"{self.root}/{directory}/{name}"

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
        """Sessions whose process lives, as it says; one that has a file open is looked for elsewhere."""
        workers = self._read(_ROSTER).get("workers")
        listed = filter(_is_mapping, workers.values()) if isinstance(workers, dict) else ()
        processes = [*self._processes(), *(each for each in listed if _is_session(each.get("sessionId")))]
        # Its number may be another process's by now, which started at another time.
        living = started((os.geteuid(), 0)) if processes else {}
        return {process["sessionId"] for process in processes if _lives(process, living)}

    def _processes(self) -> Iterator[dict[str, Any]]:
        """What each process says of itself, with its ``pid``, ``sessionId`` and own ``files``, paths below HOME."""
        files: dict[str, list[str]] = {}
        for name in self.names(_PROCESSES):
            match = _PROCESS.fullmatch(name)
            if match:
                files.setdefault(match.group(1), []).append(f"{self.root}/{_PROCESSES}/{name}")
        for pid, paths in files.items():
            process = {**self._read(f"{_PROCESSES}/{pid}.json"), "pid": int(pid), "files": paths}
            if _is_session(process.get("sessionId")):
                yield process

    def _read(self, path: str) -> dict[str, Any]:
        """A mapping as JSON; empty where there is none that can be read."""
        above, name = split(f"{self.root}/{path}")
        try:
            content, _info = read_file(name, self.home.directory(above), _MAX_BYTES, os.geteuid())
            document = json.loads(content)
        except (OSError, ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    def closed(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def forget(self, gone: list[Session]) -> None:
        """Takes sessions that went out of the lists of their projects. OSError where one stays in."""
        ids = {session.id for session in gone}
        transcripts = {split(session.parts[-1])[0] for session in gone}
        for project in {path for path in transcripts if split(path)[0] == f"{self.root}/{PROJECTS}"}:
            index = self._read(f"{project[len(self.root) + 1 :]}/{_INDEX}")
            entries = index.get("entries")
            if isinstance(entries, list):
                left = [entry for entry in entries if not (_is_mapping(entry) and str(entry.get("sessionId")) in ids)]
                if len(left) < len(entries):
                    content = json.dumps({**index, "entries": left}).encode()
                    replace_file(_INDEX, self.home.directory(project), content, 0o600, durable=False)

    def leftovers(self, now: float, live: AbstractSet[str]) -> Iterator[tuple[str, int]]:
        """Paths that belong to no session and have outlived their use, and their bytes."""
        for name in self.names(_SNAPSHOTS):
            path = f"{self.root}/{_SNAPSHOTS}/{name}"
            with contextlib.suppress(OSError):
                size = self.home.size(path)
                if now - size.modified > _SNAPSHOT_AGE:
                    yield path, size.bytes


def _is_session(value: Any) -> bool:
    return isinstance(value, str) and bool(UUID.fullmatch(value))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _lives(process: dict[str, Any], living: dict[int, set[str]]) -> bool:
    pid, ticks = process.get("pid"), process.get("procStart")
    return isinstance(pid, int) and pid in living and (not isinstance(ticks, str) or ticks in living[pid])
