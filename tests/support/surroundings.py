"""Runs targets of the Makefile in surroundings that are old, or new, in all that varies.

Usage: surroundings.py old|new TARGET...

The Python of the control node and the one of targets are the oldest, or newest, of this machine that the collection
supports; ansible-core is the oldest, or newest, that takes them. What that leaves unseen is told at once, and kept for
the end of ``make test``. An ``ALIVE_...`` variable that is set already stays as it is.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.pythons import Python, find_pythons

CACHE = Path(__file__).resolve().parents[2] / ".cache"


class Range(NamedTuple):
    """The oldest and the newest version of Python."""

    oldest: tuple[int, int]
    newest: tuple[int, int]

    def within(self, pythons: Sequence[Python]) -> list[Python]:
        return [python for python in pythons if self.oldest <= python.version <= self.newest]


class Core(NamedTuple):
    """A release of ansible-core, and the Pythons that it takes on the control node and on targets."""

    version: str
    control: Range
    targets: Range


CONTROL = Range((3, 11), (3, 13))
TARGETS = Range((3, 8), (3, 13))
CORES = (
    Core("2.17", Range((3, 10), (3, 12)), Range((3, 7), (3, 12))),
    Core("2.18", Range((3, 11), (3, 13)), Range((3, 8), (3, 13))),
    Core("2.19", Range((3, 11), (3, 13)), Range((3, 8), (3, 13))),
    Core("2.20", Range((3, 12), (3, 14)), Range((3, 9), (3, 14))),
    Core("2.21", Range((3, 12), (3, 14)), Range((3, 9), (3, 14))),
)
# Where each is found in what is sorted from old to new.
ENDS = {"old": 0, "new": -1}
ENVIRONMENT = {
    "old": {"ALIVE_UMASK": "077"},
    "new": {"ALIVE_UMASK": "022", "ALIVE_CLI": "latest"},
}
# System tests that one of them leaves out, with the reason: no core, no umask, no CLI and no Python makes a difference.
_RACES = "races of other users, against system calls that give each mode themselves"
_RELEASES = "it has its own releases of the CLI, and files that only that makes"
_INSTALLED = "npm and the file system do there; test_release.py installs, updates and removes in both"
LEFT_OUT: dict[str, dict[str, str]] = {
    "new": {
        "test_quota.py": "what the file system does",
        "test_exec_limits.py": "what the kernel does for a turn",
        "test_exec_mitogen.py": "Mitogen comes with the ansible-core that it supports",
        "test_documented_commands.py": "what it runs, other tests vary",
        "test_examples.py": "what it runs, other tests vary",
        "test_fleet.py": "the test hosts have a Python and a umask of their own, and packages stand in for the CLI",
        "test_hosts.py": "the test hosts have a Python and a umask of their own",
        "test_make.py": "make and the shell run there",
        "test_prune_attacks.py": _RACES,
        "test_prune_claude.py": _RELEASES,
        "test_prune_cli.py": _RELEASES,
        "test_prune_cron.py": "the test hosts have a Python and a umask of their own",
        "test_prune_sqlite_home.py": _RELEASES,
        "test_prune_whole.py": _RELEASES,
        "test_release_faults.py": _INSTALLED,
        "test_release_live.py": _INSTALLED,
        "test_release_places.py": _INSTALLED,
        "test_release_record.py": _INSTALLED,
        "test_release_resolution.py": _INSTALLED,
        "test_release_surroundings.py": _INSTALLED,
        "test_safefs.py": _RACES,
        "test_status_page.py": "a page in a browser",
        "test_sdk_parity.py": "what the SDK and codex_exec say to a stand-in for the CLI",
        "test_stub.py": "the canary has it with the newest CLI",
        "test_workspaces_attacks.py": _RACES,
    },
}


class Choice(NamedTuple):
    """What this machine has of one end: ``python`` and ``core`` of the control node, ``target`` of targets."""

    python: Python
    core: Core
    target: Python


def choose(end: int, pythons: Sequence[Python]) -> Choice:
    """Raises LookupError where no Python fits."""
    controls = CONTROL.within([python for python in pythons if python.control])
    if not controls:
        raise LookupError("there is no Python 3.11 to 3.13 with venv and ensurepip on PATH, of pyenv or in /usr/bin")
    python = controls[end]
    core = [core for core in CORES if core.control.within([python])][end]
    return Choice(python, core, TARGETS.within(core.targets.within(pythons))[end])


def unseen(end: int, choice: Choice) -> list[str]:
    """What ``choice`` lacks of this end, and the cure."""
    core = CORES[end]
    python, target = ".".join(map(str, CONTROL[end])), ".".join(map(str, TARGETS[end]))
    told = []
    if str(choice.python) != python:
        told.append(
            f"NOT SEEN: Python {python} with ansible-core {core.version} on the control node; in their place was "
            f"{choice.python} with {choice.core.version}. Install Python {python} (python{python} with venv, or pyenv)."
        )
    if str(choice.target) != target:
        told.append(f"NOT SEEN: Python {target} on targets; in its place was {choice.target}. Install Python {target}.")
    return told


def make_variables(choice: Choice) -> list[str]:
    """The Makefile's: the virtual environment that runs this, where it is of that pair, else one of the pair's own."""
    core = importlib.metadata.version("ansible-core")
    if choice.python.version == sys.version_info[:2] and core.startswith(f"{choice.core.version}."):
        return [f"VENV={sys.prefix}"]
    venv = CACHE / f"python{choice.python}-core{choice.core.version}"
    return [f"VENV={venv}", f"PYTHON={choice.python.path}", f"ANSIBLE_CORE={choice.core.version}"]


def main(name: str, *targets: str) -> int:
    end = ENDS[name]
    choice = choose(end, find_pythons())
    environment = {**ENVIRONMENT[name], "ALIVE_TARGET_PYTHON": choice.target.path, **os.environ}
    environment["ALIVE_SURROUNDINGS"] = name
    left_out = [f"--ignore=tests/system/{file}" for file in LEFT_OUT.get(name, ())]
    environment["PYTEST_ADDOPTS"] = " ".join([*left_out, os.environ.get("PYTEST_ADDOPTS", "")])
    told = [
        f"Python {choice.python}, ansible-core {choice.core.version}, Python {choice.target} on targets, "
        f"umask {environment['ALIVE_UMASK']}, CLI {environment.get('ALIVE_CLI', 'as the role has it')}",
        *unseen(end, choice),
    ]
    told = [f"{name}: {line}\n" for line in told]
    print(*told, sep="", flush=True)
    summary = CACHE / "summary" / name
    summary.parent.mkdir(parents=True, exist_ok=True)
    summary.write_text("".join(told))
    make = [os.environ.get("MAKE", "make"), "--no-print-directory", *make_variables(choice)]
    # Sanity tests keep one core busy, and unit and system tests wait much: they run side by side, and tell how far they
    # are as they go.
    return subprocess.run([*make, "--jobs=2", *targets], env=environment, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except LookupError as error:
        sys.exit(str(error))
