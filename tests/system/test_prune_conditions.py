"""Pruning where the clock, the file system or its mounts are not as usual: nothing goes that is not due, and what
cannot go is said."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import struct
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._sessions import lineage, prune_home
from support.sessions import DAY, Workspace, gone, prune
from support.stub import ResponsesStub

pytestmark = pytest.mark.root
NOW = time.time()
ENTRY = struct.Struct("<HHi")
DIRECTORY = ".codex/sessions/2026/01/02"


@pytest.fixture
def acme(root):
    return Workspace(root, "acme", 61_901)


def put(workspace: Workspace, days: float, directory: str = DIRECTORY, content: str = "{}\n") -> str:
    """A session that was last used so many days ago."""
    session = str(uuid.uuid4())
    path = workspace.home / directory / f"rollout-2026-01-02T03-04-05-{session}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (NOW - days * DAY,) * 2)
    for owned in (path, *path.parents[: 1 + directory.count("/")]):
        os.chown(owned, workspace.uid, workspace.uid)
    return session


@contextlib.contextmanager
def mounted(*arguments: str | Path):
    """A mount on the last of the arguments."""
    subprocess.run(["mount", *arguments], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", arguments[-1]], check=True)


@pytest.mark.parametrize("window", [2, 1000])
def test_of_sessions_of_one_instant_as_many_stay_as_are_to_stay(acme, root, monkeypatch, window):
    monkeypatch.setattr(prune_home, "WINDOW", window)
    sessions = {put(acme, 40) for _number in range(7)}
    planned = gone(prune(root, keep_last=3, dry_run=True))
    assert len(planned) == 4 and planned < sessions
    assert gone(prune(root, keep_last=3)) == planned
    assert set(acme.rollouts()) == sessions - planned
    assert not prune(root, keep_last=3)["changed"]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York", "Europe/Berlin", "UTC"])
def test_no_time_zone_and_no_change_to_summer_time_makes_a_session_older(acme, root, monkeypatch, zone):
    change = 1_774_746_000.0  # in Europe, 2026-03-29T01:00:00Z
    young, old = put(acme, 0), put(acme, 0)
    rollouts = acme.rollouts()
    os.utime(rollouts[young], (change - 7 * DAY + 1,) * 2)
    os.utime(rollouts[old], (change - 7 * DAY - 1,) * 2)
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert gone(prune(root, max_age="7d", now=change)) == {old}
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("now", [0, 1_000_000_000, NOW - DAY], ids=["1970", "2001", "yesterday"])
def test_a_clock_that_was_set_back_prunes_nothing(acme, root, now):
    put(acme, 0.5)
    put(acme, -400)
    result = prune(root, now=now)
    assert (gone(result), result["problems"], result["totals"]["kept"]) == (set(), [], 2)


def test_a_clock_that_runs_years_ahead_leaves_the_newest(acme, root):
    sessions = [put(acme, days) for days in (1, 2, 3)]
    assert gone(prune(root, keep_last=2, now=NOW + 3650 * DAY)) == {sessions[2]}


def test_a_mount_in_a_home_is_pruned_as_far_as_its_owner_may(acme, root):
    other = root.parent / f"{root.name}-other"
    other.mkdir()
    other.chmod(0o755)
    try:
        sessions = {put(acme, 40)}
        with mounted("--bind", acme.codex / "sessions", acme.codex / "sessions"):
            sessions.add(put(acme, 40))
            assert gone(prune(root)) == sessions
        kept = put(acme, 40)
        with mounted("--bind", "--options", "ro", acme.codex / "sessions", acme.codex / "sessions"):
            subprocess.run(["mount", "--options", "remount,ro,bind", acme.codex / "sessions"], check=True)
            result = prune(root)
            assert gone(result) == set() and "1 session that should have gone did not" in result["problems"][0]
        whole = acme.codex / "sessions" / str(uuid.uuid4())
        whole.mkdir()
        (other / "file").write_text("x")
        os.utime(other / "file", (0, 0))
        os.chown(whole, acme.uid, acme.uid)
        with mounted("--bind", other, whole):
            result = prune(root)
            assert gone(result) == {kept} and (other / "file").exists()
            assert whole.name in result["problems"][0]
    finally:
        shutil.rmtree(other)


def test_a_default_acl_opens_nothing_that_the_pruner_writes(acme, root):
    put(acme, 40)
    put(acme, 1, ".codex/sessions/2026/01/03")
    os.utime(acme.codex / "sessions/2026/01/03", (0, 0))
    entries = [
        (1, 7, -1),
        (2, 7, 61_902),
        (4, 7, -1),
        (16, 7, -1),
        (32, 7, -1),
    ]  # acl(5): all for user 61902 and others
    os.setxattr(
        acme.codex, "system.posix_acl_default", struct.pack("<I", 2) + b"".join(ENTRY.pack(*e) for e in entries)
    )
    assert len(gone(prune(root))) == 1
    memory = acme.codex / lineage.FILE
    assert memory.stat().st_mode & 0o077 == 0
    argv = ["setpriv", "--reuid=61902", "--regid=61902", "--clear-groups", "cat", memory]
    subprocess.run(["chmod", "0711", acme.home, acme.codex], check=True)
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("limit", ["size=24m", "nr_inodes=200"])
def test_on_a_file_system_that_is_full_sessions_stay_whole_and_it_is_said(acme, root, limit):
    fill = "cat /dev/zero > fill.0" if "size" in limit else "i=0; while : > fill.$i; do i=$((i+1)); done"
    with (
        ResponsesStub() as stub,
        mounted("-t", "tmpfs", "-o", f"{limit},mode=0700,uid=61901,gid=61901", "t", acme.home),
    ):
        aged, fresh = acme.turn(stub), acme.turn(stub)
        acme.age(aged)
        subprocess.run(**acme.command("sh", "-c", f"exec 2>/dev/null; {fill}"), check=False)
        result = prune(root)
        assert (gone(result), set(acme.rollouts())) == (set(), {aged, fresh}) and acme.mentions({aged})
        said = "codex: 1 session that should have gone did not: "
        assert said in result["problems"][0] and "The file system is full" in result["problems"][0]
        subprocess.run(**acme.command("sh", "-c", "rm fill.*"), check=True)
        result = prune(root)
        assert (gone(result), result["problems"]) == ({aged}, [])
        assert acme.mentions({aged}) == [] and acme.parity() == "ok"


def test_an_archive_takes_none_of_the_blocks_that_are_kept_for_root(acme, root, tmp_path):
    image, place = tmp_path / "image", root.parent / f"{root.name}-archive"
    with image.open("wb") as file:
        file.truncate(16 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "50", image], check=True)
    place.mkdir(mode=0o700)
    try:
        with mounted("-o", "loop", image, place):
            session = put(acme, 40)
            path = acme.rollouts()[session]
            path.write_bytes(os.urandom(10 * 2**20))
            os.utime(path, (0, 0))
            before = os.statvfs(place)
            assert before.f_bavail * before.f_frsize < 10 * 2**20 < before.f_bfree * before.f_frsize
            result = prune(root, archive=str(place))
            assert gone(result) == set() and path.exists()
            assert "nothing was pruned, as the archive could not be written" in result["problems"][0]
            assert not list(place.rglob("*.tar.gz")) and not list(place.rglob(".partial"))
    finally:
        place.rmdir()


def swap_log(workspace: Workspace) -> None:
    """As the tenant: the write-ahead log is a FIFO, a link, nothing and a file in turn, as fast as possible."""
    os.setgroups([])
    os.setresgid(workspace.uid, workspace.uid, workspace.uid)
    os.setresuid(workspace.uid, workspace.uid, workspace.uid)
    os.chdir(workspace.codex)
    log = "state_5.sqlite-wal"
    os.mkfifo("fifo")
    os.symlink("/etc/passwd", "link")
    while True:
        for source in ("fifo", "link"):
            with contextlib.suppress(OSError):
                os.link(source, "next", follow_symlinks=False)
                os.replace("next", log)
                os.unlink(log)
            with contextlib.suppress(OSError):
                Path(log).write_bytes(b"x" * 4096)


def test_a_race_on_a_write_ahead_log_ends_and_touches_nothing_else(acme, root):
    bystander = Workspace(root, "victim", 61_902)
    before = Path("/etc/passwd").read_bytes()
    with ResponsesStub() as stub:
        acme.turn(stub)
    swapper = multiprocessing.get_context("fork").Process(target=swap_log, args=(acme,))
    swapper.start()
    try:
        for _trial in range(5):
            put(acme, 40)
            put(bystander, 40)
            result = prune(root, codex_path="/nonexistent/codex")
            report = next(each for each in result["workspaces"] if each["name"] == "victim")
            assert (report["pruned"], report["problems"]) == (1, [])
    finally:
        swapper.kill()
        swapper.join()
    assert Path("/etc/passwd").read_bytes() == before
