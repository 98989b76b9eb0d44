# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacks npm's tarballs into npm's own global layout, without npm. Private to the collection alive.codex.

Source: what ``npm install --global`` makes of the same packages. A tarball is checked against its digest first.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import shutil
import tarfile
from typing import Any, Mapping, NamedTuple, Sequence

from ansible_collections.alive.codex.plugins.module_utils._binary import PACKAGE, Platform

_ALGORITHMS = ("sha256", "sha384", "sha512")


class TarballError(Exception):
    """A tarball is not what it should be; the message says which and why."""


class Tarball(NamedTuple):
    """A file, and the digest it must have: npm's ``sha512-<base64>``, or ``sha256:<hex>``."""

    path: str
    checksum: str


def check_checksum(checksum: str) -> tuple[str, bytes]:
    """The algorithm and the digest that a checksum's text says. Raises ValueError."""
    algorithm, separator, digest = checksum.partition(":" if ":" in checksum else "-")
    try:
        raw = bytes.fromhex(digest) if separator == ":" else base64.b64decode(digest, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if algorithm not in _ALGORITHMS or len(raw) != hashlib.new(algorithm).digest_size:
        raise ValueError(f"{checksum!r} is no checksum: sha512-<base64> as npm has it, or sha256:<hex>")
    return algorithm, raw


def check(tarballs: Sequence[Tarball]) -> None:
    """Raises TarballError where one cannot be read or has another digest."""
    for tarball in tarballs:
        _verify(tarball)


def unpack(tarballs: Sequence[Tarball], version: str, platform: Platform, prefix: str) -> None:
    """Lays out the release ``version`` below ``prefix``. Raises TarballError where the tarballs are not exactly the
    package of that version and, from 0.99 on, its platform package; OSError where the disk does not take them."""
    modules = os.path.join(prefix, "lib", "node_modules")
    platform_version = f"{version}-{platform.suffix}"
    places = {version: os.path.join(modules, PACKAGE), platform_version: os.path.join(modules, platform.package)}
    manifests: dict[str, Mapping[str, Any]] = {}
    check(tarballs)
    for tarball in tarballs:
        manifest = _manifest(tarball.path)
        found = str(manifest.get("version"))
        if manifest.get("name") != PACKAGE or found not in places or found in manifests:
            raise TarballError(
                f"{tarball.path} holds {manifest.get('name')} {found}: wanted are {PACKAGE} {version} and "
                f"{platform_version}, once each"
            )
        manifests[found] = manifest
        _extract(tarball.path, places[found])
    if version not in manifests:
        raise TarballError(f"no tarball holds {PACKAGE} {version}")
    if platform_version not in manifests and platform.package in manifests[version].get("optionalDependencies", {}):
        raise TarballError(f"the tarball of the platform package is missing: {PACKAGE} {platform_version}")
    _link_launcher(manifests[version], prefix)


def _link_launcher(manifest: Mapping[str, Any], prefix: str) -> None:
    binaries = manifest.get("bin")
    launcher = os.path.normpath(str(binaries["codex"] if isinstance(binaries, dict) else binaries))
    os.mkdir(os.path.join(prefix, "bin"))
    os.symlink(os.path.join("..", "lib", "node_modules", PACKAGE, launcher), os.path.join(prefix, "bin", "codex"))


def _verify(tarball: Tarball) -> None:
    algorithm, expected = check_checksum(tarball.checksum)
    digest = hashlib.new(algorithm)
    try:
        with open(tarball.path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise TarballError(f"{tarball.path} cannot be read: {error.strerror}") from None
    if digest.digest() != expected:
        raise TarballError(
            f"{tarball.path} has the {algorithm} digest {digest.hexdigest()}, not {expected.hex()}: get it anew"
        )


def _manifest(path: str) -> Mapping[str, Any]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if _inner(member.name) == "package.json":
                    stream = archive.extractfile(member)
                    manifest = json.load(stream) if stream else None
                    if isinstance(manifest, dict):
                        return manifest
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise TarballError(f"{path} is no npm tarball: {error}") from None
    raise TarballError(f"{path} is no npm tarball: it holds no package.json")


def _extract(path: str, target: str) -> None:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = _inner(member.name)
                if member.isdir() or not name:
                    continue
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is None or ".." in name.split("/"):
                    raise TarballError(f"{path} holds {member.name!r}, which no npm package may hold")
                file = os.path.join(target, name)
                os.makedirs(os.path.dirname(file), exist_ok=True)
                with open(file, "xb") as copy:
                    shutil.copyfileobj(stream, copy, 1 << 20)
                os.chmod(file, 0o755 if member.mode & 0o111 else 0o644)
    except (tarfile.TarError, EOFError) as error:
        raise TarballError(f"{path} is damaged: {error}") from None


def _inner(name: str) -> str:
    """A member's path inside the package: npm drops the first component, whatever it is called."""
    return name.partition("/")[2]
