"""What holds a turn in a workspace: nothing that it started outlives it, and it takes no more of the host than it may.

The tenant is hostile: its processes fork faster than they can be killed, and want what is not theirs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.module_utils._host import linux
from ansible_collections.alive.codex.plugins.module_utils._host.identity import Identity, acting_as
from ansible_collections.alive.codex.plugins.module_utils._host.memory_group import MemoryGroup
from ansible_collections.alive.codex.plugins.module_utils._host.proc import open_names, shares_root
from ansible_collections.alive.codex.plugins.module_utils._host.process import STANDARD_PATH
from ansible_collections.alive.codex.plugins.module_utils._turn import run as turns_run
from ansible_collections.alive.codex.plugins.module_utils._turn.cli_version import cli_version
from ansible_collections.alive.codex.plugins.module_utils._turn.tenant import Tenant
from support.namespaces import without_pid_namespaces
from support.plays import LOCAL, Play
from support.stub import ResponsesStub
from support.turns import command_line, isolated, make_home, processes_of, real, stand_in, turn, wait_until

# One that every user can run.
PYTHON = shutil.which("python3", path=STANDARD_PATH)
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not PYTHON, reason=f"NOT RUN: there is no python3 in {STANDARD_PATH}, for the tenant to run"),
]

UID = 61271
GRACE = 3.0
# Each process lives only to fork the next, in as many chains as asked for, and holds a pipe open that tells of them.
# They end by themselves, in case.
CHAINS = """
import os, sys, time
end = time.time() + 120
os.write(os.open("alive", os.O_WRONLY), b"x")
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        break
else:
    if os.fork():
        os._exit(0)
os.setsid()
while time.time() < end:
    try:
        if os.fork():
            os._exit(0)
    except OSError:
        time.sleep(0.001)
"""
COMPLETED = '{"type":"turn.completed","usage":{}}'


@pytest.fixture
def home(open_dir: Path) -> Path:
    return make_home(open_dir, "acme", UID)


@pytest.fixture
def options(stub: ResponsesStub, home: Path) -> dict[str, Any]:
    return {**real(stub), "root": str(home.parent), "workspace": home.name}


@pytest.fixture
def scripted(home: Path) -> Callable[..., dict[str, Any]]:
    """A turn of a shell script in place of the CLI."""

    def run(script: str, **more: Any) -> dict[str, Any]:
        given = {
            "prompt": "x",
            "root": str(home.parent),
            "workspace": home.name,
            **stand_in(home.parent, script),
            **more,
        }
        return isolated(lambda: turn(**given))

    return run


def of_tenant() -> list[int]:
    return list(processes_of(UID))


class Chains:
    """Chains of processes in a turn. None of them is long enough there to be seen in /proc: what they inherit tells
    whether any is left."""

    def __init__(self, home: Path) -> None:
        (home / "chains.py").write_text(CHAINS)
        (home / "chains.py").chmod(0o644)
        os.mkfifo(home / "alive", 0o600)
        os.chown(home / "alive", UID, UID)
        self._fd = os.open(home / "alive", os.O_RDONLY | os.O_NONBLOCK)

    def prompt(self, number: int = 32) -> str:
        return f"[[run:{PYTHON} -ISE chains.py {number}]] [[stall]]"

    def run(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            return os.read(self._fd, 1) == b"x"
        return False

    def are_gone(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            return os.read(self._fd, 1) == b"" and of_tenant() == []
        return False


@pytest.fixture
def chains(home: Path) -> Chains:
    return Chains(home)


class TestChains:
    """32 chains of forking processes, started by the real CLI without its sandbox."""

    def test_a_time_limit_ends_them(self, options: dict[str, Any], chains: Chains) -> None:
        result = isolated(lambda: turn(prompt=chains.prompt(), timeout=6, **options))
        assert chains.run() and chains.are_gone()
        assert (result["status"], result["reason"]) == ("timed_out", "timeout"), result
        assert result["duration"] < 11 and result["containment"]["pid_namespace"]
        assert not [warning for warning in result["warnings"] if "killed" in warning]

    def test_the_end_of_the_supervisor_ends_them(self, options: dict[str, Any], chains: Chains) -> None:
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                turn(prompt=chains.prompt(), **options)
            os._exit(1)
        wait_until(chains.run, 40)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        wait_until(chains.are_gone, 20, of_tenant)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
    def test_the_end_of_ansible_ends_them(
        self, options: dict[str, Any], chains: Chains, tmp_path: Path, number: int
    ) -> None:
        given = {**options, "prompt": chains.prompt(), "grace_period": GRACE}
        with Play(tmp_path, given, "localhost,", LOCAL).start() as process:
            wait_until(chains.run, 40)
            os.killpg(process.pid, number)
            if number == signal.SIGINT:
                process.communicate(timeout=30)
        wait_until(chains.are_gone, 20, of_tenant)


class TestTheVersionOfTheCli:
    """A turn asks for it before it begins, of what may be a program of the tenant's own."""

    def test_nothing_of_it_is_left_and_its_words_have_an_end(self, options: dict[str, Any], home: Path) -> None:
        theirs = home / "codex"
        theirs.write_text("#!/bin/sh\nsetsid sleep 4741 &\nsetsid sleep 4742 </dev/null >/dev/null 2>&1 &\nyes\n")
        theirs.chmod(0o755)
        version = isolated(lambda: cli_version(str(theirs), Tenant(Identity(UID, UID), str(home))))
        assert version is None and of_tenant() == []


