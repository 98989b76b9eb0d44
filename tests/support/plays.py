"""Plays of one task, run by the real ``ansible-playbook``."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.returned import hold
from support.settings import TARGET_PYTHON

# A socket's path must be short, so that pytest's directories will not do.
SOCKETS = tempfile.mkdtemp(prefix="alive-", dir="/tmp")
atexit.register(shutil.rmtree, SOCKETS, ignore_errors=True)
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": TARGET_PYTHON}


def environment(directory: Path) -> dict[str, str]:
    """For Ansible's commands, which keep what they need in ``directory``."""
    return {
        **os.environ,
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=10s",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": SOCKETS,
        "ANSIBLE_NOCOWS": "1",
    }


class Play:
    """One task of ``codex_exec`` for all hosts of an inventory, whose result lands in a file for each host.

    ``keywords`` are the task's (``become``, ``timeout``, ...), ``settings`` Ansible's environment variables.
    """

    def __init__(
        self,
        directory: Path,
        options: Mapping[str, Any],
        inventory: str = "localhost,",
        variables: Mapping[str, Any] | None = None,
        keywords: Mapping[str, Any] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        task = {"alive.codex.codex_exec": dict(options), "register": "turn", "ignore_errors": True, **(keywords or {})}
        save = {
            "ansible.builtin.copy": {
                "content": "{{ turn | to_json }}",
                "dest": f"{directory}/{{{{ inventory_hostname }}}}.json",
            },
            "delegate_to": "localhost",
            "become": False,
            "vars": LOCAL,
            "check_mode": False,
        }
        play = {"hosts": "all", "gather_facts": False, "tasks": [task, save]}
        (directory / "play.json").write_text(json.dumps([play]))
        (directory / "variables.json").write_text(json.dumps(LOCAL if variables is None else dict(variables)))
        self.argv = [
            "ansible-playbook",
            "-i",
            inventory,
            "-e",
            f"@{directory}/variables.json",
            str(directory / "play.json"),
        ]
        self.env = {**environment(directory), **(settings or {})}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The play as a running process in a session of its own, whose events can be read from ``stderr``."""
        return subprocess.Popen(
            [*self.argv, *arguments],
            env=self.env,
            stdout=(self.directory / "stdout").open("w"),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell's background job has this signal ignored, and would hand that down.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str, host: str = "localhost", timeout: float = 120) -> dict[str, Any]:
        """Runs it to its end; the result of the task on ``host``. What the terminal got is in ``output``."""
        done = subprocess.run(
            [*self.argv, *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        self.output = done.stdout + done.stderr
        self.stderr = done.stderr
        path = self.directory / f"{host}.json"
        assert path.exists(), self.output
        result: dict[str, Any] = json.loads(path.read_text())
        path.unlink()
        hold("codex_exec", result)
        return result
