# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""One run of the Codex CLI, and what came of it."""

from __future__ import annotations

import contextlib
import math
import re
import resource
import signal
import time
import traceback
from typing import Any, Iterator

from .._formats import json_schema
from .._formats.text import counted, shorten
from .._host.namespaces import user_namespaces
from . import events
from .argv import build_argv
from .begin import Begun, Turn, begin
from .cli_version import cli_version
from .describe import describe
from .lease import CANCELLED, EXPIRED, Link
from .outcome import STDERR_LENGTH, fit_for_people
from .raw_events import RawEvents
from .sandbox import SandboxFailures
from .supervise import Caller, Ending, supervise

# Strings of the items that go to the control node while the turn runs.
SHOWN_LENGTH = 2000

TIMEOUT = "timeout"
IDLE_TIMEOUT = "idle_timeout"
BAD_LINE = "bad_line"
# Ours, not the CLI's.
INTERNAL_ERROR = "internal_error"
# A schema's pattern can take for ever on a text that was made for it.
CHECK_SECONDS = 5.0

_THREAD_GONE = re.compile(r"no rollout found for thread id", re.IGNORECASE)
_THREAD_BUSY = re.compile(r"already has an active writer", re.IGNORECASE)
_UNKNOWN_FLAG = re.compile(r"unexpected argument '([^']+)'|invalid value '[^']*' for '([^' ]+)")


def run_turn(turn: Turn, begun: Begun, link: Link, verbose: bool = False) -> dict[str, Any]:
    """Runs the turn that was begun to its end and returns the module's result, whatever happens. Where the thread is
    gone and the options say so, the turn is run once more, in a new thread."""
    run = _Run(turn, begun, link, verbose)
    try:
        result = run.result()
        if result["reason"] == "thread_gone" and turn.options.thread_missing == "start":
            argv = build_argv(turn.options._replace(thread_id=None, fork=False), turn.images, turn.schema_file)
            run = _Run(turn, begin(turn, argv), link, verbose)
            result = run.result()
    except Exception as error:
        result = run.crashed(error)
    return fit_for_people(result)


