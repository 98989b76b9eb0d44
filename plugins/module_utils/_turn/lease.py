# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""How a turn's supervisor and whoever waits for it talk.

``Attached``: a process on the same host waits; when it dies, its end of a pipe closes, and that ends the turn.

``Detached``: the control node polls, over a connection that may break. A directory holds ``lease``, which each poll
rewrites, and which ends the turn once it stays as it was for the grace period; ``live``, a FIFO for lines that a poll
waits for; ``thread``, the thread's ID, in case that nothing else comes; ``result``, there once the turn is over;
``pid``, the supervisor, which SIGTERM cancels or, at the end, lets go. The shell scripts of
``plugin_utils/_scripts`` are the control node's half of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import tempfile
import time
from typing import Any, Iterator, Protocol, Sequence

from .._formats.text import shorten
from .._host.descriptors import write_all
from .._host.new_files import new_file, write_file

# Lines nobody fetches are dropped past this many bytes, and past this rate (a second; as many may come at once). A line
# that is too long loses its item. All of it fits into the FIFO at once.
PENDING_BYTES = 32 * 1024
LINE_BYTES = 8 * 1024
LINES_PER_SECOND = 40
# How soon to try again while nobody reads, and how long lines gather: at the start, as a short turn is to cost one poll
# alone; after the first, as events come in bursts; and after some were fetched.
RETRY_SECONDS = 0.05
START_SECONDS = 0.6
BURST_SECONDS = 0.06
GATHER_SECONDS = 0.25

SECRETS_SECONDS = 60

# Everybody can go through the directory: what is in it is for the supervisor's user alone.
PRIVATE = 0o600

CANCELLED = "cancelled"
EXPIRED = "lease_expired"
KILLED = "supervisor_killed"
RESULT_LOST = "result_lost"


class Link(Protocol):
    """The supervisor's end."""

    wakes: Sequence[int]

    def tend(self) -> tuple[str | None, float]:
        """A reason to stop or None, and the seconds until it wants to be called again."""

    def ready(self) -> bool:
        """Whether somebody watches and a line more can be passed on; where not, an event counts as dropped."""

    def show(self, line: dict[str, Any]) -> None:
        """Passes on what happened, once ``ready``: ``at`` (seconds) and ``text`` for a person, ``thread_id`` and
        ``item`` in case the result is lost. A line that has ``thread_id`` needs not wait."""

    def deliver(self, result: dict[str, Any]) -> None:
        """Hands the result over, and returns once it is fetched or nobody will."""


class _Cancellable:
    """Notes SIGTERM, SIGINT and SIGHUP, for the process that makes it."""

    def __init__(self) -> None:
        self.cancelled = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._cancel)

    def _cancel(self, _number: int, _frame: object) -> None:
        self.cancelled = True


