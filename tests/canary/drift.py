"""How one release of the CLI differs from those that are known, and which rule of the collection each difference meets.

Pure. A description is what ``recorder.describe`` finds out and ``versions/*.json`` keep: by section and by name, the
details of that name, such as ``{"tables": {"state_5.sqlite threads": ["id TEXT PRIMARY KEY", ...]}}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

Description = Mapping[str, Mapping[str, list[str]]]

RULES: list[dict[str, str]] = yaml.safe_load((Path(__file__).parent / "rules.yml").read_text())


class Difference(NamedTuple):
    """One fact that only one side has."""

    kind: str  # "new", or "gone"
    section: str
    name: str
    detail: str  # empty: the whole name

    @property
    def text(self) -> str:
        return f"{self.name}: {self.detail}" if self.detail else self.name

    def rule(self) -> str:
        """What the collection does about it; says so where no rule is written."""
        for rule in RULES:
            if self.section.startswith(rule["section"]) and re.search(rule.get("pattern", ""), self.text):
                return rule.get(self.kind, "nothing in the collection rests on it")
        return "there is no rule for this section: write one into tests/canary/rules.yml"


def _facts(description: Description) -> dict[tuple[str, str], set[str]]:
    return {(section, name): set(details) for section, names in description.items() for name, details in names.items()}


def union(descriptions: Iterable[Description]) -> dict[str, dict[str, list[str]]]:
    """Everything that any of them has."""
    all_: dict[str, dict[str, list[str]]] = {}
    for description in descriptions:
        for (section, name), details in _facts(description).items():
            known = all_.setdefault(section, {}).setdefault(name, [])
            known += sorted(details - set(known))
    return all_


def _only(kind: str, one: Description, other: Description) -> Iterator[Difference]:
    known = _facts(other)
    for (section, name), details in _facts(one).items():
        if (section, name) not in known:
            # The details of what is new matter as much: a new table may have a column that names a thread.
            yield from (Difference(kind, section, name, detail) for detail in sorted(details) or [""])
        else:
            missing = sorted(details - known[section, name])
            yield from (Difference(kind, section, name, detail) for detail in missing)


def compare(before: Description, after: Description) -> list[Difference]:
    """What ``after`` has that ``before`` lacks, then what it lacks."""
    return [*_only("new", after, before), *_only("gone", before, after)]


def against(known: Mapping[str, Description], nearest: str, found: Description) -> list[Difference]:
    """What ``found`` has that no known release has, and what it lacks of the ``nearest`` one."""
    return [*_only("new", found, union(known.values())), *_only("gone", known[nearest], found)]


def report(title: str, differences: Iterable[Difference]) -> str:
    """For people: by section, and within it by rule, each difference on a line."""
    by_rule: dict[tuple[str, str, str], list[str]] = {}
    for difference in differences:
        key = (difference.section, difference.kind, difference.rule())
        by_rule.setdefault(key, []).append(difference.text)
    lines = [title]
    for (section, kind, rule), texts in by_rule.items():
        lines += ["", f"{section}, {kind}: {rule}", *(f"  {'+' if kind == 'new' else '-'} {text}" for text in texts)]
    if not by_rule:
        lines.append("no drift")
    return "\n".join(lines) + "\n"
