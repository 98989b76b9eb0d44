"""Files below a place that somebody else owns: what is opened, read, replaced and removed, and what is not."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import multiprocessing
import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._host import identity, proc, process, removal, safefs

TENANT = identity.Identity(61_001, 61_001)


@pytest.fixture
def below(tmp_path):
    fd = os.open(tmp_path, safefs.DIRECTORY)
    yield fd
    os.close(fd)


def plant(path: Path, kind: str) -> None:
    if kind == "symbolic link":
        path.symlink_to("/etc/hostname")
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    elif kind == "directory":
        path.mkdir()


@pytest.mark.parametrize("kind", ["symbolic link", "FIFO", "socket", "directory"])
def test_only_a_regular_file_is_read(tmp_path, below, kind):
    plant(tmp_path / "config", kind)
    with pytest.raises(OSError, match=f"is a {kind}, not a regular file"):
        safefs.read_file("config", below, 100)


@pytest.mark.parametrize("kind", ["symbolic link", "FIFO", "socket"])
def test_only_a_directory_is_opened(tmp_path, below, kind):
    plant(tmp_path / "place", kind)
    with pytest.raises(NotADirectoryError, match=f"is a {kind}, not a directory"):
        safefs.open_directory("place", below)


def test_reading_is_bounded(tmp_path, below):
    (tmp_path / "full").write_bytes(b"x" * 100)
    assert safefs.read_file("full", below, 100)[0] == b"x" * 100
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="has 1099511627776 bytes, more than the 100") as caught:
        safefs.read_file("sparse", below, 100)
    assert caught.value.errno == errno.EFBIG


def test_a_lease_on_a_file_does_not_make_the_reader_wait(tmp_path, below):
    path = tmp_path / "leased"
    path.write_text("x")
    ready, child_ready = multiprocessing.Pipe()

    def hold() -> None:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        fd = os.open(path, os.O_RDWR)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        child_ready.send(True)
        signal.pause()

    holder = multiprocessing.get_context("fork").Process(target=hold)
    holder.start()
    try:
        assert ready.poll(20)
        started = time.monotonic()
        with pytest.raises(BlockingIOError):
            safefs.read_file("leased", below, 100)
        assert time.monotonic() - started < 20
    finally:
        holder.kill()
        holder.join()


def test_a_file_is_replaced_whole_and_only_where_expected(tmp_path, below):
    path = tmp_path / "config"
    path.write_text("old")
    assert not safefs.replace_file("config", below, b"new", 0o600, expected=lambda: False)
    assert path.read_text() == "old"
    assert safefs.replace_file("config", below, b"new", 0o640)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o640)
    assert os.listdir(below) == ["config"]


def test_replacing_replaces_a_link_and_not_what_it_names(tmp_path, below):
    (tmp_path / "canary").write_text("alive")
    (tmp_path / "config").symlink_to("canary")
    safefs.replace_file("config", below, b"new", 0o600)
    assert (tmp_path / "canary").read_text() == "alive"
    assert not (tmp_path / "config").is_symlink()


def test_a_failed_replacement_leaves_nothing(tmp_path, below):
    (tmp_path / "config" / "inside").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        safefs.replace_file("config", below, b"new", 0o600)
    assert os.listdir(below) == ["config"]


def test_names_are_printable_whatever_they_hold():
    assert safefs.printable("a\n\x1b[31m\udcff é") == "a\\n\\x1b[31m\\udcff é"


class TestTrustedPath:
    def test_makes_what_is_missing_with_safe_modes(self, tmp_path):
        with contextlib.ExitStack() as undo:
            undo.callback(os.umask, os.umask(0o777))
            os.close(safefs.open_trusted(f"{tmp_path}/a/./b//c", create=0o711))
        assert [stat.S_IMODE((tmp_path / p).stat().st_mode) for p in ("a", "a/b", "a/b/c")] == [0o755, 0o755, 0o711]

    def test_makes_nothing_unasked(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            safefs.open_trusted(f"{tmp_path}/a/b")
        assert not list(tmp_path.iterdir())

    def test_follows_links_of_our_own(self, tmp_path):
        (tmp_path / "real" / "place").mkdir(parents=True)
        (tmp_path / "relative").symlink_to("real/../real")
        (tmp_path / "absolute").symlink_to(tmp_path / "relative")
        with safefs.opened(safefs.open_trusted(f"{tmp_path}/absolute/place")) as fd:
            assert os.path.samestat(os.fstat(fd), (tmp_path / "real/place").stat())

    def test_a_loop_of_links_ends(self, tmp_path):
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(OSError, match="symbolic links"):
            safefs.open_trusted(f"{tmp_path}/loop")

    @pytest.mark.root
    def test_root_follows_no_link_of_a_tenant(self, tmp_path):
        (tmp_path / "link").symlink_to("/etc")
        os.chown(tmp_path / "link", TENANT.uid, TENANT.gid, follow_symlinks=False)
        with pytest.raises(PermissionError, match="belongs to UID 61001, and is not followed"):
            safefs.open_trusted(f"{tmp_path}/link")

    @pytest.mark.root
    def test_root_goes_through_no_directory_where_everybody_renames(self, tmp_path):
        (tmp_path / "shared" / "place").mkdir(parents=True)
        (tmp_path / "shared").chmod(0o777)
        with pytest.raises(PermissionError, match="everybody may write"):
            safefs.open_trusted(f"{tmp_path}/shared/place")
        (tmp_path / "shared").chmod(0o1777)
        os.close(safefs.open_trusted(f"{tmp_path}/shared/place"))


class TestRemoveTree:
    def test_removes_whatever_it_is_and_nothing_where_there_is_nothing(self, tmp_path, below):
        canary = tmp_path / "canary"
        canary.write_text("alive")
        for kind in ("symbolic link", "FIFO", "socket", "directory"):
            plant(tmp_path / "it", kind)
            removal.remove_tree("it", below)
            removal.remove_tree("it", below)
        assert os.listdir(below) == ["canary"]

    def test_links_inside_are_removed_and_not_followed(self, tmp_path, below):
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "canary").write_text("alive")
        home = tmp_path / "home"
        (home / "a" / "b").mkdir(parents=True)
        for place in (home, home / "a", home / "a" / "b"):
            (place / "to directory").symlink_to(outside)
            (place / "to file").symlink_to(outside / "canary")
            os.link(outside / "canary", place / "hard")
        removal.remove_tree("home", below)
        assert (outside / "canary").read_text() == "alive"
        assert os.listdir(below) == ["outside"]

    def test_strange_names_go(self, tmp_path, below):
        home = tmp_path / "home"
        for name in (b"new\nline", b"\xff\xfe", b"-rf", b" "):
            os.makedirs(os.fsencode(home) + b"/" + name + b"/" + name)
        removal.remove_tree("home", below)
        assert os.listdir(below) == []

    def test_four_thousand_levels_go(self, tmp_path, below):
        (tmp_path / "home").mkdir()
        fd = os.open(tmp_path / "home", safefs.DIRECTORY)
        for _level in range(4000):
            os.mkdir("deep", dir_fd=fd)
            inner = os.open("deep", safefs.DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = inner
        os.close(fd)
        removal.remove_tree("home", below)
        assert os.listdir(below) == []

    def test_somebody_who_keeps_adding_does_not_hold_us_for_ever(self, tmp_path, below):
        (tmp_path / "home" / "inner").mkdir(parents=True)
        with pytest.raises(TimeoutError, match="home/inner is still there"):
            removal.remove_tree("home", below, timeout=-1)

    @pytest.mark.root
    def test_a_mount_point_is_not_entered(self, tmp_path, below):
        shared = tmp_path / "shared"
        shared.mkdir()
        (shared / "canary").write_text("alive")
        mounted = tmp_path / "home" / "a" / "b" / "mounted"
        mounted.mkdir(parents=True)
        (tmp_path / "home" / "a" / "file").write_text("goes")
        subprocess.run(["mount", "--bind", shared, mounted], check=True)
        try:
            with pytest.raises(OSError, match="mounted cannot be removed: is a mount point"):
                removal.remove_tree("home", below)
        finally:
            point = next(path for path in (tmp_path / "home").rglob("mounted"))
            subprocess.run(["umount", point], check=True)
        assert (shared / "canary").read_text() == "alive"
        assert not list((tmp_path / "home").rglob("file"))
        removal.remove_tree("home", below)
        assert os.listdir(below) == ["shared"]

    @pytest.mark.root
    def test_what_cannot_go_is_named_and_the_rest_goes(self, tmp_path, below):
        home = tmp_path / "home"
        (home / "a").mkdir(parents=True)
        (home / "z").mkdir()
        for name in ("a/stuck", "a/free", "z/free"):
            (home / name).write_text("")
        subprocess.run(["chattr", "+i", home / "a" / "stuck"], check=True)
        try:
            with pytest.raises(OSError, match="home/a/stuck cannot be removed: Operation not permitted"):
                removal.remove_tree("home", below)
            assert [path.name for path in home.rglob("*")] == ["a", "stuck"]
        finally:
            subprocess.run(["chattr", "-i", home / "a" / "stuck"], check=True)

    @pytest.mark.root
    def test_a_directory_is_taken_from_its_owner_before_it_is_read(self, tmp_path, below):
        """A tenant with a descriptor of its own adds nothing to what has been read: the removal ends."""
        home = tmp_path / "home"
        (home / "inner").mkdir(parents=True)
        os.chown(home, TENANT.uid, TENANT.gid)
        os.chown(home / "inner", TENANT.uid, TENANT.gid)
        tmp_path.chmod(0o711)
        held = [os.open(path, safefs.DIRECTORY) for path in (home, home / "inner")]
        stop = multiprocessing.Event()

        def add() -> None:
            identity.become(TENANT)
            number = 0
            while not stop.is_set():
                for fd in held:
                    number += 1
                    with contextlib.suppress(OSError):
                        os.mkdir(str(number), dir_fd=fd)

        adder = multiprocessing.get_context("fork").Process(target=add)
        adder.start()
        try:
            removal.remove_tree("home", below, timeout=60)
        finally:
            stop.set()
            adder.join()
            for fd in held:
                os.close(fd)
        assert os.listdir(below) == []


@pytest.mark.root
def test_acting_as_a_tenant_has_its_rights_and_comes_back(tmp_path, below):
    """In a child of its own, since the groups of the process are cleared."""
    (tmp_path / "secret").touch(0o600)
    (tmp_path / "mine").mkdir()
    os.chown(tmp_path / "mine", TENANT.uid, TENANT.gid)
    tmp_path.chmod(0o711)
    ours, theirs = multiprocessing.Pipe()

    def act() -> None:
        os.setgroups([])
        with identity.acting_as(TENANT):
            os.mkdir("mine/made", dir_fd=below)
            with pytest.raises(PermissionError):
                safefs.read_file("secret", below, 100)
        safefs.read_file("secret", below, 100)
        theirs.send((os.getresuid(), os.getresgid()))

    child = multiprocessing.get_context("fork").Process(target=act)
    child.start()
    assert ours.poll(20)
    assert ours.recv() == ((0, 0, 0), (0, 0, 0))
    child.join()
    made = (tmp_path / "mine" / "made").stat()
    assert (made.st_uid, made.st_gid) == (TENANT.uid, TENANT.gid)


def test_processes_are_found_by_their_user():
    assert os.getpid() in proc.processes_by_user()[os.getuid()]
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert ended.pid not in proc.processes_by_user()[os.getuid()]
    ended.wait()


def test_what_a_command_makes_is_its_users_alone_unless_asked_for():
    environment = {"PATH": process.STANDARD_PATH}
    assert process.run(["sh", "-c", "umask"], environment, 10).stdout == b"0077\n"
    assert process.run(["sh", "-c", "umask"], environment, 10, umask=0o022).stdout == b"0022\n"
