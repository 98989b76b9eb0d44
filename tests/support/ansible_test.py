"""Runs ``ansible-test sanity`` or ``ansible-test units`` on a copy of the checkout at the path it insists on.

Usage: ansible_test.py [--core 2.17] [--interpreter PYTHON] sanity|units WORKDIR [ANSIBLE-TEST-OPTION...]

Without --core it is the ansible-core beside this Python, without --interpreter this Python that runs it. Units run with
every Python of this machine that the collection supports on targets and that ansible-core takes, in virtual
environments of their own; those of what runs on the control node, with the Pythons that it takes there.

ansible-test takes a collection only below ``ansible_collections/<namespace>/<name>``, and no link. It also fetches
pip's bootstrap script from a server of its own; a stand-in that runs pip's wheel from the configured index does the
same work without a further host. Its virtual environments stay in WORKDIR, so that a second run is fast.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests"))
from support.cores import OWN, python_with  # noqa: E402
from support.pythons import find_pythons  # noqa: E402
from support.surroundings import TARGETS  # noqa: E402

ABOUT = """
import ansible_test, json, sys
from ansible_test._util.target.common.constants import CONTROLLER_PYTHON_VERSIONS, REMOTE_ONLY_PYTHON_VERSIONS
taken = [*CONTROLLER_PYTHON_VERSIONS, *REMOTE_ONLY_PYTHON_VERSIONS]
print(json.dumps([ansible_test.__path__[0], "%d.%d" % sys.version_info[:2], taken]))
"""
BOOTSTRAP = """\
import sys

sys.path.insert(0, {wheel!r})
from pip._internal.cli.main import main

sys.exit(main(["install", *(arg for arg in sys.argv[1:] if arg not in ("--no-setuptools", "--no-wheel"))]))
"""


def copy_checkout(target: Path) -> None:
    """What git tracks or would track, as it is in the working tree; a file that is gone is gone from the copy too."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, check=True).stdout.decode().split("\0")
    shutil.rmtree(target, ignore_errors=True)
    for name in filter(None, names):
        if (CHECKOUT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target / name)
    # A repository of its own: ansible-test would otherwise ask the checkout's, which ignores WORKDIR.
    subprocess.run(["git", "init", "--quiet", target], check=True)


def put_pip_bootstrap(home: Path, ansible_test: str) -> None:
    """The stand-in for pip's bootstrap script, of each version that this ansible-test may ask for."""
    source = Path(ansible_test, "_internal/python_requirements.py").read_text()
    for version in re.findall(r"\bpip='([\d.]+)'", source):
        script = home / ".ansible/test/cache" / f"get_pip_{version.replace('.', '_')}.py"
        if not script.exists():
            wheels = home / "wheels"
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, f"pip=={version}"]
            subprocess.run(pip, check=True)
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text(BOOTSTRAP.format(wheel=str(wheels / f"pip-{version}-py3-none-any.whl")))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", default=OWN)
    parser.add_argument("--interpreter", default=sys.executable)
    parser.add_argument("command", choices=("sanity", "units"))
    parser.add_argument("workdir", type=Path)
    chosen, options = parser.parse_known_args()
    workdir = chosen.workdir.absolute()
    target = workdir / "ansible_collections/alive/codex"
    home = workdir / "home"
    copy_checkout(target)
    python = python_with(chosen.core, chosen.interpreter)
    ansible_test, version, taken = json.loads(subprocess.check_output([python, "-c", ABOUT]))
    put_pip_bootstrap(home, ansible_test)
    # Version managers' shims answer to every python3.x and then fail; ansible-test must not find them.
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if Path(part).name != "shims")
    path = os.pathsep.join((str(python.parent), path))
    if chosen.command == "sanity":
        where = ["--local", "--python", version]
    else:
        found = [python for python in TARGETS.within(find_pythons()) if str(python) in taken]
        where = ["--requirements", "--controller", f"origin:python={version}"]
        where += [f"--target-python=venv/{python}" for python in found]
        path = os.pathsep.join((path, *(str(Path(python.path).parent) for python in found)))
    command = [python.with_name("ansible-test"), chosen.command, *where, *options]
    environment = {**os.environ, "HOME": str(home), "PATH": path}
    return subprocess.run(command, cwd=target, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
