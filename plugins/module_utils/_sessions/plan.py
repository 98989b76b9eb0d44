# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What a session is, and which sessions go."""

from __future__ import annotations

import json
import math
import re
from typing import AbstractSet, Any, Iterable, Mapping, NamedTuple, Sequence

CODEX = "codex"
CLAUDE = "claude"
STORES = (CODEX, CLAUDE)

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# Names are searched a million times a run: patterns are compiled here, and anchored by fullmatch where they are used.
UUID = re.compile(_UUID)
# With the time that it began, such as 2026-10-28T12-00-00, at which nobody looks: names are read by the million.
ROLLOUT = re.compile(rf"rollout-.{{19}}-{_UUID}\.jsonl(?:\.zst)?")
# Where in a rollout's name its session's id stands.
ROLLOUT_ID = slice(28, 64)
ARCHIVED = "archived_sessions"
SESSIONS = "sessions"
PROJECTS = "projects"
CLAUDE_TRANSCRIPT = re.compile(rf"({_UUID})\.jsonl")
# What a session header calls the session that it continues, was forked from, or was spawned by.
_PARENT_KEYS = ("forked_from_id", "parent_thread_id", "thread_id")
# What a longer line is parsed to takes many times its room: there, what looks like such a key is one.
_MAX_PARSED = 2**20
_NAMES_PARENT = re.compile(rf'"(?:{"|".join(_PARENT_KEYS)})"\s*:\s*"({_UUID})"'.encode())


class Session(NamedTuple):
    """One session. ``store`` is its store's key; ``activity``, seconds since the epoch; ``parts`` are paths below HOME,
    of files and directories."""

    store: str
    id: str
    activity: float
    bytes: int
    parts: tuple[str, ...]


class Tally:
    """Sessions that are only counted: how many, and their bytes."""

    def __init__(self) -> None:
        self.count = self.bytes = 0

    def add(self, count: int, size: int) -> None:
        self.count += count
        self.bytes += size


class Rules(NamedTuple):
    """What may stay. Ages in seconds; None is no limit."""

    max_age: float | None = None
    keep_last: int = 0
    max_bytes: int | None = None

    def cutoff(self, now: float) -> float:
        """Only a session whose last activity lies before this may have to go."""
        if self.max_bytes is not None:
            return math.inf
        return -math.inf if self.max_age is None else now - self.max_age

    def is_aged(self, activity: float, now: float) -> bool:
        """Whether the last activity is too long ago."""
        return self.max_age is not None and now - activity > self.max_age

    def is_due(self, activity: float, now: float, total_bytes: int) -> bool:
        """Whether a session with that last activity is to go, where all take ``total_bytes``; if not, none newer is."""
        return self.is_aged(activity, now) or (self.max_bytes is not None and total_bytes > self.max_bytes)


class Rest(NamedTuple):
    """Sessions that stay whatever the plan, because all are newer than those that are up for it: how many of each
    store, and their bytes."""

    counts: Mapping[str, int]
    bytes: int


NO_REST = Rest({}, 0)


class Plan(NamedTuple):
    """``prune``: what goes, oldest first. ``in_use`` and ``needed``: what would go, but a process has it open, or a
    session that stays was forked from it or spawned by it."""

    prune: list[Session]
    in_use: list[Session]
    needed: list[Session]


def session_kind(path: str) -> str:
    """What a session is, by its path below HOME: of Codex's a ``rollout``, an ``archived`` one, or a ``directory`` (the
    older layout); of Claude's a ``transcript``; ``remains`` of a session that has none of these."""
    above, _slash, name = path.rpartition("/")
    if ROLLOUT.fullmatch(name):
        return "archived" if above.rpartition("/")[2] == ARCHIVED else "rollout"
    if CLAUDE_TRANSCRIPT.fullmatch(name) and PROJECTS in above.split("/"):
        return "transcript"
    return "directory" if above.endswith(f"/{SESSIONS}") and UUID.fullmatch(name) else "remains"


def parents_in_header(line: bytes) -> frozenset[str]:
    """The sessions that a rollout's first line, given whole, says it depends on. A line that makes no sense depends on
    nothing: the CLI cannot resume such a session either."""
    # A look at the bytes first: a million lines are read in a run, and few of them name another session.
    if b'"forked_from_id"' not in line and b'"parent_thread_id"' not in line and b'"history_base"' not in line:
        return frozenset()
    if len(line) > _MAX_PARSED:
        return frozenset(parent.decode() for parent in _NAMES_PARENT.findall(line))
    try:
        payload = json.loads(line)["payload"]
        return frozenset(_parents(payload)) - {payload.get("id")}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return frozenset()


