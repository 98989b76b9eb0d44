"""The tenant attacks: whatever it plants in its HOME, and however fast it swaps it, nothing outside is touched.

A tenant is played by a process of its own UID, against runs as root. After each attack a canary outside (root-owned
files, and another tenant's HOME) has kept owner, mode, content and times, the run has ended, and every other workspace
is prepared. The races are run ALIVE_TRIALS times, 25 unless set.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from ansible_collections.alive.codex.plugins.module_utils._host import identity
from ansible_collections.alive.codex.plugins.module_utils._workspaces import prepare_all, request
from support.settings import TARGET_PYTHON

pytestmark = pytest.mark.root

TRIALS = int(os.environ.get("ALIVE_TRIALS", "25"))
ATTACKER, VICTIM = 61_041, 61_042
BYSTANDER = {"name": "bystander", "uid": 61_043, "gid": 61_043}
CONFIG = {"model": "o3", "tools": {"web_search": True}}
# Generous: what hangs, hangs for ever.
BOUND = 300.0
AT_FDCWD, RENAME_EXCHANGE = -100, 2
fork = multiprocessing.get_context("fork")


class Arena(NamedTuple):
    """A root directory with the attacker's and the victim's HOME, and root's own files outside."""

    root: Path
    canary: Path

    @property
    def home(self) -> Path:
        return self.root / "attacker"

    def run(self, *more: dict, config: dict | None = None, **options) -> prepare_all.WorkspacesOutcome:
        items = [{"name": "attacker", "uid": ATTACKER, "gid": ATTACKER}, *more]
        return self.run_all(items, config, **options)

    def run_all(self, items: list[dict], config: dict | None = None, **options) -> prepare_all.WorkspacesOutcome:
        workspaces = request.read_workspaces(items, CONFIG if config is None else config)
        started = time.monotonic()
        outcome = prepare_all.prepare_all(
            prepare_all.WorkspacesRequest(str(self.root), workspaces, shared_uids=True, **options)
        )
        assert time.monotonic() - started < BOUND
        return outcome

    def remove(self, **options) -> prepare_all.WorkspacesOutcome:
        return self.run_all([{"name": "attacker", "state": "absent"}, BYSTANDER], **options)

    def snapshot(self) -> dict[str, tuple]:
        """All that a change of the canary or of the victim's HOME would show in; looking at it leaves no trace."""
        found = {}
        for top in (self.canary, self.root / "victim"):
            for path in [top, *sorted(top.rglob("*"))]:
                info = path.lstat()
                content = b""
                if path.is_file() and not path.is_symlink():
                    with open(os.open(path, os.O_RDONLY | os.O_NOATIME), "rb") as file:
                        content = file.read()
                times = (info.st_mtime_ns,) + ((info.st_atime_ns,) if content else ())
                # A tenant who renames a hard link changes this time of what it names, without our help.
                if path.is_dir() or info.st_nlink == 1:
                    times += (info.st_ctime_ns,)
                found[str(path)] = (info.st_uid, info.st_gid, info.st_mode, info.st_nlink, content, *times)
        return found


@pytest.fixture
def arena() -> Iterator[Arena]:
    # A real file system, and one that tenants reach.
    place = Path(tempfile.mkdtemp(prefix="alive-attack-", dir="/var/tmp"))
    place.chmod(0o711)
    canary = place / "canary"
    (canary / "sessions").mkdir(parents=True)
    for path, mode in (("config.toml", 0o644), ("secret.toml", 0o600), ("sessions/file", 0o600)):
        (canary / path).write_text('token = "sk-fake-canary"\n')
        (canary / path).chmod(mode)
    (canary / "own").mkdir(mode=0o700)
    made = Arena(place / "root", canary)
    victim = {"name": "victim", "uid": VICTIM, "gid": VICTIM}
    assert not made.run(victim).failures
    yield made
    subprocess.run(["chattr", "-R", "-f", "-i", "-a", place], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", place], check=True)


def as_tenant(work: Callable[[], None], uid: int = ATTACKER) -> None:
    """Does something with a tenant's own rights."""

    def drop() -> None:
        identity.become(identity.Identity(uid, uid))
        work()

    child = fork.Process(target=drop)
    child.start()
    child.join(BOUND)
    assert child.exitcode == 0


@contextlib.contextmanager
def untouched(arena: Arena) -> Iterator[None]:
    before = arena.snapshot()
    yield
    assert arena.snapshot() == before


def replace(path: Path, make: Callable[[Path], None]) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    make(path)


def bind(path: Path) -> None:
    os.chdir(path.parent)  # a socket's path must be short; the process is the tenant's and ends soon
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)


def chain(path: Path, target: Path) -> None:
    for number in range(10):
        (path.parent / f"link{number}").symlink_to(f"link{number + 1}" if number < 9 else target)
    path.symlink_to("link0")


def write(path: Path, content: bytes, size: int = 0) -> None:
    path.write_bytes(content)
    if size:
        os.truncate(path, size)


