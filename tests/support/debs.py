"""A small archive of Debian packages in a host: its own Node.js and npm, and what Ansible needs to use apt."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from support import rootfs
from support.packages import cache_dir
from support.settings import usual_umask

# Ansible's module for apt installs the first where it is missing, and it depends on the others.
FROM_DEBIAN = ("python3-apt", "python-apt-common", "distro-info-data")


def archive(folder: Path) -> None:
    """Makes ``folder``, below a host's root, an archive for apt: ``deb [trusted=yes] file:/PLACE ./``."""
    with usual_umask():
        _fill(folder)


def _fill(folder: Path) -> None:
    folder.mkdir(parents=True)
    for deb in _downloaded():
        shutil.copy(deb, folder)
    local = rootfs.node() / "usr" / "local"
    _build(folder, "nodejs", rootfs.NODE_VERSION, "", {"usr/bin/node": local / "bin" / "node"})
    _build(folder, "npm", rootfs.NPM_VERSION, "nodejs", {"usr/lib/node_modules/npm": local / "lib/node_modules/npm"})
    entries = []
    for deb in sorted(folder.glob("*.deb")):
        fields = subprocess.run(["dpkg-deb", "--field", deb], check=True, capture_output=True, text=True).stdout
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        entries.append(f"{fields}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n")
    (folder / "Packages").write_text("\n".join(entries))


def _downloaded() -> list[Path]:
    """Packages of this machine's own release, which the hosts have too; downloaded at the first call."""
    folder = cache_dir() / f"debs-{rootfs.machine_mirror().suite}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            staging = folder.with_suffix(".staging")
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            subprocess.run(["apt-get", "download", *FROM_DEBIAN], check=True, cwd=staging, capture_output=True)
            staging.rename(folder)
    return sorted(folder.glob("*.deb"))


def _build(folder: Path, name: str, version: str, depends: str, files: dict[str, Path]) -> None:
    root = folder / name
    for target, source in files.items():
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / target)
    if name == "npm":
        (root / "usr/bin").mkdir()
        (root / "usr/bin/npm").symlink_to("../lib/node_modules/npm/bin/npm-cli.js")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Tests <tests@localhost>\n"
        f"Description: stand-in\n{f'Depends: {depends}' if depends else 'Priority: optional'}\n"
    )
    subprocess.run(["dpkg-deb", "-Znone", "--build", root, folder / f"{name}.deb"], check=True, capture_output=True)
    shutil.rmtree(root)
