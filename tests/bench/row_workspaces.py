"""Preparing workspaces over SSH against loops over ``file`` and ``copy``, both with pipelining.

The loops run over 50 workspaces; what one of these costs, without the play's start, is what each of the others would.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from typing import Any

from bench.harness import Claim, Side
from bench.worker import Worker, worker

TITLE = "codex_workspaces over SSH: HOME, .codex, sessions and config.toml of each"
LOOPED = 50
# To warm up, a few are enough: one costs a second.
LOOPED_FIRST = 5
ROUNDS = 2
CLAIMS = (
    Claim("200 new", "200 new, file and copy loops", at_most=1 / 60),
    Claim("1000 new", "1000 new, file and copy loops", at_most=1 / 300),
    Claim("1000 unchanged", "1000 unchanged, file and copy loops", at_most=1 / 500),
)
ROOT = "/srv/workspaces"
CONFIG = {"model": "gpt-5-codex", "features": {"plugins": False}}
TEXT = 'model = "gpt-5-codex"\n\n[features]\nplugins = false\n'


def workspaces(count: int) -> list[dict[str, Any]]:
    return [{"name": f"ws-{n:05d}", "uid": 100_000 + n, "gid": 100_000 + n} for n in range(count)]


def ours(count: int) -> dict[str, Any]:
    return {
        "alive.codex.codex_workspaces": {"root": ROOT, "workspaces": json.dumps(workspaces(count)), "config": CONFIG}
    }


def loops() -> list[dict[str, Any]]:
    """The same by the usual means. (These follow a tenant's links; here there is none.)"""
    owner = {"owner": "{{ item.uid }}", "group": "{{ item.gid }}"}
    each = {"loop": "{{ workspaces }}", "loop_control": {"label": "{{ item.name }}"}}
    directories: list[dict[str, Any]] = [
        {"ansible.builtin.file": {"path": path, "state": "directory", "mode": "0700", **owner}, **each}
        for path in (f"{ROOT}/{{{{ item.name }}}}{below}" for below in ("", "/.codex", "/.codex/sessions"))
    ]
    config = {"dest": f"{ROOT}/{{{{ item.name }}}}/.codex/config.toml", "content": TEXT, "mode": "0600", **owner}
    root = {"path": ROOT, "state": "directory", "mode": "0711"}
    return [{"ansible.builtin.file": root}, *directories, {"ansible.builtin.copy": config, **each}]


class Measured:
    """Each side's seconds. A round measures the loops once, new and unchanged, and scales that."""

    def __init__(self, on: Worker) -> None:
        self._on = on
        self._start = 0.0
        self._looped = LOOPED_FIRST
        self._each: dict[str, float] = {}

    def new(self, count: int) -> float:
        self._clear()
        return self._on.play(ours(count))

    def unchanged(self, count: int) -> float:
        return self._on.play(ours(count))

    def loops_new(self, count: int) -> float:
        if count == 200:
            self._clear()
            self._start = self._on.ping()
            for state in ("new", "unchanged"):
                seconds = self._on.play(*loops(), workspaces=workspaces(self._looped))
                self._each[state] = (seconds - self._start) / self._looped
            self._looped = LOOPED
        return self._start + self._each["new"] * count

    def loops_unchanged(self, count: int) -> float:
        return self._start + self._each["unchanged"] * count

    def _clear(self) -> None:
        shutil.rmtree(f"{self._on.root}{ROOT}", ignore_errors=True)


@contextlib.contextmanager
def sides() -> Iterator[dict[str, Side]]:
    with worker("workspaces") as on:
        measured = Measured(on)
        yield {
            "200 new": lambda: measured.new(200),
            "1000 new": lambda: measured.new(1000),
            "1000 unchanged": lambda: measured.unchanged(1000),
            "200 new, file and copy loops": lambda: measured.loops_new(200),
            "1000 new, file and copy loops": lambda: measured.loops_new(1000),
            "1000 unchanged, file and copy loops": lambda: measured.loops_unchanged(1000),
            "a play that only pings": on.ping,
        }