# What a tenant plants: a name, and what makes it at a path, given the canary.
PLANTS: dict[str, Callable[[Path, Path], None]] = {
    "absolute link to a directory": lambda path, canary: path.symlink_to(canary),
    "relative link to a directory": lambda path, canary: path.symlink_to(os.path.relpath(canary, path.parent)),
    "absolute link to a file": lambda path, canary: path.symlink_to(canary / "secret.toml"),
    "relative link to a file": lambda path, canary: path.symlink_to(
        os.path.relpath(canary / "config.toml", path.parent)
    ),
    "link to the victim": lambda path, canary: path.symlink_to(canary.parent / "root/victim/.codex"),
    "link to the victim's file": lambda path, canary: path.symlink_to(canary.parent / "root/victim/.codex/config.toml"),
    "dangling link": lambda path, canary: path.symlink_to(canary / "new"),
    "chain of links": chain,
    "loop": lambda path, canary: path.symlink_to(path.name),
    "link to a device": lambda path, canary: path.symlink_to("/dev/zero"),
    "link to proc": lambda path, canary: path.symlink_to("/proc/self/fd"),
    "FIFO": lambda path, canary: os.mkfifo(path),
    "socket": lambda path, canary: bind(path),
    "file": lambda path, canary: write(path, b"junk"),
    "directory": lambda path, canary: path.mkdir(),
    "directory without rights": lambda path, canary: path.mkdir(mode=0),
    "sparse giant": lambda path, canary: write(path, b"", 1 << 42),
    "invalid UTF-8": lambda path, canary: write(path, b"model = '\xff'\n"),
    "broken TOML": lambda path, canary: write(path, b"[[[[\x00"),
    "deep TOML": lambda path, canary: write(path, b"a = " + b"[" * 200_000),
    "full TOML": lambda path, canary: write(path, b"".join(b"k%d = 1\n" % number for number in range(20_000))),
}
PLACES = [".codex", ".codex/sessions", ".codex/config.toml"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("plant", PLANTS)
def test_planted(arena, place, plant):
    as_tenant(lambda: replace(arena.home / place, lambda path: PLANTS[plant](path, arena.canary)))
    with untouched(arena):
        outcome = arena.run(BYSTANDER)
        assert set(outcome.failures) <= {"attacker"} and "bystander" in outcome.changes
        assert "sk-fake-canary" not in json.dumps(outcome)
        assert not arena.remove().failures
    assert not arena.home.exists()


# What only root can have put there, or a tenant where the kernel does not protect hard links.
ROOTS_PLANTS: dict[str, Callable[[Path, Path], object]] = {
    "hard link to root's file": lambda path, canary: os.link(canary / "secret.toml", path),
    "hard link to the victim's file": lambda path, canary: os.link(
        canary.parent / "root/victim/.codex/config.toml", path
    ),
    "root's file": lambda path, canary: write(path, b'token = "sk-fake-canary"\n'),
    "device": lambda path, canary: os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5)),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("plant", ROOTS_PLANTS)
def test_planted_with_more_than_a_tenants_rights(arena, place, plant):
    replace(arena.home / place, lambda path: ROOTS_PLANTS[plant](path, arena.canary) and None)
    with untouched(arena):
        outcome = arena.run(BYSTANDER)
    assert "attacker" in outcome.failures and "bystander" in outcome.changes
    assert "sk-fake-canary" not in json.dumps(outcome)
    # Removing a hard link changes the number of links and the change time of what it names, and nothing else.
    before = {path: (*seen[:3], seen[4]) for path, seen in arena.snapshot().items()}
    assert not arena.remove().failures
    assert {path: (*seen[:3], seen[4]) for path, seen in arena.snapshot().items()} == before


@pytest.mark.parametrize("place", [*PLACES, "elsewhere"])
def test_a_mount_point_is_neither_given_away_nor_emptied(arena, place):
    path = arena.home / place
    if place == "elsewhere":
        as_tenant(path.mkdir)
    subprocess.run(
        ["mount", "--bind", arena.canary / "secret.toml" if path.is_file() else arena.canary, path], check=True
    )
    try:
        with untouched(arena):
            outcome = arena.run(BYSTANDER)
            assert outcome.failures.get("attacker") == {
                ".codex": ".codex: is a mount point: what is mounted there is not changed",
                ".codex/sessions": ".codex/sessions: is a mount point: what is mounted there is not changed",
                ".codex/config.toml": f".codex/config.toml: belongs to UID 0, not to UID {ATTACKER}",
            }.get(place)
            assert "bystander" in outcome.changes
            outcome = arena.remove()
            assert "is a mount point: unmount it first" in outcome.failures["attacker"]
    finally:
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        (mounted,) = [mount for mount in mounts if mount.startswith(str(arena.home))]
        subprocess.run(["umount", mounted], check=True)
    assert not arena.remove().failures
    assert not arena.home.exists()


