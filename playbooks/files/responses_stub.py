# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A local stand-in for the Responses API, so that the real Codex CLI can run a turn without a model.

NOT FOR PRODUCTION: there is no model behind it, it authenticates nobody, and it has the CLI run whatever a prompt says.

    responses_stub.py --port 4874    then    codex exec --config openai_base_url='"http://127.0.0.1:4874/v1"'

Once it listens it prints a line of JSON with its port and process ID.

What it answers is written in the prompt, as a program of directives that run in order. Without any, it says that it is
a stub, and answers a request that has an output schema with the least value that satisfies it.

    [[say:TEXT]]         an assistant message, streamed word by word; the last one of a turn is the final response
    [[think:TEXT]]       a summary of reasoning
    [[json:VALUE]]       an assistant message that is this JSON
    [[big:BYTES]]        an assistant message of so many bytes
    [[output]]           an assistant message that repeats what the last command printed
    [[run:COMMAND]]      a call of the CLI's shell tool: the CLI really runs it; the program goes on when it has ended
    [[call:NAME ARGS]]   a call of the function tool NAME (SPACE.NAME in a namespace) with these JSON arguments
    [[usage:I,C,O,R]]    token counts of each response from here on: input, cached input, output, reasoning
    [[delay:SECONDS]]    silence, then on
    [[pace:SECONDS]]     so long between two pieces of the messages that follow
    [[stall]]            silence until the client goes away
    [[status:CODE]]      an HTTP error such as 401, 429 or 500; `[[status:429 insufficient_quota]]` names the error, too
    [[fail:ERROR]]       the response fails (`response.failed`) with this error code
    [[malformed]]        an event whose JSON is cut off
    [[event:VALUE]]      this JSON as an event, whatever it is
    [[drop]]             the connection closes: before any answer where nothing was sent yet, else in mid-stream

`[[drop*2]]` happens to the first two requests that reach it, and is then left out; so with every directive. A text
that holds `]]` goes between longer brackets: `[=[run:[[ -f x ]] && ls]=]`. What follows a command belongs to the next
request: `[[run:ls]] [[status:500]]` fails the second. Where a turn stands is read from each request, never kept.
"""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import os
import re
import select
import signal
import sys
import threading
import time
import uuid
from typing import Any, Iterable, Iterator, NamedTuple

DIRECTIVE = re.compile(r"\[(=*)\[([a-z]+)(?:\*(\d+))?(?::(.*?))?\]\1\](?!\])", re.DOTALL)
# What the CLI itself puts into the conversation in the user's name.
NOT_THE_USER = re.compile(r"\s*(<(environment_context|user_instructions|turn_aborted|permissions|skill)|# AGENTS\.md)")
STILL_RUNNING = re.compile(r"(?:(Process) running with session|(Script) running with cell) ID (\w+)")
# What the CLI puts before a command's output: how it ended and how long it took.
OUTPUT_HEAD = re.compile(r"\A(?:Script|Chunk|Exit code|Process|Wall time)\b.*?^Output:\n+", re.DOTALL | re.MULTILINE)
MESSAGES = frozenset({"say", "json", "big", "output"})
SIMPLE = frozenset({"think", "usage", "delay", "pace", "stall", "fail", "malformed", "event", "drop", "status"})
CALLS = frozenset({"run", "call"})
ERRORS = {
    400: "invalid_request_error",
    401: "invalid_api_key",
    403: "unsupported_country_region_territory",
    404: "model_not_found",
    429: "rate_limit_exceeded",
    500: "server_error",
    503: "server_is_overloaded",
}
SECRET_HEADERS = frozenset({"authorization", "cookie", "x-api-key"})
LONGEST_COMMAND_MS = 3_600_000
YIELD_MS = 5_000


class BadProgram(Exception):
    """The prompt holds directives that make no sense; says which."""


class ClientGone(Exception):
    """The client closed the connection, or the stub stops."""


class Drop(Exception):
    """The program wants the connection closed."""


class Step(NamedTuple):
    """One directive. It happens to the first ``times`` requests that reach it; None: to all."""

    name: str
    value: str
    times: int | None


class Turn(NamedTuple):
    """Where a conversation stands: which turn it is, what its prompt says, and what is done of it."""

    number: int
    prompt: str
    steps: list[Step]
    position: int
    running: tuple[str, str] | None
    last_output: str


def parse_program(prompt: str) -> list[Step]:
    """The directives of a prompt, in their order. Raises BadProgram for one that is unknown or has a bad value."""
    steps = []
    for match in DIRECTIVE.finditer(prompt):
        name, value = match[2], match[4] or ""
        if name not in MESSAGES | SIMPLE | CALLS:
            raise BadProgram(f"the stub knows no directive [[{name}]]")
        try:
            if name in ("json", "event"):
                json.loads(value)
            elif name in ("delay", "pace"):
                float(value)
            elif name == "usage" and len([int(number) for number in value.split(",")]) != 4:
                raise ValueError("four numbers are wanted")
            elif name in ("big", "status"):
                int(value.split()[0])
            elif name == "call":
                json.loads(value.partition(" ")[2])
        except (ValueError, IndexError) as error:
            raise BadProgram(f"the stub cannot read [[{name}:{value}]]: {error}") from None
        steps.append(Step(name, value, int(match[3]) if match[3] else None))
    return steps


def text_of(content: Any) -> str:
    """The text of a message's content or of a tool's output, which are a string or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return text_of(content.get("content", ""))
    if isinstance(content, list):
        return "\n".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return ""