class TestWithoutNamespaces:
    """A host whose root may make no PID namespaces."""

    def test_is_told_and_still_ends_what_was_started(self, options: dict[str, Any]) -> None:
        prompt = "[[run:(setsid sleep 4721 >/dev/null 2>&1 &) ; setsid -f sleep 4722]] [[say:done]]"
        result = isolated(lambda: without_pid_namespaces(lambda: turn(prompt=prompt, **options)))
        assert (result["status"], result["final_response"]) == ("completed", "done"), result
        assert not result["containment"]["pid_namespace"] and of_tenant() == []
        assert [warning for warning in result["warnings"] if "no PID namespace" in warning], result["warnings"]

    def test_chains_are_bounded_there(self, options: dict[str, Any], chains: Chains) -> None:
        def bounded() -> Any:
            return turn(prompt=chains.prompt(4), timeout=4, max_processes=100, **options)

        result = isolated(lambda: without_pid_namespaces(bounded))
        assert result["status"] == "timed_out"
        assert chains.run()
        assert chains.are_gone() or [warning for warning in result["warnings"] if "could not be killed" in warning]


class TestTheSandboxOfTheCli:
    def test_works_where_nothing_in_tmp_can_be_run(self, options: dict[str, Any], home: Path) -> None:
        options["sandbox_mode"] = "workspace-write"

        def on_such_a_host() -> Any:
            linux.unshare(linux.CLONE_NEWNS)
            linux.mount(None, "/", linux.MS_REC | linux.MS_PRIVATE)
            subprocess.run("mount --bind /tmp /tmp && mount -o remount,bind,noexec /tmp", shell=True, check=True)
            return turn(prompt="[[run:echo made >made; sh made; ./made; echo rc $?]] [[output]]", **options)

        result = isolated(on_such_a_host)
        assert result["status"] == "completed" and (home / "made").read_text() == "made\n", result
        assert "rc 126" in result["final_response"] and result["containment"]["pid_namespace"]


