from __future__ import annotations

import contextlib
from pathlib import Path
from xml.etree import ElementTree

from bench import harness, page


class Row:
    TITLE = "two sides"
    ROUNDS = 3
    CLAIMS = (harness.Claim("ours", "peer", at_most=0.5), harness.Claim("peer", "ours", at_most=1.5))

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.open = False

    @contextlib.contextmanager
    def sides(self):
        self.open = True
        times = {"ours": iter([9.0, 1.0, 2.0, 6.0]), "peer": iter([9.0, 4.0, 4.0, 40.0])}
        yield {name: lambda name=name: self.calls.append(name) or next(times[name]) for name in times}
        self.open = False


def test_sides_alternate_after_a_warm_up_and_medians_decide():
    row = Row()
    report = harness.measure(row)
    assert row.calls == ["ours", "peer"] * 4
    assert not row.open
    assert report.seconds == {"ours": [1.0, 2.0, 6.0], "peer": [4.0, 4.0, 40.0]}
    assert [(verdict.ratio, verdict.holds) for verdict in report.verdicts] == [(0.5, True), (2.0, False)]


def test_the_table_fits_80_columns_and_names_a_missed_claim():
    lines = list(harness.table(harness.measure(Row())))
    assert max(map(len, lines)) <= 80
    assert "MISSED" in lines[-1]


def test_the_page_and_the_chart_show_each_claim(tmp_path: Path) -> None:
    page.keep(tmp_path / "kept", "one", harness.measure(Row()))
    page.write(tmp_path / "kept", tmp_path / "docs")
    text = (tmp_path / "docs/benchmarks.md").read_text()
    assert "## one" in text and "MISSED" in text and "GiB, Linux" in text
    chart = ElementTree.parse(tmp_path / "docs/images/benchmarks.svg").getroot()
    bars = [each.get("class") for each in chart.iter("{http://www.w3.org/2000/svg}rect") if each.get("height") == "14"]
    assert bars == ["bar", "bar missed"]
