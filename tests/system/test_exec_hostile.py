"""Whoever controls the CLI's output, or kills what watches it, gets a result with a status, clean words, and no more of
the host than a turn may have."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats.text import one_line
from ansible_collections.alive.codex.plugins.module_utils._turn import events, lease, prepare, run
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hostile import MIB, STREAMS, Turns, pieces
from support.modules import run_module
from support.plays import LOCAL, Play
from support.turns import SCHEMA, Unwatched, isolated, make_home, run_turn, stand_in, turn, wanted

STATUSES = {
    "completed",
    "failed",
    "exited",
    "killed",
    "timed_out",
    "aborted",
    "bad_stream",
    "incomplete",
    "invalid_response",
}
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MEMORY = 200 * MIB
STARTED = '{"type":"thread.started","thread_id":"01a21cce-5993-72c0-9f0d-1def36ad06c3"}'
THREAD = "01a21cce-5993-72c0-9f0d-1def36ad06c3"
COMPLETED = '{"type":"turn.completed","usage":{"input_tokens":1}}'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for the CLI that writes what lies beside it, piece by piece, as slowly as its last argument says."""
    directory = tmp_path_factory.mktemp("hostile")
    stand_in(directory, f"cd {directory}; . ./program")
    return directory


@pytest.fixture(scope="module")
def turns() -> Iterator[Turns]:
    with Turns() as running:
        yield running


def texts_for_people(result: dict[str, Any]) -> list[str]:
    return [*filter(None, (result.get("msg"), result["stderr"])), *result.get("warnings", []), *result["errors"]]


@settings(max_examples=int(os.environ.get("ALIVE_HOSTILE", "100")))
@given(STREAMS, st.binary(max_size=30), st.sampled_from([0] * 6 + [1, 101]), st.sampled_from([None] * 9 + [0.3]))
def test_any_stream_has_a_clean_result_within_its_limits(
    turns: Turns,
    place: Path,
    stream: tuple[list[bytes], bytes, list[float]],
    stderr: bytes,
    rc: int,
    timeout: float | None,
) -> None:
    written = pieces(*stream)
    for number, piece in enumerate(written):
        (place / f"piece{number}").write_bytes(piece)
    (place / "stderr").write_bytes(stderr)
    program = [f"cat piece{number}" for number in range(len(written))]
    last = "exec sleep 600" if timeout else f"exit {rc}"
    (place / "program").write_text("\n".join(["cat stderr >&2", *program, last]))
    result, shown, memory = turns.run(
        prompt="x",
        codex_path=str(place / "codex"),
        working_directory="/",
        timeout=timeout or 60,
        output_schema=None,
        events_path=str(place / "events.jsonl"),
    )
    assert result["status"] in STATUSES, result["status"]
    assert result["reason"] != run.INTERNAL_ERROR, result["msg"]
    assert memory < MEMORY, f"{memory // MIB} MiB"
    assert result["duration"] < (timeout or 60) + 5, "the limit of time was not kept"
    assert not (result["status"] == "completed" and timeout)
    for text in (*texts_for_people(result), *(one_line(each, events.CUT_LENGTH) for each in shown)):
        assert not CONTROL.search(text) and len(text) <= 64 * 1024
    assert result["thread_id"] is None or result["thread_id"].isascii()
    assert isinstance(result["final_response"], str) and isinstance(result["usage"], (dict, type(None)))