class TestSurvivors:
    def test_a_turn_that_left_any_is_not_completed(
        self, scripted: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        supervise = turns_run.supervise
        left = monkeypatch.setattr
        left(turns_run, "supervise", lambda *given: supervise(*given)._replace(survivors=[4711]))
        result = scripted(f"echo '{COMPLETED}'")
        assert (result["status"], result["reason"], result["failed"]) == ("incomplete", "survivors", True)
        assert "[4711]" in result["msg"]


class TestWhatATenantCannotDo:
    def test_to_what_watches_it(self, options: dict[str, Any]) -> None:
        attacks = [
            "kill -9 1",
            "kill -STOP 1",
            "cat /proc/1/environ",
            "cat /proc/1/mem",
            "ls /proc/1/fd",
            "ls /proc/1/root",
            f"{PYTHON} -ISc 'import ctypes,sys; sys.exit(ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0 and 7)'",
        ]
        script = "; ".join(f"({attack}) >/dev/null 2>&1 && echo done: {n}" for n, attack in enumerate(attacks[:-1]))
        script += f"; {attacks[-1]}; [ $? = 7 ] && echo attached; kill -0 2 && echo own"
        result = isolated(lambda: turn(prompt=f"[=[run:{script}]=] [[output]]", **options))
        said = result["final_response"]
        assert result["status"] == "completed" and "own" in said.split(), result
        assert "done:" not in said and "attached" not in said

    def test_it_sees_no_other_processes(self, options: dict[str, Any]) -> None:
        with subprocess.Popen(["sleep", "60"]) as other:
            said = isolated(lambda: turn(prompt=f"[[run:ls -d /proc/{other.pid} /proc/2]] [[output]]", **options))
            other.kill()
        assert f"cannot access '/proc/{other.pid}'" in said["final_response"] and "/proc/2\n" in said["final_response"]

    def test_killing_all_that_it_can_ends_itself(self, options: dict[str, Any]) -> None:
        result = isolated(lambda: turn(prompt="[[run:kill -9 -1]]", **options))
        assert (result["status"], result["signal"]) == ("killed", "SIGKILL"), result
        assert of_tenant() == []


class TestBounds:
    def test_processes(self, scripted: Callable[..., dict[str, Any]]) -> None:
        script = "grep '^Max processes' /proc/self/limits >&2; exit 3"
        assert scripted(script)["stderr"].split()[2:4] == ["2048", "2048"]
        given = scripted(script, max_processes=77)
        assert (given["stderr"].split()[2:4], given["containment"]["max_processes"]) == (["77", "77"], 77)
        assert scripted(script, max_processes=77, limits={"nproc": 88})["containment"]["max_processes"] == 88
        assert scripted(script, max_processes=0)["containment"]["max_processes"] is None

    def test_a_user_with_all_its_processes_is_told(self, scripted: Callable[..., dict[str, Any]]) -> None:
        with subprocess.Popen(["sleep", "60"], user=UID, group=UID, extra_groups=[]) as other:
            result = scripted("exit 3", max_processes=1)
            other.kill()
        assert result["status"] in ("spawn_failed", "exited"), result
        if result["status"] == "spawn_failed":
            assert "as max_processes allows" in result["msg"]

    def test_memory_of_all_processes_together(self, options: dict[str, Any]) -> None:
        hog = f"{PYTHON} -ISc 'a = bytearray(700 << 20); print(len(a))'"
        result = isolated(lambda: turn(prompt=f"[[run:{hog}; echo rc $?]] [[output]]", max_memory="500M", **options))
        if result["containment"]["max_memory"] is None:
            pytest.skip(f"NOT RUN: {[warning for warning in result['warnings'] if 'max_memory' in warning]}")
        assert result["status"] == "completed" and "rc 137" in result["final_response"], result
        assert result["containment"]["max_memory"] == 500 << 20
        assert "the turn reached its max_memory of 500.0 MiB, and the kernel killed 1" in json.dumps(result["warnings"])

    def test_the_cli_itself_can_be_what_was_killed(self, scripted: Callable[..., dict[str, Any]]) -> None:
        hog = f"exec {PYTHON} -ISc 'bytearray(700 << 20)'"
        result = scripted(hog, max_memory="300M")
        if result["containment"]["max_memory"] is None:
            pytest.skip(f"NOT RUN: {result['warnings']}")
        assert (result["status"], result["reason"]) == ("killed", "max_memory"), result
        assert "max_memory of 300.0 MiB" in result["msg"]

    def test_no_cgroup_is_left(self, scripted: Callable[..., dict[str, Any]]) -> None:
        inside = scripted("grep -o 'alive-codex-.*' /proc/self/cgroup >&2; exit 3")
        name = inside["stderr"].strip()
        assert bool(name) == (inside["containment"]["max_memory"] is not None)
        find = ["find", "/sys/fs/cgroup", "-name", name or "alive-codex-none"]
        assert subprocess.run(find, check=False, capture_output=True, text=True).stdout == ""

    def test_a_cgroup_whose_maker_was_killed_is_removed_by_the_next(self) -> None:
        def make_and_be_killed() -> str:
            return str(Path(MemoryGroup(2**30).entrance).parent)

        try:
            left = Path(isolated(make_and_be_killed))
        except AssertionError:
            pytest.skip("NOT RUN: this machine has no memory cgroup that can be used")
        beside = MemoryGroup(2**30)
        assert not left.exists() and Path(beside.entrance).exists()
        MemoryGroup(2**30).remove()
        assert Path(beside.entrance).exists()  # its maker lives
        beside.remove()
        assert not Path(beside.entrance).exists()

    @pytest.mark.parametrize(("given", "words"), [("101%", "1% to 100%"), ("0%", "1%"), ("lots", "is not a size")])
    def test_what_is_no_memory_is_refused(self, given: str, words: str) -> None:
        result = turn(prompt="x", max_memory=given)
        assert "max_memory" in result["msg"] and words in result["msg"]

    def test_what_is_no_number_of_processes_is_refused(self) -> None:
        assert "max_processes" in turn(prompt="x", max_processes=-1)["msg"]
        assert "max_processes" in turn(prompt="x", max_processes=10**9)["msg"]


FILL = "dd if=/dev/zero of=$HOME/fill bs=64k >/dev/null 2>&1"
LONG = "yes 0123456789 | tr -d '\\n' | head -c 100000"
FLOOD = f'i=0; while [ $i -lt 100 ]; do i=$((i+1)); printf \'{{"type":"x","a":"%s"}}\\n\' "$({LONG})"; done'


class TestWhatIsWrittenForATenant:
    @pytest.fixture
    def reserve(self, open_dir: Path) -> Iterator[Path]:
        """A file system of which nearly half is reserved for root."""
        image, place = open_dir / "image", open_dir / "mounted"
        place.mkdir()
        subprocess.run(["truncate", "-s", "32M", image], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "40", image], check=True)
        mounted = subprocess.run(["mount", "-o", "loop", image, place], check=False, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"NOT RUN: needs loop devices: {mounted.stderr.strip()}")
        yield place
        subprocess.run(["umount", place], check=True)

    def test_is_not_written_into_what_is_reserved_for_root(
        self, scripted: Callable[..., dict[str, Any]], reserve: Path
    ) -> None:
        home = make_home(reserve, "acme", UID)
        path = home / "events.jsonl"
        more = {"events": "none", "events_path": str(path), "root": str(reserve)}
        result = scripted(f"{FILL}; {FLOOD}; echo '{COMPLETED}'", **more)
        assert (result["status"], result["event_count"]) == ("completed", 101), result
        assert path.stat().st_blocks * 512 <= 64 * 1024
        assert "events_path is incomplete: No space left on device" in result["warnings"]

    def test_is_no_larger_than_a_file_of_the_turn(self, scripted: Callable[..., dict[str, Any]], home: Path) -> None:
        path = home / "events.jsonl"
        result = scripted(f"{FLOOD}; echo '{COMPLETED}'", events_path=str(path), limits={"fsize": 250_000})
        assert (result["status"], path.stat().st_size) == ("completed", 250_000)
        assert "events_path is incomplete: File too large" in result["warnings"]

    def test_the_rights_come_back(self) -> None:
        def capabilities() -> str:
            return next(line for line in Path("/proc/self/status").read_text().splitlines() if "CapEff" in line)

        def around() -> list[str]:
            os.setgroups([])
            before = capabilities()
            with acting_as(Identity(UID, UID)):
                inside = capabilities()
            return [before, inside, capabilities()]

        before, inside, after = isolated(around)
        assert before == after and not int(inside.split()[1], 16) & 1 << 24


def test_two_turns_of_one_workspace_do_not_end_each_others_processes(
    options: dict[str, Any], stub: ResponsesStub, home: Path
) -> None:
    first: list[Any] = []
    prompt = "[[run:setsid sleep 4731 & echo]] [[stall]]"
    other = threading.Thread(target=lambda: first.append(isolated(lambda: turn(prompt=prompt, timeout=300, **options))))
    other.start()

    def at_work() -> dict[str, int]:
        return {command_line(pid): pid for pid in of_tenant()}

    wait_until(lambda: "sleep 4731" in at_work(), 60, at_work)
    # The pruner asks the host's /proc what is in use, and whether a process means the same by a path.
    assert UID in open_names(re.compile(r"/\.codex/sessions/.*/rollout-"))
    for pid in of_tenant():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            assert shares_root(pid)
    second = isolated(lambda: turn(prompt="[[say:beside]]", **options))
    assert (second["status"], second["final_response"]) == ("completed", "beside")
    assert "sleep 4731" in at_work()
    (cli,) = (pid for line, pid in at_work().items() if " exec --experimental-json" in line)
    os.kill(cli, signal.SIGKILL)
    other.join()
    assert first[0]["status"] == "killed" and of_tenant() == []
