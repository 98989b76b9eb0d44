# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Prunes the sessions of many workspaces.

Shared by the module ``codex_prune`` and the script that cron runs.
"""

from __future__ import annotations

import os
import textwrap
import time
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

from .._formats.text import MESSAGE_LENGTH, clean, counted
from .._formats.units import format_size
from .._host.jobs import Channel, Job, Limits, Sink, run_jobs
from .._host.proc import open_names
from .._host.safefs import printable
from .._workspaces.homes import OpenedHome, each_home
from .archive import ArchiveFiles
from .options import homes_of, now_of, rules_of
from .plan import UUID
from .prune_home import MAX_LISTED, HomePruner, Orders
from .sqlite_home import VARIABLE

_MAX_PARALLEL = 4
_COUNTS = ("pruned", "pruned_bytes", "kept", "kept_bytes", "in_use", "needed")
_SWEPT = ("swept", "swept_bytes")
NO_SENSE = "reported what makes no sense"
# Of one workspace. Beyond twenty, its own process only counts them.
MOST_PROBLEMS = 100
# That are told one by one, of all workspaces; a result has them all.
MOST_TOLD = 100

Work = Callable[[OpenedHome], Callable[["Channel | None"], "dict[str, Any]"]]


def orders_from(options: Mapping[str, Any], dry_run: bool) -> Orders:
    """What the options ask for.

    Raises ValueError where one makes no sense.
    """
    sqlite_home = os.environ.get(VARIABLE, "")
    if sqlite_home and not os.path.isabs(sqlite_home):
        raise ValueError(f"{VARIABLE} must be an absolute path, not {sqlite_home!r}")
    now = now_of(options)
    return Orders(
        stores=tuple(dict.fromkeys(options["stores"])),
        rules=rules_of(options),
        sweep=options["sweep"],
        now=time.time() if now is None else now,
        dry_run=dry_run,
        codex=options["codex_path"],
        sqlite_home=sqlite_home,
        homes=homes_of(options),
    )


def in_each_home(
    root: str, names: Sequence[str] | None, work: Work, sink: Callable[[OpenedHome], Sink | None] | None = None
) -> Iterator[dict[str, Any]]:
    """Runs ``work`` in every workspace, as its owner, and yields each result as it comes, with ``name``, ``path``,
    ``owner`` and ``problems`` added."""
    refused: list[dict[str, Any]] = []
    reports: dict[str, dict[str, Any]] = {}

    def jobs() -> Iterator[Job]:
        for workspace in each_home(root, names):
            report = {"name": printable(workspace.name), "path": printable(workspace.path), "owner": "", "problems": []}
            if workspace.problem:
                refused.append(dict(report, problems=_fit([workspace.problem])))
                continue
            reports[workspace.name] = dict(report, owner=f"{workspace.owner.uid}:{workspace.owner.gid}")
            yield Job(workspace.name, workspace.owner, workspace.fd, work(workspace), sink(workspace) if sink else None)

    # One more than there are processors, so that none idles while the next child is made.
    for outcome in run_jobs(jobs(), min((os.cpu_count() or 1) + 1, _MAX_PARALLEL), Limits()):
        # What a child says of itself never replaces what is known of it.
        report = {**outcome.result, **reports.pop(outcome.name)}
        report["problems"] = _fit([outcome.error] if outcome.error else outcome.result.get("problems"))
        yield report
    yield from refused


def _fit(problems: Any) -> list[str]:
    """What a tenant's data may have had a part in, for results, terminals, logs and mails."""
    if not isinstance(problems, list):
        return [NO_SENSE]
    return [clean(str(problem), MESSAGE_LENGTH) for problem in problems[:MOST_PROBLEMS]]


def prune(root: str, names: Sequence[str] | None, orders: Orders, archive: str | None = None) -> dict[str, Any]:
    """Prunes all workspaces, or says what would be pruned. What it returns is what the module documents."""
    # As root, this sees what root has open, too; the owner looks again at its own right before it removes.
    open_ids = open_names(UUID)
    archives: dict[str, ArchiveFiles] = {}

    def work(workspace: OpenedHome) -> Callable[[Channel | None], dict[str, Any]]:
        known = open_ids.get(0, set()) | open_ids.get(workspace.owner.uid, set())
        return lambda channel: HomePruner(workspace.fd, workspace.path, orders, known, channel).run()

    def sink(workspace: OpenedHome) -> Sink | None:
        if archive is None or orders.dry_run:
            return None
        archives[printable(workspace.name)] = ArchiveFiles(archive, workspace.name)
        return archives[printable(workspace.name)]

    totals = dict.fromkeys((*_COUNTS, *_SWEPT), 0)
    workspaces = []
    room = MAX_LISTED
    for report in in_each_home(root, names, work, sink):
        if not _is_sound(report, totals):
            report = {key: report[key] for key in ("name", "path", "owner")}
            report["problems"] = [NO_SENSE]
        counts = {key: report.get(key, 0) for key in totals}
        report.update(counts, sessions=report.get("sessions", [])[:room])
        room -= len(report["sessions"])
        report["archives"] = archives[report["name"]].paths if report["name"] in archives else []
        for key, count in counts.items():
            totals[key] += count
        workspaces.append(report)
    workspaces.sort(key=lambda report: str(report["name"]))
    return {
        "changed": bool(totals["pruned"] or totals["swept"]),
        "totals": dict(totals, workspaces=len(workspaces)),
        "workspaces": workspaces,
        "problems": [f"{report['path']}: {text}" for report in workspaces for text in report["problems"]],
    }


def _is_sound(report: Mapping[str, Any], counts: Iterable[str]) -> bool:
    """Whether a child that a tenant's data might have corrupted still reports what it should."""
    return all(isinstance(report.get(key, 0), int) for key in counts) and isinstance(report.get("sessions", []), list)


def summary(result: dict[str, Any], dry_run: bool) -> str:
    """The result for a person: a sentence for each workspace where something happened, and one for all."""
    said = [
        f"{report['name']}: {_in_words(report, dry_run)}"
        for report in result["workspaces"]
        if report["pruned"] or report["swept"]
    ]
    totals = result["totals"]
    problems = f"; {counted(len(result['problems']), 'problem')}" if result["problems"] else ""
    said.append(f"{counted(totals['workspaces'], 'workspace')}: {_in_words(totals, dry_run)}{problems}")
    wrapper = textwrap.TextWrapper(80, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(map(wrapper.fill, said))


def _in_words(counts: dict[str, Any], dry_run: bool) -> str:
    verb = "would prune" if dry_run else "pruned"
    text = f"{verb} {counted(counts['pruned'], 'session')} ({format_size(counts['pruned_bytes'])})"
    if counts["swept"]:
        text += f" and {counted(counts['swept'], 'leftover')} ({format_size(counts['swept_bytes'])})"
    text += f"; {counts['kept']} stay ({format_size(counts['kept_bytes'])})"
    reasons = [f"{counts[key]} {word}" for key, word in (("in_use", "in use"), ("needed", "needed")) if counts[key]]
    return text + (f", of them {' and '.join(reasons)}" if reasons else "")
