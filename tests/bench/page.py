"""The last run of each row as a page and a chart: ``docs/benchmarks.md``, ``docs/images/benchmarks.svg``.

What is claimed is a ratio of medians of one run. The chart shows each beside the most that is claimed, so that a bar
which ends before the line holds.
"""

from __future__ import annotations

import datetime
import html
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.harness import Report, table

DOCS = Path(__file__).resolve().parents[2] / "docs"
ROW, BAR, LEFT, SCALE = 34, 14, 330, 300  # pixels
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.small { font-size: 11px; fill: #59636e }
.bar { fill: #2da44e } .missed { fill: #cf222e } .line { stroke: #1f2328; stroke-width: 2 } .back { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 } .line { stroke: #f0f6fc } .back { fill: #0d1117 }
}
"""


def describe_machine() -> str:
    cpu = next((line for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "").partition(": ")[2]
    memory = int(next(line for line in _lines("/proc/meminfo") if line.startswith("MemTotal")).split()[1])
    cores = sum(line.startswith("processor") for line in _lines("/proc/cpuinfo"))
    return (
        f"{cores} cores, {cpu.strip() or platform.machine()}, {memory / 2**20:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def keep(place: Path, name: str, report: Report) -> None:
    """Notes a row's report for the page, with the machine and the day."""
    place.mkdir(parents=True, exist_ok=True)
    claims = [{"text": f"{c.side} / {c.against}", "ratio": ratio, "most": c.at_most} for c, ratio in report.verdicts]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    kept = {"name": name, "date": today, "machine": describe_machine(), "claims": claims, "table": list(table(report))}
    (place / f"{name}.json").write_text(json.dumps(kept, indent=1))


def write(place: Path, docs: Path = DOCS) -> None:
    rows = [json.loads(path.read_text()) for path in sorted(place.glob("*.json"))]
    (docs / "images").mkdir(parents=True, exist_ok=True)
    (docs / "benchmarks.md").write_text("\n".join(page(rows)) + "\n")
    (docs / "images/benchmarks.svg").write_text("\n".join(chart(rows)) + "\n")


def page(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "# Speed\n"
    yield "`make bench` writes this page; `make bench ROW=name` one row of it. What is claimed is a ratio of medians"
    yield "within one run, whose sides take turns; seconds are the machine's. A bar that ends before the line holds.\n"
    yield "![Each ratio, beside the most that is claimed](images/benchmarks.svg)\n"
    for row in rows:
        yield f"## {row['name']}\n"
        yield f"{row['date']}, {row['machine']}:\n"
        yield "```text"
        yield from row["table"]
        yield "```\n"


def chart(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Bars as long as the ratio is of what is claimed, with a line where they are as long as that."""
    claims = [claim for row in rows for claim in row["claims"]]
    width, height = LEFT + SCALE + 170, ROW * len(claims) + 40
    yield f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    yield f"<title>Ratios of {len(claims)} claims</title><style>{STYLE}</style>"
    yield f'<rect class="back" width="{width}" height="{height}"/>'
    for number, claim in enumerate(claims):
        top = 10 + ROW * number
        part = min(claim["ratio"] / claim["most"], 1.3)
        ours, _slash, other = map(html.escape, claim["text"].partition(" / "))
        kind = "bar" if claim["ratio"] <= claim["most"] else "bar missed"
        yield f'<text x="10" y="{top + 12}">{ours}</text>'
        yield f'<text class="small" x="10" y="{top + 25}">against {other}</text>'
        yield f'<rect class="{kind}" x="{LEFT}" y="{top + 4}" width="{part * SCALE:.1f}" height="{BAR}" rx="2"/>'
        yield (
            f'<text x="{LEFT + SCALE * 1.3 + 10:.0f}" y="{top + 16}">{claim["ratio"]:.2g} '
            f'<tspan class="small">≤ {claim["most"]:.3g}</tspan></text>'
        )
    yield f'<line class="line" x1="{LEFT + SCALE}" x2="{LEFT + SCALE}" y1="8" y2="{height - 26}"/>'
    note = "the most that is claimed"
    yield f'<text class="small" x="{LEFT + SCALE}" y="{height - 10}" text-anchor="middle">{note}</text>'
    yield "</svg>"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