class _Run:
    """One run of the CLI, and what it leaves."""

    def __init__(self, turn: Turn, begun: Begun, link: Link, verbose: bool) -> None:
        options = turn.options
        self._turn = turn
        self._begun = begun
        self._argv = begun.argv
        self._link = link
        self._verbose = verbose
        self._stream = events.Stream(options.events, options.max_bytes)
        self._lines = events.Lines()
        self._sandbox = SandboxFailures()
        self._thread_told = False
        self._stderr = b""
        self._secrets = options.secrets()
        self._started = self._last_event = begun.at
        self._bounds = begun.bounds
        fd, limit = turn.events_fd, options.limits.get(resource.RLIMIT_FSIZE)
        self._raw = None if fd is None else RawEvents(fd, turn.tenant.identity, limit)
        self._deadline = self._started + (math.inf if options.timeout is None else options.timeout)
        self._duration = 0.0

    def result(self) -> dict[str, Any]:
        started = self._begun.started
        try:
            if isinstance(started, Exception):
                return self._report(None, "spawn_failed", None, self._why_not_started(started))
            ending = supervise(started, self._caller())
        finally:
            self._bounds.end()
        if ending.stopped is None:
            self._take_lines(self._lines.rest())
        self._duration = time.monotonic() - self._started
        return self._report(ending, *self._classify(ending))

    def _why_not_started(self, error: OSError | ValueError) -> str:
        if isinstance(error, FileNotFoundError):
            remedy = "install it with the role codex_cli, or give codex_path"
            return f"{self._argv[0]} or its interpreter is not there: {remedy}"
        full = ": its user has as many processes as max_processes allows" if _is_refused_fork(error) else ""
        return f"{self._argv[0]} cannot be started: {error}{full}"

    def _caller(self) -> Caller:
        return Caller(self._take_stdout, self._take_stderr, self._tend, self._link.wakes)

    def crashed(self, error: Exception) -> dict[str, Any]:
        """The result where this program, not the CLI, failed."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error}, in {frame.name}, line {frame.lineno}"
        return {
            "status": "aborted",
            "reason": INTERNAL_ERROR,
            "changed": True,
            "failed": True,
            "thread_id": self._stream.thread_id or self._turn.options.thread_id,
            "final_response": self._stream.final_response,
            "thread_items": self._stream.items,
            "argv": self._argv,
            "duration": round(time.monotonic() - self._started, 3),
            "msg": f"a fault of codex_exec itself, not of the turn or the connection, ended the turn ({what}): report "
            "it to the makers of alive.codex, and resume the thread",
        }

    def _take_stdout(self, chunk: bytes) -> str | None:
        stop = self._take_lines(self._lines.split(chunk))
        if self._lines.overlong:
            self._stream.bad_line = f"the CLI wrote a line of more than {events.LINE_LIMIT} bytes"
            return BAD_LINE
        return stop

    def _take_lines(self, lines: list[bytes]) -> str | None:
        lines = [self._redacted(line) for line in lines]
        if self._raw is not None:
            self._raw.keep(lines)
        for line in lines:
            try:
                event = self._stream.feed(line)
            except events.BadLine:
                return BAD_LINE
            self._sandbox.note(event)
            self._show(event)
            if time.monotonic() >= self._deadline:  # what came at once may take longer to read than is left
                return TIMEOUT
        if lines:
            self._last_event = time.monotonic()
        return None

    def _redacted(self, text: bytes) -> bytes:
        for secret in self._secrets:
            text = text.replace(secret, b"********")
        return text

    def _show(self, event: Any) -> None:
        """Tells whoever watches what happened, and what must not be lost if the result is."""
        kind = event.get("type") if isinstance(event, dict) else None
        thread_id = None if self._thread_told else self._stream.thread_id
        if not self._link.ready() and thread_id is None:
            return
        text = describe(event, self._verbose)
        item = event.get("item") if kind == "item.completed" and self._turn.options.events != "none" else None
        line: dict[str, Any] = {}
        if self._turn.options.live_path is not None and isinstance(kind, str):  # a program is told of every event
            line["type"] = kind[: events.CUT_LENGTH]
            item = event.get("item")
        if text is not None:
            line["text"] = text[: 2 * events.CUT_LENGTH]
        if line:
            line["at"] = round(time.monotonic() - self._started, 1)
        if thread_id is not None:
            line["thread_id"] = thread_id
            self._thread_told = True
        if item is not None:
            line["item"] = events.shorten_strings(item, SHOWN_LENGTH)
        if line:
            self._link.show(line)

    def _take_stderr(self, chunk: bytes) -> None:
        # Both ends matter: what it was about, and what it died of.
        text = self._stderr + chunk
        if len(text) > STDERR_LENGTH:
            half = STDERR_LENGTH // 2
            text = text[:half] + b"\n[...]\n" + text[-half + 7 :]
        self._stderr = text

    def _tend(self) -> tuple[str | None, float]:
        reason, delay = self._link.tend()
        now = time.monotonic()
        idle = self._turn.options.idle_timeout
        for end, name in (
            (self._deadline, TIMEOUT),
            (math.inf if idle is None else self._last_event + idle, IDLE_TIMEOUT),
        ):
            delay = min(delay, end - now)
            if now >= end:
                reason = reason or name
        return reason, delay

    def _classify(self, ending: Ending) -> tuple[str, str | None, str | None]:
        """Status, reason and message."""
        stream = self._stream
        options = self._turn.options
        if ending.stopped == EXPIRED:
            return "aborted", EXPIRED, f"nobody asked for the turn for {options.grace_period:g} s, so it was ended"
        if ending.stopped == CANCELLED:
            return "aborted", CANCELLED, "the turn was cancelled"
        if stream.failure is not None:
            return "failed", None, f"the turn failed: {stream.failure}"
        if stream.bad_line is not None:
            return "bad_stream", None, stream.bad_line
        if ending.stopped == TIMEOUT or self._started + self._duration >= self._deadline:
            return "timed_out", TIMEOUT, f"the turn did not end within its timeout of {options.timeout:g} s"
        if ending.stopped == IDLE_TIMEOUT:
            return "timed_out", IDLE_TIMEOUT, f"no event came for {options.idle_timeout:g} s"
        if ending.rc == -signal.SIGKILL and self._bounds.killed:
            return "killed", "max_memory", f"{self._bounds.reached()}, and the kernel killed the CLI"
        if ending.rc < 0:
            return "killed", None, f"the CLI was killed by {_signal_name(ending.rc)}"
        if ending.rc > 0:
            return "exited", *self._explain_exit(ending.rc)
        if not stream.completed:
            return "incomplete", None, "the CLI ended as if all were well, but the turn was not completed"
        if ending.survivors:
            return "incomplete", "survivors", f"{_survivors(ending)}; they may still change what the turn worked on"
        return "completed", None, None

    def _explain_exit(self, rc: int) -> tuple[str | None, str]:
        text = self._stderr.decode("utf-8", "replace")
        flag = _UNKNOWN_FLAG.search(text)
        if rc == 2 and flag:
            version = cli_version(self._argv[0], self._turn.tenant)
            return "unsupported_option", (
                f"{self._argv[0]} ({version}) does not accept {self._command_of(flag[1] or flag[2])}: leave the option "
                "out, or install a release that knows it"
            )
        if self._turn.options.thread_id and ("resume" in self._argv or "fork" in self._argv):
            thread = self._turn.options.thread_id
            if _THREAD_GONE.search(text):
                verb = "fork" if self._turn.options.fork else "resume"
                return "thread_gone", f"there is no thread {thread} to {verb}: it was pruned, or is another workspace's"
            if _THREAD_BUSY.search(text):
                return "thread_busy", f"another turn is writing the thread {thread}"
        words = [line for line in text.splitlines() if line.strip()]
        errors = [line for line in words if line.lower().startswith("error")]
        last = (errors or words or ["it wrote nothing to stderr"])[0 if errors else -1]
        return None, f"the CLI exited with status {rc}: {shorten(last, 1000)}"

    def _command_of(self, argument: str) -> str:
        """The command that an argument belongs to, where it is the command that the CLI does not know: it then takes
        its name for the prompt, and stumbles over what follows."""
        options = self._turn.options
        if options.fork and argument == options.thread_id:
            return "exec fork"
        if options.review is not None and argument in ("-", "--uncommitted", "--base", "--commit"):
            return "exec review"
        return argument

    def _report(self, ending: Ending | None, status: str, reason: str | None, message: str | None) -> dict[str, Any]:
        stream = self._stream
        options = self._turn.options
        structured = None
        if status == "completed" and options.output_schema is not None:
            try:
                with _at_most(CHECK_SECONDS):
                    structured = json_schema.parse_response(stream.final_response, options.output_schema)
            except (ValueError, TimeoutError) as error:
                status, message = "invalid_response", f"the final response does not fit output_schema: {error}"
        rc = None if ending is None else ending.rc
        result: dict[str, Any] = {
            "status": status,
            "reason": reason,
            # A CLI that says nothing but why it will not has not run a turn.
            "changed": ending is not None and (status != "exited" or stream.count > 0),
            "failed": status != "completed",
            "thread_id": stream.thread_id or options.thread_id,
            "resumed": bool(options.thread_id) and stream.thread_id == options.thread_id,
            "final_response": stream.final_response,
            "structured_response": structured,
            "thread_items": stream.items,
            "usage": stream.usage,
            "events": stream.events,
            "event_count": stream.count,
            "events_cut": stream.cut,
            "events_dropped": stream.dropped,
            "errors": stream.errors,
            "stderr": self._redacted(self._stderr).decode("utf-8", "replace"),
            "rc": rc if rc is None or rc >= 0 else None,
            "signal": _signal_name(rc) if rc is not None and rc < 0 else None,
            "duration": round(self._duration or time.monotonic() - self._started, 3),
            "argv": self._argv,
            "containment": {
                "pid_namespace": ending is not None and ending.contained,
                **self._bounds.in_force(),
            },
        }
        if message is not None:
            result["msg"] = message
        warnings = [self._raw.error] if self._raw is not None and self._raw.error else []
        if options.thread_id and stream.thread_id not in (None, options.thread_id) and "resume" in self._argv:
            warnings.append(f"the CLI does not know {options.thread_id!r}, and started a thread of its own")
        if ending is not None and ending.survivors:
            warnings.append(_survivors(ending))
        if ending is not None and ending.uncontained:
            warnings.append(
                f"the turn had {ending.uncontained}; processes of it that fork faster than they are killed could "
                "outlive it for a while, and any of them could where the turn's supervisor is killed: let root make "
                "namespaces on this host"
            )
        warnings += self._bounds.warnings
        if self._sandbox.failed and options.sandbox_mode != "danger-full-access":
            warnings.append(
                f"the sandbox failed, not the command, in {self._sandbox.failed} of "
                f"{counted(self._sandbox.commands, 'command')} of the model's ({self._sandbox.words[:300]}); "
                f"{user_namespaces()}. codex_validate with sandbox: true shows whether it works"
            )
        if stream.strange:
            warnings.append(
                f"the CLI gave something else than it should, left out here: {', '.join(sorted(stream.strange))}"
            )
        if stream.unread:
            warnings.append(
                f"{counted(len(stream.unread), 'event')} too large to be read, left out here; events_path keeps what "
                f"the CLI writes: {stream.unread[0]}"
            )
        if warnings:
            result["warnings"] = warnings
        return result


def _is_refused_fork(error: Exception) -> bool:
    return isinstance(error, BlockingIOError)  # what Python makes of EAGAIN


def _survivors(ending: Ending) -> str:
    return f"these processes of the turn could not be killed: {ending.survivors}"


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Ends the block once it has taken so long.

    Raises TimeoutError.
    """

    def expire(_number: int, _frame: object) -> None:
        raise TimeoutError(f"to find out took longer than {seconds:g} s")

    former = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def _signal_name(rc: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-rc).name
    return f"signal {-rc}"
