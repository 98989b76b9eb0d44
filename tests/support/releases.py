"""Small packages of the same shape as Codex's, for what does not depend on its 400 MB, and a place to install them."""

from __future__ import annotations

import argparse
import io
import json
import platform
import random
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.modules import run_module
from support.registry import Registry, platform_suffix
from support.settings import UMASK

TRIPLE = f"{platform.machine()}-unknown-linux-musl"

# Answers as the CLI does where codex_release asks.
SCRIPT = """#!/bin/sh
[ "$1" = --version ] && echo "codex-cli {version}"
exit 0
"""


# Runs for those with whom a release is tried, but not for the tenant 20001 where /etc/broken is.
FRAIL = SCRIPT.replace("\n", '\n[ "$(id -u)" != 20001 ] || [ ! -e /etc/broken ] || exit 3\n', 1)


def build_release(folder: Path, version: str, ballast: int = 0, script: str = SCRIPT) -> list[Path]:
    """The two tarballs of a release, the package and its platform package, the latter with ``ballast`` bytes more, and
    ``script`` for a binary."""
    suffix = platform_suffix()
    platform_version = f"{version}-{suffix}"
    package = {
        "package.json": json.dumps(
            {
                "name": "@openai/codex",
                "version": version,
                "bin": {"codex": "bin/codex.js"},
                "optionalDependencies": {f"@openai/codex-{suffix}": f"npm:@openai/codex@{platform_version}"},
            }
        ).encode(),
        "bin/codex.js": b"#!/usr/bin/env node\n",
    }
    native = {
        "package.json": json.dumps(
            {"name": "@openai/codex", "version": platform_version, "os": ["linux"], "cpu": [suffix.rpartition("-")[2]]}
        ).encode(),
        f"vendor/{TRIPLE}/bin/codex": script.replace("{version}", version).encode(),
        # An executable that can be seen to run: a script's process is that of its interpreter.
        f"vendor/{TRIPLE}/codex-path/rg": Path("/bin/sleep").read_bytes(),
        "ballast": random.Random(version).randbytes(ballast),  # so that it is as large when packed
    }
    return [
        pack_files(folder / f"codex-{version}.tgz", package),
        pack_files(folder / f"codex-{platform_version}.tgz", native),
    ]


def pack_files(tarball: Path, files: dict[str, bytes]) -> Path:
    """An npm tarball of these files; those in directories of programs are executable."""
    with tarfile.open(tarball, "w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            member.mode = 0o755 if "bin/" in name or "codex-path/" in name else 0o644
            archive.addfile(member, io.BytesIO(content))
    return tarball


class Host:
    """A prefix, a stable path and a registry; ``release`` runs the module with them."""

    def __init__(self, root: Path, registry: Registry) -> None:
        self.root = root
        self.prefix = root / "lib" / "alive-codex"
        self.bin = root / "bin" / "codex"
        self.tree = root / "lib" / "node_modules" / "@openai" / "codex"
        self.registry = registry

    def params(self, version: str, **params: object) -> dict[str, object]:
        places = {"prefix": str(self.prefix), "bin": str(self.bin), "registry": self.registry.url}
        if "tarballs" in params:
            del places["registry"]
        return {**places, "version": version, **params}

    def release(
        self,
        version: str,
        *,
        check: bool = False,
        env: dict[str, str] | None = None,
        umask: int = UMASK,
        cwd: Path | None = None,
        **params: object,
    ) -> dict[str, Any]:
        how: dict[str, Any] = {"check": check, "env": env, "umask": umask, "cwd": cwd}
        return run_module("codex_release", self.params(version, **params), **how)

    def says(self) -> str:
        return subprocess.run([self.bin, "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def versions(self) -> set[str]:
        return {path.name for path in (self.prefix / "releases").iterdir()}

    def npm(self, *arguments: str) -> str:
        argv = ["npm", "--global", "--prefix", self.root, "--registry", self.registry.url, *arguments]
        # Where it installs, it is as a user of it does: below a private directory, no release can be.
        return subprocess.run(argv, capture_output=True, text=True, check=True, umask=0o022).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description="Builds small packages that stand in for releases of the CLI.")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "versions", nargs="+", metavar="VERSION", help="the last fails for UID 20001 where /etc/broken is"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for version in options.versions:
        build_release(options.folder, version, script=FRAIL if version == options.versions[-1] else SCRIPT)


if __name__ == "__main__":
    main()
