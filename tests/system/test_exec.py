"""Turns of the real CLI against the stub, and of stand-ins for what the real CLI does not do on request."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.packages import native_codex
from support.plays import LOCAL, Play
from support.stub import FAKE_KEY, ResponsesStub
from support.turns import isolated, turn

UID = 61235
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}
Turn = Callable[..., dict[str, Any]]


def real(stub: ResponsesStub) -> dict[str, Any]:
    """Options that have the real CLI talk to the stub."""
    return {
        "codex_path": str(native_codex()),
        "base_url": stub.base_url,
        "api_key": FAKE_KEY,
        "skip_git_repo_check": True,
        "sandbox_mode": "danger-full-access",
        "config": {"features": {"plugins": False}},
    }


@pytest.fixture
def home(open_dir: Path) -> Path:
    """A tenant's HOME: as root, of a user without a passwd entry, else our own."""
    path = open_dir / "acme"
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(path, UID, UID)
    return path


@pytest.fixture
def run(stub: ResponsesStub, home: Path) -> Turn:
    def run(prompt: str | None, **options: Any) -> dict[str, Any]:
        given = {**real(stub), "prompt": prompt, "root": str(home.parent), "workspace": home.name, **options}
        result: dict[str, Any] = isolated(lambda: turn(**given))
        return result

    return run


def stand_in(directory: Path, script: str) -> dict[str, Any]:
    """Options for a shell script in place of the CLI."""
    path = directory / "codex"
    path.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && echo 'codex-cli 0.44.0' && exit\n{script}\n")
    path.chmod(0o755)
    return {"codex_path": str(path)}


class TestWhoRuns:
    def test_the_tenant_in_its_home_with_a_clean_environment(self, run: Turn, home: Path) -> None:
        os.environ["LEAKS"] = "from the caller"
        try:
            result = run("[[run:id -u; id -G; umask; pwd; env]] [[output]]")
        finally:
            del os.environ["LEAKS"]
        uid, groups, umask, cwd, *environment = result["items"][0]["aggregated_output"].splitlines()
        owner = str(home.stat().st_uid)
        assert result["status"] == "completed", result
        assert (uid, umask, cwd) == (owner, "0077", str(home))
        assert os.geteuid() != 0 or groups == str(home.stat().st_gid)
        assert {f"HOME={home}", "TMPDIR=/tmp", "LANG=C.UTF-8"} <= set(environment)
        assert not [line for line in environment if line.startswith("LEAKS")]
        assert stat.S_IMODE((home / ".codex").stat().st_mode) == 0o700

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "a\0b"])
    def test_a_name_that_is_no_plain_component_is_refused(self, run: Turn, name: str) -> None:
        assert "not the name of a directory" in run("x", workspace=name)["msg"]

    def test_what_is_no_directory_is_refused(self, run: Turn, home: Path) -> None:
        (home.parent / "link").symlink_to(home)
        assert "is not a directory" in run("x", workspace="link")["msg"]
        assert "codex_workspaces" in run("x", workspace="missing")["msg"]

    @pytest.mark.root
    def test_roots_home_is_refused(self, run: Turn, home: Path) -> None:
        os.chown(home, 0, 0)
        assert "no turn is run with root's" in run("x")["msg"]
        os.chown(home, UID, 0)
        assert "no turn is run with root's" in run("x")["msg"]

    def test_limits_apply(self, run: Turn) -> None:
        result = run("[[run:ulimit -n; ulimit -t]] [[output]]", limits={"nofile": 300, "cpu": 99})
        assert result["final_response"].split() == ["300", "99"]

    @pytest.mark.root
    def test_events_are_never_written_where_the_tenant_could_not(self, run: Turn, home: Path) -> None:
        victim = home.parent / "victim"
        victim.write_text("mine")
        for name, target in (("link", victim), ("passwd", Path("/etc/passwd"))):
            (home / name).symlink_to(target)
            assert "cannot be written" in run("x", events_path=str(home / name))["msg"]
        os.mkfifo(home / "fifo")
        assert "events_path" in run("x", events_path=str(home / "fifo"))["msg"]
        assert victim.read_text() == "mine"
        result = run("[[say:hi]]", events_path=str(home / "events.jsonl"), events="none")
        assert (home / "events.jsonl").stat().st_uid == UID
        lines = (home / "events.jsonl").read_text().splitlines()
        assert len(lines) == result["event_count"] and result["events"] == []


