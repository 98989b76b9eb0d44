"""codex_release where npm has another owner, or a file system does not allow all that it usually does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.registry import Registry
from support.releases import Host, build_release

OLD, NEW = "0.160.0", "0.161.0"


@pytest.fixture(scope="module")
def tarballs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("tarballs")
    return [path for version in (OLD, NEW) for path in build_release(folder, version)]


@pytest.fixture
def host(open_dir: Path, tarballs: list[Path]) -> Iterator[Host]:
    with Registry(tarballs) as registry:
        yield Host(open_dir, registry)


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def lay_out(manager: str, home: Path) -> Path:
    """npm and Node.js as a version manager lays them out below a user's HOME; the npm that it gives its user."""
    node, npm = Path(shutil.which("node") or "").resolve(), Path(shutil.which("npm") or "").resolve()
    version = home / "versions" / "v20" / "installation"
    (version / "bin").mkdir(parents=True)
    (version / "bin" / "node").symlink_to(node)
    (version / "bin" / "npm").symlink_to(npm)
    if manager == "nvm":
        return version / "bin" / "npm"
    if manager == "fnm":  # a directory for each shell, which is a link
        (home / "multishells").mkdir()
        (home / "multishells" / "1_2").symlink_to(version)
        return home / "multishells" / "1_2" / "bin" / "npm"
    (home / "bin").mkdir()
    if manager == "Volta":  # one program, which looks at the name that it is called by and at its own variable
        shim = script(home / "bin" / "shim", 'exec "$VOLTA_HOME/versions/v20/installation/bin/$(basename "$0")" "$@"')
        (home / "bin" / "npm").symlink_to(shim)
        (home / "bin" / "node").symlink_to(shim)
    else:  # pnpm's wrappers
        for name in ("npm", "node"):
            script(home / "bin" / name, f'exec "$(dirname "$0")/../versions/v20/installation/bin/{name}" "$@"')
    return home / "bin" / "npm"


@pytest.mark.parametrize("manager", ["nvm", "fnm", "Volta", "pnpm"])
def test_npm_of_a_version_manager(host: Host, tmp_path: Path, manager: str) -> None:
    npm = lay_out(manager, tmp_path)
    bare = {"PATH": "/bin", "VOLTA_HOME": str(tmp_path)}
    assert host.release(OLD, env=bare, npm=str(npm))["changed"]
    assert host.says() == f"codex-cli {OLD}"


def in_namespace(lines: str) -> subprocess.CompletedProcess[str]:
    """In a mount namespace of its own, so that this machine's file systems stay as they are."""
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-e", "-c", lines],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        check=False,
    )


def module(host: Host, version: str) -> str:
    options = (
        f'{{"version": "{version}", "prefix": "{host.prefix}", "bin": "{host.bin}", "registry": "{host.registry.url}"}}'
    )
    return f"{sys.executable} -m support.modules codex_release '{options}'"


@pytest.mark.root
def test_temporary_files_may_not_be_run(host: Host) -> None:
    done = in_namespace(f"""
        for place in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o noexec,nosuid,nodev,mode=1777 tmpfs $place; done
        (umask 022; mkdir -p {host.root}) && mount -t tmpfs -o mode=755 tmpfs {host.root}
        {module(host, OLD)}
        {host.bin} --version
    """)
    assert done.stdout.endswith(f"codex-cli {OLD}\n"), done


@pytest.mark.root
def test_a_file_system_that_is_read_only(host: Host) -> None:
    assert host.release(OLD)["changed"]
    done = in_namespace(f"""
        mount --bind {host.root} {host.root}
        mount -o remount,bind,ro {host.root}
        {module(host, OLD)}
        {module(host, NEW)}
        {host.bin} --version
    """)
    assert '"changed": false' in done.stdout and "Read-only file system" in done.stdout, done
    assert done.stdout.endswith(f"codex-cli {OLD}\n")


@pytest.mark.root
def test_no_inode_is_left(host: Host) -> None:
    assert host.release(OLD)["changed"]
    done = in_namespace(f"""
        mkdir -m 755 {host.root}/small
        mount -t tmpfs -o nr_inodes=30,mode=755 tmpfs {host.root}/small
        {module(host, NEW).replace(str(host.prefix), f"{host.root}/small/lib")}
        {host.bin} --version
    """)
    # Which write npm tells of is a matter of chance, and so is its word for it: EEXIST and ENOENT as well as ENOSPC.
    assert '"failed": true' in done.stdout and "make room" in done.stdout, done
    assert done.stdout.endswith(f"codex-cli {OLD}\n")