def test_immutable_files_fail_their_own_workspace_only(arena):
    kept = arena.home / ".codex/config.toml"
    for path, attribute in ((kept, "+i"), (arena.home / ".codex/sessions", "+a")):
        subprocess.run(["chattr", attribute, path], check=True)
    with untouched(arena):
        outcome = arena.run(BYSTANDER, config={"model": "gpt-5"})
        assert (set(outcome.failures), set(outcome.changes)) == ({"attacker"}, {"bystander"})
        outcome = arena.remove(config={"model": "gpt-5"})
        assert "config.toml cannot be removed: Operation not permitted" in outcome.failures["attacker"]


def bury(home: Path) -> None:
    """4,000 levels, 100,000 entries in one directory, and names that no line of text holds."""
    fd = os.open(home, os.O_RDONLY)
    for _level in range(4000):
        os.mkdir("deep", dir_fd=fd)
        inner = os.open("deep", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    (home / "many").mkdir()
    for number in range(100_000):
        (home / f"many/{number}").symlink_to("/")
    for name in (b"a\nb", b"\xff\xfe\x80", b"-rf *", b"\x1b[2J", b" "):
        os.makedirs(os.fsencode(home) + b"/" + name + b"/" + name)


def test_deep_full_and_strange_homes_are_removed(arena):
    as_tenant(lambda: bury(arena.home))
    with untouched(arena):
        outcome = arena.run(BYSTANDER)
        assert not outcome.failures and "bystander" in outcome.changes
        assert not arena.remove().failures
    assert not arena.home.exists()


# Races


LIBC = ctypes.CDLL(None, use_errno=True)


def exchange(one: bytes, other: bytes) -> bool:
    """Swaps two names in one system call: the fastest that a tenant can be."""
    return LIBC.renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) == 0


def decoys_of(path: Path) -> dict[Path, Callable[[Path, Path], object]]:
    """Beside what is at ``path``, every hostile thing to swap it with."""
    return {path.with_name(f"decoy{n}"): make for n, make in enumerate([*PLANTS.values(), *ROOTS_PLANTS.values()])}


def race(arena: Arena, place: str, swapped, stop) -> None:
    """Swaps what is at ``place`` with hostile things, until told to stop, whatever the other side does meanwhile."""
    path = arena.home / place
    decoys = decoys_of(path)
    while not stop.is_set():
        for decoy, make in decoys.items():
            if not os.path.lexists(decoy):
                with contextlib.suppress(OSError):
                    make(decoy, arena.canary)
        swaps = sum(exchange(os.fsencode(path), os.fsencode(decoy)) for decoy in decoys for _times in range(20))
        if swaps > 100:
            swapped.set()


@contextlib.contextmanager
def racing(arena: Arena, place: str) -> Iterator[Callable[[], None]]:
    """A racer is at work. What the block is given waits until it has swapped (again)."""
    swapped, stop = fork.Event(), fork.Event()

    def play() -> None:
        os.setsid()
        identity.become(identity.Identity(ATTACKER, ATTACKER))
        race(arena, place, swapped, stop)

    def wait() -> None:
        swapped.clear()
        assert swapped.wait(BOUND)

    racer = fork.Process(target=play)
    racer.start()
    try:
        yield wait
        assert racer.is_alive()
    finally:
        stop.set()
        racer.join(BOUND)
        assert racer.exitcode == 0


@pytest.mark.parametrize("place", PLACES)
def test_swapped_while_it_is_prepared(arena, place):
    for decoy, make in list(decoys_of(arena.home / place).items())[len(PLANTS) :]:
        make(decoy, arena.canary)
    with untouched(arena), racing(arena, place) as wait:
        wait()
        for trial in range(TRIALS):
            bystander = {**BYSTANDER, "name": f"bystander{trial}"}
            # Each run has something to write, and each second one owners and modes to mend.
            outcome = arena.run(bystander, config={**CONFIG, "model": f"m{trial}"}, mode=(0o700, 0o750)[trial % 2])
            assert set(outcome.failures) <= {"attacker"}
            assert f"bystander{trial}" in outcome.changes


@pytest.mark.parametrize("place", PLACES)
def test_swapped_while_it_is_removed(arena, place):
    with untouched(arena), racing(arena, place) as wait:
        for _trial in range(TRIALS):
            wait()
            assert not arena.remove(force=True).failures
            assert not arena.home.exists()
            assert (arena.root / "bystander/.codex/config.toml").exists()
            arena.run()


def test_the_same_plant_fools_the_file_module(arena):
    """With its defaults, as the usual role writes it: so the attacks of this suite are attacks."""
    as_tenant(lambda: replace(arena.home / ".codex", lambda path: path.symlink_to(arena.canary / "own")))
    options = f"path={arena.home}/.codex state=directory owner={ATTACKER} mode=0700"
    command = [Path(sys.executable).with_name("ansible"), "localhost", "-m", "ansible.builtin.file", "-a", options]
    subprocess.run([*command, "-e", f"ansible_python_interpreter={TARGET_PYTHON}"], check=True, capture_output=True)
    assert (arena.canary / "own").stat().st_uid == ATTACKER, "root's directory now belongs to the tenant"
