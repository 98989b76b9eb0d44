"""Turns as tasks: the module and its action, through ``ansible-playbook`` on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.module_utils._host.proc import descendants
from support.packages import native_codex
from support.plays import LOCAL, Play
from support.stub import FAKE_KEY, ResponsesStub
from support.turns import PNG, SCHEMA, TENANT, command_line, command_lines, make_home, real, stand_in, wait_until


@pytest.fixture
def home(open_dir: Path) -> Path:
    return make_home(open_dir, "acme")


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

    def test_events_reach_a_program_as_they_come(self, play: Callable[..., Play], home: Path, tmp_path: Path) -> None:
        """The command waits for the line that tells of it, which must be there while the turn runs."""
        live = tmp_path / "live.jsonl"
        flag = home / "seen"
        task = play(
            {
                "prompt": f"[[run:until [ -e {flag} ]; do sleep 0.05; done; printf 'a\\033[31mb']] [[say:done\x1b[2J]]",
                "live_path": str(live),
                "show": "none",
                "timeout": 60,
            }
        )

        def lines() -> list[dict[str, Any]]:
            return [json.loads(line) for line in live.read_text().splitlines()] if live.exists() else []

        with task.start() as process:
            wait_until(lambda: any(line["type"] == "item.started" for line in lines()), 60)
            assert process.poll() is None and lines()[-1]["item"]["status"] == "in_progress"
            flag.touch()
            flag.chmod(0o644)
            _stdout, errors = process.communicate(timeout=60)
        result = json.loads((tmp_path / "localhost.json").read_text())
        assert result["status"] == "completed" and "says:" not in errors, result
        told = lines()
        assert {(line["host"], line["workspace"], line["thread_id"]) for line in told} == {
            ("localhost", home.name, result["thread_id"])
        }
        assert [line["type"] for line in told[:2]] == ["thread.started", "turn.started"]
        assert all(line.get("text", "").isprintable() for line in told)
        ended = [line["item"] for line in told if line["type"] == "item.completed"]
        assert [item["type"] for item in ended] == ["command_execution", "agent_message"]
        assert ended == result["thread_items"]
        assert told[-1]["type"] == "result" and told[-1]["usage"] == result["usage"]
        assert [line["time"] for line in told] == sorted(line["time"] for line in told)
        assert live.stat().st_mode & 0o777 == 0o600

    def test_a_program_is_told_how_many_events_it_was_not_told_of(
        self, play: Callable[..., Play], open_dir: Path, tmp_path: Path
    ) -> None:
        """The last events among them, after which nothing comes but the result."""
        item = '{"type":"item.completed","item":{"id":"%s","type":"reasoning","text":"x"}}\\n'
        script = f"""cat >/dev/null; echo '{{"type":"thread.started","thread_id":"t"}}'
            for i in $(seq 300); do printf '{item}' $i; done; echo '{{"type":"turn.completed","usage":{{}}}}'"""
        live = tmp_path / "live.jsonl"
        result = play({"prompt": "x", "live_path": str(live), **stand_in(open_dir, script)}).run()
        lines = [json.loads(line) for line in live.read_text().splitlines()]
        assert result["status"] == "completed" and result["event_count"] == 302, result
        told = sum("type" in line for line in lines[:-1])
        assert told < 302 and told + sum(line.get("dropped", 0) for line in lines) == 302

    def test_a_program_is_told_of_a_turn_that_never_began(self, play: Callable[..., Play], tmp_path: Path) -> None:
        live = tmp_path / "live.jsonl"
        assert play({"prompt": "x", "live_path": str(live), "codex_path": "/nowhere/codex"}).run()["failed"]
        [line] = map(json.loads, live.read_text().splitlines())
        assert (line["type"], line["status"]) == ("result", "spawn_failed") and "/nowhere/codex" in line["msg"]
        refused = play({"prompt": "x", "live_path": str(tmp_path)}).run()
        assert refused["failed"] and "live_path cannot be written on the control node" in refused["msg"]
        late = play({"prompt": "x", "live_path": str(live)}, keywords={"async": 60, "poll": 1}).run()
        assert late["failed"] and "leave out async, or live_path" in late["msg"]

    def test_check_mode_tells_the_vector_and_runs_nothing(self, play: Callable[..., Play], home: Path) -> None:
        result = play({"prompt": "[[say:x]]", "model": "m", "timeout": "5"}).run("--check")
        assert (result["status"], result["changed"]) == ("not_run", False)
        assert result["argv"][1:3] == ["exec", "--experimental-json"] and "m" in result["argv"]
        assert list(home.iterdir()) == []

    def test_async_returns_the_parsed_events(self, play: Callable[..., Play]) -> None:
        result = play({"prompt": "[[say:later]]"}, keywords={"async": 60, "poll": 1}).run()
        assert (result["status"], result["final_response"]) == ("completed", "later"), result
        assert result["events"][0]["type"] == "thread.started"

    def test_the_limit_of_async_leaves_nothing(self, play: Callable[..., Play], tmp_path: Path) -> None:
        limited = play({"prompt": "[[run:sleep 4713]]"}, keywords={"async": 8, "poll": 1})
        limited.env["TMPDIR"] = str(tmp_path)  # Ansible kills the module there, and leaves what it unpacked it into
        result = limited.run()
        assert result["failed"]
        wait_until(lambda: "sleep 4713" not in command_lines())

    @pytest.mark.parametrize(
        "keywords", [{}, {"async": 60, "poll": 1}, {"check_mode": True}], ids=["plain", "async", "check mode"]
    )
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
        assert result["status"] == ("not_run" if "check_mode" in keywords else "completed"), result
        assert [path for path in (tmp_path / "remote").rglob("*") if path.is_file()], "the module's files were kept"
        assert "sk-fake-only-in-memory" not in task.output + json.dumps(result)
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or b"sk-fake-only-in-memory" not in path.read_bytes(), path

    def test_a_retry_goes_on_in_the_thread(self, play: Callable[..., Play]) -> None:
        keywords = {"until": "turn.resumed", "retries": 2, "delay": 0}
        result = play({"prompt": "[[say:again]]"}, keywords=keywords).run()
        assert result["resumed"] and result["attempts"] == 2

    def test_files_of_the_control_node(self, play: Callable[..., Play], stub: ResponsesStub, tmp_path: Path) -> None:
        """The images as ad hoc commands name them, in one string."""
        (tmp_path / "prompt.txt").write_text('[[json:{"ok": false}]]')
        (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
        for name in ("dot.png", "other.png"):
            (tmp_path / name).write_bytes(PNG)
        images = f"{tmp_path / 'dot.png'},{tmp_path / 'other.png'}"
        options = {"prompt_src": str(tmp_path / "prompt.txt"), "output_schema_src": str(tmp_path / "schema.json")}
        result = play({**options, "images_src": images}).run()
        assert result["structured_response"] == {"ok": False}, result
        assert json.dumps(stub.requests()[-1]["body"]["input"]).count("data:image/png;base64,") == 2
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


class Peaks:
    """A play run to its end on this machine, and the most memory in MiB that either side ever had. Pages that processes
    share count for each. ``where`` is the directory for the target's temporary files."""

    def __init__(self, play: Play, where: Path, *arguments: str) -> None:
        self.control = 0.0  # ansible-playbook and the workers it has at a time
        self.target: dict[int, float] = {}  # each supervisor, by its PID
        play.env["TMPDIR"] = str(where)
        with play.start(*arguments) as process:
            output = threading.Thread(target=process.communicate)
            output.start()
            while output.is_alive():
                workers = (pid for pid in descendants(process.pid) if "ansible-playbook" in command_line(pid))
                self.control = max(self.control, sum(peaks([process.pid, *workers]).values()))
                self.target |= peaks(supervisors(where))
                output.join(0.1)