@pytest.mark.parametrize("kind", ["command_execution", "agent_message"])
@pytest.mark.parametrize("unit", ["\u0101", "x\U0001f600", "\\u0101"])
def test_the_longest_line_costs_no_more_whatever_is_in_it(turns: Turns, place: Path, kind: str, unit: str) -> None:
    head = f'{STARTED}\n{{"type":"item.completed","item":{{"type":"{kind}","text":"'.encode()
    size = events.LINE_LIMIT - 1024
    (place / "line").write_bytes(head + unit.encode() * (size // len(unit.encode())) + b'"}}\n')
    (place / "program").write_text(f"cat line; echo '{COMPLETED}'")
    result, _shown, memory = turns.run(
        prompt="x", codex_path=str(place / "codex"), working_directory="/", events_path=str(place / "events.jsonl")
    )
    assert memory < MEMORY, f"{memory // MIB} MiB"
    assert result["thread_id"] == THREAD and result["thread_items"] == []
    if kind == "agent_message":
        assert result["status"] == "bad_stream" and "message of the agent that cannot be read" in result["msg"]
    else:
        assert result["status"] == "completed" and "too large to be read" in result["warnings"][-1]
    with (place / "events.jsonl").open("rb") as kept:
        assert kept.read(len(head)) == head and os.fstat(kept.fileno()).st_size > size


def test_a_thread_is_told_of_once_however_often_it_begins(open_dir: Path) -> None:
    """It is what must not be lost, and so what nothing else holds back."""
    (open_dir / "events").write_text(f"{STARTED}\n" * 100_000)

    def told() -> int:
        given = {"prompt": "x", "working_directory": "/", **stand_in(open_dir, f"cat {open_dir}/events")}
        prepared = prepare.prepare(wanted(**given), str(open_dir))
        lines: list[dict[str, Any]] = []
        link = Unwatched()
        link.show = lines.append  # type: ignore[method-assign]
        run_turn(prepared, link)
        return len(lines)

    assert isolated(told) == 1


def test_time_is_up_even_while_there_is_more_to_read(place: Path, turns: Turns) -> None:
    (place / "program").write_text("yes '{}'")
    result, _shown, memory = turns.run(
        prompt="x", codex_path=str(place / "codex"), working_directory="/", timeout=1, events="none"
    )
    assert (result["status"], result["reason"]) == ("timed_out", "timeout")
    assert result["duration"] < 6 and memory < MEMORY


class Slow(Unwatched):
    """Takes longer for an event than the whole turn may take."""

    def show(self, line: dict[str, Any]) -> None:
        time.sleep(0.5)

    def ready(self) -> bool:
        return True


def test_a_turn_beyond_its_limit_is_never_completed(open_dir: Path) -> None:
    def over() -> dict[str, Any]:
        given = {
            "prompt": "x",
            "working_directory": "/",
            "timeout": 0.4,
            **stand_in(open_dir, f"echo '{STARTED}\n{COMPLETED}'"),
        }
        prepared = prepare.prepare(wanted(**given), str(open_dir))
        return run_turn(prepared, Slow())

    result = isolated(over)
    assert (result["status"], result["reason"]) == ("timed_out", "timeout"), result
    assert result["thread_id"] == THREAD


def test_a_pattern_that_never_ends_does_not_hold_the_turn(open_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "CHECK_SECONDS", 0.3)
    text = {"type": "item.completed", "item": {"type": "agent_message", "text": json.dumps("a" * 40 + "!")}}
    script = f"echo '{json.dumps(text)}\n{COMPLETED}'"
    schema = {"type": "string", "pattern": "^(a+)+$"}
    result = isolated(
        lambda: turn(prompt="x", working_directory="/", output_schema=schema, **stand_in(open_dir, script))
    )
    assert result["status"] == "invalid_response" and "took longer" in result["msg"]


@pytest.mark.parametrize(
    "text", ["[" * 50_000, "[],".join(["["] + [""] * 300_000) + "1]", "9" * 5000, '{"ok": 1e400}', "5"]
)
def test_a_response_that_does_not_fit_is_told_whatever_it_is(open_dir: Path, text: str) -> None:
    event = {"type": "item.completed", "item": {"type": "agent_message", "text": text}}
    (open_dir / "events").write_text(f"{json.dumps(event)}\n{COMPLETED}\n")
    script = f"cat {open_dir}/events"
    result = isolated(
        lambda: turn(prompt="x", working_directory="/", output_schema=SCHEMA, **stand_in(open_dir, script))
    )
    assert (result["status"], result["final_response"]) == ("invalid_response", text)


class TestWhoFailed:
    def test_a_fault_of_ours_says_so_and_keeps_the_thread(
        self, open_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        note = events.Stream._note

        def broken(self: events.Stream, event: dict[str, Any]) -> None:
            note(self, event)
            if event["type"] == "turn.started":
                raise RuntimeError("\x1b[31mof ours")

        monkeypatch.setattr(events.Stream, "_note", broken)
        script = f"echo '{STARTED}'; echo '{{\"type\":\"turn.started\"}}'; sleep 600"
        result = isolated(lambda: turn(prompt="x", working_directory="/", **stand_in(open_dir, script)))
        assert (result["status"], result["reason"]) == ("aborted", "internal_error")
        assert result["thread_id"] == THREAD and result["failed"] and result["changed"]
        assert "fault of codex_exec itself" in result["msg"] and r"RuntimeError: \x1b[31mof ours" in result["msg"]

    def test_a_supervisor_that_is_killed_is_told_from_a_lost_connection(self, open_dir: Path) -> None:
        script = f"echo '{STARTED}'; until [ -s {open_dir}/events ]; do sleep 0.02; done; sleep 0.2; kill -9 $PPID"
        options = {
            "prompt": "x",
            "working_directory": "/",
            "events_path": str(open_dir / "events"),
            **stand_in(open_dir, script),
        }
        attached = run_module("codex_exec", options)
        assert (attached["status"], attached["reason"]) == ("aborted", "supervisor_killed"), attached
        assert attached["thread_id"] == THREAD and attached["failed"]
        watched = Play(open_dir / "play", options, variables=LOCAL).run()
        assert (watched["status"], watched["reason"]) == ("aborted", "supervisor_killed"), watched
        assert watched["thread_id"] == THREAD and not watched.get("unreachable")

    def test_a_result_without_room_is_told_from_a_lost_connection(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The control node's part is what any other line goes through."""
        directory = lease.make_directory(str(tmp_path))

        def full(*_arguments: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(lease, "write_file", full)

        def deliver() -> dict[str, Any]:
            reader = os.open(f"{directory}/live", os.O_RDONLY | os.O_NONBLOCK)
            link = lease.Detached(directory, grace=0.5)
            link.deliver({"status": "completed", "thread_id": THREAD, "final_response": "x" * 10**7, "events": []})
            answer: dict[str, Any] = json.loads(os.read(reader, 65536).splitlines()[0])
            return answer

        result = isolated(deliver)
        assert (result["status"], result["reason"], result["failed"]) == ("aborted", "result_lost", True)
        assert result["thread_id"] == THREAD and "No space left on device" in result["msg"]


class TestNoLog:
    """What is declared to be secret is in no result and no output, whatever its name and length."""

    SECRETS = ("hunter2", "http://me:proxy-pass@proxy:3128", "/only/here/bin", "q7")

    @pytest.mark.parametrize("way", ["piped", "files", "async"])
    def test_no_value_of_a_variable_is_ever_repeated(self, open_dir: Path, tmp_path: Path, way: str) -> None:
        password, proxy, path, short = self.SECRETS
        script = f"echo '{STARTED}\n{COMPLETED}'"
        options = {
            "prompt": "x",
            "working_directory": "/",
            "api_key": "k-6",
            "env": {"DB_PW": password, "PATH": f"{path}:/usr/bin:/bin", "NUMBER": 4711},
            "extra_env": {"HTTPS_PROXY": proxy, "X": short},
            **stand_in(open_dir, script),
        }
        settings = {
            "ANSIBLE_PIPELINING": "0" if way == "files" else "1",
            "ANSIBLE_LOG_PATH": str(tmp_path / "log"),
            "ANSIBLE_ASYNC_DIR": str(tmp_path / "jobs" / ".ansible_async"),
            "ANSIBLE_REMOTE_TMP": str(tmp_path / "remote"),
        }
        keywords = {"async": 60, "poll": 1} if way == "async" else {}
        task = Play(tmp_path, options, variables=LOCAL, keywords=keywords, settings=settings)
        result = task.run("-vvvv")
        assert result["status"] == "completed", result
        for file in tmp_path.glob("jobs/.ansible_async/*"):
            task.output += file.read_text()
        told = json.dumps(result) + task.output + (tmp_path / "log").read_text()
        found = [secret for secret in (password, proxy, "proxy-pass", path, "4711", '"k-6"', '"q7"') if secret in told]
        assert not found, f"in clear: {found}"


@pytest.mark.root
def test_words_of_a_tenant_reach_the_terminal_clean(open_dir: Path, tmp_path: Path) -> None:
    home = make_home(open_dir, "acme")
    attack = "\\u001b]0;owned\\u0007\\u001b[2J\\u202e"
    lines = [
        STARTED,
        f'{{"type":"error","message":"{attack}"}}',
        f'{{"type":"item.completed","item":{{"type":"{attack}"}}}}',
        f'{{"type":"turn.failed","error":{{"message":"{attack}{"x" * 90_000}"}}}}',
    ]
    (open_dir / "events").write_text("\n".join(lines) + "\n")
    (open_dir / "events").chmod(0o644)
    options = {
        "prompt": "x",
        "root": str(open_dir),
        "workspace": home.name,
        "events": "none",  # they are data, and stay as they are
        "output_schema": {"type": "string", "\x1b[31mred": 1},
        **stand_in(open_dir, f"printf '\\033[2J\\033]0;err\\007' >&2; cat {open_dir}/events"),
    }
    task = Play(tmp_path, options, variables=LOCAL)
    result = task.run()
    assert result["status"] == "failed" and "owned" in result["msg"] and len(result["msg"]) < 11_000
    assert not CONTROL.search(task.output), task.output[:3000]
    assert any("red" in str(warning) for warning in result["warnings"])
