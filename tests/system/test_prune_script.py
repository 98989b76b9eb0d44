"""The script that cron runs: one file that needs nothing but Python, started as cron and operators start it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
import uuid
import zipfile
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.plugin_utils import _zipapp
from support.sessions import DAY, Workspace, workspaces_root
from support.settings import TARGET_PYTHON, usual_umask
from support.stub import ResponsesStub

SOURCE = Path(__file__).resolve().parents[2] / "roles/codex_prune/files/alive_codex_prune.py"
TRIALS = int(os.environ.get("ALIVE_TRIALS", "6"))


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "alive-codex-prune"
    path.write_bytes(_zipapp.pack(SOURCE.read_text()))
    return path


@pytest.fixture
def start(script, tmp_path):
    """Starts the script with a configuration; its logs are in ``tmp_path / "log"``."""

    def run(*arguments, check=None, **config):
        place = tmp_path / "prune.json"
        place.write_text(json.dumps({"log_dir": str(tmp_path / "log"), **config}))
        argv = [TARGET_PYTHON, "-I", script, "--config", place, *arguments]
        end = subprocess.run(argv, capture_output=True, text=True, cwd="/", env={}, check=False)
        if check is not None:
            assert end.returncode == check, end.stderr
        return end

    return run


def session(home: Path, days: float) -> Path:
    """A rollout that was last used so many days ago."""
    directory = home / ".codex" / "sessions" / "2026" / "01" / "02"
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"rollout-2026-01-02T03-04-05-{uuid.uuid4()}.jsonl"
    path.write_text("{}\n")
    os.utime(path, (time.time() - days * DAY,) * 2)
    return path


def test_the_same_collection_packs_the_same_bytes(script):
    assert _zipapp.pack(SOURCE.read_text()) == script.read_bytes()
    packed = {"/".join(name.split("/")[-2:]) for name in zipfile.ZipFile(script).namelist()}
    assert {"__main__.py", "_sessions/prune_all.py"} <= packed and "_turn/prepare.py" not in packed


@pytest.fixture
def home():
    """A workspace, nobody's yet."""
    with workspaces_root() as root:
        path = root / "acme"
        path.mkdir()
        yield path


def own(home: Path) -> None:
    """Gives the HOME a user: this process's own, unless that is root, who has no workspaces."""
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "61301:61301", home], check=True)


def test_a_run_prunes_logs_and_says_so(start, home, tmp_path):
    aged, fresh = session(home, 40), session(home, 1)
    own(home)
    shown = start("--check", root=str(home.parent), check=0)
    assert "acme: would prune 1 session " in shown.stdout and aged.exists()
    assert not (tmp_path / "log" / "runs.log").exists()
    quiet = start("--cron", root=str(home.parent), check=0)
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert not aged.exists() and fresh.exists()
    assert "pruned 0 sessions" in start(root=str(home.parent), check=0).stdout
    first, second = map(json.loads, (tmp_path / "log" / "runs.log").read_text().splitlines())
    assert (first["pruned"], first["kept"], first["changed"], first["ok"]) == (1, 1, True, True)
    assert (second["pruned"], second["changed"]) == (0, False)
    last = json.loads((tmp_path / "log" / "last.json").read_text())
    assert last["workspaces"][0]["name"] == "acme" and last["totals"]["pruned"] == 0


def test_one_broken_workspace_is_told_in_the_exit_status_and_on_stderr(start, home, tmp_path):
    aged = session(home, 40)
    own(home)
    broken = home.parent / "broken"
    broken.mkdir()
    (broken / ".codex").symlink_to("/etc")
    own(broken)
    end = start("--cron", root=str(home.parent), check=1)
    assert "broken: .codex: is a symbolic link, not a directory" in end.stderr
    assert not aged.exists()
    assert not json.loads((tmp_path / "log" / "runs.log").read_text())["ok"]


def test_sessions_that_should_have_gone_and_did_not_are_counted(start, home, tmp_path):
    aged = [session(home, 40) for _number in range(3)]
    with contextlib.closing(sqlite3.connect(home / ".codex" / "state_5.sqlite")) as database:
        database.execute("CREATE TABLE threads (id TEXT PRIMARY KEY, rollout_path TEXT, other_thread_uuid TEXT)")
    own(home)
    end = start("--cron", root=str(home.parent), codex_path="/nonexistent/codex", check=1)
    said = "codex: 3 sessions that should have gone did not: Codex's databases are not as known here"
    assert said in end.stderr and "a newer alive.codex may know them" in end.stderr
    assert all(path.exists() for path in aged)
    line = json.loads((tmp_path / "log" / "runs.log").read_text())
    assert (line["ok"], line["pruned"], line["kept"]) == (False, 0, 3) and said in line["problems"][0]


