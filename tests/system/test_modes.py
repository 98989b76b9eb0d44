"""Under every umask: nothing of a tenant's turn is another user's to read or write, what all are to read is, and the
modes of what modules, roles and scripts make are the same. Another UID tries, while turns of the real CLI run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.module_utils._turn import lease
from ansible_collections.alive.codex.plugins.plugin_utils import _scripts, _slots, _zipapp
from support import others
from support.modules import CHECKOUT, run_module
from support.packages import native_codex
from support.plays import LOCAL, Play, environment
from support.registry import Registry
from support.releases import Host, build_release
from support.settings import SURROUNDINGS
from support.stub import ResponsesStub
from support.turns import PNG, SCHEMA, TENANT, isolated, make_home, real, stand_in, turn, wait_until

pytestmark = pytest.mark.root
VERSION = "0.160.0"
SESSION = "rollout-2026-01-02T03-04-05-00000000-0000-7000-8000-000000000001.jsonl"


# Another ansible-core or Python would first be seen where no umask helps.
UMASKS = [0o000] if SURROUNDINGS == "new" else [0o000, 0o022, 0o077]


@pytest.fixture(params=UMASKS, ids=lambda umask: f"umask{umask:03o}")
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """The umask of this process, and so of what it starts."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def make(path: Path, mode: int) -> Path:
    path.mkdir()
    path.chmod(mode)
    return path


def modes(root: Path) -> dict[str, str]:
    """Those of all below the root."""
    return {str(path.relative_to(root)): oct(path.lstat().st_mode)[-4:] for path in others.below(root)}


def given_as(tarballs: list[Path]) -> dict[str, Any]:
    """The options of codex_release for these files."""
    digests = {path.name: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in tarballs}
    return {"tarballs": [str(path) for path in tarballs], "checksums": digests}