class Attached(_Cancellable):
    """``lifeline`` reads to its end when the waiting process is gone; ``result`` takes JSON objects, a line each: the
    thread as soon as it is known, and the result."""

    def __init__(self, lifeline: int, result: int) -> None:
        super().__init__()
        self.wakes: Sequence[int] = (lifeline,)
        self._lifeline = lifeline
        self._result = result

    def tend(self) -> tuple[str | None, float]:
        gone = bool(select.select([self._lifeline], [], [], 0)[0])
        return CANCELLED if gone or self.cancelled else None, 60.0

    def ready(self) -> bool:
        return False

    def show(self, line: dict[str, Any]) -> None:
        if line.get("thread_id"):
            self._write({"thread_id": line["thread_id"]})

    def deliver(self, result: dict[str, Any]) -> None:
        self._write(result)

    def _write(self, document: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            write_all(self._result, json.dumps(document).encode() + b"\n")


class Detached(_Cancellable):
    """The end of a supervisor that is polled; see the head of this file."""

    wakes: Sequence[int] = ()

    def __init__(self, directory: str, grace: float) -> None:
        super().__init__()
        self._directory = directory
        self._grace = grace
        self._seen = -1
        self._renewed = time.monotonic()
        self._pending = b""
        self._pass_on_from = self._renewed + START_SECONDS
        self._dropped = 0
        self._allowance = float(LINES_PER_SECOND)
        self._refilled = self._renewed

    def tend(self) -> tuple[str | None, float]:
        retry = self._pass_on()
        if self.cancelled:
            return CANCELLED, retry
        return (EXPIRED if self._expired() else None), retry

    def _expired(self) -> bool:
        try:
            seen = os.stat(os.path.join(self._directory, "lease")).st_mtime_ns
        except OSError:
            return True  # somebody removed the directory
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._renewed = seen, now
        return now - self._renewed > self._grace

    def ready(self) -> bool:
        now = time.monotonic()
        self._allowance = min(self._allowance + (now - self._refilled) * LINES_PER_SECOND, LINES_PER_SECOND)
        self._refilled = now
        if self._allowance < 1 or len(self._pending) > PENDING_BYTES:
            self._dropped += 1
            return False
        return True

    def show(self, line: dict[str, Any]) -> None:
        self._allowance -= 1
        if self._dropped:
            line = {**line, "dropped": self._dropped}
            self._dropped = 0
        if line.get("thread_id"):
            self._keep_thread(line["thread_id"])
        encoded = json.dumps(line).encode()
        if len(encoded) > LINE_BYTES:
            encoded = json.dumps({name: value for name, value in line.items() if name != "item"}).encode()
        if not self._pending:
            self._pass_on_from = max(self._pass_on_from, time.monotonic() + BURST_SECONDS)
        self._pending += encoded + b"\n"

    def _keep_thread(self, thread_id: str) -> None:
        """For a poll that finds this process dead, before it has passed on anything."""
        with contextlib.suppress(OSError):
            content = json.dumps({"thread_id": thread_id}).encode() + b"\n"
            write_file(os.path.join(self._directory, "thread"), content, PRIVATE)

    def _pass_on(self) -> float:
        """Writes what there is to a waiting poll, if there is one. Returns when to try again."""
        if not self._pending:
            return 60.0
        now = time.monotonic()
        if now < self._pass_on_from:
            return self._pass_on_from - now
        with contextlib.suppress(BlockingIOError, BrokenPipeError), self._reader() as fd:
            written = os.write(fd, self._pending)
            # A line that was cut off, as the user's share of pipe memory is used up, goes again: the poll ends here.
            self._pending = self._pending[self._pending.rfind(b"\n", 0, written) + 1 :]
            self._pass_on_from = now + GATHER_SECONDS
        return RETRY_SECONDS

    @contextlib.contextmanager
    def _reader(self) -> Iterator[int]:
        """The writing end of ``live``. BlockingIOError: nobody reads."""
        try:
            fd = os.open(os.path.join(self._directory, "live"), os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            raise BlockingIOError(error.errno, "nobody reads") from error
        try:
            yield fd
        finally:
            os.close(fd)

    def deliver(self, result: dict[str, Any]) -> None:
        signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        if self.cancelled or self._expired():
            return
        if self._dropped:  # no line came after them that could say so
            self._pending += json.dumps({"dropped": self._dropped}).encode() + b"\n"
        partial = os.path.join(self._directory, "result.partial")
        try:
            write_file(partial, self._pending + json.dumps(result).encode() + b"\n", PRIVATE)
            os.rename(partial, os.path.join(self._directory, "result"))
        except OSError as error:  # the disk is full, say: what matters goes through memory
            with contextlib.suppress(OSError):
                os.unlink(partial)
            self._pending = json.dumps(_lost(result, f"{self._directory}: {error.strerror}")).encode() + b"\n"
        while not self._expired():
            with contextlib.suppress(BlockingIOError, BrokenPipeError), self._reader() as fd:
                # A poll that waits for lines sees the end of them, and finds the result.
                if not os.path.exists(os.path.join(self._directory, "result")):
                    os.write(fd, self._pending)
            if signal.sigtimedwait(signals, RETRY_SECONDS):
                return


def _lost(result: dict[str, Any], why: str) -> dict[str, Any]:
    """What there is to say where there is no room for the result. A pipe holds it."""
    message = (
        f"the turn ended as {result['status']}, and its result could not be written ({why}): make room, and resume it"
    )
    return {
        "status": "aborted",
        "reason": RESULT_LOST,
        "failed": True,
        "changed": True,
        "msg": shorten(message, LINE_BYTES // 8),
        "thread_id": result["thread_id"],
    }


def make_directory(above: str) -> str:
    """A new directory for ``Detached``, which tenants can traverse, but neither list nor write."""
    directory = tempfile.mkdtemp(prefix="alive-codex-", dir=above)
    os.chmod(directory, 0o711)
    for name in ("lease", "pid"):
        os.close(new_file(os.path.join(directory, name), PRIVATE))
    os.mkfifo(os.path.join(directory, "live"), PRIVATE)
    return directory


def remove_directory(directory: str) -> None:
    """Removes it and all in it, without following a link. A poll that has just begun may write its lease meanwhile."""
    for _attempt in range(100):
        shutil.rmtree(directory, ignore_errors=True)
        if not os.path.lexists(directory):
            return
        time.sleep(0.01)


def read_secrets(path: str) -> str:
    """What is offered on the FIFO.

    Raises OSError where nothing is.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        chunks: list[bytes] = []
        while poller.poll(SECRETS_SECONDS * 1000):
            chunk = os.read(fd, 65536)
            if not chunk:
                return b"".join(chunks).decode()
            chunks.append(chunk)
    finally:
        os.close(fd)
    raise OSError("the control node offered no secrets")


def killed(contained: bool) -> str:
    """The message of a turn whose supervisor was killed, and what is to be expected of it, by whether it was to have a
    PID namespace."""
    left = "may still run: look for processes of the user that it ran as"
    if contained:
        left = "was in a PID namespace, where this host has them, and ended with it"
    return (
        "the turn's supervisor was killed, by the out-of-memory killer or by its own user. What the turn had started "
        f"{left}"
    )
