"""Real packages from npm, installed once and kept in a cache that every user of the machine can read."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from support.settings import usual_umask

DEFAULTS = Path(__file__).resolve().parents[2] / "roles/codex_cli/defaults/main.yml"
DEFAULT_VERSION = re.findall(r"^codex_cli_version: (.+)", DEFAULTS.read_text(), re.MULTILINE)[0]


def _codex_version() -> str:
    """The CLI that the tests are about, as ALIVE_CLI says: an exact version, or a tag such as ``latest``, which is
    looked up once for all processes of a run."""
    wanted = os.environ.get("ALIVE_CLI") or DEFAULT_VERSION
    if not wanted[0].isdigit():
        argv = ["npm", "view", f"@openai/codex@{wanted}", "version"]
        wanted = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
        os.environ["ALIVE_CLI"] = wanted
    return wanted


CODEX_VERSION = _codex_version()


def cache_dir() -> Path:
    """Where downloads and file systems that tests need are kept between runs, outside the checkout."""
    if os.geteuid() == 0:
        path = Path("/var/cache/alive-codex")  # tenants of the tests run what lies here: no private HOME will do
    else:
        path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alive-codex"
    with usual_umask():
        path.mkdir(parents=True, exist_ok=True)
    return path


def npm_install(package: str, version: str) -> Path:
    """The directory of ``package`` at exactly ``version``, in npm's global layout; installed at the first call."""

    def install(staging: Path) -> None:
        npm = ["npm", "install", "--global", "--ignore-scripts", "--prefix", staging, f"{package}@{version}"]
        subprocess.run(npm, check=True, stdout=subprocess.DEVNULL, umask=0o022)

    return _once("npm", f"{package.replace('/', '+')}@{version}", install) / "lib" / "node_modules" / package


def pip_package(name: str, version: str) -> Path:
    """The directory in which a package from PyPI lies for this Python; installed at the first call. FileNotFoundError
    where there is none for it."""

    def install(staging: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run([*pip, "--target", staging, f"{name}=={version}"], check=False, umask=0o022)
        if done.returncode:
            raise FileNotFoundError(f"there is no {name} {version} for {sys.implementation.cache_tag}")

    return _once("pip", f"{name}@{version}-{sys.implementation.cache_tag}", install)


def debian_packages(*names: str) -> Path:
    """The directory into which packages of this machine's own release are unpacked, without being installed. Raises
    FileNotFoundError where there are none."""

    def unpack(staging: Path) -> None:
        with usual_umask():
            staging.mkdir()
        fetch = ["apt-get", "--quiet", "-o", "APT::Sandbox::User=root", "download", *names]
        for refresh in (["true"], ["apt-get", "--quiet", "update"]):
            subprocess.run(refresh, check=False, capture_output=True)
            if subprocess.run(fetch, check=False, capture_output=True, cwd=staging).returncode == 0:
                break
        else:
            raise FileNotFoundError(f"no packages {', '.join(names)} for this machine")
        for package in staging.glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", package, staging], check=True)
            package.unlink()

    return _once("debs", "+".join(names), unpack)


def _once(kind: str, name: str, fill: Callable[[Path], None]) -> Path:
    """A directory of the cache, which ``fill`` makes at the first call; one that was begun and never filled is not
    taken for it."""
    place = cache_dir() / kind / name
    with usual_umask():
        place.parent.mkdir(exist_ok=True)
    with (place.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            staging = place.with_name(f".staging-{place.name}")
            subprocess.run(["rm", "-rf", staging], check=True)
            fill(staging)
            staging.rename(place)
    return place


def native_codex(version: str = CODEX_VERSION) -> Path:
    """The native Codex binary of a release whose package has one, in whichever layout that release uses."""
    triple = f"{platform.machine()}-unknown-linux-musl"
    return next(
        path
        for path in sorted(npm_install("@openai/codex", version).rglob("codex*"))
        if path.is_file() and path.name in ("codex", f"codex-{triple}") and {"vendor", triple} <= set(path.parts)
    )
