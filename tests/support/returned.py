"""Holds what modules return in the tests against what they document as RETURN.

A key that is not documented fails the test whose module returned it. Which of those that are documented were returned
is kept for the end of the run, which names the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from support.documentation import MODULES, returns

# What every module may return, and Ansible adds.
COMMON = {
    *("changed", "failed", "msg", "diff", "invocation", "warnings", "deprecations", "exception", "attempts"),
    *("ansible_job_id", "child_pid", "finished", "started", "results_file", "stdout", "stdout_lines", "stderr_lines"),
    *("unreachable", "module_stdout", "module_stderr", "skipped", "skip_reason", "ansible_facts", "timedout"),
    "async_result",  # up to ansible-core 2.18
}
# What no test can have a host return.
NOT_RETURNED = {
    # It looks at the whole machine: its tests have what it finds found below another directory.
    "codex_handmade": {f"found.{key}" for key in ("kept", "kind", "line", "path", "text", "what")},
}


def hold(module: str, result: Mapping[str, Any]) -> None:
    """Raises AssertionError for keys of a result that RETURN of the module does not have."""
    keys = set(_keys({name: value for name, value in result.items() if _ours(module, name)}, returns(module)))
    undocumented = sorted(keys - documented(module))
    assert not undocumented, f"RETURN of plugins/modules/{module}.py leaves out {', '.join(undocumented)}"
    if place := os.environ.get("ALIVE_RETURNED"):
        for key in keys:
            Path(place, f"{module} {key}").touch()


def documented(module: str) -> set[str]:
    """Each key, with dots where it is a key of another one."""
    return set(_said(returns(module)))


def never_returned(place: Path) -> list[str]:
    """What is documented, and no module returned since ``place`` was an empty directory."""
    found = {path.name for path in place.iterdir()}
    return [
        f"{module} {key}"
        for module in MODULES
        for key in sorted(documented(module) - NOT_RETURNED.get(module, set()))
        if f"{module} {key}" not in found
    ]


def _ours(module: str, name: str) -> bool:
    return not name.startswith("_ansible_") and (name not in COMMON or name in returns(module))


def _said(keys: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, about in keys.items():
        yield above + name
        yield from _said(about.get("contains") or {}, f"{above}{name}.")


def _keys(value: Mapping[str, Any], keys: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The keys of a result, as deep as the documentation says what is there."""
    for name, inner in value.items():
        yield above + name
        contains = (keys.get(name) or {}).get("contains")
        if contains:
            for each in inner if isinstance(inner, list) else [inner]:
                if isinstance(each, dict):
                    yield from _keys(each, contains, f"{above}{name}.")
