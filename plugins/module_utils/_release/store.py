# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Releases of Codex on a host, and which one is active.

Below the prefix: ``releases/<version>/`` in npm's global layout, each complete, but with the platform package beside
the package, and with a record of what it is made of; ``staging/``, what is being made or removed; ``npm-root``, a link
to npm's own global tree where that leads to the active release too; ``replaced/``, what was there before; ``rollback``
and ``unconfirmed``, links whose text says to which release from which version it was gone, back or in an update that
has not validated it yet; ``lock``. The time of a release's directory is when it was last put out of service, or 0 where
it never served; the newest is `previous`, unless the active release was gone back to: then that is.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import Iterator, NamedTuple, Sequence

from .._formats.version import is_exact
from .._host import trees
from .._host.locks import lock_within
from .._host.new_files import PUBLIC_DIRECTORY, new_directory, public_directories
from .._host.proc import running_files
from .._host.safefs import opened
from . import record
from .binary import PACKAGE, Platform, native_in

_NEVER = 0


class ReleaseError(Exception):
    """What was asked for cannot be; the message says what, where, and what to do."""


class Release(NamedTuple):
    """One complete release. ``retired`` is in nanoseconds since 1970, 0 for one that never served."""

    version: str
    path: str
    retired: int


class ReleaseStore:
    """All releases below one prefix, and the stable path that names the active one."""

    def __init__(self, prefix: str, bin_path: str, platform: Platform) -> None:
        self.prefix = prefix
        self.bin = bin_path
        self.platform = platform
        self.staging = os.path.join(prefix, "staging")
        self.replaced = os.path.join(prefix, "replaced")
        self._rollback = os.path.join(prefix, "rollback")
        self._unconfirmed = os.path.join(prefix, "unconfirmed")  # made and removed by the playbook update
        self.folder = os.path.join(prefix, "releases")

    # --- what is there

    def path(self, version: str) -> str:
        return os.path.join(self.folder, version)

    def package(self, version: str) -> str:
        return os.path.join(self.path(version), "lib", "node_modules", PACKAGE)

    def native(self, version: str) -> str | None:
        return native_in(self.package(version), self.platform)

    def releases(self) -> list[Release]:
        """All of them, the one that served last first."""
        try:
            versions = [name for name in os.listdir(self.folder) if is_exact(name)]
        except FileNotFoundError:
            return []
        found = [Release(v, self.path(v), os.lstat(self.path(v)).st_mtime_ns) for v in versions]
        return sorted(found, key=lambda release: (release.retired, release.version), reverse=True)

    def compare(self, version: str) -> record.Finding:
        """What of a release is not as it was installed."""
        finding = record.compare(self.path(version), (os.geteuid(),))
        return finding._replace(wrong=[*self._misplacement(), *finding.wrong])

    def _misplacement(self) -> Iterator[str]:
        """What is wrong with the directory of all releases."""
        info = os.stat(self.folder)
        if info.st_uid != os.geteuid():
            yield f"{self.folder} belongs to UID {info.st_uid}, not to UID {os.geteuid()}"
        if stat.S_IMODE(info.st_mode) != PUBLIC_DIRECTORY:
            yield f"{self.folder} has mode {stat.S_IMODE(info.st_mode):04o}, not {PUBLIC_DIRECTORY:04o}"

    def active(self) -> str | None:
        """The version that the stable path names, if it is one of ours."""
        real = os.path.realpath(self.bin)
        inside = os.path.relpath(real, os.path.join(os.path.realpath(self.prefix), "releases"))
        version = inside.partition("/")[0]
        return version if is_exact(version) and os.path.isfile(real) else None

    def served(self) -> list[str]:
        """The versions that were active before, the last one first: that is what `previous` means."""
        active = self.active()
        return [r.version for r in self.releases() if r.version != active and r.retired != _NEVER]

    def gone_back_from(self) -> str | None:
        """The version from which the active one was gone back to; None where it was not."""
        to, version = _noted(self._rollback)
        return version if to is not None and to == self.active() else None

    def unconfirmed_from(self) -> str | None:
        """The version from which an update came to the active one and was then killed; None where it was not."""
        to, version = _noted(self._unconfirmed)
        return version if to is not None and to == self.active() else None

    def trees(self) -> list[str]:
        """npm's global trees that lead to the active release: that of the stable path, and npm's own."""
        roots = [os.path.join(os.path.dirname(os.path.dirname(self.bin)), "lib", "node_modules")]
        with contextlib.suppress(FileNotFoundError):
            roots.append(os.readlink(os.path.join(self.prefix, "npm-root")))
        return [os.path.join(tree, PACKAGE) for tree in dict.fromkeys(roots)]

    def misplaced(self, version: str) -> list[str]:
        """The stable paths that do not lead to that version yet."""
        wanted = [(self.bin, self.native(version))]
        wanted += [(tree, self.package(version)) for tree in self.trees()]
        return [path for path, target in wanted if not _is_link_to(path, target)]

    # --- what changes it

    @contextlib.contextmanager
    def locked(self, timeout: float) -> Iterator[int]:
        """Keeps other runs away, and gives the lock's descriptor."""
        public_directories(self.prefix)
        lock = os.path.join(self.prefix, "lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not lock_within(descriptor, timeout):
                raise ReleaseError(
                    f"another run has been at work in {self.prefix} for {timeout:g} s: wait for it, then run this again"
                )
            if not _is_file_at(descriptor, lock):
                raise ReleaseError(f"another run has removed all of {self.prefix} just now: run this again")
            os.fchmod(descriptor, 0o600)
            public_directories(self.folder)
            yield descriptor
        finally:
            os.close(descriptor)

    def protect(self) -> list[str]:
        """Lets everybody see, and nobody else change, what releases there are; what was wrong with that."""
        wrong = list(self._misplacement())
        if wrong:
            with opened(os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)) as folder:
                os.fchown(folder, os.geteuid(), os.getegid())
                os.fchmod(folder, PUBLIC_DIRECTORY)
        return wrong

    def note(self, version: str) -> None:
        """Makes the record of a release that is there."""
        path = self.path(version)
        retired = os.lstat(path).st_mtime_ns
        record.write(path)
        os.utime(path, ns=(retired, retired))

    def leftovers(self) -> list[str]:
        """What a killed run left, or another run is at work on just now."""
        candidates = [self.staging, *map(trees.temporary_name, (self.bin, *self.trees()))]
        return [path for path in candidates if os.path.lexists(path)]

    @contextlib.contextmanager
    def staged(self) -> Iterator[str]:
        """An empty staging directory, gone at the end, whatever happens."""
        new_directory(self.staging, PUBLIC_DIRECTORY)
        try:
            yield self.staging
        finally:
            trees.remove(self.staging)

    def commit(self, staged: str, version: str, digests: record.Digests | None = None) -> None:
        """Makes a staged tree the release ``version``, whole or not at all, also across a power cut. One that is there
        already is damaged, and replaced. ``digests`` has what is known of its content already."""
        self._detach_platform_package(staged)
        trees.publish(staged, lambda: record.write(staged, digests))
        for release in self.releases():
            record.share_room(staged, release.path)
        self.put(staged, version)

    def put(self, staged: str, version: str) -> None:
        """Puts a tree with its record into the place of the release, and what may be there into the tree's."""
        path = self.path(version)
        retired = next((r.retired for r in self.releases() if r.version == version), _NEVER)
        os.utime(staged, ns=(retired, retired))
        if os.path.lexists(path):
            trees.exchange(staged, path)
        else:
            os.rename(staged, path)
        trees.sync(self.folder)

    def _detach_platform_package(self, staged: str) -> None:
        """Moves the platform package, which npm nests, beside the package, where Node.js finds it as well. What is
        nested would be deleted by somebody's own ``npm install --global``, through the link in npm's global tree."""
        modules = os.path.join(staged, "lib", "node_modules")
        nested = os.path.join(modules, PACKAGE, "node_modules", self.platform.package)
        if os.path.isdir(nested):
            os.rename(nested, os.path.join(modules, self.platform.package))
            with contextlib.suppress(OSError):  # something else is nested there too
                os.removedirs(os.path.dirname(nested))

    def activate(self, version: str, back: bool = False) -> None:
        """Leads the stable path and npm's trees to a release; at no instant do they lead nowhere. With ``back``, it is
        noted that this one was gone back to, until another is activated."""
        native = self.native(version)
        if native is None:
            raise ReleaseError(f"{self.path(version)} holds no native binary")
        active = self.active()
        if active not in (None, version):
            self.retire(active)
            # Before the path moves, and what was noted of another after it: a kill in between must not make the release
            # that was gone back from the previous one.
            if back:
                trees.place_link(self._rollback, f"{version}/{active}")
            elif _noted(self._rollback)[0] == version:
                trees.remove(self._rollback)
        for path, target in [(self.bin, native), *((tree, self.package(version)) for tree in self.trees())]:
            if not _is_link_to(path, target):
                public_directories(os.path.dirname(path))
                trees.place_link(path, target)
        for note in (self._rollback, self._unconfirmed):
            if _noted(note)[0] != version:
                trees.remove(note)

    def retire(self, version: str) -> None:
        """Notes that the release goes out of service now."""
        now = max(time.time_ns(), *(release.retired + 1 for release in self.releases()))
        os.utime(self.path(version), ns=(now, now))

    def remove(self, version: str) -> None:
        """Removes a release: gone at once, then taken apart."""
        with self.staged() as staging:
            os.rename(self.path(version), os.path.join(staging, version))

    def surplus(self, keep: int, served: Sequence[str]) -> list[str]:
        """Which of the versions that have ``served``, the last one first, ``keep`` leaves no place for. None that a
        process runs."""
        users = self.users()
        return [version for version in served[keep:] if not users.get(version)]

    def users(self) -> dict[str, int]:
        """How many processes run a file of each release."""
        return _count_users({r.version: r.path for r in self.releases()})


def _noted(note: str) -> tuple[str | None, str | None]:
    try:
        to, _slash, version = os.readlink(note).partition("/")
    except OSError:
        return None, None
    return to, version


def _count_users(paths: dict[str, str]) -> dict[str, int]:
    # By inode: a release that was adopted has other names too, and those may be gone already.
    owners = {}
    for version, path in paths.items():
        for entry in trees.entries(path):
            info = os.lstat(entry)
            owners[(info.st_dev, info.st_ino)] = version
    counts = dict.fromkeys(paths, 0)
    for file in running_files():
        if file in owners:
            counts[owners[file]] += 1
    return counts


def _is_file_at(descriptor: int, path: str) -> bool:
    """Whether an open file is still the one that its path names."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _is_link_to(path: str, target: str | None) -> bool:
    return target is not None and os.path.islink(path) and os.readlink(path) == target