def read_turn(body: dict[str, Any]) -> Turn:
    """Reads the last prompt from a request, and from the tool outputs behind it how far its program has come."""
    items = body.get("input") or []
    if isinstance(items, str):
        items = [{"type": "message", "role": "user", "content": items}]
    number, prompt, position, running, last_output = 0, "", 0, None, ""
    for item in items:
        text = text_of(item.get("content"))
        if item.get("role") == "user" and not NOT_THE_USER.match(text):
            number, prompt, position, running, last_output = number + 1, text, 0, None, ""
        elif str(item.get("type")).endswith("_output") and str(item.get("call_id")).startswith("call_stub_"):
            last_output = text_of(item.get("output"))
            waits = STILL_RUNNING.search(last_output)
            running = (("cell" if waits[2] else "session"), waits[3]) if waits else None
            position = int(item["call_id"].split("_")[2]) + (0 if waits else 1)
    return Turn(number, prompt, parse_program(prompt), position, running, last_output)


def output_of_command(text: str) -> str:
    """What a command printed, without what the CLI says about it: before it, or (up to 0.44) in JSON around it."""
    try:
        return str(json.loads(text)["output"])
    except (ValueError, LookupError, TypeError):
        return OUTPUT_HEAD.sub("", text, 1)


def tool_names(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every tool that a request offers, by name (by type where it has none): at its top or within its input."""
    found: dict[str, dict[str, Any]] = {}

    def collect(tools: list[dict[str, Any]]) -> None:
        for tool in tools:
            found.setdefault(tool.get("name") or tool["type"], tool)
            if tool.get("type") == "namespace" and tool.get("name") == "functions":
                collect(tool.get("tools") or [])

    collect(body.get("tools") or [])
    for item in body.get("input") or []:
        if isinstance(item, dict) and item.get("type") == "additional_tools":
            collect(item.get("tools") or [])
    return found


def function_call(name: str, arguments: dict[str, Any] | str) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    space, _dot, name = name.rpartition(".")
    return {"type": "function_call", "name": name, "arguments": text, **({"namespace": space} if space else {})}


def shell_call(tools: dict[str, dict[str, Any]], command: str) -> dict[str, Any]:
    """The call that makes the CLI run ``command``, in the form of the tool that this version and model offer."""
    if "exec" in tools and tools["exec"].get("type") == "custom":  # a tool that runs JavaScript, which runs the command
        script = (
            f'// @exec: {{"yield_time_ms": {YIELD_MS}}}\n'
            f"let r = await tools.exec_command({json.dumps({'cmd': command, 'yield_time_ms': YIELD_MS})});\n"
            "let all = r.output;\n"
            "while (r.session_id !== undefined && r.exit_code === undefined) {\n"
            f"  r = await tools.write_stdin({{session_id: r.session_id, chars: '', yield_time_ms: {YIELD_MS}}});\n"
            "  all += r.output;\n"
            "}\n"
            "text(all);\n"
        )
        return {"type": "custom_tool_call", "name": "exec", "input": script}
    if "exec_command" in tools:
        return function_call("exec_command", {"cmd": command, "yield_time_ms": YIELD_MS})
    if "shell_command" in tools:
        return function_call("shell_command", {"command": command, "timeout_ms": LONGEST_COMMAND_MS})
    argv = ["bash", "-lc", command]
    if "local_shell" in tools:
        action = {"type": "exec", "command": argv, "timeout_ms": LONGEST_COMMAND_MS}
        return {"type": "local_shell_call", "action": action}
    if "shell" in tools:
        return function_call("shell", {"command": argv, "timeout_ms": LONGEST_COMMAND_MS})
    raise BadProgram(f"the CLI offers no shell tool that the stub knows, only: {', '.join(sorted(tools))}")


def wait_call(running: tuple[str, str]) -> dict[str, Any]:
    """The call that waits on for a command which the CLI left running."""
    kind, name = running
    if kind == "cell":
        return function_call("wait", {"cell_id": name, "yield_time_ms": YIELD_MS})
    return function_call("write_stdin", {"session_id": int(name), "chars": "", "yield_time_ms": YIELD_MS})


def least_value(schema: Any) -> Any:
    """The least value that satisfies a JSON schema, as far as schemas for structured output go."""
    if not isinstance(schema, dict):
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return least_value(schema[key][0])
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties") or {}
        required = schema.get("required") or list(properties)
        return {key: least_value(properties.get(key)) for key in required}
    if kind == "array":
        return [least_value(schema.get("items")) for _ignored in range(schema.get("minItems", 0))]
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    if kind == "boolean":
        return False
    return "stub" if kind == "string" else None


def default_answer(body: dict[str, Any], turn: Turn) -> str:
    """What the stub says where the prompt holds no directive."""
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        return json.dumps(least_value(form.get("schema")))
    words = len(turn.prompt.split())
    return (
        "This is the local stub of the Responses API; there is no model behind it. "
        f"It read turn {turn.number} of this thread, a prompt of {words} word{'' if words == 1 else 's'}."
    )


def tokens(text: str) -> int:
    """A plausible number of tokens: English has about four bytes to one."""
    return (len(text) + 3) // 4


class Stub(http.server.ThreadingHTTPServer):
    """The server, its request log, and how often each limited directive has happened."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], requests_path: str | None) -> None:
        super().__init__(address, Handler)
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._happened: dict[tuple[str, int, int], int] = {}
        self._requests: int | None = None
        if requests_path:
            self._requests = os.open(requests_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            os.fchmod(self._requests, 0o600)  # it may have been there

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a defect of the stub."""
        if not isinstance(sys.exc_info()[1], (OSError, ClientGone)):
            super().handle_error(request, client_address)

    def due(self, step: Step, thread: str, turn: int, index: int) -> bool:
        """Whether a directive with a number of times still has one left; takes it."""
        if step.times is None:
            return True
        with self._lock:
            count = self._happened.get((thread, turn, index), 0)
            self._happened[thread, turn, index] = count + 1
        return count < step.times

    def record(self, entry: dict[str, Any], secret: str) -> None:
        """Appends a request to the log as one line, without the secret, wherever in it that stands."""
        if self._requests is None:
            return
        line = json.dumps(entry, separators=(",", ":"))
        if secret:
            line = line.replace(
                json.dumps(secret)[1:-1], f"REDACTED-{hashlib.sha256(secret.encode()).hexdigest()[:12]}"
            )
        with self._lock:
            os.write(self._requests, line.encode() + b"\n")


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Stub

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the request log has it all."""

    def do_GET(self) -> None:
        self._record(None)
        if "upgrade" in self.headers.get("Connection", "").lower():  # a WebSocket: the CLI falls back to HTTPS at once
            self._answer_error(426, "the stub speaks no WebSocket")
        elif self.path.partition("?")[0].endswith("/models"):
            model = {"id": "stub", "object": "model", "owned_by": "stub"}
            self._answer(200, {"object": "list", "data": [model], "models": []})
        else:
            self._answer_error(404, f"the stub knows no {self.path}")

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(raw)
        except ValueError as error:
            self._record(raw.decode("utf-8", "replace"))
            return self._answer_error(400, f"the request's body is no JSON: {error}")
        self._record(body)
        if not self.path.partition("?")[0].endswith("/responses"):
            return self._answer_error(404, f"the stub knows no {self.path}")
        try:
            turn = read_turn(body)
            Response(self, body, turn).send()
        except BadProgram as error:
            self._answer_error(400, str(error))
        except Drop:
            self.close_connection = True
        return None

    def _record(self, body: Any) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        secret = headers.get("authorization", "").partition(" ")[2]
        for name in SECRET_HEADERS & headers.keys() - {"authorization"}:
            headers[name] = "REDACTED"
        entry = {"time": time.time(), "method": self.command, "path": self.path, "headers": headers, "body": body}
        self.server.record(entry, secret)

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _answer_error(self, status: int, message: str, code: str = "") -> None:
        code = code or ERRORS.get(status, "error")
        self._answer(status, {"error": {"message": message, "type": code, "code": code, "param": None}})

    def answer_status(self, value: str) -> None:
        status, _ignored, code = value.partition(" ")
        self._answer_error(int(status), f"the stub was told to answer {value}", code.strip())

    def start_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def pause(self, seconds: float | None) -> None:
        """Waits, for ever with None. Raises ClientGone as soon as the client hangs up or the stub stops."""
        poll = select.poll()
        poll.register(self.connection, select.POLLRDHUP)
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            left = 0.5 if end is None else max(0.0, min(0.5, end - time.monotonic()))
            if poll.poll(left * 1000) or self.server.stopping.is_set():
                raise ClientGone


class Response:
    """One streamed response: what is left of the turn's program, up to the next tool call or the end."""

    def __init__(self, handler: Handler, body: dict[str, Any], turn: Turn) -> None:
        self.handler, self.body, self.turn = handler, body, turn
        self.id = f"resp_stub_{uuid.uuid4().hex}"
        self.thread = str(body.get("prompt_cache_key") or handler.headers.get("session_id") or "")
        self.started = False
        self.sequence = 0
        self.pace = 0.0
        self.items: list[dict[str, Any]] = []
        self.usage: list[int] | None = None

    def send(self) -> None:
        """Runs the program. Raises BadProgram before anything is sent, Drop and ClientGone at any point."""
        tools = tool_names(self.body)
        if self.turn.running:
            self._call(wait_call(self.turn.running), self.turn.position)
            return self._complete()
        steps = self.turn.steps or [Step("say", default_answer(self.body, self.turn), None)]
        if any(step.name == "run" for step in steps[self.turn.position :]):
            shell_call(tools, "")  # known not to be possible before anything is sent
        for index, step in enumerate(steps):
            if step.name == "usage":
                self.usage = [int(number) for number in step.value.split(",")]
            elif step.name == "pace":
                self.pace = float(step.value)
            if index < self.turn.position or not self.handler.server.due(step, self.thread, self.turn.number, index):
                continue
            if step.name in CALLS:
                if step.name == "run":
                    self._call(shell_call(tools, step.value), index)
                else:
                    name, _ignored, arguments = step.value.partition(" ")
                    self._call(function_call(name, arguments), index)
                return self._complete()
            if not self._simple(step):
                return None
        return self._complete()

    def _simple(self, step: Step) -> bool:
        """Does a step that is no tool call. False: the response ends here."""
        if step.name == "drop":
            raise Drop
        if step.name == "status" and not self.started:
            self.handler.answer_status(step.value)
            return False
        if step.name == "delay":
            self.handler.pause(float(step.value))
        elif step.name == "stall":
            self._start()
            self.handler.pause(None)
        elif step.name == "fail":
            error = {"code": step.value, "message": f"the stub was told to fail: {step.value}"}
            self._event({"type": "response.failed", "response": {"id": self.id, "status": "failed", "error": error}})
            self.handler.send_chunk(b"")
            return False
        elif step.name == "malformed":
            self._raw('{"type":"response.output_text.delta","delta":"cut o')
        elif step.name == "event":
            self._event(json.loads(step.value))
        elif step.name == "think":
            self._reasoning(step.value)
        elif step.name in ("say", "json"):
            self._message(step.value)
        elif step.name == "big":
            self._message("0123456789abcde\n" * (int(step.value) // 16 + 1), int(step.value))
        elif step.name == "output":
            self._message(output_of_command(self.turn.last_output))
        return True

    def _raw(self, data: str, name: str = "") -> None:
        self._start()
        self.handler.send_chunk(f"{f'event: {name}' + chr(10) if name else ''}data: {data}\n\n".encode())

    def _event(self, event: dict[str, Any]) -> None:
        self._start()
        self._raw(
            json.dumps({**event, "sequence_number": self.sequence}, separators=(",", ":")), str(event.get("type"))
        )
        self.sequence += 1

    def _start(self) -> None:
        if not self.started:
            self.started = True
            self.handler.start_stream()
            self._event(
                {"type": "response.created", "response": {"id": self.id, "status": "in_progress", "output": []}}
            )

    def _add(self, item: dict[str, Any], events: Iterable[dict[str, Any]], **empty: Any) -> None:
        """Streams one output item: added (with the fields of ``empty`` instead of its own), its pieces, done."""
        place = {"output_index": len(self.items)}
        self._event({"type": "response.output_item.added", **place, "item": {**item, "status": "in_progress", **empty}})
        for event in events:
            self._event({**event, **place, "item_id": item["id"]})
        done = {**item, "status": "completed"}
        self._event({"type": "response.output_item.done", **place, "item": done})
        self.items.append(done)

    def _message(self, text: str, limit: int | None = None) -> None:
        text = text if limit is None else text[:limit]
        part = {"type": "output_text", "text": text, "annotations": []}
        item = {"type": "message", "id": f"msg_{uuid.uuid4().hex}", "role": "assistant", "content": [part]}

        def pieces() -> Iterator[dict[str, Any]]:
            yield {"type": "response.content_part.added", "content_index": 0, "part": {**part, "text": ""}}
            for word in re.findall(r"\s*\S{1,4096}\s*" if limit is None else r"(?s).{1,4096}", text):
                yield {"type": "response.output_text.delta", "content_index": 0, "delta": word}
                self.handler.pause(self.pace)
            yield {"type": "response.output_text.done", "content_index": 0, "text": text}
            yield {"type": "response.content_part.done", "content_index": 0, "part": part}

        self._add(item, pieces(), content=[])

    def _reasoning(self, text: str) -> None:
        part = {"type": "summary_text", "text": text}
        item = {"type": "reasoning", "id": f"rs_{uuid.uuid4().hex}", "summary": [part]}

        def pieces() -> Iterator[dict[str, Any]]:
            empty = {"type": "summary_text", "text": ""}
            yield {"type": "response.reasoning_summary_part.added", "summary_index": 0, "part": empty}
            yield {"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": text}
            yield {"type": "response.reasoning_summary_text.done", "summary_index": 0, "text": text}
            yield {"type": "response.reasoning_summary_part.done", "summary_index": 0, "part": part}

        self._add(item, pieces(), summary=[])

    def _call(self, call: dict[str, Any], index: int) -> None:
        nonce = uuid.uuid4().hex
        prefix = {"function_call": "fc", "custom_tool_call": "ctc", "local_shell_call": "lsh"}[call["type"]]
        self._add({**call, "id": f"{prefix}_{nonce}", "call_id": f"call_stub_{index}_{nonce}"}, ())

    def _complete(self) -> None:
        response = {"id": self.id, "object": "response", "status": "completed", "model": self.body.get("model")}
        self._event(
            {"type": "response.completed", "response": {**response, "output": self.items, "usage": self._usage()}}
        )
        self.handler.send_chunk(b"")

    def _usage(self) -> dict[str, Any]:
        if self.usage:
            sent, cached, made, reasoning = self.usage
        else:
            history = self.body.get("input") or []
            sent = tokens(str(self.body.get("instructions") or "")) + tokens(json.dumps(history))
            # What an earlier turn sent already counts as cached, in the API's units of 128.
            cached = tokens(json.dumps(history[:-1])) // 128 * 128 if self.turn.number > 1 or self.turn.position else 0
            made = tokens(json.dumps(self.items))
            reasoning = sum(tokens(json.dumps(item)) for item in self.items if item["type"] == "reasoning")
        return {
            "input_tokens": sent,
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": made,
            "output_tokens_details": {"reasoning_tokens": reasoning},
            "total_tokens": sent + made,
        }


def start_time(pid: int) -> str | None:
    """When a process started, so that its PID's next owner is not taken for it; None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def announce(port: int, pid: int) -> None:
    print(json.dumps({"port": port, "pid": pid}), flush=True)


def go_to_background(port: int) -> None:
    """Goes on in a child of its own session, with no output; the caller's process announces it and ends."""
    child = os.fork()
    if child:
        announce(port, child)
        os._exit(0)
    os.setsid()
    with open(os.devnull, "r+b") as null:
        for stream in range(3):
            os.dup2(null.fileno(), stream)


def main() -> None:
    parser = argparse.ArgumentParser(description="Local stand-in for the Responses API. Not for production.")
    parser.add_argument("--bind", default="127.0.0.1", metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=0, help="0: any free one (default)")
    parser.add_argument("--requests", metavar="FILE", help="where to append each request as a line of JSON, redacted")
    parser.add_argument("--parent", type=int, metavar="PID", help="stop when this process ends")
    parser.add_argument("--background", action="store_true", help="once it listens, go on in a child, and return")
    options = parser.parse_args()
    born = start_time(options.parent) if options.parent else None
    if options.parent and born is None:
        sys.exit(f"responses_stub: there is no process {options.parent} to live with")
    try:
        server = Stub((options.bind, options.port), options.requests)
    except OSError as error:
        sys.exit(f"responses_stub: cannot listen on {options.bind}:{options.port}: {error.strerror}")
    if options.background:
        go_to_background(server.server_address[1])
    # Awaited, not handled: a handler that sets what the main thread waits for can wait for that thread for ever.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    if not options.background:
        announce(server.server_address[1], os.getpid())
    while signal.sigtimedwait(ends, 0.2) is None:
        if options.parent and start_time(options.parent) != born:
            break
    server.stopping.set()


if __name__ == "__main__":
    main()
