"""The local Responses stub, judged by the real Codex CLI."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.packages import native_codex
from support.stub import FAKE_KEY, PROGRAM, ResponsesStub
from support.turns import wait_until

# The default model runs commands from JavaScript, one whose metadata the CLI does not know calls a function.
MODELS: list[list[str]] = [[], ["--model", "gpt-5.1"]]
SCHEMA = {
    "type": "object",
    "properties": {
        "ok": {"type": "boolean"},
        "colour": {"enum": ["red", "green"]},
        "names": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "size": {"type": ["integer", "null"], "minimum": 3},
    },
    "required": ["ok", "colour", "names", "size"],
    "additionalProperties": False,
}


class Codex:
    """Runs turns of the real CLI against the stub, in a HOME of its own."""

    def __init__(self, stub: ResponsesStub, directory: Path) -> None:
        self.stub = stub
        self.home = directory / "home"
        self.home.mkdir()
        self.binary = str(native_codex())
        self.env = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "CODEX_API_KEY": FAKE_KEY,
        }

    def argv(self, *arguments: str) -> list[str]:
        fixed = ["exec", "--experimental-json", "--config", f'openai_base_url="{self.stub.base_url}"']
        fixed += ["--config", "features.plugins=false", "--sandbox", "danger-full-access", "--skip-git-repo-check"]
        return [self.binary, *fixed, "--cd", str(self.home), *arguments]

    def turn(self, prompt: str, *arguments: str, timeout: float = 120) -> tuple[int, list[dict[str, Any]]]:
        """The exit status and the events of one turn."""
        done = subprocess.run(
            self.argv(*arguments),
            input=prompt.encode(),
            env=self.env,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def start(self, prompt: str) -> subprocess.Popen[bytes]:
        """A turn that is not waited for."""
        script = self.home.parent / "prompt"
        script.write_text(prompt)
        with script.open("rb") as stdin:
            return subprocess.Popen(self.argv(), stdin=stdin, stdout=subprocess.PIPE, env=self.env)


@pytest.fixture
def codex(stub: ResponsesStub, tmp_path: Path) -> Codex:
    return Codex(stub, tmp_path)


def items(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    found = [event["item"] for event in events if event["type"] == "item.completed"]
    return [item for item in found if item["type"] == kind]


def answers(events: list[dict[str, Any]]) -> list[str]:
    return [item["text"] for item in items(events, "agent_message")]


def test_a_plain_prompt_is_answered_by_a_stub_that_says_so(codex: Codex) -> None:
    rc, events = codex.turn("What is the capital of France?")
    assert rc == 0
    (answer,) = answers(events)
    assert "stub" in answer and "6 words" in answer and "turn 1" in answer
    usage = events[-1]["usage"]
    assert usage["input_tokens"] > 1000 and usage["output_tokens"] > 10 and usage["cached_input_tokens"] == 0


def test_a_resumed_thread_is_told_from_a_new_one(codex: Codex) -> None:
    _ignored, first = codex.turn("[[say:one]]")
    rc, second = codex.turn("And now?", "resume", first[0]["thread_id"])
    assert rc == 0 and second[0]["thread_id"] == first[0]["thread_id"]
    assert "turn 2" in answers(second)[0]
    assert second[-1]["usage"]["cached_input_tokens"] > 0


def test_websocket_upgrade_is_refused_so_that_https_follows_at_once(codex: Codex) -> None:
    rc, events = codex.turn("[[say:hi]]")
    assert rc == 0 and answers(events) == ["hi"]
    assert codex.stub.recorded().count('"method":"GET","path":"/v1/responses"') == 1  # the CLI alone would try again


def test_a_program_runs_step_by_step(codex: Codex) -> None:
    prompt = (
        "Look around. [[think:where am I]] [[say:Looking.]] [[run:pwd; echo seen > file]]"
        " [=[run:grep '[[:lower:]]' file; exit 3]=] [[output]] [[say:That is all.]]"
    )
    rc, events = codex.turn(prompt)
    assert rc == 0
    first, second = items(events, "command_execution")
    assert first["aggregated_output"].strip() == str(codex.home) and first["exit_code"] == 0
    assert second["aggregated_output"] == "seen\n" and second["exit_code"] == 3
    assert answers(events) == ["Looking.", "seen\n", "That is all."]
    assert [item["text"] for item in items(events, "reasoning")] == ["where am I"]
    assert (codex.home / "file").read_text() == "seen\n"


@pytest.mark.parametrize("model", MODELS)
def test_each_form_of_the_shell_tool(codex: Codex, model: list[str]) -> None:
    rc, events = codex.turn("[[run:echo $((6*7))]] [[output]]", *model)
    assert rc == 0
    (command,) = items(events, "command_execution")
    assert command["aggregated_output"] == "42\n"
    assert answers(events) == ["42\n"]


def test_a_long_command_and_its_grandchild_run_until_the_turn_is_killed(codex: Codex) -> None:
    child = codex.start("[[run:setsid sleep 600 & echo $! > grandchild; sleep 600]] [[say:never]]")
    try:
        mark = codex.home / "grandchild"

        def is_marked() -> bool:
            assert child.poll() is None
            return mark.exists() and bool(mark.read_text().strip())

        wait_until(is_marked)
        grandchild = int(mark.read_text())
        os.kill(grandchild, 0)
    finally:
        child.kill()
        child.communicate()
    os.kill(grandchild, signal.SIGKILL)


def test_a_command_longer_than_the_tools_own_patience_is_waited_for(codex: Codex) -> None:
    with ThreadPoolExecutor(2) as pool:
        for rc, events in pool.map(lambda model: codex.turn("[[run:sleep 6; echo woke]] [[output]]", *model), MODELS):
            assert rc == 0 and answers(events) == ["woke\n"]
    assert len(codex.stub.requests()) == 6  # the command, the wait for it, the answer


def test_structured_output(codex: Codex, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    rc, events = codex.turn("Describe it.", "--output-schema", str(schema))
    assert rc == 0
    assert json.loads(answers(events)[0]) == {"ok": False, "colour": "red", "names": ["stub"], "size": 3}
    _ignored, events = codex.turn('[=[json:{"a": [[1]]}]=]', "--output-schema", str(schema))
    assert json.loads(answers(events)[0]) == {"a": [[1]]}


def test_sizes_and_token_counts_are_as_told(codex: Codex) -> None:
    rc, events = codex.turn("[[usage:1000,800,50,20]] [[big:100000]]")
    assert rc == 0 and len(answers(events)[0]) == 100_000
    usage = events[-1]["usage"]
    assert (usage["input_tokens"], usage["cached_input_tokens"]) == (1000, 800)
    assert (usage["output_tokens"], usage["reasoning_output_tokens"]) == (50, 20)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("[[status:400]]", "told to answer 400"),
        ("[[status:429 insufficient_quota]]", "Quota exceeded"),
        ("[[status:429]]", "429 Too Many Requests"),
        ("[[fail:context_length_exceeded]]", "context window"),
        ("[[nonsense]]", "knows no directive [[nonsense]]"),
        ("[[delay:soon]]", "cannot read [[delay:soon]]"),
    ],
)
def test_a_turn_that_fails(codex: Codex, prompt: str, message: str) -> None:
    rc, events = codex.turn(prompt)
    assert rc == 1 and events[-1]["type"] == "turn.failed"
    assert message in events[-1]["error"]["message"]


@pytest.mark.parametrize(
    "fault", ["[[status*1:500]]", "[[status*1:503]]", "[[drop*1]]", "[[malformed]][[drop*1]]", "[[malformed]]"]
)
def test_a_fault_that_passes(codex: Codex, fault: str) -> None:
    rc, events = codex.turn(f"{fault} [[say:recovered]]")
    assert rc == 0 and answers(events) == ["recovered"]


def test_a_fault_after_a_command_strikes_the_next_request(codex: Codex) -> None:
    rc, events = codex.turn("[[run:echo once >> log]] [[status:400]]")
    assert rc == 1 and events[-1]["type"] == "turn.failed"
    assert (codex.home / "log").read_text() == "once\n"


def test_a_connection_that_drops_in_mid_stream_is_an_event_not_the_end(codex: Codex) -> None:
    rc, events = codex.turn("[[say:half]] [[drop*1]] [[say:whole]]")
    assert rc == 0 and answers(events)[-1] == "whole"
    assert any(event["type"] == "error" and "Reconnecting" in event["message"] for event in events)


def test_a_stalled_turn_hangs_until_it_is_ended(codex: Codex) -> None:
    child = codex.start("[[say:before]] [[stall]]")
    assert child.stdout is not None
    seen = b""
    while b"before" not in seen:
        line = child.stdout.readline()
        assert line
        seen += line
    child.terminate()
    assert child.wait(10) == -signal.SIGTERM
    child.stdout.close()


def read_stream(stub: ResponsesStub, prompt: str) -> list[tuple[float, dict[str, Any]]]:
    """The events of one raw request, each with the moment it came."""
    body = json.dumps({"model": "m", "stream": True, "input": prompt}).encode()
    headers = {"Authorization": f"Bearer {FAKE_KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{stub.base_url}/responses", body, headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return [(time.monotonic(), json.loads(line[6:])) for line in response if line.startswith(b"data: ")]


def test_a_slow_stream_comes_in_pieces(stub: ResponsesStub) -> None:
    events = read_stream(stub, "[[delay:0.2]] [[pace:0.1]] [[say:one two three]]")
    deltas = [(moment, event["delta"]) for moment, event in events if event["type"] == "response.output_text.delta"]
    assert [text for _ignored, text in deltas] == ["one ", "two ", "three"]
    assert deltas[1][0] - deltas[0][0] > 0.05 and deltas[2][0] - deltas[1][0] > 0.05
    assert [event["sequence_number"] for _ignored, event in events] == list(range(len(events)))


def test_two_hundred_turns_at_once(stub: ResponsesStub) -> None:
    barrier = threading.Barrier(200, timeout=60)

    def one(number: int) -> str:
        barrier.wait()
        events = read_stream(stub, f"[[delay:0.5]] [[say:{number}]]")
        return next(event["text"] for _ignored, event in events if event["type"] == "response.output_text.done")

    with ThreadPoolExecutor(200) as pool:
        assert list(pool.map(one, range(200))) == [str(number) for number in range(200)]
    assert len(stub.requests()) == 200


def test_the_key_is_in_no_record(codex: Codex) -> None:
    rc, _ignored = codex.turn("[[run:env; echo $CODEX_API_KEY > key]] [[output]]")
    assert rc == 0
    key = (codex.home / "key").read_text().strip()
    assert FAKE_KEY not in codex.stub.recorded()
    mark = f"REDACTED-{hashlib.sha256(FAKE_KEY.encode()).hexdigest()[:12]}"
    first, second = codex.stub.requests()
    assert first["headers"]["authorization"] == f"Bearer {mark}"
    assert (mark in json.dumps(second["body"])) == (key == FAKE_KEY)  # a leak into the conversation stays visible


def test_models_and_unknown_paths(stub: ResponsesStub) -> None:
    with urllib.request.urlopen(f"{stub.base_url}/models", timeout=10) as response:
        assert json.load(response)["data"][0]["id"] == "stub"
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{stub.base_url}/nothing", timeout=10)
    assert error.value.code == 404
    error.value.close()


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RuntimeError) as error:
            ResponsesStub("--port", str(taken.getsockname()[1]))
    assert re.fullmatch(
        r"responses_stub: cannot listen on 127\.0\.0\.1:\d+: Address already in use\n", str(error.value)
    )


def test_it_stops_on_sigterm_and_ends_what_it_was_sending() -> None:
    with ResponsesStub() as stub, ThreadPoolExecutor(1) as pool:
        stalled = pool.submit(read_stream, stub, "[[stall]]")
        wait_until(lambda: bool(stub.requests()))
        stub.stop()
        assert [event["type"] for _ignored, event in stalled.result(timeout=10)] == ["response.created"]
    assert stub.process.returncode == 0


def test_it_dies_with_its_parent() -> None:
    parent = subprocess.Popen(["sleep", "600"])
    argv = [sys.executable, str(PROGRAM), "--parent", str(parent.pid)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as stub:
        assert stub.stdout is not None
        assert json.loads(stub.stdout.readline())["pid"] == stub.pid
        parent.kill()
        parent.wait()
        assert stub.wait(10) == 0


def test_in_the_background_it_says_where_it_listens() -> None:
    argv = [sys.executable, str(PROGRAM), "--background", "--parent", str(os.getpid())]
    done = subprocess.run(argv, capture_output=True, timeout=10, check=True)
    where = json.loads(done.stdout)
    with urllib.request.urlopen(f"http://127.0.0.1:{where['port']}/v1/models", timeout=10) as response:
        assert response.status == 200
    os.kill(where["pid"], signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{where['pid']}").exists())
