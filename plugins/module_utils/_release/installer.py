# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Brings a host to the release asked for: what codex_release does."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

from .._formats.specifier import satisfies
from .._formats.text import abridged
from .._formats.version import (
    DEFAULT,
    OLDEST_THAT_READS_NEWER_SESSIONS,
    OLDEST_THAT_SERVES,
    is_exact,
    parse_version,
    why_unproven,
)
from .._host import access, trees
from .._host.identity import Identity
from .._host.new_files import PUBLIC_DIRECTORY, new_directory
from .._host.process import STANDARD_PATH
from .._host.safefs import kind_of
from .binary import PACKAGE, ailment, this_platform
from .npm import Npm, NpmError, global_root, install_release, ready_npm, resolve_version
from .plain import adopt, plain_version, wait_for_npm
from .record import Digests, Finding, has_all, lay_out, note_seen
from .replaced import keep_replaced
from .store import ReleaseError, ReleaseStore
from .tarballs import Tarball, TarballError, check_tarballs, unpack_release

_WHY_NOT_OLDER = (
    f" ({OLDEST_THAT_SERVES} is the first that sends the SDK's events with `codex exec --experimental-json` and reads "
    "CODEX_API_KEY)"
)


class ReleaseRequest(NamedTuple):
    """What is asked for; see the documentation of codex_release. ``environ`` is the environment that npm gets."""

    version: str
    state: str
    prefix: str
    bin: str
    keep: int
    requires: str
    warn_unproven: bool
    registry: str | None
    registry_token: str | None
    tarballs: Sequence[Tarball]
    npm: str
    probe: Identity
    timeout: float
    environ: Mapping[str, str]


class ReleaseOutcome(NamedTuple):
    """What was done, or would be. ``before`` and ``after`` are the active version and the releases there are."""

    changed: bool
    version: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    previous: str | None
    gone_back_from: str | None


