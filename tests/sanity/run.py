"""Runs ``ansible-test sanity`` on a copy of the checkout at the path it insists on.

Usage: run.py [--core 2.17] [--interpreter PYTHON] WORKDIR [ANSIBLE-TEST-OPTION...]

Without --core it is the ansible-core beside this Python, without --interpreter this Python that runs it.

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

ABOUT = "import ansible_test, json, sys; print(json.dumps([ansible_test.__path__[0], *sys.version_info[:2]]))"
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
    parser.add_argument("workdir", type=Path)
    chosen, options = parser.parse_known_args()
    workdir = chosen.workdir.absolute()
    target = workdir / "ansible_collections/alive/codex"
    home = workdir / "home"
    copy_checkout(target)
    python = python_with(chosen.core, chosen.interpreter)
    ansible_test, major, minor = json.loads(subprocess.check_output([python, "-c", ABOUT]))
    put_pip_bootstrap(home, ansible_test)
    # Version managers' shims answer to every python3.x and then fail; ansible-test must not find them.
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if Path(part).name != "shims")
    path = os.pathsep.join((str(python.parent), path))
    command = [python.with_name("ansible-test"), "sanity", "--local", "--python", f"{major}.{minor}", *options]
    environment = {**os.environ, "HOME": str(home), "PATH": path}
    return subprocess.run(command, cwd=target, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
