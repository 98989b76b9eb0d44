"""Installing a release against plain npm, starting what is installed against npm's launcher, and an unchanged run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.modules import run_module
from support.packages import CODEX_VERSION
from support.registry import Registry

from bench.harness import Claim, Side

TITLE = f"release: install {CODEX_VERSION}, start it, and find nothing to do"
CLAIMS = (
    Claim("codex_release, a new version", "npm install -g of it, and sync -f", at_most=1.0),
    Claim("codex_release, a new version", "npm install -g of it", at_most=1.15),
    Claim("30 starts by the stable path", "30 starts by npm's launcher", at_most=0.25),
    Claim("codex_release, unchanged", "two ansible.builtin.ping", at_most=1.0),
)
ROUNDS = 3
STARTS = 30
TASKS = 5


@contextlib.contextmanager
def sides() -> Iterator[dict[str, Side]]:
    root = Path(tempfile.mkdtemp(prefix="alive-codex-bench-"))
    root.chmod(0o755)
    try:
        with Registry([f"@openai/codex@{CODEX_VERSION}"]) as registry:
            yield _sides(root, registry.url)
    finally:
        shutil.rmtree(root)


def _sides(root: Path, registry: str) -> dict[str, Side]:
    npm = root / "npm"
    ours = {"version": CODEX_VERSION, "registry": registry}
    kept = {**ours, "prefix": str(root / "kept" / "lib"), "bin": str(root / "kept" / "bin" / "codex")}
    assert run_module("codex_release", kept)["changed"]

    def install_ours() -> float:
        place = root / "new"
        os.sync()  # what the side before has removed
        started = time.perf_counter()
        result = run_module(
            "codex_release", {**ours, "prefix": str(place / "lib"), "bin": str(place / "bin" / "codex")}
        )
        seconds = time.perf_counter() - started
        assert result["changed"], result
        shutil.rmtree(place)
        return seconds

    def install_npm(*then: str | Path) -> float:
        shutil.rmtree(npm, ignore_errors=True)
        os.sync()
        cache = root / "cache"  # a new version is in nobody's cache
        argv = ["npm", "install", "--global", "--prefix", npm, "--cache", cache, "--registry", registry]
        started = time.perf_counter()
        subprocess.run([*argv, f"@openai/codex@{CODEX_VERSION}"], check=True, capture_output=True)
        if then:
            subprocess.run(then, check=True)
        seconds = time.perf_counter() - started
        shutil.rmtree(cache)
        return seconds

    def start(command: Path) -> None:
        for _start in range(STARTS):
            subprocess.run([command, "--version"], check=True, capture_output=True)

    return {
        "codex_release, a new version": install_ours,
        "npm install -g of it, and sync -f": lambda: install_npm("sync", "-f", root),
        "npm install -g of it": install_npm,
        "30 starts by the stable path": lambda: start(Path(kept["bin"])),
        "30 starts by npm's launcher": lambda: start(npm / "bin" / "codex"),
        "codex_release, unchanged": lambda: _tasks(root, [{"alive.codex.codex_release": kept}] * TASKS) / TASKS,
        "two ansible.builtin.ping": lambda: _tasks(root, [{"ansible.builtin.ping": {}}] * 2 * TASKS) / TASKS,
    }


def _tasks(root: Path, tasks: list[dict[str, Any]]) -> float:
    """Seconds that the tasks take in one play, its start and end left out."""
    stamp = {"ansible.builtin.debug": {"msg": "at={{ now(utc=true).timestamp() }}"}}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [stamp, *tasks, stamp]}
    playbook = root / "play.json"
    playbook.write_text(json.dumps([play]))
    argv = ["ansible-playbook", "-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}", playbook]
    env = {**os.environ, "ANSIBLE_HOME": str(root / "ansible")}
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env=env)
    first, last = (float(text) for text in re.findall(r"at=([0-9.]+)", done.stdout))
    return last - first