def _parents(payload: Mapping[str, Any]) -> Iterable[str]:
    source = payload.get("source")
    subagent = source.get("subagent") if isinstance(source, dict) else None
    spawn = subagent.get("thread_spawn") if isinstance(subagent, dict) else None
    for holder, keys in (
        (payload, _PARENT_KEYS[:2]),
        (payload.get("history_base"), _PARENT_KEYS[2:]),
        (spawn, _PARENT_KEYS[1:2]),
    ):
        if isinstance(holder, dict):
            for key in keys:
                if isinstance(holder.get(key), str):
                    yield holder[key]


def plan(
    sessions: Sequence[Session],
    rules: Rules,
    now: float,
    in_use: AbstractSet[str] = frozenset(),
    needed: AbstractSet[str] = frozenset(),
    parents: Mapping[str, AbstractSet[str]] | None = None,
    rest: Rest = NO_REST,
) -> Plan:
    """Decides which of ``sessions`` go.

    Those whose last activity is more than ``max_age`` ago, then the oldest until the others have at most ``max_bytes``;
    but never the newest ``keep_last`` of each store, one of ``in_use``, one that the ``rest`` needs (``needed``), nor
    one that a session which stays needs (``parents``: what each session needs).
    """
    by_id = {session.id: session for session in sessions}
    ancestors = {child: ids & by_id.keys() for child, ids in (parents or {}).items() if child in by_id}
    newest = _newest(sessions, rules.keep_last, rest)
    protected = in_use | needed | newest
    remaining = rest.bytes + sum(session.bytes for session in sessions)
    due: list[Session] = []
    going: set[str] = set()
    needed_here: set[str] = set()
    for session in _oldest_first(sessions, ancestors):
        if rules.is_due(session.activity, now, remaining):
            due.append(session)
            if session.id not in protected and session.id not in needed_here:
                going.add(session.id)
                remaining -= session.bytes
                continue
        needed_here |= ancestors.get(session.id, frozenset())
    # Only a circle of dependencies, which no CLI writes, can still hold a session that goes: it stays whole.
    going -= _with_ancestors(by_id.keys() - going, ancestors)
    return Plan(
        prune=[session for session in due if session.id in going],
        in_use=[session for session in due if session.id in in_use],
        needed=[s for s in due if s.id not in going and s.id not in in_use and s.id not in newest],
    )


def parents_matter(
    sessions: Sequence[Session],
    rules: Rules,
    now: float,
    in_use: AbstractSet[str] = frozenset(),
    needed: AbstractSet[str] = frozenset(),
    rest: Rest = NO_REST,
) -> bool:
    """Whether ``plan`` has to know what these sessions depend on: not where all go, too old and none protected."""
    all_aged = all(rules.is_aged(session.activity, now) for session in sessions)
    protected = in_use | needed | _newest(sessions, rules.keep_last, rest)
    return not all_aged or any(session.id in protected for session in sessions)


def _newest(sessions: Sequence[Session], keep_last: int, rest: Rest) -> set[str]:
    kept: set[str] = set()
    for store in {session.store for session in sessions}:
        room = keep_last - rest.counts.get(store, 0)
        if room > 0:
            own = sorted((s for s in sessions if s.store == store), key=lambda s: (s.activity, s.id), reverse=True)
            kept.update(session.id for session in own[:room])
    return kept


def _with_ancestors(ids: AbstractSet[str], ancestors: Mapping[str, AbstractSet[str]]) -> set[str]:
    reached: set[str] = set()
    pending = list(ids)
    while pending:
        current = pending.pop()
        if current not in reached:
            reached.add(current)
            pending.extend(ancestors.get(current, ()))
    return reached


def _oldest_first(sessions: Sequence[Session], ancestors: Mapping[str, AbstractSet[str]]) -> list[Session]:
    """The sessions by the newest activity of each and all that need it, oldest first, and each before what it needs."""
    by_id = {session.id: session for session in sessions}
    order: list[Session] = []
    seen: set[str] = set()
    for newest in sorted(sessions, key=lambda s: (s.activity, s.id), reverse=True):
        # Depth first, without recursion (a tenant decides the depth): ancestors are finished before what needs them.
        stack = [(newest.id, False)]
        while stack:
            current, finished = stack.pop()
            if finished:
                order.append(by_id[current])
            elif current not in seen:
                seen.add(current)
                stack.append((current, True))
                stack.extend((ancestor, False) for ancestor in sorted(ancestors.get(current, ())))
    order.reverse()
    return order