class TestTheSdksOwnCases:
    """A twin of each of the SDK's own test cases."""

    def test_a_second_turn_goes_on_in_the_thread(self, run: Turn, stub: ResponsesStub) -> None:
        first = run("[[say:one]]")
        second = run("[[say:two]]", thread_id=first["thread_id"])
        assert second["status"] == "completed" and second["resumed"] and not first["resumed"]
        assert second["thread_id"] == first["thread_id"]
        assert "one" in json.dumps(stub.requests()[-1]["body"]["input"])

    def test_a_thread_option_wins_over_the_same_key_in_config(self, run: Turn, stub: ResponsesStub) -> None:
        config = {"features": {"plugins": False}, "model_reasoning_effort": "high"}
        run("[[say:x]]", config=config, model_reasoning_effort="low")
        assert stub.requests()[-1]["body"]["reasoning"]["effort"] == "low"

    def test_env_replaces_everything(self, run: Turn, home: Path) -> None:
        env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "ONLY": "this"}
        result = run("[[run:env]] [[output]]", env=env)
        assert "ONLY=this" in result["final_response"] and "LOGNAME=" not in result["final_response"]

    def test_texts_are_joined_and_images_sent(self, run: Turn, stub: ResponsesStub, home: Path) -> None:
        image = home / "a.png"
        image.write_bytes(PNG)
        image.chmod(0o644)
        parts = [
            {"type": "text", "text": "[[say:seen]]"},
            {"type": "local_image", "path": str(image)},
            {"type": "text", "text": "both"},
        ]
        result = run(None, input=parts)
        sent = json.dumps(stub.requests()[-1]["body"]["input"])
        assert result["final_response"] == "seen", result
        assert "[[say:seen]]\\n\\nboth" in sent and "data:image/png;base64," in sent

    def test_the_schema_is_used_and_its_file_deleted(self, run: Turn, stub: ResponsesStub) -> None:
        result = run('[[json:{"ok": true}]]', output_schema=SCHEMA)
        assert result["structured_response"] == {"ok": True}, result
        assert stub.requests()[-1]["body"]["text"]["format"]["schema"] == SCHEMA
        assert not Path(result["argv"][result["argv"].index("--output-schema") + 1]).exists()

    def test_a_directory_without_git_is_refused(self, run: Turn) -> None:
        result = run("[[say:x]]", skip_git_repo_check=False)
        assert result["status"] == "exited" and "trusted directory" in result["msg"] + result["stderr"]

    def test_the_base_url_and_key_reach_the_api(self, run: Turn, stub: ResponsesStub) -> None:
        run("[[say:x]]")
        assert stub.requests()[-1]["headers"]["originator"] == "codex_sdk_ts"

    def test_a_turn_that_fails_fails(self, run: Turn) -> None:
        result = run("[[say:before]] [[run:true]] [[fail:rate_limit_exceeded]]", idle_timeout=60)
        assert result["status"] == "failed" and result["thread_id"], result
        assert [item["type"] for item in result["items"]].count("command_execution") == 1


class TestHowItEnds:
    def test_a_stall_runs_into_the_idle_limit(self, run: Turn) -> None:
        result = run("[[say:x]] [[run:true]] [[stall]]", idle_timeout=2)
        assert (result["status"], result["reason"]) == ("timed_out", "idle_timeout"), result
        assert result["signal"] == "SIGTERM" and len(result["items"]) >= 1

    @pytest.mark.parametrize(
        ("script", "status", "reason"),
        [
            ("exit 3", "exited", None),
            ('echo \'{"type":"turn.started"}\'', "incomplete", None),
            ("echo oops; sleep 60", "bad_stream", None),
            ("kill -9 $$", "killed", None),
            ("sleep 60", "timed_out", "timeout"),
            ("trap '' TERM; sleep 60 & wait; wait", "timed_out", "timeout"),
            ("echo \"error: unexpected argument '--add-dir' found\" >&2; exit 2", "unsupported_option", None),
        ],
    )
    def test_each_ending_has_its_status(
        self, run: Turn, home: Path, script: str, status: str, reason: str | None
    ) -> None:
        result = run("x", **stand_in(home.parent, script), timeout=2)
        if status == "unsupported_option":
            assert (result["status"], result["reason"]) == ("exited", status)
            assert "--add-dir" in result["msg"] and "0.44.0" in result["msg"]
        else:
            assert (result["status"], result["reason"]) == (status, reason), result
        assert result["failed"] and result["changed"] and result["msg"]
        assert result["duration"] < 15

    def test_a_cli_that_cannot_start_is_told_from_one_that_failed(self, run: Turn, home: Path) -> None:
        missing = run("x", codex_path="/nonexistent/codex", base_url=None)
        assert missing["status"] == "spawn_failed" and "/nonexistent/codex" in missing["msg"] and not missing["changed"]
        assert run("x", extra_args=["a\0b"])["status"] == "spawn_failed"

    def test_a_response_that_does_not_fit_is_kept(self, run: Turn) -> None:
        result = run("[[say:not json]]", output_schema=SCHEMA)
        assert (result["status"], result["final_response"]) == ("invalid_response", "not json")
        assert result["structured_response"] is None and "output_schema" in result["msg"]

    def test_an_unknown_flag_is_named_with_the_version(self, run: Turn) -> None:
        result = run("x", extra_args=["--from-the-future"])
        assert result["reason"] == "unsupported_option"
        assert "--from-the-future" in result["msg"] and "0.169.0" in result["msg"]

    def test_the_old_cli_gets_its_base_url_in_the_environment(self, run: Turn, home: Path) -> None:
        script = 'echo "{\\"type\\":\\"error\\",\\"message\\":\\"$OPENAI_BASE_URL\\"}"'
        assert run("x", **stand_in(home.parent, script))["errors"][0].startswith("http://127.0.0.1:")

    def test_background_processes_end_with_the_turn(self, run: Turn) -> None:
        result = run("[[run:(setsid sleep 4711 >/dev/null 2>&1 &) ; setsid -f sleep 4712]] [[say:done]]")
        assert result["status"] == "completed"
        assert not [line for line in command_lines() if line in ("sleep 4711", "sleep 4712")]


