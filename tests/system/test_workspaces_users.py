"""Users that codex_workspaces makes, in an /etc of the test's own."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import grp
import multiprocessing
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._host import new_users
from ansible_collections.alive.codex.plugins.module_utils._workspaces import prepare_all
from ansible_collections.alive.codex.plugins.module_utils._workspaces.request import read_workspaces
from support.users import in_own_etc

pytestmark = pytest.mark.root
TRIALS = int(os.environ.get("ALIVE_TRIALS", "4"))
PR_SET_CHILD_SUBREAPER = 36
FILES = ("passwd", "shadow", "group", "gshadow")
fork = multiprocessing.get_context("fork")


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "root"


@pytest.fixture(params=[True, False], ids=["systemd-sysusers", "useradd"])
def ways(request, monkeypatch) -> Iterator[None]:
    """All at once, or one by one."""
    if not request.param:
        monkeypatch.setattr(new_users.shutil, "which", lambda *args, **kwargs: None)
    elif not shutil.which("systemd-sysusers"):
        pytest.skip("NOT RUN: this system has no systemd-sysusers")
    yield


def prepare(root: Path, items: list[dict], **options) -> prepare_all.WorkspacesOutcome:
    request = prepare_all.WorkspacesRequest(str(root), read_workspaces(items, {}), create_users=True, **options)
    return prepare_all.prepare_all(request)


def many(count: int) -> list[dict]:
    return [{"name": f"ws-{number}", "user": f"alive-{number}"} for number in range(count)]


def owner(path: Path) -> tuple[int, int]:
    info = path.stat()
    return info.st_uid, info.st_gid


def complaints() -> list[str]:
    """What the system's own judges find wrong with the files of users and groups, but for homes and shells."""
    found = []
    for judge in ("pwck", "grpck"):
        done = subprocess.run(
            [judge, "-r"], check=False, capture_output=True, text=True, env={"LC_ALL": "C", **os.environ}
        )
        found += [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return [line for line in found if not line.startswith(("user", "pwck: no changes", "grpck: no changes"))]


def test_missing_users_are_made_and_existing_ones_never_changed(root, ways):
    def work():
        useradd = ["useradd", "--uid", "61020", "--home-dir", "/elsewhere", "--shell", "/bin/sh", "alive-c"]
        subprocess.run(useradd, check=True, stderr=subprocess.DEVNULL)
        before = [Path(f"/etc/{file}").read_text() for file in FILES]
        items = [
            {"name": "alpha", "user": "alive-a"},
            {"name": "beta", "user": "alive-b", "uid": 61_021, "gid": 61_022},
        ]
        items += [{"name": "gamma", "user": "alive-c"}, {"name": "delta", "user": "alive-c", "uid": 61_023}]
        items += [{"name": "bad", "user": "Not A Name"}, {"name": "also bad", "user": "Not A Name"}]
        planned = prepare(root, items, check=True)
        assert [Path(f"/etc/{file}").read_text() for file in FILES] == before
        outcome = prepare(root, items)
        assert outcome.created_users == planned.created_users == ["alive-a", "alive-b"]
        assert outcome.failures == planned.failures
        assert outcome.changes == planned.changes
        assert "exists, and is not given the UID 61023" in outcome.failures["delta"]
        assert "cannot be the name of a new user" in outcome.failures["bad"]
        assert outcome.failures["also bad"] == outcome.failures["bad"]
        made = pwd.getpwnam("alive-a")
        assert (made.pw_dir, made.pw_shell) == (f"{root}/alpha", "/usr/sbin/nologin")
        assert owner(root / "alpha") == (made.pw_uid, made.pw_gid)
        assert owner(root / "beta") == (61_021, 61_022)
        assert grp.getgrgid(61_022).gr_name == "alive-b"
        for file, text in zip(FILES, before, strict=True):
            assert set(text.splitlines()) <= set(Path(f"/etc/{file}").read_text().splitlines())
        shadow = Path("/etc/shadow").read_text()
        assert all(f"\n{name}:!" in shadow for name in ("alive-a", "alive-b")), "no password lets a new user in"
        again = prepare(root, items[:3])
        assert (again.created_users, again.changes, again.failures) == ([], {}, {})

    in_own_etc(work)


def test_thousands_of_users_take_one_process(root, monkeypatch):
    if not shutil.which("systemd-sysusers"):
        pytest.skip("NOT RUN: this system has no systemd-sysusers")
    commands = []
    run = new_users.process.run
    monkeypatch.setattr(
        new_users.process, "run", lambda argv, *rest, **more: commands.append(argv) or run(argv, *rest, **more)
    )

    def work():
        outcome = prepare(root, many(2000))
        assert not outcome.failures and len(outcome.created_users) == 2000
        assert commands == [["systemd-sysusers", "-"]]
        assert owner(root / "ws-1999")[0] == pwd.getpwnam("alive-1999").pw_uid
        assert complaints() == []

    in_own_etc(work)


def test_no_new_user_comes_into_what_somebody_else_has(root, ways):
    """Not by a number that a workspace without passwd entry has, and not into a group by having its name."""

    def work():
        free = new_users.assign_numbers([new_users.WantedUser("alive-x", None, None, "/x")], ())[0][0].uid
        prepare(root, [{"name": "bare", "uid": free, "gid": free + 1}])
        subprocess.run(["groupadd", "alive-wheel"], check=True)
        subprocess.run(["useradd", "--groups", "alive-wheel", "alive-admin"], check=True, stderr=subprocess.DEVNULL)
        taken = pwd.getpwnam("alive-admin")
        outcome = prepare(
            root,
            [
                {"name": "a", "user": "alive-a"},
                {"name": "numeric", "uid": taken.pw_uid + 1},
                {"name": "in the group", "user": "alive-wheel"},
                {"name": "taken", "user": "alive-t", "uid": taken.pw_uid},
                {"name": "one", "user": "alive-1", "uid": 61_024},
                {"name": "two", "user": "alive-2", "uid": 61_024},
            ],
        )
        assert not {pwd.getpwnam("alive-a").pw_uid} & {free, free + 1, taken.pw_uid, taken.pw_uid + 1}
        assert not outcome.warnings
        assert sorted(outcome.failures) == ["in the group", "taken", "two"]
        assert "there is a group of that name" in outcome.failures["in the group"]
        assert "'alive-admin' has it" in outcome.failures["taken"]
        assert "'alive-1' has it" in outcome.failures["two"]
        assert outcome.created_users == ["alive-a", "alive-1"]
        assert complaints() == []

    in_own_etc(work)


def test_a_lock_that_somebody_holds_is_told_and_stops_no_other_workspace(root, monkeypatch):
    monkeypatch.setattr(new_users, "_LOCK_TIMEOUT", 0.2)
    held, done = fork.Event(), fork.Event()

    def hold() -> None:
        with open("/etc/.pwd.lock", "w") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            held.set()
            done.wait(60)

    def work():
        holder = fork.Process(target=hold)
        holder.start()
        assert held.wait(60)
        items = [*many(3), {"name": "bare", "uid": 61_031}]
        outcome = prepare(root, items)
        done.set()
        holder.join()
        assert {*outcome.failures} == {"ws-0", "ws-1", "ws-2"}
        assert "another program has held /etc/.pwd.lock" in outcome.failures["ws-0"]
        assert (list(outcome.changes), outcome.created_users) == (["bare"], [])
        assert not prepare(root, items).failures

    in_own_etc(work)


def killed_after(seconds: float, work: Callable[[], object]) -> None:
    """Kills the process that does the work, and with it the programs that it runs."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    child = fork.Process(target=work)
    child.start()
    time.sleep(seconds)
    child.kill()
    child.join()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()  # useradd's lock is held as long as its process is there


def test_a_run_that_is_killed_leaves_whole_files_and_the_next_one_finishes(root, ways):
    items = many(12)

    def work():
        kept = {file: Path(f"/etc/{file}").read_bytes() for file in FILES}
        started = time.monotonic()
        prepare(root, items)
        whole = time.monotonic() - started
        for trial in range(TRIALS):
            for file, content in kept.items():
                Path(f"/etc/{file}").write_bytes(content)
            shutil.rmtree(root)
            killed_after(whole * (trial + 0.5) / TRIALS, lambda: prepare(root, items))
            for file, content in kept.items():
                assert Path(f"/etc/{file}").read_bytes().startswith(content)
            outcome = prepare(root, items)
            assert not outcome.failures
            assert len({owner(root / item["name"]) for item in items}) == len(items)

    in_own_etc(work)


def test_a_group_that_is_left_of_a_user_who_was_half_made_is_used(root, ways):
    def work():
        subprocess.run(["groupadd", "--gid", "20007", "alive-a"], check=True)
        assert not prepare(root, [{"name": "a", "user": "alive-a"}, {"name": "b", "user": "alive-b"}]).failures
        assert pwd.getpwnam("alive-a").pw_gid == 20007
        assert complaints() == []

    in_own_etc(work)