class TestTurns:
    @pytest.fixture
    def home(self, open_dir: Path) -> Path:
        """One whose own mode keeps nobody out."""
        home = make_home(open_dir, "acme")
        home.chmod(0o755)
        return home

    @pytest.fixture
    def tmp(self, open_dir: Path) -> Path:
        return make(open_dir / "tmp", 0o1777)

    @pytest.fixture
    def options(self, stub: ResponsesStub, home: Path, tmp_path: Path) -> dict[str, Any]:
        (tmp_path / "a.png").write_bytes(PNG)
        return {
            **real(stub),
            "workspace": home.name,
            "root": str(home.parent),
            "prompt": '[[run:echo CONFIDENTIAL > secret.txt; cat secret.txt]] [[json:{"ok": true}]]',
            "output_schema": SCHEMA,
            "images_src": [str(tmp_path / "a.png")],
            "events_path": str(home / "events.jsonl"),
        }

    @staticmethod
    @contextlib.contextmanager
    def waiting(options: dict[str, Any], umask: int, tmp: Path) -> Iterator[Path]:
        """The directory of a turn that is over, and whose result waits to be fetched."""
        started = run_module("codex_exec", {**options, "_detach": True}, umask=umask, env={"TMPDIR": str(tmp)})
        directory = Path(started["watch"]["directory"])
        pid = int((directory / "pid").read_text())
        try:
            wait_until((directory / "result").exists)
            yield directory
        finally:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not directory.exists())

    @pytest.mark.parametrize("acl", [False, True], ids=["", "default ACL"])
    def test_a_result_that_waits_is_nobodys(
        self, options: dict[str, Any], umask: int, tmp: Path, home: Path, acl: bool
    ) -> None:
        if acl:
            others.grant(tmp)
        with others.spying(tmp) as seen, self.waiting(options, umask, tmp) as directory:
            result = json.loads((directory / "result").read_text().splitlines()[-1])
            assert result["status"] == "completed", result
            assert "CONFIDENTIAL" in (directory / "result").read_text()
            names = {path.name for path in directory.iterdir()}
            assert names >= {"result", "pid", "lease", "live", "schema.json", "image-0.png"}
            assert others.access([directory, *others.below(directory, home)]) == []
            assert "secret.txt" in modes(home) and ".codex/sessions" in modes(home)
            # What the tenant is to read, it could: the turn had both.
            assert (directory / "schema.json").stat().st_mode & 0o777 == 0o400
        assert seen == ["looked"]

    def test_nobody_sees_anything_while_a_task_runs(
        self, options: dict[str, Any], umask: int, tmp: Path, home: Path, tmp_path: Path
    ) -> None:
        task = Play(tmp_path, options, variables=LOCAL, settings={"TMPDIR": str(tmp), "ANSIBLE_PIPELINING": "0"})
        with others.spying(tmp, Path("/tmp")) as seen:
            result = task.run()
        assert result["status"] == "completed" and result["structured_response"] == {"ok": True}, result
        assert seen == ["looked"]
        assert others.access(others.below(home)) == []
        assert list(tmp.glob("alive-codex-*")) == []

    @pytest.mark.parametrize("place", ["~/.ansible_async", "~/jobs"])
    def test_an_async_result_is_for_its_user_or_told_of(
        self, options: dict[str, Any], umask: int, tmp: Path, open_dir: Path, tmp_path: Path, place: str
    ) -> None:
        user = make(open_dir / "user", 0o755)
        jobs = user / place.partition("/")[2]
        given = {**options, "images_src": None}
        task = Play(
            tmp_path,
            given,
            variables={**LOCAL, "ansible_async_dir": place},
            keywords={"async": 60, "poll": 0},
            settings={"HOME": str(user), "TMPDIR": str(tmp)},
        )
        started = task.run()
        job = jobs / started["ansible_job_id"]
        wait_until(lambda: job.exists() and "final_response" in job.read_text())
        result = json.loads(job.read_text())
        assert result["status"] == "completed"
        told = [str(warning) for warning in result.get("warnings", []) if f"chmod 700 {jobs}" in str(warning)]
        assert bool(told) == (place == "~/jobs" and umask != 0o077)
        assert told or others.access([job]) == []

    def test_not_for_the_time_of_a_copy_either(
        self, options: dict[str, Any], umask: int, tmp: Path, open_dir: Path, tmp_path: Path
    ) -> None:
        large = tmp_path / "large.png"
        large.write_bytes(b"")
        os.truncate(large, 256 << 20)
        script = 'cat >/dev/null; echo \'{"type": "turn.completed", "usage": {}}\''
        given = {**options, **stand_in(open_dir, script), "images_src": [str(large)], "output_schema": None}
        with others.spying(tmp) as seen, self.waiting(given, umask, tmp) as directory:
            assert (directory / "image-0.png").stat().st_size == 256 << 20
        assert seen == ["looked"]

    def test_events_go_to_no_file_of_another_user(self, options: dict[str, Any], umask: int, open_dir: Path) -> None:
        shared = make(open_dir / "shared", 0o777)
        theirs = shared / "events.jsonl"
        theirs.write_text("theirs")
        theirs.chmod(0o666)
        os.chown(theirs, others.OTHER, others.OTHER)
        given = {**options, "images_src": None, "events_path": str(theirs)}
        result = isolated(lambda: turn(**given))
        assert result["status"] == "spawn_failed"
        assert f"belongs to UID {others.OTHER}, not to UID {TENANT}" in result["msg"]
        assert theirs.read_text() == "theirs"

    def test_events_in_a_file_of_before_are_the_tenants_alone(self, options: dict[str, Any], home: Path) -> None:
        events = Path(options["events_path"])
        events.write_text("before\n" * 100_000)
        events.chmod(0o666)
        os.chown(events, TENANT, TENANT)
        given = {**options, "images_src": None}
        assert isolated(lambda: turn(**given))["status"] == "completed"
        assert "before" not in events.read_text() and events.stat().st_mode & 0o777 == 0o600


