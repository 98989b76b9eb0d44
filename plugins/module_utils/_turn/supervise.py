# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Runs one command and leaves nothing of it behind.

The process that calls ``supervise`` becomes a subreaper: whatever the command starts, in whatever session or group,
stays below it, and is killed when the command has ended or has to. It must be a process of its own, with one thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import signal
import subprocess
import time
from typing import Callable, Iterator, Mapping, NamedTuple, Sequence

from .._host.identity import Identity, become
from .._host.linux import become_subreaper, die_with_parent
from .._host.proc import descendants
from .._host.process import reset_signals

_F_SETPIPE_SZ = 1031

# From SIGTERM to SIGKILL; the CLI needs 0.06 s to end.
TERM_SECONDS = 1.0
# What cannot be killed for so long hangs in the kernel.
KILL_SECONDS = 10.0
READ_BYTES = 1024 * 1024
# How often the caller's ``tend`` is asked when nothing happens.
TICK_SECONDS = 0.5


class Command(NamedTuple):
    """What to run, and as whom. ``stdin`` is the whole of its input; ``limits`` are soft and hard limits alike, by
    the numbers of the ``resource`` module. None leaves a thing as it is."""

    argv: Sequence[str]
    env: Mapping[str, str]
    stdin: bytes = b""
    cwd: str | None = None
    identity: Identity | None = None
    umask: int | None = None
    limits: Mapping[int, int] = {}


class Ending(NamedTuple):
    """How it ended. ``rc`` is negative for a signal, as in subprocess; ``stopped`` is why it was made to end;
    ``survivors`` are processes that could not be killed."""

    rc: int
    stopped: str | None
    survivors: list[int]


class Caller(NamedTuple):
    """Who is told what. ``stdout`` takes bytes and returns a reason to stop, or None; so does ``tend``, which is called
    between, at the latest ``TICK_SECONDS`` later or after the delay in seconds that it returned; ``wakes`` are file
    descriptors whose readability has it called at once."""

    stdout: Callable[[bytes], str | None]
    stderr: Callable[[bytes], None]
    tend: Callable[[], tuple[str | None, float]]
    wakes: Sequence[int] = ()


class _Child(NamedTuple):
    process: subprocess.Popen[bytes]
    stdout: int
    stderr: int


def supervise(command: Command, caller: Caller) -> Ending:
    """Runs the command to its end, or to the first reason to stop.

    Raises OSError where it cannot be started.
    """
    become_subreaper()
    with _wakeup() as wakeup:
        child = _start(command)
        try:
            return _attend(child, caller, wakeup)
        finally:
            kill_descendants()
            os.close(child.stdout)
            os.close(child.stderr)


def _attend(child: _Child, caller: Caller, wakeup: int) -> Ending:
    process, stdout, stderr = child
    poller = select.poll()
    for fd in (stdout, stderr, wakeup, *caller.wakes):
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
        rc = _reap(process)
        if rc is not None:
            break
        now = time.monotonic()
        if stopped is None:
            stopped = reason or tended
            if stopped is not None:
                process.terminate()
                kill_at = now + TERM_SECONDS
                for fd in caller.wakes:
                    poller.unregister(fd)  # an end of file stays readable for ever
        if stopped is not None:
            if now >= kill_at:
                process.kill()
            delay = min(delay, max(0.01, kill_at - now))
    survivors = kill_descendants()
    # Whoever could have written is dead: what the pipes hold now is all there will be.
    for fd, take in ((stderr, caller.stderr), (stdout, caller.stdout)):
        if fd == stderr or stopped is None:
            for chunk in _drain(fd):
                stopped = take(chunk) or stopped
    return Ending(rc, stopped, survivors)


def _start(command: Command) -> _Child:
    runner = os.getpid()
    report_read, report_write = os.pipe()
    stdout_read, stdout_write = os.pipe()
    stderr_read, stderr_write = os.pipe()
    stdin = os.memfd_create("stdin")  # a file in memory: no writer is needed, and the whole of it fits

    def prepare() -> None:
        try:
            reset_signals()
            for limit, value in command.limits.items():
                resource.setrlimit(limit, (value, value))
            if command.identity is not None:
                become(command.identity)
            if command.umask is not None:
                os.umask(command.umask)
            if command.cwd is not None:
                os.chdir(command.cwd)
            die_with_parent()
            if os.getppid() != runner:
                os._exit(127)
        except Exception as error:
            os.write(report_write, str(error).encode()[:4096])
            raise

    with contextlib.ExitStack() as unused:
        for fd in (stdin, stdout_write, stderr_write, report_read):
            unused.callback(os.close, fd)
        failed = unused.enter_context(contextlib.ExitStack())
        for fd in (stdout_read, stderr_read):
            failed.callback(os.close, fd)
        with open(stdin, "wb", closefd=False) as file:
            file.write(command.stdin)
        os.lseek(stdin, 0, os.SEEK_SET)
        with contextlib.suppress(OSError):  # only faster: beyond the user's share of pipe memory it stays as it is
            fcntl.fcntl(stdout_read, _F_SETPIPE_SZ, READ_BYTES)
        try:
            # AnsibleModule.run_command(), which pylint would have in its place, only tells what was said at the end.
            process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                list(command.argv),
                env=dict(command.env),
                stdin=stdin,
                stdout=stdout_write,
                stderr=stderr_write,
                start_new_session=True,
                preexec_fn=prepare,
            )
        except subprocess.SubprocessError as error:
            os.write(report_write, b"\n")  # so that there is something to read
            raise OSError(os.read(report_read, 4096).decode("utf-8", "replace").strip()) from error
        finally:
            os.close(report_write)
        failed.pop_all()
    return _Child(process, stdout_read, stderr_read)


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


def _reap(child: subprocess.Popen[bytes]) -> int | None:
    """Reaps every child that is dead, adopted ones too. Returns the command's own exit status once it is."""
    while child.returncode is None:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            break
        if pid == child.pid:
            child.returncode = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return child.returncode


def kill_descendants() -> list[int]:
    """Kills every process below this one until there is none. Returns those that did not die."""
    deadline = time.monotonic() + KILL_SECONDS
    pause = 0.001
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return []
        alive = descendants(os.getpid())
        if time.monotonic() > deadline:
            return alive
        for pid in alive:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(pause)
        pause = min(0.05, 2 * pause)


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
