"""The one harness for every speed claim.

A row is a file ``row_<name>.py`` with::

    TITLE = "what is compared"
    CLAIMS = (Claim("ours", "peer", at_most=1.25),)
    ROUNDS = 7                                   # optional

    @contextlib.contextmanager
    def sides() -> Iterator[dict[str, Side]]:    # what is alternated: ours, the peer, a physical floor
        yield {"ours": run_ours, "peer": run_peer, "floor": run_floor}

A side is a callable that does the work once. It returns None, and its wall-clock time counts; or the seconds that it
measured itself, where only a part of what it does is the point or the whole is extrapolated from a part.

Every side runs once unmeasured to warm up. Then each round runs every side, so that a busy moment of the machine hits
all of them alike. Only ratios of medians are claimed; seconds are this machine's.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

Side = Callable[[], float | None]


class Claim(NamedTuple):
    """The median of ``side`` is at most ``at_most`` times the median of ``against``."""

    side: str
    against: str
    at_most: float


class Row(Protocol):
    TITLE: str
    CLAIMS: Sequence[Claim]

    def sides(self) -> AbstractContextManager[dict[str, Side]]:
        """What is compared, by name, while it is set up."""


class Verdict(NamedTuple):
    claim: Claim
    ratio: float

    @property
    def holds(self) -> bool:
        return self.ratio <= self.claim.at_most


class Report(NamedTuple):
    title: str
    rounds: int
    seconds: dict[str, list[float]]
    verdicts: list[Verdict]


def measure(row: Row) -> Report:
    """Runs one row; ``seconds`` holds each side's times in the order of the rounds."""
    rounds = getattr(row, "ROUNDS", 5)
    with row.sides() as sides:
        for side in sides.values():
            side()
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _round in range(rounds):
            for name, side in sides.items():
                seconds[name].append(_timed(side))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    verdicts = [Verdict(claim, medians[claim.side] / medians[claim.against]) for claim in row.CLAIMS]
    return Report(row.TITLE, rounds, seconds, verdicts)


def _timed(side: Side) -> float:
    start = time.perf_counter()
    own = side()
    return time.perf_counter() - start if own is None else own


def table(report: Report) -> Iterator[str]:
    """The report as lines of at most 80 columns."""
    yield f"{report.title}  ({report.rounds} rounds)"
    yield f"  {'':<34}{'median':>12}{'fastest':>12}{'slowest':>12}"
    for name, times in report.seconds.items():
        columns = (statistics.median(times), min(times), max(times))
        yield f"  {name:<34}" + "".join(f"{_human(value):>12}" for value in columns)
    for claim, ratio in report.verdicts:
        verdict = "holds" if ratio <= claim.at_most else "MISSED"
        yield f"  {claim.side} / {claim.against} = {ratio:.3g}, claimed at most {claim.at_most:.3g}: {verdict}"


def _human(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds >= 1 else f"{seconds * 1000:.2f} ms"


@contextlib.contextmanager
def appending(path: str) -> Iterator[Callable[[str], None]]:
    """A printer that writes each line to the terminal and to a file, at once."""
    with open(path, "w", encoding="utf-8") as file:

        def say(line: str) -> None:
            print(line, flush=True)
            print(line, file=file, flush=True)

        yield say