def test_releases_are_for_everybody_and_nobodys_to_change(umask: int, open_dir: Path, tmp_path: Path) -> None:
    with Registry([]) as registry:
        host = Host(make(open_dir / "host", 0o755), registry)
        tarballs = build_release(tmp_path, VERSION)
        assert host.release(VERSION, umask=umask, **given_as(tarballs))["changed"]
    found = modes(host.root)
    assert found.pop("lib/alive-codex/lock") == "0600"
    for name, mode in found.items():
        path = host.root / name
        runs = path.is_dir() or path.parent.name in ("bin", "codex-path")
        assert path.is_symlink() or mode == ("0755" if runs else "0644"), name
    assert others.writes(host.root) == []
    readable = [
        path for path in others.below(host.root) if path.is_file() and not path.is_symlink() and path.name != "lock"
    ]
    assert others.access(readable) == [f"reads {path}" for path in readable]


def test_what_is_replaced_stays_as_private_as_it_was(umask: int, open_dir: Path, tmp_path: Path) -> None:
    with Registry([]) as registry:
        host = Host(make(open_dir / "host", 0o755), registry)
        make(host.bin.parent, 0o755)
        host.bin.write_text("#!/bin/sh\nexport KEY=CONFIDENTIAL\n")
        host.bin.chmod(0o700)
        tarballs = build_release(tmp_path, VERSION)
        assert host.release(VERSION, umask=umask, **given_as(tarballs))["changed"]
    kept = host.prefix / "replaced" / "codex"
    assert "CONFIDENTIAL" in kept.read_text() and others.access([kept]) == []
    assert others.writes(host.root) == []


def test_nobody_else_changes_what_a_fleet_gets(umask: int, open_dir: Path, tmp_path: Path) -> None:
    kept = open_dir / "cache" / "tarballs"
    with Registry(list(build_release(tmp_path, VERSION))) as registry:
        options = {"directory": str(kept), "registry": registry.url, "version": VERSION}
        assert run_module("codex_tarballs", options, umask=umask)["changed"]
    assert others.writes(open_dir) == []
    found = modes(open_dir)
    assert found.pop("cache/tarballs/.lock") == "0600"  # who may read a file may lock it, for ever
    assert set(found.values()) == {"0755", "0644"} and len(found) == 6, found


def test_policy_is_for_everybody_and_nobodys_to_change(umask: int, open_dir: Path) -> None:
    etc = open_dir / "image" / "etc" / "codex"
    options = {
        "directory": str(etc),
        "codex_path": str(native_codex()),
        "config": {"features": {"plugins": False}},
        "requirements": {"allowed_sandbox_modes": ["read-only"]},
    }
    result = run_module("codex_policy", options, umask=umask)
    assert result["changed"] and result["checked"], result
    assert modes(open_dir) == {
        "image": "0755",
        "image/etc": "0755",
        "image/etc/codex": "0755",
        "image/etc/codex/config.toml": "0644",
        "image/etc/codex/requirements.toml": "0644",
    }
    assert others.writes(open_dir) == []


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_policy_that_some_cannot_read_or_all_can_write_is_changed(mode: int, open_dir: Path) -> None:
    options = {"directory": str(open_dir), "config": {"model": "m"}, "codex_path": str(native_codex())}
    assert run_module("codex_policy", options)["changed"]
    (open_dir / "config.toml").chmod(mode)
    assert run_module("codex_policy", options, check=True)["files"] == [str(open_dir / "config.toml")]
    assert run_module("codex_policy", options)["changed"]
    assert modes(open_dir) == {"config.toml": "0644"}
    unchanged = run_module("codex_policy", options)
    assert unchanged["changed"] is False and "warnings" not in unchanged
    open_dir.chmod(0o700)
    assert run_module("codex_policy", options)["files"] == [str(open_dir)]
    assert open_dir.stat().st_mode & 0o777 == 0o755
    open_dir.chmod(0o777)
    assert f"{open_dir} is writable by everybody" in run_module("codex_policy", options)["msg"]


