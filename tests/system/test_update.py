"""The playbook ``update`` on one host, which is this machine, with small packages that stand in for the CLI."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.plays import LOCAL, environment
from support.registry import Registry
from support.releases import SCRIPT, Host, build_release
from support.turns import make_home

pytestmark = pytest.mark.root

OLD, NEW = "0.160.0", "0.161.0"
LAST_CHECK = "TASK [Validate the binary as a tenant]"


class Operator:
    """A host whose new release fails for the tenant, at the stable path alone, where the file ``broken`` is."""

    def __init__(self, root: Path, directory: Path) -> None:
        self.broken = root / "broken"
        homes = root / "homes"
        homes.mkdir()
        homes.chmod(0o711)
        make_home(homes, "acme")
        later = f"""
[ ! -e {self.broken} ] || [ "$(id -u)" = 65534 ] ||
  [ "$(readlink -f "$0")" != "$(readlink -f {root}/bin/codex)" ] || exit 3
"""
        tarballs: list[Path | str] = [*build_release(directory, OLD)]
        tarballs += build_release(directory, NEW, script=SCRIPT.replace("\n", later, 1))
        self.registry = Registry(tarballs)
        self.host = Host(root, self.registry)
        variables = {
            **LOCAL,
            "ansible_become": False,
            "codex_hosts": "localhost",
            "codex_cli_prefix": str(self.host.prefix),
            "codex_cli_bin": str(self.host.bin),
            "codex_cli_version": NEW,
            "codex_cli_config": {},  # it is judged by the real CLI
            "codex_prune_state": "absent",
            "codex_workspaces_root": str(homes),
        }
        self._argv = ["ansible-playbook", "-i", "localhost,", "-e", json.dumps(variables)]
        self._directory = directory

    def start(self, playbook: str = "update") -> subprocess.Popen[str]:
        env = {**environment(self._directory), "ANSIBLE_NOCOLOR": "1"}
        env["npm_config_registry"] = self.registry.url
        argv = [*self._argv, f"alive.codex.{playbook}"]
        return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def update(self) -> str:
        """The host's row in its last table, without the seconds."""
        output = self.start().communicate()[0]
        rows = re.findall(r"^localhost +(\S+) +(\S+) +[\d.]+ +(.+)$", output, re.MULTILINE)
        assert rows, output
        return " ".join(rows[-1])

    def killed_before_its_last_check(self) -> None:
        run = self.start()
        assert run.stdout is not None
        with run.stdout as told:
            lines = []
            while not lines or not lines[-1].startswith(LAST_CHECK):
                lines.append(told.readline())
                assert lines[-1], "".join(lines)
            run.kill()
            assert run.wait() == -signal.SIGKILL

    def runs(self) -> str:
        return os.path.realpath(self.host.bin).partition("/releases/")[2].partition("/")[0]


@pytest.fixture
def operator(open_dir: Path, tmp_path: Path) -> Iterator[Operator]:
    operator = Operator(open_dir, tmp_path)
    with operator.registry:
        operator.host.release(OLD)
        yield operator


def test_what_a_killed_run_has_not_validated_the_next_one_does(operator: Operator) -> None:
    operator.broken.touch()
    operator.killed_before_its_last_check()
    assert operator.runs() == NEW
    # A deploy, which never goes back, finds it too.
    deploy = operator.start("deploy")
    told = deploy.communicate()[0]
    assert deploy.returncode == 2 and "Validate the binary as a tenant meets it" in told.rpartition("TASK [")[2], told
    # The next one sees that nobody has, and goes back to what ran before that.
    assert operator.update() == f"{OLD} {OLD} FAILED" and operator.runs() == OLD
    assert operator.host.versions() == {OLD}
    operator.broken.unlink()
    assert operator.update() == f"{OLD} {NEW} moved" and operator.runs() == NEW
    assert sorted(os.listdir(operator.host.prefix)) == ["lock", "releases"]
    # From then on, a check that fails is not taken for a fault of the update.
    operator.broken.touch()
    assert operator.update() == f"{NEW} unknown FAILED" and operator.runs() == NEW
