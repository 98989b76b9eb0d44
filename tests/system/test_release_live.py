"""Real releases: nobody who uses the stable path notices an upgrade."""

from __future__ import annotations

import errno
import itertools
import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.modules import run_module
from support.packages import CODEX_VERSION, npm_install
from support.registry import Registry, pack_codex
from support.stub import FAKE_KEY

OLD, NEW = "0.166.0", CODEX_VERSION
TENANT = 54321
# How often it goes back and forth; the claim is about ten times.
ROUNDS = int(os.environ.get("ALIVE_TRIALS", "2"))
LOOPS = 4

pytestmark = pytest.mark.root


@pytest.fixture
def params(open_dir):
    return {"prefix": str(open_dir / "alive-codex"), "bin": str(open_dir / "bin" / "codex")}


@pytest.fixture
def home(open_dir):
    path = open_dir / "home"
    path.mkdir()
    os.chown(path, TENANT, TENANT)
    return path


def as_tenant(argv, home, **how):
    env = {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "CODEX_API_KEY": FAKE_KEY}
    return subprocess.Popen(
        argv, env=env, cwd=home, user=TENANT, group=TENANT, extra_groups=[], text=True, stdout=subprocess.PIPE, **how
    )


def test_nobody_notices_an_upgrade(params, home, stub):
    done = threading.Event()
    failures: list[str] = []
    spawned = itertools.count()

    def spawn_over_and_over():
        while not done.is_set():
            process = as_tenant([params["bin"], "--version"], home, stderr=subprocess.PIPE)
            said = process.communicate()
            if process.returncode or said[0].strip() not in (f"codex-cli {OLD}", f"codex-cli {NEW}"):
                failures.append(f"rc {process.returncode}: {said}")
            next(spawned)

    with Registry([f"@openai/codex@{OLD}", f"@openai/codex@{NEW}"]) as registry:
        source = {**params, "registry": registry.url}
        assert run_module("codex_release", {**source, "version": OLD})["changed"]
        loops = [threading.Thread(target=spawn_over_and_over) for _loop in range(LOOPS)]
        for loop in loops:
            loop.start()
        try:
            gate = home / "gate"
            os.mkfifo(gate)
            os.chown(gate, TENANT, TENANT)
            turn = start_turn(params["bin"], home, stub, f"[[run:echo before]] [[run:cat {gate}]] [[run:echo after]]")
            with open(opened(gate, turn), "w") as inside_the_turn:
                assert run_module("codex_release", {**source, "version": NEW})["changed"]
                for version in ["previous", NEW] * ROUNDS:
                    assert run_module("codex_release", {**source, "version": version})["changed"]
                inside_the_turn.write("upgraded\n")
            output, errors = turn.communicate(timeout=120)
        finally:
            done.set()
            for loop in loops:
                loop.join()
    assert failures == []
    assert next(spawned) > 10 * LOOPS
    events = [json.loads(line) for line in output.splitlines()]
    assert turn.returncode == 0 and events[-1]["type"] == "turn.completed", errors
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    commands = [item for item in items if item["type"] == "command_execution"]
    assert [item["aggregated_output"].strip() for item in commands] == ["before", "upgraded", "after"]
    assert [item["exit_code"] for item in commands] == [0, 0, 0]


def start_turn(codex, home, stub, prompt):
    options = ["--experimental-json", "--skip-git-repo-check", "--sandbox", "danger-full-access"]
    settings = ["--config", f'openai_base_url="{stub.base_url}"', "--config", "features.plugins=false"]
    return as_tenant(
        [codex, "exec", *options, *settings, prompt], home, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def opened(gate, turn):
    """The FIFO's writing end, once the turn's command reads from it."""
    while turn.poll() is None:
        try:
            return os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            assert error.errno == errno.ENXIO
            time.sleep(0.05)
    raise AssertionError(f"the turn ended early: {turn.communicate()}")


def test_the_real_tarballs_make_what_npm_makes(params):
    tarballs = pack_codex(NEW)
    checksums = {path.name: sha512(path) for path in tarballs}
    given = {"tarballs": [str(path) for path in tarballs], "checksums": checksums, "version": NEW}
    assert run_module("codex_release", {**params, **given}, env={"PATH": "/nowhere"})["changed"]
    by_npm = listing(npm_install("@openai/codex", NEW).parents[3])
    assert listing(Path(params["prefix"]) / "releases" / NEW) == by_npm


def sha512(path):
    said = subprocess.run(["sha512sum", path], capture_output=True, text=True, check=True).stdout
    return f"sha512:{said.split()[0]}"


def listing(root):
    """Every entry's mode, size and link target. npm's own hidden records are left out, and ours, and whether it has the
    platform package inside the package or beside it."""
    return {
        str(path.relative_to(root)).replace("codex/node_modules/@openai/", ""): (
            path.lstat().st_mode,
            path.lstat().st_size if path.is_file() else 0,
            os.readlink(path) if path.is_symlink() else "",
        )
        for path in root.rglob("*")
        if path.name != ".package-lock.json"
        and path.relative_to(root).parts[0] != "record"
        and not str(path).endswith(("codex/node_modules", "node_modules/@openai"))
    }
