# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Unpacks npm's tarballs into npm's own global layout, without npm.

Source: what ``npm install --global`` makes of the same packages. A tarball is checked against its digest first.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
from typing import Iterator, NamedTuple, Sequence

from .._host import linux, trees
from .binary import PACKAGE, Platform
from .manifest import Manifest, read_manifest
from .npm_archive import MalformedError, members, open_file, shown

_ALGORITHMS = ("sha256", "sha384", "sha512")
_CURE = "get it anew with npm pack, and compare its digest with the registry's"


class TarballError(Exception):
    """A tarball is not what it should be; the message says which and why."""


class Tarball(NamedTuple):
    """A file, and the digest it must have: npm's ``sha512-<base64>``, or ``sha256:<hex>``."""

    path: str
    checksum: str


def check_checksum(checksum: str) -> tuple[str, bytes]:
    """The algorithm and the digest that a checksum's text says.

    Raises ValueError.
    """
    if not isinstance(checksum, str):
        raise ValueError(f"checksums must be texts, not {type(checksum).__name__}: sha512-<base64>, or sha256:<hex>")
    algorithm, separator, digest = checksum.partition(":" if ":" in checksum else "-")
    try:
        raw = bytes.fromhex(digest) if separator == ":" else base64.b64decode(digest, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if algorithm not in _ALGORITHMS or len(raw) != hashlib.new(algorithm).digest_size:
        raise ValueError(f"{checksum[:150]!r} is no checksum: sha512-<base64> as npm has it, or sha256:<hex>")
    return algorithm, raw


def check_tarballs(tarballs: Sequence[Tarball]) -> None:
    """Raises TarballError where one cannot be read or has another digest."""
    for tarball in tarballs:
        _verify(tarball)


def unpack_release(tarballs: Sequence[Tarball], version: str, platform: Platform, prefix: str) -> None:
    """Lays out the release ``version`` in ``prefix``, an empty directory. Nothing is left in ``prefix`` then.

    Raises TarballError where the tarballs are not exactly the package of that version and, from 0.99 on, its platform
    package; OSError where the disk does not take them.
    """
    try:
        _unpack(tarballs, version, platform, prefix)
    except BaseException:
        for name in os.listdir(prefix):
            trees.remove(os.path.join(prefix, name))
        raise


def _unpack(tarballs: Sequence[Tarball], version: str, platform: Platform, prefix: str) -> None:
    modules = os.path.join(prefix, "lib", "node_modules")
    platform_version = f"{version}-{platform.suffix}"
    places = {version: os.path.join(modules, PACKAGE), platform_version: os.path.join(modules, platform.package)}
    manifests: dict[str, Manifest] = {}
    check_tarballs(tarballs)
    for tarball in tarballs:
        tree = os.path.join(prefix, "unpacking")
        with _naming(tarball.path):
            _extract(tarball.path, tree)
            manifest = read_manifest(os.path.join(tree, "package.json"))
        if manifest.name != PACKAGE or manifest.version not in places or manifest.version in manifests:
            raise TarballError(
                f"{tarball.path} holds {shown(manifest.name)} {shown(manifest.version)}: "
                f"wanted are {PACKAGE} {version} and {platform_version}, once each"
            )
        if not manifest.fits(platform):
            raise TarballError(
                f"{tarball.path} is for {shown(manifest.os)} on {shown(manifest.cpu)}, not for {platform.suffix}: get "
                f"{PACKAGE} {platform_version}"
            )
        manifests[manifest.version] = manifest
        os.makedirs(os.path.dirname(places[manifest.version]), exist_ok=True)
        os.rename(tree, places[manifest.version])
    if version not in manifests:
        raise TarballError(f"no tarball holds {PACKAGE} {version}: give that one too")
    if platform_version not in manifests and platform.package in manifests[version].optional:
        raise TarballError(
            f"the tarball of the platform package is missing: give that of {PACKAGE} {platform_version} too"
        )
    launcher = manifests[version].launcher
    if launcher is None or not os.path.isfile(os.path.join(places[version], launcher)):
        raise TarballError(
            f"the tarball of {PACKAGE} {version} has no command codex, for which its package.json names "
            f"{shown(launcher)}; {_CURE}"
        )
    os.mkdir(os.path.join(prefix, "bin"))
    os.symlink(os.path.join("..", "lib", "node_modules", PACKAGE, launcher), os.path.join(prefix, "bin", "codex"))


def _verify(tarball: Tarball) -> None:
    algorithm, expected = check_checksum(tarball.checksum)
    digest = hashlib.new(algorithm)
    try:
        with _naming(tarball.path), open_file(tarball.path) as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise TarballError(f"{tarball.path} cannot be read: {error.strerror}") from None
    if digest.digest() != expected:
        raise TarballError(
            f"{tarball.path} has the {algorithm} digest {digest.hexdigest()}, not {expected.hex()}: get it anew"
        )


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Says which tarball is malformed, and what to do."""
    try:
        yield
    except MalformedError as reason:
        raise TarballError(f"{path} {reason}; {_CURE}") from None


def _extract(path: str, target: str) -> None:
    os.mkdir(target)
    for member in members(path):
        file = os.path.join(target, member.name)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "xb") as copy:
            for piece in member.content:
                copy.write(piece)
                linux.start_writing(copy.fileno())
        os.chmod(file, 0o755 if member.executable else 0o644)