def test_what_a_person_is_shown_fits_a_terminal_and_says_nothing_twice(start, home):
    crowded = home.rename(home.with_name("0b6f9e7c-5d0e-4c55-9f5e-9f7a3f1f2f11"))
    for _number in range(12):
        session(crowded, 40)
    session(crowded, 1)
    own(crowded)
    broken = home.parent / "broken"
    (broken / ".codex").mkdir(parents=True)
    (broken / ".codex" / "sessions").symlink_to("/etc")
    own(broken)
    shown = start("--check", root=str(home.parent), check=1)
    assert max(map(len, shown.stdout.splitlines())) <= 80
    sentences = shown.stdout.replace("\n    ", " ").splitlines()
    assert [sentence.partition(":")[0] for sentence in sentences] == [crowded.name, "2 workspaces"]
    assert sentences[-1].endswith("; 1 problem") and shown.stderr.count("symbolic link") == 1


def test_a_second_run_at_the_same_time_is_turned_away(start, home, tmp_path):
    (tmp_path / "log").mkdir()
    with open(tmp_path / "log" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another run is under way" in start(root=str(home.parent), check=75).stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"log_dir": "/l", "max_age": null}', 'max_age must be of type str, such as "30d", not null'),
        (b'{"log_dir": "/l", "workspaces": [1]}', "each of workspaces must be of type str, not 1"),
        (b'{"log_dir": "/l", "keep_last": -1}', "keep_last must not be negative"),
        (b'{"log_dir": "/l", "root": "/\\ud800"}', "root must be a path without control characters"),
        (b'{"log_dir": "/l", "\\ud800": 1}', '"\\ud800" is no option'),
        (b"\xff", "it must be JSON in UTF-8"),
        (b"[" * 100_000, "nested too deep"),
        (b"x" * (2**20 + 1), "more than the 1048576 that are read"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_in_one_line(script, tmp_path, content, said):
    """What else makes none: tests/unit/plugins/module_utils/test_prune_options.py."""
    place = tmp_path / "prune.json"
    place.write_bytes(content)
    assert said in refusal(script, place)


def test_what_is_no_file_is_refused_in_one_line(script, tmp_path):
    assert "is a directory, not a regular file" in refusal(script, tmp_path)
    assert "is a directory, not a regular file" in refusal(script, Path("/"))
    assert "missing ? cannot be read: No such file or directory" in refusal(script, tmp_path / "missing\n\udcff")
    os.mkfifo(tmp_path / "fifo")
    assert "is a FIFO, not a regular file" in refusal(script, tmp_path / "fifo")


def refusal(script: Path, config: Path) -> str:
    """The one line that ``--test-config`` says, without a word of Python's."""
    argv = [TARGET_PYTHON, "-I", script, "--test-config", "--config", config]
    end = subprocess.run(argv, capture_output=True, text=True, cwd="/", env={}, check=False)
    assert (end.returncode, end.stdout) == (2, "")
    [line] = end.stderr.splitlines()
    assert line.startswith(f"alive-codex-prune: nothing was pruned: {str(config)[:20]}")
    return line


def test_a_missing_root_is_told(start):
    assert "nothing was pruned" in start(root="/nonexistent", check=2).stderr


@pytest.mark.root
def test_root_does_not_believe_a_configuration_that_others_can_write(script, tmp_path):
    config = tmp_path / "prune.json"
    config.write_text("{}")
    config.chmod(0o666)
    end = subprocess.run([TARGET_PYTHON, script, "--config", config], capture_output=True, text=True, check=False)
    assert end.returncode == 2 and "writable by nobody else" in end.stderr


def test_the_log_is_rotated(start, home, tmp_path):
    start(root=str(home.parent))
    log = tmp_path / "log" / "runs.log"
    for _turn in range(6):
        log.write_text("x" * (2**20 + 1))
        start(root=str(home.parent))
    kept = sorted(path.name for path in log.parent.glob("runs.log*"))
    assert kept == ["runs.log", *(f"runs.log.{number}" for number in range(1, 5))]
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.root
def test_killed_at_any_moment_the_next_run_ends_where_an_undisturbed_one_does(script, tmp_path):
    with workspaces_root() as root, ResponsesStub() as stub:
        workspace = Workspace(root, "acme", 61_302)
        threads = [workspace.turn(stub) for _number in range(4)]
        workspace.age(*threads[:3])
        for _number in range(300):
            session(workspace.home, 50)
        subprocess.run(["chown", "-R", "61302:61302", workspace.home], check=True)
        kept = root.parent / f"{root.name}.kept"
        config = tmp_path / "prune.json"
        config.write_text(json.dumps({"root": str(root), "log_dir": str(tmp_path / "log")}))
        argv = [TARGET_PYTHON, "-I", script, "--cron", "--config", config]
        try:
            subprocess.run(["cp", "-a", workspace.home, kept], check=True)
            started = time.monotonic()
            subprocess.run(argv, check=True)
            whole = time.monotonic() - started
            undisturbed = state_of(workspace, threads)
            for trial in range(TRIALS):
                shutil.rmtree(workspace.home)
                subprocess.run(["cp", "-a", kept, workspace.home], check=True)
                process = subprocess.Popen(argv, start_new_session=True)
                time.sleep(whole * (trial + 1) / (TRIALS + 1))  # the moment that this trial tries
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                subprocess.run(argv, check=True)
                assert state_of(workspace, threads) == undisturbed
        finally:
            subprocess.run(["rm", "-rf", kept], check=True)


def state_of(workspace: Workspace, threads: list[str]) -> tuple[object, ...]:
    files = {path.relative_to(workspace.home) for path in (workspace.codex / "sessions").rglob("*")}
    return files, workspace.mentions(set(threads[:3])), workspace.integrity(), workspace.parity()


@pytest.mark.root
def test_an_unprivileged_user_prunes_what_is_its_own(script, home):
    own_aged = session(home, 40)
    subprocess.run(["chown", "-R", "61303:61303", home], check=True)
    foreign = home.parent / "foreign"
    foreign.mkdir()
    foreign_aged = session(foreign, 40)
    subprocess.run(["chown", "-R", "61304:61304", foreign], check=True)
    home.parent.chmod(0o755)
    with usual_umask():
        packed = Path(shutil.copyfile(script, home / "alive-codex-prune"))
        config = home / "prune.json"
        config.write_text(json.dumps({"root": str(home.parent), "log_dir": str(home / "log")}))
    argv = ["/usr/bin/python3", "-I", packed, "--config", config]
    end = subprocess.run(
        argv, user=61303, group=61303, extra_groups=[], capture_output=True, text=True, cwd="/", env={}, check=False
    )
    assert end.returncode == 1
    assert "foreign: belongs to 61304:61304, and only root or that user can work there" in end.stderr
    assert "pruned 1 session " in end.stdout
    assert not own_aged.exists() and foreign_aged.exists()


def test_names_of_a_tenants_reach_cron_and_the_log_clean_and_bounded(start, home, tmp_path):
    """Tables, columns, directories and settings are the tenant's words, and may be a megabyte of them."""
    attack = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"
    session(home, 40)
    with contextlib.closing(sqlite3.connect(home / ".codex" / "state_5.sqlite")) as connection:
        connection.execute("CREATE TABLE threads (id TEXT PRIMARY KEY, rollout_path TEXT, updated_at INTEGER)")
        connection.execute(f'CREATE TABLE "{attack}\n{"x" * 900_000}" (id, odd_thread_id)')
    (home / ".codex" / "sessions" / "2026" / "01" / attack.replace("/", "")).mkdir()
    own(home)
    other = home.parent / "other"
    other.mkdir()
    session(other, 40)
    (other / ".codex" / "config.toml").write_text(f'sqlite_home = "/nowhere/{"y" * 900_000}"\n')
    own(other)
    end = start("--cron", root=str(home.parent), codex_path="/nonexistent", check=1)
    assert "x" * 100 in end.stderr and len(end.stderr) < 20_000
    assert all(line.startswith("alive-codex-prune: ") for line in end.stderr.splitlines())
    kept = (tmp_path / "log" / "runs.log").read_text() + (tmp_path / "log" / "last.json").read_text()
    assert "x" * 100 in kept and len(kept) < 40_000
    for text in (end.stderr, json.loads((tmp_path / "log" / "last.json").read_text())["problems"]):
        assert not set(str(text)) & set("\x1b\x07\x9b\u202e")