def test_workspaces_are_their_tenants_alone(umask: int, open_dir: Path) -> None:
    workspaces = [{"name": name, "uid": TENANT + n, "gid": TENANT + n} for n, name in enumerate(("acme", "globex"))]
    options = {"root": str(open_dir / "var" / "sessions"), "workspaces": workspaces, "config": {"model": "m"}}
    assert run_module("codex_workspaces", options, umask=umask)["changed"]
    tree = {"": "0700", "/.codex": "0700", "/.codex/sessions": "0700", "/.codex/config.toml": "0600"}
    homes = {f"var/sessions/{name}{path}": mode for name in ("acme", "globex") for path, mode in tree.items()}
    assert modes(open_dir) == {"var": "0755", "var/sessions": "0711", **homes}
    assert others.access(others.below(open_dir / "var" / "sessions")) == []


class TestPruning:
    @pytest.fixture
    def sessions(self, open_dir: Path) -> Path:
        """The root of a workspace with an old session."""
        root = make(open_dir / "sessions", 0o711)
        home = make_home(root, "acme")
        days = home / ".codex" / "sessions" / "2026" / "01" / "02"
        days.mkdir(parents=True)
        (days / SESSION).write_text("{}\n")
        for path in (days / SESSION, *(days / SESSION).parents):
            if path.is_relative_to(home):
                os.chown(path, TENANT, TENANT)
        old = time.time() - 40 * 86400
        os.utime(days / SESSION, (old, old))
        return root

    def test_the_modules_archives(self, umask: int, sessions: Path, open_dir: Path) -> None:
        archive = open_dir / "kept" / "archive"
        result = run_module("codex_prune", {"root": str(sessions), "archive": str(archive)}, umask=umask)
        assert result["problems"] == [] and result["totals"]["pruned"] == 1
        (packed,) = result["workspaces"][0]["archives"]
        assert modes(open_dir / "kept") == {
            "archive": "0700",
            "archive/acme": "0700",
            f"archive/acme/{Path(packed).name}": "0600",
        }
        assert others.access(others.below(open_dir / "kept")) == []

    @pytest.mark.parametrize("what", ["archive", "archive/acme"])
    def test_no_archive_where_another_user_was_first(self, what: str, sessions: Path, open_dir: Path) -> None:
        archive = make(open_dir / "archive", 0o755)
        place = archive if what == "archive" else make(open_dir / what, 0o700)
        os.chown(place, others.OTHER, others.OTHER)
        result = run_module("codex_prune", {"root": str(sessions), "archive": str(archive)})
        assert result["totals"]["pruned"] == 0
        assert f"belongs to UID {others.OTHER}" in result["problems"][0]
        assert [path for path in others.below(archive) if path.is_file()] == []

    def test_a_partial_archive_of_before_is_not_written_to(self, sessions: Path, open_dir: Path) -> None:
        folder = make(make(open_dir / "archive", 0o755) / "acme", 0o755)
        before = folder / ".partial"
        before.write_text("before")
        os.link(before, open_dir / "linked")
        result = run_module("codex_prune", {"root": str(sessions), "archive": str(folder.parent)})
        assert result["totals"]["pruned"] == 1, result
        assert (open_dir / "linked").read_text() == "before" and not before.exists()
        assert folder.stat().st_mode & 0o777 == 0o700

    def test_the_scripts_records(self, umask: int, sessions: Path, open_dir: Path, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_bytes(_zipapp.pack((CHECKOUT / "roles/codex_prune/files/alive_codex_prune.py").read_text()))
        config = tmp_path / "prune.json"
        config.write_text(json.dumps({"root": str(sessions), "log_dir": str(open_dir / "log" / "prune")}))
        config.chmod(0o600)
        subprocess.run(["/usr/bin/python3", "-I", script, "--config", config, "--cron"], env={}, cwd="/", check=True)
        assert modes(open_dir / "log") == {
            "prune": "0750",
            "prune/last.json": "0640",
            "prune/lock": "0600",
            "prune/runs.log": "0640",
        }
        assert others.access(others.below(open_dir / "log")) == []


def test_the_roles(umask: int, open_dir: Path, tmp_path: Path) -> None:
    """All three at once on this machine, which keep what they make below one directory."""
    host = make(open_dir / "host", 0o755)
    make(host / "cron.d", 0o755)
    variables = {
        **LOCAL,
        **{f"codex_cli_{name}": value for name, value in given_as(build_release(tmp_path, VERSION)).items()},
        "codex_cli_version": VERSION,
        "codex_cli_prefix": f"{host}/lib",
        "codex_cli_bin": f"{host}/bin/codex",
        "codex_cli_config": {},
        "codex_workspaces_root": f"{host}/sessions",
        "codex_workspaces_workspaces": [{"name": "acme", "uid": TENANT, "gid": TENANT}],
        "codex_prune_root": f"{host}/sessions",
        "codex_prune_python": "/usr/bin/python3",
        "_codex_prune_script": f"{host}/alive-codex-prune",
        "_codex_prune_config": f"{host}/prune.json",
        "_codex_prune_cron": f"{host}/cron.d/alive-codex-prune",
        "_codex_prune_log_dir": f"{host}/log",
    }
    play = {
        "hosts": "all",
        "gather_facts": False,
        "roles": [f"alive.codex.codex_{name}" for name in ("cli", "workspaces", "prune")],
    }
    (tmp_path / "play.json").write_text(json.dumps([play]))
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    argv = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-e", f"@{tmp_path}/variables.json"]
    with others.spying(Path("/var/tmp")) as seen:
        done = subprocess.run(
            [*argv, tmp_path / "play.json"], env=environment(tmp_path), capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(seen) <= {"looked"}
    found = modes(host)
    expected = {
        "alive-codex-prune": "0755",
        "prune.json": "0644",
        "cron.d/alive-codex-prune": "0644",
        "log": "0750",
        "bin": "0755",
        "lib": "0755",
        "lib/releases": "0755",
        "lib/lock": "0600",
        "sessions": "0711",
        "sessions/acme": "0700",
    }
    assert {name: found.get(name) for name in expected} == expected
    assert others.writes(host) == []
    other = {"user": others.OTHER, "group": others.OTHER, "extra_groups": []}
    said = subprocess.check_output([host / "bin" / "codex", "--version"], env={}, cwd="/", **other)
    assert said == f"codex-cli {VERSION}\n".encode()


def test_the_slots_of_a_run(umask: int, open_dir: Path) -> None:
    with _slots.taken(str(open_dir), "worker", 2):
        assert others.access(others.below(open_dir)) == []
        assert set(modes(open_dir).values()) == {"0600"}


def test_secrets_are_offered_to_one_user(umask: int) -> None:
    done = subprocess.run(
        ["sh", "-c", _scripts.secrets_script()], input=b"CONFIDENTIAL", capture_output=True, check=True
    )
    fifo = Path(done.stdout.decode().strip())
    try:
        info = fifo.stat()
        assert stat.S_ISFIFO(info.st_mode) and info.st_mode & 0o777 == 0o600
        assert fifo.parent.stat().st_mode & 0o777 == 0o700
        assert others.access([fifo.parent, fifo]) == []
    finally:
        assert lease.read_secrets(str(fifo)) == "CONFIDENTIAL"
    wait_until(lambda: not fifo.parent.exists())


def test_what_the_stub_records(umask: int, open_dir: Path) -> None:
    log = open_dir / "requests.jsonl"
    log.touch()
    log.chmod(0o666)
    with ResponsesStub("--requests", str(log)):
        assert others.access([log]) == []