class TestSizes:
    # The whole of it where time is no matter.
    FLOOD = (1 << 30) if os.environ.get("ALIVE_TRIALS") else (1 << 28)

    def test_a_flood_of_events_costs_bounded_memory(self, run: Turn, home: Path) -> None:
        item = {"id": "item_1", "type": "command_execution", "command": "ls -la", "aggregated_output": "x" * 900}
        line = json.dumps({"type": "item.completed", "item": {**item, "exit_code": 0, "status": "completed"}})
        script = f"yes '{line}' | head -c {self.FLOOD}; echo; echo '{{\"type\": \"turn.completed\"}}'"
        flood = {**real_without_stub(home), **stand_in(home.parent, script)}

        def measured() -> dict[str, Any]:
            result = turn(**flood)
            return {**result, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # which the child begins with
        result = isolated(measured)
        # The flood is cut in the middle of a line.
        assert result["status"] == "bad_stream" and result["event_count"] == self.FLOOD // (len(line) + 1)
        assert len(json.dumps([result["events"], result["items"]])) < 1.5 * (1 << 20)
        assert result["events_cut"] and result["events_dropped"] > 0.9 * result["event_count"]
        assert result["peak"] - before < 60


def real_without_stub(home: Path) -> dict[str, Any]:
    return {"prompt": "x", "root": str(home.parent), "workspace": home.name}


class TestResuming:
    GONE = "01999999-1111-7222-8333-444455556666"

    def test_a_pruned_thread_is_told(self, run: Turn) -> None:
        result = run("[[say:x]]", thread_id=self.GONE)
        assert (result["status"], result["reason"]) == ("exited", "thread_gone") and self.GONE in result["msg"]

    def test_a_pruned_thread_is_started_afresh_on_request(self, run: Turn) -> None:
        result = run("[[say:fresh]]", thread_id=self.GONE, thread_missing="start", thread_source="cli")
        assert (result["status"], result["resumed"], result["final_response"]) == ("completed", False, "fresh")
        assert result["thread_id"] not in (None, self.GONE)

    def test_a_thread_in_use_is_told_from_one_that_is_gone(self, run: Turn, stub: ResponsesStub) -> None:
        thread_id = run("[[say:x]]")["thread_id"]
        before = len(stub.requests())
        first: list[dict[str, Any]] = []
        writer = threading.Thread(target=lambda: first.append(run("[[stall]]", thread_id=thread_id, timeout=6)))
        writer.start()
        wait_until(lambda: len(stub.requests()) > before)
        second = run("[[say:y]]", thread_id=thread_id)
        writer.join()
        assert second["reason"] == "thread_busy", second
        assert first[0]["status"] == "timed_out"


class TestSecrets:
    def test_the_key_is_redacted_wherever_it_appears(self, run: Turn, home: Path) -> None:
        env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "MY_TOKEN": "hush-hush-hush", "PLAIN": "visible"}
        result = run(
            "[[run:echo $CODEX_API_KEY $MY_TOKEN $PLAIN]] [[output]]", env=env, events_path=str(home / "raw.jsonl")
        )
        everything = json.dumps(result) + (home / "raw.jsonl").read_text()
        assert FAKE_KEY not in everything and "hush-hush-hush" not in everything
        assert "******** ******** visible" in result["final_response"]
        assert [warning for warning in result["warnings"] if "protect_api_key" in warning]

    def test_the_key_can_be_kept_from_the_models_commands(self, run: Turn) -> None:
        result = run("[[run:env]] [[output]]", protect_api_key=True)
        assert "CODEX_API_KEY" not in result["final_response"] and result["warnings"] == []

    def test_an_env_without_path_earns_a_warning(self, run: Turn, home: Path) -> None:
        result = run("[[say:x]]", env={"HOME": str(home)}, api_key=None)
        assert [warning for warning in result["warnings"] if "PATH" in warning]


