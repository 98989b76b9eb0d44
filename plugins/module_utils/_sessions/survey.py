# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What sessions there are in many workspaces."""

from __future__ import annotations

import math
from itertools import chain
from typing import AbstractSet, Any, Callable, Mapping, Sequence

from .._formats.units import format_time
from .._host.jobs import Channel
from .._host.proc import open_names
from .._host.safefs import printable
from .._workspaces.homes import OpenedHome
from .elsewhere import roots, unknown
from .home import Home
from .plan import UUID, Tally, session_kind
from .prune_all import in_each_home
from .prune_home import STORE_CLASSES, SessionStore

# Sessions of one workspace that a report names; all are counted.
MAX_LISTED = 10_000


def survey(
    root: str,
    names: Sequence[str] | None,
    stores: Sequence[str],
    details: bool,
    empty: bool,
    homes: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """What the module ``codex_sessions_info`` documents; ``homes``, by store, where else than in the usual directory
    sessions are."""
    open_ids = open_names(UUID) if details else {}

    def work(workspace: OpenedHome) -> Callable[[Channel | None], dict[str, Any]]:
        known = open_ids.get(0, set()) | open_ids.get(workspace.owner.uid, set())
        return lambda channel: _survey_home(Home(workspace.fd), stores, details, empty, known, homes)

    workspaces = sorted(in_each_home(root, names, work), key=lambda report: str(report["name"]))
    counted = [store for report in workspaces for store in report.setdefault("stores", {}).values()]
    return {
        "totals": {
            "workspaces": len(workspaces),
            "sessions": sum(store["sessions"] for store in counted),
            "bytes": sum(store["bytes"] for store in counted),
        },
        "workspaces": workspaces,
        "problems": [f"{report['path']}: {text}" for report in workspaces for text in report["problems"]],
    }


def _survey_home(
    home: Home,
    stores: Sequence[str],
    details: bool,
    empty: bool,
    open_ids: AbstractSet[str],
    homes: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    known = {name: roots(home, name, homes.get(name, ())) for name in stores}
    report: dict[str, Any] = {"stores": {}, "problems": list(unknown(home, known))}
    sessions: list[dict[str, Any]] = []
    for name in known:
        places: list[SessionStore] = [STORE_CLASSES[name](home, root) for root in known[name]]
        in_use = set(open_ids).union(*(store.in_use() for store in places)) if details else set()
        count = total = 0
        oldest = newest = None
        largest: tuple[int, str, str] = (-1, "", "")
        for session, activity, size, parts in chain.from_iterable(store.scan(math.inf, Tally()) for store in places):
            count += 1
            total += size
            oldest = activity if oldest is None else min(oldest, activity)
            newest = activity if newest is None else max(newest, activity)
            if size > largest[0]:
                largest = (size, session, parts[-1])
            if details and len(sessions) < MAX_LISTED:
                sessions.append(
                    {
                        "store": name,
                        "id": session,
                        "kind": session_kind(parts[-1]),
                        "path": printable(parts[-1]),
                        "bytes": size,
                        "last_activity": activity,
                        "last_activity_utc": format_time(activity),
                        "in_use": session in in_use,
                    }
                )
        size, session, path = largest
        if count or empty:
            report["stores"][name] = {
                "sessions": count,
                "bytes": total,
                "oldest": oldest,
                "oldest_utc": None if oldest is None else format_time(oldest),
                "newest": newest,
                "newest_utc": None if newest is None else format_time(newest),
                "largest": {"id": session, "path": printable(path), "bytes": size} if count else None,
            }
        report["problems"] += [problem for store in places for problem in store.problems]
    return dict(report, sessions=sorted(sessions, key=lambda s: (s["last_activity"], s["id"]))) if details else report