class Installer:
    """One run. ``warnings`` are for whoever runs it, also where it fails.

    Raises ReleaseError, NpmError, TarballError, ValueError, LookupError or OSError; what was active before is then
    active still.
    """

    def __init__(self, request: ReleaseRequest) -> None:
        self.request = request
        self.platform = this_platform()
        self.store = ReleaseStore(request.prefix, request.bin, self.platform)
        self.warnings: list[str] = []
        self._npm: Npm | None = None
        self._end = contextlib.ExitStack()

    def run(self, check: bool) -> ReleaseOutcome:
        """Does it, or with ``check`` says what it would do, contacting no more than that needs."""
        with self._end:
            return self._run(check)

    def _run(self, check: bool) -> ReleaseOutcome:
        self._check_places()
        version = self._resolve()
        before = self._state(version)
        if self.request.state == "absent":
            changed = self._remove(version, check)
        else:
            self._check_version(version)
            changed = bool(before["differs"]) or not self._is_done(version) or bool(self.store.leftovers())
            if before["active"] and self.request.state == "active":
                self._warn_of_lost_sessions(before["active"], version)
            if changed and check:
                self._note_damage(version, "it would be mended")
                self._check_source(version)
            elif changed:
                changed = self._provide(version)
        if not check and self.request.state != "absent":
            note_seen(self.store.path(version), self._finding(version))
        back = self.store.gone_back_from()
        after, served = self._state(version) if changed else before, self.store.served()
        if check and changed:
            after, served = self._foreseen(before, version)
            if after["active"] != before["active"]:
                back = before["active"] if self._goes_back(before["active"], version) else None
        previous = after["active"] if back else next(iter(served), None)
        return ReleaseOutcome(changed, version, before, after, previous, back)

    def is_done(self) -> bool:
        """Whether a run would change nothing, warn of nothing, and note no contents that it had to read. Contacts
        nothing: only the registry knows which release a dist-tag means."""
        version = self.request.version
        if not is_exact(version):
            return False
        self._check_places()
        self._check_version(version)
        done = self._is_done(version) and not self.store.leftovers() and not self._finding(version).seen
        return done and not self.warnings

    # --- before anything is changed

    def _check_places(self) -> None:
        request = self.request
        for option, path in (("prefix", request.prefix), ("bin", os.path.dirname(request.bin))):
            parent = access.nearest_directory(path)
            blocked = access.closed_at(parent, request.probe)
            if blocked:
                raise ReleaseError(
                    f"{option} {path} is out of reach: {request.probe} cannot go through {blocked}. "
                    f"Choose a place that every user can reach, or: chmod a+x {blocked}"
                )
            if request.state != "absent":
                for problem in access.changeable(parent, self._trusted()):
                    raise ReleaseError(f"{option} {path} is not safe from other users: {problem}")
        with contextlib.suppress(FileNotFoundError):
            mode = os.lstat(request.bin).st_mode
            if not stat.S_ISREG(mode) and (not stat.S_ISLNK(mode) or os.path.isdir(request.bin)):
                raise ReleaseError(
                    f"bin {request.bin} is {kind_of(mode)}{' to a directory' * stat.S_ISLNK(mode)}; the path of the "
                    "command itself is wanted: move away what is there, or choose another"
                )

    def _trusted(self) -> tuple[int, ...]:
        return (os.geteuid(),)

    def _resolve(self) -> str:
        """The exact version that is meant."""
        version = self.request.version
        if version == "previous":
            active = self.store.active()
            if active and self.store.gone_back_from():
                return active
            served = self.store.served()
            if not served:
                raise ReleaseError(f"there is no previous release in {self.request.prefix} to go back to")
            return served[0]
        if is_exact(version):
            return version
        if self.request.tarballs or self.request.state == "absent":
            raise ReleaseError(f"version must be exact here, such as {DEFAULT}, not {version!r}")
        return resolve_version(self._ready_npm(), version, self.platform.package)

    def _check_version(self, version: str) -> None:
        if not satisfies(version, self.request.requires):
            reason = _WHY_NOT_OLDER if parse_version(version) < parse_version(OLDEST_THAT_SERVES) else ""
            raise ReleaseError(
                f"{PACKAGE} {version} does not fit requires {self.request.requires!r}{reason}: ask for another "
                "version, or change requires"
            )
        unproven = why_unproven(version) if self.request.warn_unproven else None
        if unproven:
            self.warnings.append(unproven)

    def _check_source(self, version: str) -> None:
        """Makes sure that a release which would be installed can be had."""
        if self._is_installed(version) or version in self._adoptable():
            return
        there = self._finding(version).record
        if there is not None and has_all(there, self.store.path(version)):
            return
        if self.request.tarballs:
            check_tarballs(self.request.tarballs)
        else:
            resolve_version(self._ready_npm(), version, self.platform.package)

    # --- what there is

    def _state(self, version: str) -> dict[str, Any]:
        """``differs`` is what of the release asked for is not as it was installed."""
        releases = sorted(release.version for release in self.store.releases())
        differs = self._finding(version).wrong if self.request.state != "absent" else []
        return {"active": self.store.active(), "releases": releases, "differs": differs}

    def _finding(self, version: str) -> Finding:
        """Nothing is wrong with a release that is not there."""
        return self.store.compare(version) if os.path.lexists(self.store.path(version)) else Finding([], None)

    def _note_damage(self, version: str, outcome: str) -> None:
        finding = self._finding(version)
        if finding.wrong:
            self.warnings.append(f"{_damage(version, finding)}; {outcome}")

    def _foreseen(self, before: Mapping[str, Any], version: str) -> tuple[dict[str, Any], list[str]]:
        """What the state would be, and which versions would have served then, the last one first."""
        request, active = self.request, before["active"]
        served = [old for old in self.store.served() if old != version]
        releases = set(before["releases"]) - {version}
        if request.state == "absent":
            return {"active": active, "releases": sorted(releases), "differs": []}, served
        adopted = [plain for plain in self._adoptable() if plain != version]
        served = [*reversed(adopted), *served]
        releases |= {version, *adopted}
        if request.state == "active":
            served = [active, *served] if active not in (None, version) else served
            active = version
            for old in self.store.surplus(request.keep, served):
                releases.remove(old)
                served.remove(old)
        return {"active": active, "releases": sorted(releases), "differs": []}, served

    def _goes_back(self, active: str | None, version: str) -> bool:
        """Whether this would be a step back: to `previous`, or by its name to an older release that has served."""
        if active in (None, version):
            return False
        if self.request.version == "previous":
            return True
        return version in self.store.served() and parse_version(version) < parse_version(active)

    def _is_installed(self, version: str) -> bool:
        return (
            os.path.lexists(self.store.path(version))
            and not self._finding(version).wrong
            and self._ailment(self.store.package(version), version) is None
        )

    def _is_unrecorded(self, version: str) -> bool:
        """Whether it is complete, as far as can be seen, and of a time when releases had no record."""
        return self._is_installed(version) and self._finding(version).record is None

    def _is_done(self, version: str) -> bool:
        finding = self._finding(version)
        if finding.record is None or finding.wrong or self._ailment(self.store.package(version), version) is not None:
            return False
        if self.request.state == "present":
            return True
        return (
            self.store.active() == version
            and not self.store.misplaced(version)
            and not self.store.surplus(self.request.keep, self.store.served())
        )

    def _ailment(self, package: str, version: str) -> str | None:
        return ailment(package, version, self.platform, self.request.probe)

    # --- what changes it

    def _provide(self, version: str) -> bool:
        """Whether anything was left to do, once the lock was had."""
        with self.store.locked(self.request.timeout) as lock:
            leftovers = self.store.leftovers()
            for path in leftovers:
                trees.remove(path)
            opened = self.store.protect()
            if opened:
                self.warnings.append(f"{abridged(opened, '; ')}: this was mended")
            if self._is_done(version):
                return bool(leftovers or opened)
            finding = self._finding(version)
            if finding.wrong and self._mend(version, finding):
                self.warnings.append(f"{_damage(version, finding)}; it was mended")
            elif self._is_unrecorded(version):
                self.store.note(version)
                self.warnings.append(
                    f"the release {version} was installed before releases had a record of their files: they are taken "
                    "to be complete as they are now"
                )
            with self._naming_damage(version, finding):
                if not self.request.tarballs and not self._is_installed(version):
                    self._note_global_root(self._ready_npm())
                self._take_over()
                if not self._is_installed(version):
                    self._install(version, lock)
                    if finding.wrong:
                        self.warnings.append(f"{_damage(version, finding)}; it was installed again")
            if self.request.state == "active":
                self._take_over()  # what somebody else has installed meanwhile
                self._activate(version)
            return True

    def _mend(self, version: str, finding: Finding) -> bool:
        """Whether all of the release is still there, and was put in order. Nothing is contacted for it."""
        if finding.record is None:
            return False
        with self.store.staged() as staging:
            tree = os.path.join(staging, version)
            new_directory(tree, PUBLIC_DIRECTORY)
            if not lay_out(finding.record, self.store.path(version), tree):
                return False
            self.store.put(tree, version)
        return True

    @contextlib.contextmanager
    def _naming_damage(self, version: str, finding: Finding) -> Iterator[None]:
        """Says, where the release cannot be installed again, why it has to be."""
        try:
            yield
        except (ReleaseError, NpmError, TarballError) as error:
            if finding.wrong:
                raise ReleaseError(f"{_damage(version, finding)}; it was not mended: {error}") from None
            raise
        except OSError:
            if finding.wrong:
                self.warnings.append(f"{_damage(version, finding)}; it was not mended")
            raise

    def _install(self, version: str, lock: int) -> None:
        with self.store.staged() as staging:
            tree = os.path.join(staging, version)
            new_directory(tree, PUBLIC_DIRECTORY)
            digests = Digests()

            def meanwhile() -> None:  # or all of it would have to be waited for, and read, at the end
                trees.start_writing(tree)
                digests.look(tree)

            if self.request.tarballs:
                unpack_release(self.request.tarballs, version, self.platform, tree)
            else:
                npm = self._ready_npm()._replace(keep_open=(lock,))
                cache = os.path.join(staging, "cache")
                install_release(npm, version, self.platform.package, tree, cache, meanwhile)
                trees.remove(cache)  # before the release is brought to the disk, or it would be too
            wrong = self._ailment(os.path.join(tree, "lib", "node_modules", PACKAGE), version)
            if wrong:
                raise ReleaseError(f"{PACKAGE} {version} was not installed: {wrong}")
            self.store.commit(tree, version, digests)

    def _activate(self, version: str) -> None:
        self._keep_what_is_replaced()
        self.store.activate(version, self._goes_back(self.store.active(), version))
        for old in self.store.surplus(self.request.keep, self.store.served()):
            self.store.remove(old)

    def _remove(self, version: str, check: bool) -> bool:
        if not os.path.lexists(self.store.path(version)):
            return False
        if version == self.store.active():
            raise ReleaseError(
                f"{version} is active at {self.request.bin}: activate another release before removing it"
            )
        with contextlib.ExitStack() as stack:
            if not check:
                stack.enter_context(self.store.locked(self.request.timeout))
            users = self.store.users().get(version)
            if users:
                raise ReleaseError(f"{version} is in use by {users} process(es): remove it when they have ended")
            if not check:
                self.store.remove(version)
        return True

    def _ready_npm(self) -> Npm:
        if self._npm is None:
            request = self.request
            ready = ready_npm(request.npm, request.environ, request.registry, request.registry_token, request.timeout)
            self._npm = self._end.enter_context(ready)
            self.warnings += self._npm.warnings
        return self._npm

    # --- what was there before us

    def _take_over(self) -> None:
        """Makes what others have installed in npm's trees releases of ours, once they have done so. An npm at work
        would go on writing through the link that is to lie there, into our release."""
        wait_for_npm(self.store.trees(), self.request.timeout)
        for tree, version in self._plain():
            adopt(self.store, tree, version, self._ailment)

    def _plain(self) -> Iterator[tuple[str, str]]:
        """The plain installations that are no releases yet, with their versions."""
        for tree in self.store.trees():
            version = plain_version(tree, self.platform)
            if version is not None and not self._is_installed(version):
                yield tree, version

    def _adoptable(self) -> list[str]:
        """The versions of plain installations that would become releases."""
        return [version for tree, version in self._plain() if self._ailment(tree, version) is None]

    def _note_global_root(self, npm: Npm) -> None:
        """Where the stable path is one for the whole host, npm's own global tree is to lead to the active release."""
        if os.path.dirname(self.request.bin) not in STANDARD_PATH.split(":"):
            return
        root = global_root(npm)
        if not root or not os.path.isdir(root):
            return
        problem = next(access.changeable(root, self._trusted()), None)
        if problem:
            self.warnings.append(f"npm's global tree {root} is left alone, as other users could change it: {problem}")
        else:
            trees.place_link(os.path.join(self.request.prefix, "npm-root"), root)

    def _keep_what_is_replaced(self) -> None:
        self.warnings += keep_replaced(self.store)

    def _warn_of_lost_sessions(self, active: str, version: str) -> None:
        oldest = parse_version(OLDEST_THAT_READS_NEWER_SESSIONS)
        if parse_version(version) < oldest <= parse_version(active):
            self.warnings.append(
                f"{version} cannot read all sessions that {active} has written, and damages those that it resumes: "
                f"{OLDEST_THAT_READS_NEWER_SESSIONS} is the oldest release that is safe to go back to"
            )


def _damage(version: str, finding: Finding) -> str:
    return f"the release {version} is not as it was installed: {abridged(finding.wrong, '; ')}"