class TestTasks:
    """Through ansible-playbook, on this machine."""

    @pytest.fixture
    def play(self, stub: ResponsesStub, home: Path, tmp_path: Path) -> Callable[..., Play]:
        def play(options: dict[str, Any], **more: Any) -> Play:
            given = {**real(stub), "root": str(home.parent), "workspace": home.name, **options}
            return Play(tmp_path, given, variables=LOCAL, **more)

        return play

    def test_events_reach_the_terminal_and_the_result(self, play: Callable[..., Play]) -> None:
        task = play({"prompt": "[[run:printf 'a\\033[31mb']] [[say:all done\x1b[2J]]"})
        result = task.run()
        assert (result["status"], result["changed"], result["failed"]) == ("completed", True, False)
        shown = [line for line in task.stderr.splitlines() if line.startswith("[localhost acme] ")]
        assert [line for line in shown if "$ " in line] and [line for line in shown if "says: all done" in line]
        assert [line for line in shown if "completed: " in line] and "\x1b" not in "".join(shown)
        quiet = play({"prompt": "[[say:x]]", "show": "none"})
        assert quiet.run()["status"] == "completed" and "says:" not in quiet.output

    def test_check_mode_tells_the_vector_and_runs_nothing(self, play: Callable[..., Play], home: Path) -> None:
        result = play({"prompt": "[[say:x]]", "model": "m", "timeout": "5"}).run("--check")
        assert (result["status"], result["changed"]) == ("not_run", False)
        assert result["argv"][1:3] == ["exec", "--experimental-json"] and "m" in result["argv"]
        assert list(home.iterdir()) == []

    def test_async_returns_the_parsed_events(self, play: Callable[..., Play]) -> None:
        result = play({"prompt": "[[say:later]]"}, keywords={"async": 60, "poll": 1}).run()
        assert (result["status"], result["final_response"]) == ("completed", "later"), result
        assert result["events"][0]["type"] == "thread.started"

    def test_the_limit_of_async_leaves_nothing(self, play: Callable[..., Play]) -> None:
        result = play({"prompt": "[[run:sleep 4713]]"}, keywords={"async": 8, "poll": 1}).run()
        assert result["failed"]
        wait_until(lambda: "sleep 4713" not in command_lines())

    @pytest.mark.parametrize("keywords", [{}, {"async": 60, "poll": 1}], ids=["plain", "async"])
    def test_no_file_and_no_output_ever_holds_a_secret(
        self, play: Callable[..., Play], tmp_path: Path, keywords: dict[str, Any]
    ) -> None:
        kept = {
            "ANSIBLE_KEEP_REMOTE_FILES": "1",
            "ANSIBLE_PIPELINING": "0",
            "ANSIBLE_REMOTE_TMP": str(tmp_path / "remote"),
        }
        task = play({"prompt": "[[say:x]]"}, keywords=keywords, settings=kept)
        arguments = json.loads((tmp_path / "play.json").read_text())
        arguments[0]["tasks"][0]["alive.codex.codex_exec"]["api_key"] = "{{ lookup('ansible.builtin.env', 'THE_KEY') }}"
        (tmp_path / "play.json").write_text(json.dumps(arguments))
        task.env["THE_KEY"] = "sk-fake-only-in-memory"
        task.env["ANSIBLE_ASYNC_DIR"] = str(tmp_path / "async")
        result = task.run("-vvvv")
        assert result["status"] == "completed", result
        assert [path for path in (tmp_path / "remote").rglob("*") if path.is_file()], "the module's files were kept"
        assert "sk-fake-only-in-memory" not in task.output + json.dumps(result)
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or b"sk-fake-only-in-memory" not in path.read_bytes(), path

    def test_a_retry_goes_on_in_the_thread(self, play: Callable[..., Play]) -> None:
        keywords = {"until": "turn.resumed", "retries": 2, "delay": 0}
        result = play({"prompt": "[[say:again]]"}, keywords=keywords).run()
        assert result["resumed"] and result["attempts"] == 2

    def test_files_of_the_control_node(self, play: Callable[..., Play], stub: ResponsesStub, tmp_path: Path) -> None:
        (tmp_path / "prompt.txt").write_text('[[json:{"ok": false}]]')
        (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
        (tmp_path / "dot.png").write_bytes(PNG)
        options = {"prompt_src": "prompt.txt", "output_schema_src": "schema.json", "images_src": ["dot.png"]}
        result = play({name: relative(tmp_path, value) for name, value in options.items()}).run()
        assert result["structured_response"] == {"ok": False}, result
        assert "data:image/png;base64," in json.dumps(stub.requests()[-1]["body"]["input"])
        image = Path(result["argv"][result["argv"].index("--image") + 1])
        assert not image.exists() and not image.parent.exists()

    def test_the_playbook(self, play: Callable[..., Play], stub: ResponsesStub, home: Path) -> None:
        task = play({"prompt": "unused"})
        codex = {
            "codex_hosts": "localhost",
            "codex_cli_bin": str(native_codex()),
            "codex_workspaces_root": str(home.parent),
            "base_url": stub.base_url,
        }
        given = {"workspace": home.name, "prompt": "[[say:from the playbook]]", "skip_git_repo_check": True}
        task.argv[-1] = "alive.codex.exec"
        task.argv += [
            "-e",
            "ansible_become=false",
            "-e",
            json.dumps({**given, **codex, "api_key": FAKE_KEY}),
        ]
        done = subprocess.run(task.argv, env=task.env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0 and done.stdout.count("from the playbook") == 1, done.stdout + done.stderr
        assert FAKE_KEY not in done.stderr + done.stdout

    def test_what_makes_no_sense_is_refused(self, play: Callable[..., Play]) -> None:
        assert "one of prompt" in play({"prompt": "x", "input": [{"type": "text", "text": "y"}]}).run()["msg"]
        assert "quote it" in play({"prompt": "x", "env": {"A": True}}).run()["msg"]
        assert "prompt_src cannot be read" in play({"prompt_src": "/nonexistent"}).run()["msg"]


@pytest.mark.root
def test_many_turns_at_once(stub: ResponsesStub, open_dir: Path, tmp_path: Path) -> None:
    """Twenty tenants, up to ten turns each: every turn in its own HOME and thread, and a supervisor costs little."""
    turns, tenants = int(os.environ.get("ALIVE_TURNS", "12")), 20
    for number in range(tenants):
        (open_dir / f"ws{number}").mkdir(mode=0o700)
        os.chown(open_dir / f"ws{number}", UID + 1000 + number, UID + 1000 + number)
    hosts = {f"turn{number}": {**LOCAL, "ws": f"ws{number % tenants}"} for number in range(turns)}
    (tmp_path / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    options = {"workspace": "{{ ws }}", "root": str(open_dir), "prompt": "[[delay:5]] [[run:pwd]] [[output]]"}
    play = Play(tmp_path, {**real(stub), **options}, str(tmp_path / "inventory.json"), {})
    memory: dict[int, float] = {}
    with play.start("--forks", str(turns)) as process:
        output = threading.Thread(target=process.communicate)
        output.start()
        while output.is_alive():
            for path in Path(tempfile.gettempdir()).glob("alive-codex-*/pid"):
                with contextlib.suppress(OSError, ValueError):
                    pid = int(path.read_text())
                    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                    own = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
                    memory[pid] = max(memory.get(pid, 0), own)
            output.join(0.2)
    results = [json.loads((tmp_path / f"{name}.json").read_text()) for name in hosts]
    assert [result["status"] for result in results] == ["completed"] * turns, results
    assert [result["final_response"].strip() for result in results] == [str(open_dir / v["ws"]) for v in hosts.values()]
    assert len({result["thread_id"] for result in results}) == turns
    print(f"{len(memory)} supervisors, at most {max(memory.values()):.1f} MiB each")
    assert len(memory) >= turns and max(memory.values()) < 40


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def relative(directory: Path, value: Any) -> Any:
    return [str(directory / name) for name in value] if isinstance(value, list) else str(directory / value)


def command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_text(errors="replace").replace("\0", " ").strip()


def wait_until(condition: Callable[[], bool], limit: float = 20) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
