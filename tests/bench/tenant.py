"""A workspace on a host of its own, with the real CLI and a stub to talk to: turns of it, bare or as tasks over SSH."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.hosts import Fleet, Host
from support.packages import native_codex
from support.stub import FAKE_KEY, ResponsesStub

UID = 61236
HOME = "/var/lib/claude-sessions/acme"
CONNECT = {"ansible.builtin.raw": "true"}


class Tenant:
    """``argv`` is the CLI's vector, ``options`` are the same for ``codex_exec``; each lacks the prompt alone."""

    def __init__(self, fleet: Fleet, host: Host, stub: ResponsesStub, directory: Path) -> None:
        self._host = host
        self._inventory = fleet.inventory
        self.directory = directory
        # Without the second, a turn on a host without a way out ends five seconds late, which would hide all else.
        overrides = ["features.plugins=false", "analytics.enabled=false", f'openai_base_url="{stub.base_url}"']
        self.argv = [
            "/usr/local/bin/codex",
            "exec",
            "--experimental-json",
            *(part for override in overrides for part in ("--config", override)),
            *("--model", "gpt-5.1", "--sandbox", "danger-full-access", "--skip-git-repo-check"),
        ]
        self.options: dict[str, Any] = {
            "workspace": "acme",
            "model": "gpt-5.1",
            "sandbox_mode": "danger-full-access",
            "skip_git_repo_check": True,
            "config": {"features": {"plugins": False}, "analytics": {"enabled": False}},
            "base_url": stub.base_url,
            "api_key": FAKE_KEY,
        }

    def dropped(self) -> list[str]:
        """The vector as the tenant, from root."""
        drop = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "env", "-i", "-C", HOME]
        return [*drop, f"HOME={HOME}", "PATH=/usr/bin:/bin", f"CODEX_API_KEY={FAKE_KEY}", *self.argv]

    def bare(self, prompt: str, turns: int) -> float:
        """The median seconds of a turn without anything around it."""
        one = f"s=$(date +%s%N); echo '{prompt}' | \"$@\" >/dev/null 2>&1; echo $(( $(date +%s%N) - s ))"
        script = f"i=0; while [ $i -lt {turns} ]; do i=$((i+1)); {one}; done"
        done = self._host.run("sh", "-c", script, "sh", *self.dropped())
        return statistics.median(int(line) for line in done.stdout.split()) / 1e9

    def play(self, *tasks: dict[str, Any]) -> float:
        """The seconds of a play of these tasks, run as root over SSH with pipelining."""
        path = self.directory / "play.json"
        path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "become": True, "tasks": tasks}]))
        env = {**os.environ, "ANSIBLE_HOME": str(self.directory / "ansible"), "ANSIBLE_PIPELINING": "1"}
        env["ANSIBLE_SSH_CONTROL_PATH_DIR"] = str(self.directory / "cp")
        env["ANSIBLE_SSH_ARGS"] = "-o ControlMaster=auto -o ControlPersist=10s"
        start = time.perf_counter()
        subprocess.run(
            ["ansible-playbook", "-i", str(self._inventory), str(path)], check=True, env=env, capture_output=True
        )
        return time.perf_counter() - start


@contextlib.contextmanager
def tenant(name: str) -> Iterator[Tenant]:
    with (
        tempfile.TemporaryDirectory(prefix="alv") as temporary,
        Fleet(f"bench-{name}").started("worker") as fleet,
        ResponsesStub("--bind", fleet.gateway) as stub,
    ):
        host = fleet.hosts["worker"]
        shutil.copy(native_codex(), host.root / "usr/local/bin/codex")
        home = host.root / HOME[1:]
        home.mkdir(mode=0o700, parents=True)
        home.parent.chmod(0o711)
        os.chown(home, UID, UID)
        yield Tenant(fleet, host, stub, Path(temporary))
