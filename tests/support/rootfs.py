"""Root file systems of test hosts: Debian from the machine's own mirror, Node.js from npm, kept in the tests' cache.

Each is built beside its place and renamed, so one that is there is complete, and an interrupted build is begun again.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from support.packages import cache_dir, npm_install
from support.settings import usual_umask

RECIPE = Path(__file__).parent / "host"
BOOTSTRAP = RECIPE / "bootstrap.sh"
NODE_VERSION = "22.23.3"
NPM_VERSION = "10.9.9"
# What a worker has before Ansible comes: acl lets Ansible become a tenant from an unprivileged login.
PACKAGES = ("acl", "ca-certificates", "openssh-server", "procps", "python3", "sudo")


# What releases are of, and the package whose keys debootstrap checks them with. The other suites are Debian's.
UBUNTU = ("focal", "jammy", "noble")
KEYRINGS = {"debian": "debian-archive-keyring", "ubuntu": "ubuntu-keyring"}


class Mirror(NamedTuple):
    """Where a release comes from. Without a ``url`` it is where debootstrap looks by itself."""

    suite: str
    url: str


def machine_mirror() -> Mirror:
    """The mirror of this machine's own release, as its apt is configured. Raises LookupError where there is none."""
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages", f"Release: {suite}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    if not targets:
        raise LookupError(f"apt has no source for this machine's release {suite!r}")
    url = targets[0]
    if url.startswith("mirror+file:"):  # a list of mirrors, best first
        url = Path(url.removeprefix("mirror+file:").rstrip("/")).read_text().split()[0]
    return Mirror(suite, url)


def mirror_for(suite: str) -> Mirror:
    """The mirror of another release: this machine's own, or what lies beside it for the other distribution, or else
    debootstrap's.
    """
    own = machine_mirror()
    if not suite or suite == own.suite:
        return own
    wanted = "ubuntu" if suite in UBUNTU else "debian"
    base, _slash, distribution = own.url.rstrip("/").rpartition("/")
    url = own.url if distribution == wanted else f"{base}/{wanted}"
    try:
        urllib.request.urlopen(f"{url.rstrip('/')}/dists/{suite}/Release", timeout=30).close()
    except OSError as error:
        print(f"This machine's mirror has no {suite}: {url}: {error}", flush=True)
        url = ""
    keys = Path(f"/usr/share/keyrings/{wanted}-archive-keyring.gpg")
    if not keys.exists():
        subprocess.run(["apt-get", "--quiet", "update"], check=True, stdout=subprocess.DEVNULL)
        install = ["apt-get", "--quiet", "install", "--yes", "--no-install-recommends", KEYRINGS[wanted]]
        if subprocess.run(install, check=False, capture_output=True).returncode:
            print(f"NOT CHECKED: whether {suite} is {wanted}'s own, as no package here has its keys", flush=True)
    return Mirror(suite, url)


def debian(suite: str = "") -> Path:
    """The root of a Debian (or Ubuntu) worker without Node.js: ``suite``, or the machine's own release.

    Raises LookupError where no mirror has it.
    """
    suite = suite or machine_mirror().suite
    recipe = "".join(path.read_text() for path in (BOOTSTRAP, RECIPE / "prepare.sh", RECIPE / "init.py"))
    key = hashlib.sha256("\n".join((suite, *PACKAGES, recipe)).encode()).hexdigest()[:12]

    def build(root: Path) -> None:
        print(f"Building a {suite} root file system, once; about a minute", flush=True)
        mirror = mirror_for(suite)
        try:
            _bootstrap(root, suite, mirror.url)
        except RuntimeError as error:
            if mirror.url:
                raise
            raise LookupError(f"no mirror that this machine reaches has {suite}: {error}") from None

    return _cached(f"{suite}-{key}", build)


def node() -> Path:
    """A layer with Node.js and npm in /usr/local, as the official archives of Node.js put them there."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]

    def build(root: Path) -> None:
        local = root / "usr" / "local"
        (local / "bin").mkdir(parents=True)
        shutil.copy(npm_install(f"node-linux-{machine}", NODE_VERSION) / "bin" / "node", local / "bin" / "node")
        modules = local / "lib" / "node_modules"
        shutil.copytree(npm_install("npm", NPM_VERSION), modules / "npm", symlinks=True)
        for command in ("npm", "npx"):
            (local / "bin" / command).symlink_to(f"../lib/node_modules/npm/bin/{command}-cli.js")

    return _cached(f"node-{NODE_VERSION}-npm-{NPM_VERSION}", build)


def _cached(name: str, build: Callable[[Path], None]) -> Path:
    """The directory ``name`` of the cache, built at the first call, whoever calls at the same time."""
    root = cache_dir() / "roots" / name
    root.parent.mkdir(exist_ok=True)
    with (root.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            staging = root.with_name(f".staging-{name}")
            subprocess.run(["rm", "-rf", "--one-file-system", staging], check=True)
            try:
                with usual_umask():
                    staging.mkdir()
                    build(staging)
                staging.rename(root)
            finally:
                subprocess.run(["rm", "-rf", "--one-file-system", staging], check=True)
    return root


def _bootstrap(root: Path, suite: str, url: str) -> None:
    log = root.with_name(f"{root.name}.log")
    # In namespaces of its own, and never without us: whatever it mounts and starts is gone when either ends.
    unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", "--fork", "--kill-child"]
    unshare += ["--pid", "--mount", "--propagation", "private"]
    with log.open("wb") as output:
        done = subprocess.run(
            [*unshare, "sh", BOOTSTRAP, root, suite, url, ",".join(PACKAGES), "gutsy" if suite in UBUNTU else "sid"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        raise RuntimeError(f"building {suite} ended with {done.returncode}; {log} ends so:\n{tail}")
    log.unlink()
