"""The page of the playbook ``status`` in a real Chromium: tenants' text stays text, and a large fleet is no burden."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.plugin_utils import _status, _status_page
from support.browser import Browser, chromium
from support.screenshots import NOW, fleet

HOSTS, WORKSPACES = 500, 40
HOSTILE = [
    "</script><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 2'>",
    '"><svg onload="window.pwned = 3">',
    "'+(window.pwned=4)+'",
    "<!--<script>",
    "javascript:window.pwned=5",
    "@STATUS@ @POLICY@ ${window.pwned=6} {{ 7 * 7 }}",
    "a\u2028window.pwned=7//\u2029b",
    "\u202egnirts lios",
    "\u0000\u001b[31m\ud800",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        path = chromium()
    except FileNotFoundError as error:
        pytest.skip(f"NOT RUN: the status page is not tried in a browser: {error}")
    with Browser(path) as browser:
        yield browser


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("status") / "status.html"
    path.write_text(_status_page.page(fleet(HOSTS, WORKSPACES)))
    return path


@pytest.fixture
def page(browser: Browser, large: Path) -> Browser:
    """The large fleet, just opened in a usual window."""
    browser.show(1280, 900)
    browser.open(large)
    return browser


def cells(browser: Browser, table: str, column: int) -> list[str]:
    return browser.run(
        f"[...document.querySelectorAll('#{table} tbody tr')].map(row => row.cells[{column}].textContent)"
    )


def told(browser: Browser, table: str) -> str:
    return browser.run(f"document.querySelector('#{table} [role=status]').textContent")


@pytest.mark.parametrize("policy", [True, False], ids=["as it is", "without its policy"])
def test_hostile_text_stays_text(browser: Browser, tmp_path: Path, policy: bool) -> None:
    """Without the policy too: it is there for the mistake that nobody has made yet."""
    found = {
        name: {
            _status.VALIDATION: {"version": name, "checks": [], "problems": [name]},
            _status.SESSIONS: {
                "totals": {},
                "workspaces": [{"name": name, "owner": name, "stores": {"codex": {"bytes": 9}}, "problems": [name]}],
            },
            _status.PRUNE: {"stdout": json.dumps({"started": 1, "duration": 1, "ok": False, "problems": [name]})},
        }
        for name in HOSTILE
    }
    text = _status_page.page(_status.document(found, HOSTILE, {"msg": HOSTILE[0]}, NOW))
    (tmp_path / "status.html").write_text(text if policy else re.sub("<meta http-equiv.*>", "", text))
    browser.open(tmp_path / "status.html")
    browser.show(1280, 900)
    assert browser.run("window.pwned") is None and browser.complaints() == []
    wanted = sorted(HOSTILE)
    assert sorted(cells(browser, "workspaces", 0)) == sorted(cells(browser, "hosts", 0)) == wanted
    assert sorted(cells(browser, "workspaces", 6)) == wanted
    assert browser.run("document.querySelectorAll('script').length") == 2
    assert browser.run("document.querySelectorAll('img, svg, a:not(.skip), iframe, object, embed').length") == 0
    attributes = (
        "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    )
    assert browser.run(attributes) == []


def test_it_loads_nothing_and_makes_no_mistake(page: Browser) -> None:
    assert page.complaints() == []
    assert page.run("document.title") == "Codex fleet"
    facts = dict(
        page.run("[...document.querySelectorAll('#facts div')].map(e => [...e.children].map(c => c.textContent))")
    )
    assert (facts["Hosts"], facts["Unreachable"], facts["With problems"]) == ("500", "10", "50")
    assert facts["Workspaces"] == "19,600"


def test_a_large_fleet_is_shown_a_page_at_a_time(page: Browser) -> None:
    """What the browser lays out does not grow with the fleet: sorting and filtering touch 100 rows of a table."""
    assert [len(cells(page, table, 0)) for table in ("hosts", "workspaces")] == [100, 100]
    assert page.run("document.querySelectorAll('*').length") < 5000
    assert cells(page, "hosts", 0)[:10] == [f"worker{number}" for number in range(1, 11)], "by number, not by digit"
    click = "[...document.querySelectorAll('#workspaces button')].find(b => b.textContent === {}).click()"
    page.run(click.format("'Bytes'"))
    largest = page.run("workspaces.map(each => each.bytes).sort((a, b) => b - a).slice(0, 200)")
    shown = page.run("tables[1].matching.slice(0, 200).map(each => each.bytes)")
    assert shown == largest and told(page, "workspaces") == "1 to 100 of 19,600"
    page.run(click.format("'Next page'"))
    assert told(page, "workspaces") == "101 to 200 of 19,600"
    page.run(click.format("'Last page'"))
    assert told(page, "workspaces") == "19,501 to 19,600 of 19,600"
    page.run("document.getElementById('workspaces-search').focus()")
    page.type("worker17 tenant-64")
    assert told(page, "workspaces") == "1 to 10 of 10"
    page.run("document.getElementById('hosts-search').focus()")
    page.type("no such host")
    assert told(page, "hosts") == "Nothing matches" and cells(page, "hosts", 0) == []


def test_hosts_are_filtered_by_state(page: Browser) -> None:
    page.run(
        "{ const only = document.getElementById('hosts-only'); only.value = 'unreachable';"
        "only.dispatchEvent(new Event('change')); }"
    )
    assert told(page, "hosts") == "1 to 10 of 10"
    assert set(cells(page, "hosts", 2)) == {"ssh: connect to host: Connection timed out"}


def test_the_keyboard_does_all(page: Browser) -> None:
    def focused() -> str:
        return page.run("(document.activeElement.labels?.[0] || document.activeElement).textContent.trim()")

    page.press("Tab")
    assert focused() == "Skip to the hosts"
    page.press("Enter")
    seen = []
    while not seen or seen[-1] != "Last page":
        page.press("Tab")
        seen.append(focused())
        if seen[-1] in ("Sessions", "Next page"):
            page.press("Enter" if seen[-1] == "Sessions" else " ")
        assert len(seen) < 30, seen
    assert seen[:2] == ["Search hosts", "Show"] and "Problems" in seen
    assert page.run("document.querySelector('#hosts th[aria-sort]').textContent") == "Sessions"
    assert page.run("document.querySelector('#hosts th[aria-sort]').getAttribute('aria-sort')") == "descending"
    assert told(page, "hosts") == "101 to 200 of 500"


def test_everything_has_a_name_for_screen_readers(page: Browser) -> None:
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {
        *("button", "searchbox", "combobox", "table", "region", "navigation", "meter", "columnheader", "link", "list")
    }
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    named = [(role, name) for role, name in named if role in roles]
    # A list of problems is named by its cell.
    assert [role for role, name in named if not name.strip() and role != "list"] == []
    assert {role for role, _name in named} == roles
    assert ("table", "Hosts") in named and ("searchbox", "Search workspaces") in named


CONTRAST = """(() => {
  const channel = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (color) => {
    const [red, green, blue] = color.match(/[\\d.]+/g).map(Number).map(channel);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    return color.endsWith(', 0)') ? behind(element.parentElement) : color;
  };
  const texts = document.querySelectorAll('h1, h2, p, dt, dd, td, th button, label, .state, .amount');
  return Math.min(...[...texts].map((element) => {
    const [one, other] = [getComputedStyle(element).color, behind(element)].map(light).sort((a, b) => b - a);
    return (one + 0.05) / (other + 0.05);
  }));
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(page: Browser, scheme: str) -> None:
    page.show(1280, 900, scheme)
    assert (
        page.run("getComputedStyle(document.body).backgroundColor")
        == {
            "light": "rgb(245, 246, 248)",
            "dark": "rgb(20, 24, 31)",
        }[scheme]
    )
    assert page.run(CONTRAST) >= 4.5


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_narrow_screen_scrolls_tables_alone(page: Browser, width: int) -> None:
    page.show(width, 800)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("document.querySelector('#hosts .scroll').scrollWidth") > width


def test_paper_gets_more_rows_and_no_controls(page: Browser) -> None:
    page.show(1000, 700, medium="print")  # A4, on its side
    assert page.run("getComputedStyle(document.querySelector('.controls')).display") == "none"
    assert page.run("[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)")
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert [len(cells(page, table, 0)) for table in ("hosts", "workspaces")] == [500, 2000]
    assert told(page, "workspaces") == "1 to 2,000 of 19,600"
    page.run("dispatchEvent(new Event('afterprint'))")
    assert len(cells(page, "workspaces", 0)) == 100
