# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Attends to one command, and leaves nothing of it behind. The process that does must be one of its own, with one
thread."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import Callable, Iterator, NamedTuple, Sequence

from .child import READ_BYTES, Started

# From SIGTERM to SIGKILL; the CLI needs 0.06 s to end, and limits of time are kept within a second.
TERM_SECONDS = 0.5
# How often the caller's ``tend`` is asked when nothing happens.
TICK_SECONDS = 0.5


class Ending(NamedTuple):
    """How it ended. ``rc`` is negative for a signal, as in subprocess; ``stopped`` is why it was made to end;
    ``survivors`` are processes that could not be killed; ``contained`` is whether it had a PID namespace, and
    ``uncontained`` why it had none, where it was to have one."""

    rc: int
    stopped: str | None
    survivors: list[int]
    contained: bool
    uncontained: str | None


class Caller(NamedTuple):
    """Who is told what. ``stdout`` takes bytes and returns a reason to stop, or None; so does ``tend``, which is called
    between, at the latest ``TICK_SECONDS`` later or after the delay in seconds that it returned; ``wakes`` are file
    descriptors whose readability has it called at once."""

    stdout: Callable[[bytes], str | None]
    stderr: Callable[[bytes], None]
    tend: Callable[[], tuple[str | None, float]]
    wakes: Sequence[int] = ()


def supervise(started: Started, caller: Caller) -> Ending:
    """Attends to a command that was started, to its end or to the first reason to stop."""
    with _wakeup() as wakeup:
        try:
            return _attend(started, caller, wakeup)
        except BaseException:
            started.child.end(wakeup)
            raise
        finally:
            os.close(started.stdout)
            os.close(started.stderr)


def _attend(started: Started, caller: Caller, wakeup: int) -> Ending:
    child, stdout, stderr = started.child, started.stdout, started.stderr
    poller = select.poll()
    for fd in (stdout, stderr, wakeup, *child.wakes, *caller.wakes):
        poller.register(fd, select.POLLIN)
    stopped: str | None = None
    kill_at = 0.0
    delay = 0.0
    while True:
        reason = None
        for fd, _events in poller.poll(max(0.0, delay) * 1000):
            if fd == wakeup:
                os.read(wakeup, 4096)
            elif fd in (stdout, stderr):
                chunk = os.read(fd, READ_BYTES)
                if not chunk:
                    poller.unregister(fd)
                elif fd == stderr:
                    caller.stderr(chunk)
                elif stopped is None:
                    reason = caller.stdout(chunk) or reason
        tended, delay = caller.tend()
        delay = min(delay, TICK_SECONDS)
        rc = child.poll()
        if rc is not None:
            stopped = stopped or reason
            break
        now = time.monotonic()
        if stopped is None:
            stopped = reason or tended
            if stopped is not None:
                child.terminate()
                kill_at = now + TERM_SECONDS
                for fd in caller.wakes:
                    poller.unregister(fd)  # an end of file stays readable for ever
        if stopped is not None:
            if now >= kill_at:
                child.kill()
            delay = min(delay, max(0.01, kill_at - now))
    survivors = child.end(wakeup)
    # Whoever could have written is dead: what the pipes hold now is all there will be.
    for fd, take in ((stderr, caller.stderr), (stdout, caller.stdout)):
        if fd == stderr or stopped is None:
            for chunk in _drain(fd):
                stopped = take(chunk) or stopped
    return Ending(rc, stopped, survivors, started.contained, started.uncontained)


@contextlib.contextmanager
def _wakeup() -> Iterator[int]:
    """A file descriptor that becomes readable when a child ends or a handled signal comes."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    former_fd = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    former = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    try:
        yield read
    finally:
        signal.signal(signal.SIGCHLD, former)
        signal.set_wakeup_fd(former_fd)
        os.close(read)
        os.close(write)


def _drain(fd: int) -> Iterator[bytes]:
    os.set_blocking(fd, False)
    for _turn in range(4):  # a pipe holds no more than that, whoever else may still have it open
        try:
            chunk = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            return
        yield chunk