def supervisors(where: Path) -> Iterator[int]:
    for path in where.glob("alive-codex-*/pid"):
        with contextlib.suppress(OSError, ValueError):
            yield int(path.read_text())


def peaks(pids: Iterable[int]) -> dict[int, float]:
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            if "\nVmHWM:" in status:
                found[pid] = int(status.partition("\nVmHWM:")[2].split()[0]) / 1024
    return found


# The whole of it where time is no matter.
FLOOD = (1 << 30) if os.environ.get("ALIVE_TRIALS") else (1 << 28)


def test_a_flood_of_events_costs_bounded_memory(home: Path, tmp_path: Path) -> None:
    item = {"id": "item_1", "type": "command_execution", "command": "ls -la", "aggregated_output": "x" * 900}
    line = json.dumps({"type": "item.completed", "item": {**item, "exit_code": 0, "status": "completed"}})
    # The flood is cut in the middle of a line.
    script = f"yes '{line}' | head -c {FLOOD}; echo; echo '{{\"type\": \"turn.completed\"}}'"
    options = {"prompt": "x", "root": str(home.parent), "workspace": home.name, **stand_in(home.parent, script)}
    memory = Peaks(Play(tmp_path, options, variables=LOCAL), home.parent)
    result = json.loads((tmp_path / "localhost.json").read_text())
    assert result["status"] == "bad_stream" and result["event_count"] == FLOOD // (len(line) + 1)
    assert len(json.dumps([result["events"], result["thread_items"]])) < 1.5 * (1 << 20)
    assert result["events_cut"] and result["events_dropped"] > 0.9 * result["event_count"]
    [target] = memory.target.values()
    print(f"{FLOOD >> 20} MiB of events: {memory.control:.1f} MiB on the control node, {target:.1f} MiB on the target")
    assert 0 < memory.control < 200 and 0 < target < 150


@pytest.mark.root
def test_many_turns_at_once(stub: ResponsesStub, open_dir: Path, tmp_path: Path) -> None:
    """Twenty tenants, up to ten turns each: every turn in its own HOME and thread, and a supervisor costs little."""
    turns, tenants = int(os.environ.get("ALIVE_TURNS", "12")), 20
    for number in range(tenants):
        make_home(open_dir, f"ws{number}", TENANT + 1000 + number)
    hosts = {f"turn{number}": {**LOCAL, "ws": f"ws{number % tenants}"} for number in range(turns)}
    (tmp_path / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    options = {"workspace": "{{ ws }}", "root": str(open_dir), "prompt": "[[delay:5]] [[run:pwd]] [[output]]"}
    play = Play(tmp_path, {**real(stub), **options}, str(tmp_path / "inventory.json"), {})
    memory = Peaks(play, open_dir, "--forks", str(turns)).target
    results = [json.loads((tmp_path / f"{name}.json").read_text()) for name in hosts]
    assert [result["status"] for result in results] == ["completed"] * turns, results
    assert [result["final_response"].strip() for result in results] == [str(open_dir / v["ws"]) for v in hosts.values()]
    assert len({result["thread_id"] for result in results}) == turns
    print(f"{len(memory)} supervisors, at most {max(memory.values()):.1f} MiB each")
    assert len(memory) >= turns and max(memory.values()) < 40
