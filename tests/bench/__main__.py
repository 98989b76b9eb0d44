"""``python -m bench REPORT [ROW...]``: runs the rows named, or all, and writes the table to REPORT too, and
``docs/benchmarks.md`` of each row's last run here.

Exits 1 where a claim is missed, 2 for a row that does not exist.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import bench
from bench import harness, page


def main(report_path: str, *wanted: str) -> int:
    found = [module.name for module in pkgutil.iter_modules(bench.__path__) if module.name.startswith("row_")]
    names = [f"row_{name}" for name in wanted] or sorted(found)
    if unknown := set(names) - set(found):
        print(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(sorted(found))}", file=sys.stderr)
        return 2
    missed = 0
    with harness.appending(report_path) as say:
        for name in names:
            report = harness.measure(importlib.import_module(f"bench.{name}"))
            page.keep(Path(report_path).with_suffix(""), name.removeprefix("row_"), report)
            for line in harness.table(report):
                say(line)
            say("")
            missed += sum(not verdict.holds for verdict in report.verdicts)
    page.write(Path(report_path).with_suffix(""))
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
