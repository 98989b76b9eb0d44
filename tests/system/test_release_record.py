"""A release that is not as it was installed: mended, or the task fails and names what differs; never `unchanged`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.disks import btrfs
from support.modules import run_module
from support.registry import Registry
from support.releases import TRIPLE, Host, build_release
from support.settings import usual_umask

OLD, NEW = "0.160.0", "0.161.0"
TENANT = 54321

pytestmark = pytest.mark.root


NO_NPM = {"npm": "/nowhere/npm"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """The options of codex_release for the tarballs of each release, which need no npm."""
    folder = tmp_path_factory.mktemp("tarballs")
    found: dict[str, dict[str, object]] = {}
    for version in (OLD, NEW):
        tarballs = build_release(folder, version)
        digests = {path.name: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in tarballs}
        found[version] = {"tarballs": [str(path) for path in tarballs], "checksums": digests}
    return found


@pytest.fixture
def host(open_dir: Path, files: dict[str, dict[str, object]]) -> Iterator[Host]:
    with Registry([]) as registry:
        host = Host(open_dir, registry)
        assert host.release(OLD, **files[OLD])["changed"]
        yield host


class Release:
    """The parts of an installed release that something can happen to."""

    def __init__(self, host: Host) -> None:
        self.all = host.prefix / "releases"
        self.root = self.all / OLD
        self.modules = self.root / "lib" / "node_modules" / "@openai"
        self.vendor = next(self.modules.glob(f"*/vendor/{TRIPLE}"))
        self.codex = self.vendor / "bin" / "codex"
        self.rg = self.vendor / "codex-path" / "rg"
        self.record = self.root / "record" / "release.json"

    def state(self) -> dict[str, tuple[int, int, bytes]]:
        """Owner, mode and content of all but the record."""
        found = {}
        for path in [self.all, self.root, *sorted(self.root.rglob("*"))]:
            info = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(info.st_mode) and path != self.record else b""
            found[str(path)] = (info.st_uid, info.st_mode, content)
        return found


def give(path: Path) -> None:
    os.chown(path, TENANT, TENANT)


def overwrite(path: Path) -> None:
    """Another content of the same length, and the times that the file had."""
    info = path.stat()
    with path.open("r+b") as file:
        file.seek(10)
        file.write(b"X")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def swap(path: Path) -> None:
    """The directory lies elsewhere now, and a link leads there."""
    elsewhere = path.parents[len(path.parents) - 3] / f"moved-{path.name}"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


# What is done, what is told of it, and whether all of the release is still there.
DAMAGE: dict[str, tuple[Callable[[Release], object], str, bool]] = {
    "binary 0777": (lambda r: r.codex.chmod(0o777), "bin/codex has mode 0777, not 0755", True),
    "binary set-user-ID": (lambda r: r.codex.chmod(0o4755), "bin/codex has mode 4755, not 0755", True),
    "file unreadable": (lambda r: r.rg.chmod(0o700), "codex-path/rg has mode 0700, not 0755", True),
    "binary of a tenant": (lambda r: give(r.codex), f"bin/codex belongs to {TENANT}:{TENANT}, not to 0:0", True),
    "releases 0777": (lambda r: r.all.chmod(0o777), "/releases has mode 0777, not 0755", True),
    "releases of a tenant": (lambda r: give(r.all), f"/releases belongs to UID {TENANT}, not to UID 0", True),
    "directory 0777": (lambda r: r.root.chmod(0o777), "its directory has mode 0777, not 0755", True),
    "inner directory 0777": (lambda r: r.vendor.chmod(0o777), f"{TRIPLE} has mode 0777, not 0755", True),
    "file missing": (lambda r: r.rg.unlink(), "codex-path/rg is missing", False),
    "directory missing": (lambda r: shutil.rmtree(r.rg.parent), "codex-path is missing", False),
    "truncated": (lambda r: os.truncate(r.rg, 5), "codex-path/rg has 5 bytes, not", False),
    "overwritten": (lambda r: overwrite(r.rg), "codex-path/rg has another content", False),
    "text appended": (lambda r: (r.modules / "codex/package.json").write_text("{}"), "package.json has 2 bytes", False),
    "file added": (lambda r: (r.vendor / "bin\x1b[2J").write_text("x"), "bin\\x1b[2J was added", True),
    "directory added": (lambda r: (r.modules / "evil" / "deep").mkdir(parents=True), "@openai/evil was added", True),
    "link for a directory": (lambda r: swap(r.rg.parent), "codex-path is a symbolic link now", True),
    "link for a file": (lambda r: swap(r.rg), "codex-path/rg is a symbolic link now", False),
    "link elsewhere": (
        lambda r: ((r.root / "bin/codex").unlink(), (r.root / "bin/codex").symlink_to("/bin/true")),
        "bin/codex leads elsewhere",
        True,
    ),
    "FIFO": (lambda r: (r.rg.unlink(), os.mkfifo(r.rg)), "codex-path/rg is a FIFO now", False),
    "link for all": (lambda r: swap(r.root), "its directory is a symbolic link", False),
    "record 0666": (lambda r: r.record.chmod(0o666), "is not believed: another user could have changed it", False),
    "record of a tenant": (lambda r: give(r.record.parent), "is not believed: another user could", False),
    "record damaged": (lambda r: r.record.write_text('{"files": [5]}'), "record/release.json ", False),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_not_as_it_was_installed_is_mended_or_named(
    host: Host, files: dict[str, dict[str, object]], kind: str
) -> None:
    release = Release(host)
    before = release.state()
    damage, told, all_there = DAMAGE[kind]
    with usual_umask():
        damage(release)
    damaged = release.state()

    foreseen = host.release(OLD, check=True, **files[OLD])
    assert foreseen["changed"] and told in foreseen["diff"]["before"], foreseen
    assert release.state() == damaged

    mended = host.release(OLD, **NO_NPM)
    if not all_there:
        assert mended["failed"] and told in mended["msg"] and "was not mended" in mended["msg"], mended
        mended = host.release(OLD, **files[OLD])
    assert mended["changed"] and told in str(mended["warnings"]).replace("\\\\", "\\"), mended
    assert mended["diff"] == foreseen["diff"]
    assert release.state() == before and host.says() == f"codex-cli {OLD}"
    again = host.release(OLD, **NO_NPM)
    assert again["changed"] is False and "warnings" not in again, again


def test_a_release_to_go_back_to_is_mended_when_it_is_gone_back_to(
    host: Host, files: dict[str, dict[str, object]]
) -> None:
    release = Release(host)
    before = release.state()
    assert host.release(NEW, **files[NEW])["changed"]
    release.codex.chmod(0o777)
    back = host.release("previous")
    assert back["version"] == OLD and "has mode 0777" in str(back["warnings"])
    assert release.state() == before


def test_whoever_holds_a_file_open_has_no_part_in_what_was_mended(host: Host) -> None:
    release = Release(host)
    release.codex.chmod(0o666)
    with release.codex.open("r+b") as theirs:
        assert host.release(OLD)["changed"]
        theirs.write(b"#!/bin/sh\nexit 1\n")
    assert host.says() == f"codex-cli {OLD}"
    assert host.release(OLD)["changed"] is False


def test_a_copied_host_has_the_same_release(host: Host) -> None:
    """Other inodes and times, as after a restored backup or in an image; what is the same is noted once."""
    release = Release(host)
    shutil.copytree(release.root, release.root.with_name("copy"), symlinks=True)
    shutil.rmtree(release.root)
    release.root.with_name("copy").rename(release.root)
    noted = release.record.read_bytes()
    assert host.release(OLD, check=True)["changed"] is False and release.record.read_bytes() == noted
    assert host.release(OLD)["changed"] is False and release.record.read_bytes() != noted
    overwrite(release.rg)
    assert "has another content" in host.release(OLD, **NO_NPM)["msg"]


class TestWithoutRecord:
    """A release that an older collection has installed."""

    @pytest.fixture
    def release(self, host: Host) -> Release:
        release = Release(host)
        shutil.rmtree(release.record.parent)
        return release

    def test_it_is_taken_as_it_is_and_recorded(self, host: Host, release: Release) -> None:
        assert host.release(OLD, check=True)["changed"] and not release.record.exists()
        taken = host.release(OLD, **NO_NPM)
        assert taken["changed"] and "taken to be complete as they are now" in str(taken["warnings"])
        assert host.release(OLD)["changed"] is False
        overwrite(release.rg)
        assert "codex-path/rg has another content" in host.release(OLD, **NO_NPM)["msg"]

    @pytest.mark.parametrize("kind", ["binary 0777", "binary of a tenant", "directory 0777", "truncated", "FIFO"])
    def test_what_can_be_seen_is_mended(
        self, host: Host, release: Release, files: dict[str, dict[str, object]], kind: str
    ) -> None:
        before = release.state()
        if kind == "truncated":  # so that it begins as before
            os.truncate(release.rg, 5000)
        else:
            DAMAGE[kind][0](release)
        refused = host.release(OLD, **NO_NPM)
        assert refused["failed"] and "is not as it was installed" in refused["msg"], refused
        assert host.release(OLD, **files[OLD])["changed"]
        assert release.state().keys() - before.keys() == {str(release.record), str(release.record.parent)}
        assert {path: release.state()[path] for path in before} == before


def test_validation_names_it_too(host: Host) -> None:
    release = Release(host)
    validated = run_module("codex_validate", {"path": str(host.bin), "fail": False, "flags": []})
    assert {"name": "whole", "ok": True, "detail": f"{release.root} is as it was installed"} in validated["checks"]
    release.rg.unlink()
    assert "codex-path/rg is missing" in str(run_module("codex_validate", {"path": str(host.bin)})["msg"])


def test_the_record_names_all_that_there_is(host: Host) -> None:
    release = Release(host)
    record = json.loads(release.record.read_text())
    named = {*record["files"], *record["directories"], *record["links"]}
    there = {str(path.relative_to(release.root)) for path in release.root.rglob("*")}
    assert there - named == {"record", "record/release.json"} and named < there


class TestShared:
    """Two releases on a file system that can give equal files one room."""

    @pytest.fixture
    def place(self, open_dir: Path) -> Iterator[Path]:
        with btrfs(open_dir) as place:
            yield place

    def test_room_is_all_that_they_share(self, place: Path, files: dict[str, dict[str, object]]) -> None:
        with Registry([]) as registry:
            host = Host(place, registry)
            for version in (OLD, NEW):
                host.release(version, **files[version])
        old, new = (next((host.prefix / "releases" / version).rglob("rg")) for version in (OLD, NEW))
        before = new.stat()
        for path in (old, new):
            extents = subprocess.run(["filefrag", "-v", path], check=True, capture_output=True, text=True)
            assert "shared" in extents.stdout
        assert host.release(NEW, check=True)["changed"] is False

        overwrite(old)
        old.chmod(0o777)
        assert host.release(NEW, **NO_NPM)["changed"] is False
        assert host.release(OLD, **files[OLD])["changed"]
        host.release(NEW)
        assert host.release(OLD, state="absent")["changed"]
        assert host.release(NEW, **NO_NPM)["changed"] is False
        assert new.read_bytes() == Path("/bin/sleep").read_bytes()
        assert new.stat().st_ctime_ns == before.st_ctime_ns


def test_a_preflight_says_that_there_is_nothing_to_do_only_where_a_run_would_say_so_too(host: Host) -> None:
    places = {"prefix": str(host.prefix), "bin": str(host.bin), "root": str(host.root / "none"), "npm": "/nowhere/npm"}

    def settled(**params: object) -> bool:
        return bool(run_module("codex_preflight", {**places, "version": OLD, "needs_cron": False, **params})["settled"])

    assert settled()
    others = ({"version": NEW}, {"version": "latest"}, {"state": "absent"}, {"requires": ">=0.161"})
    assert [each for each in (*others, {"config": {"model": str(host.root)}}) if settled(**each)] == []

    release = Release(host)
    copy = release.rg.with_name("copy")
    shutil.copy2(release.rg, copy)
    copy.rename(release.rg)  # the contents of another inode have to be read: a run notes them, a look does not
    assert not settled()
    assert host.release(OLD, **NO_NPM)["changed"] is False
    assert settled()

    release.codex.chmod(0o700)
    assert not settled()
    assert host.release(OLD, **NO_NPM)["changed"] is True
    assert settled()
