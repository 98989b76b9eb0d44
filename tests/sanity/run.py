"""Runs ``ansible-test sanity`` on a copy of the checkout at the path it insists on.

Usage: run.py WORKDIR [ANSIBLE-TEST-OPTION...]

ansible-test takes a collection only below ``ansible_collections/<namespace>/<name>``, and no link. It also fetches
pip's bootstrap script from a server of its own; a stand-in that runs pip's wheel from the configured index does the
same work without a further host. Its virtual environments stay in WORKDIR, so that a second run is fast.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ansible_test

CHECKOUT = Path(__file__).resolve().parents[2]
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


def put_pip_bootstrap(home: Path) -> None:
    """The stand-in for pip's bootstrap script, of each version that this ansible-test may ask for."""
    source = Path(ansible_test.__path__[0], "_internal/python_requirements.py").read_text()
    for version in re.findall(r"\bpip='([\d.]+)'", source):
        script = home / ".ansible/test/cache" / f"get_pip_{version.replace('.', '_')}.py"
        if not script.exists():
            wheels = home / "wheels"
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, f"pip=={version}"]
            subprocess.run(pip, check=True)
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text(BOOTSTRAP.format(wheel=str(wheels / f"pip-{version}-py3-none-any.whl")))


def main(workdir: Path, *options: str) -> int:
    target = workdir / "ansible_collections/alive/codex"
    home = workdir / "home"
    copy_checkout(target)
    put_pip_bootstrap(home)
    # Version managers' shims answer to every python3.x and then fail; ansible-test must not find them.
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if Path(part).name != "shims")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [Path(sys.executable).with_name("ansible-test"), "sanity", "--local", "--python", python, *options]
    environment = {**os.environ, "HOME": str(home), "PATH": path}
    return subprocess.run(command, cwd=target, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), *sys.argv[2:]))
