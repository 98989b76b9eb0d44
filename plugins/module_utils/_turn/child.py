# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Starts one command, and ends it with all that it starts.

As root and for a tenant, the command is put into a PID namespace, whose init is a process of ours: the kernel ends the
whole of it with that init, and the init with the process that started it, even if that is killed. Elsewhere this
process, as a subreaper, kills all below it until there is none.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import subprocess
import time
from typing import Any, Iterator, Mapping, NamedTuple, NoReturn, Protocol, Sequence

from .._host.descriptors import close_all_but
from .._host.identity import Identity, become
from .._host.linux import become_subreaper, die_with_parent
from .._host.pid_namespace import fork_init, settle
from .._host.proc import descendants
from .._host.process import KILL_SECONDS, kill_descendants, reset_signals

_F_SETPIPE_SZ = 1031

READ_BYTES = 1024 * 1024


class Command(NamedTuple):
    """What to run, and as whom. ``stdin`` is the whole of its input; ``limits`` are soft and hard limits alike, by
    the numbers of the ``resource`` module; ``cgroup`` is a file that it enters a cgroup by; ``contained`` asks for a
    PID namespace. None leaves a thing as it is."""

    argv: Sequence[str]
    env: Mapping[str, str]
    stdin: bytes = b""
    cwd: str | None = None
    identity: Identity | None = None
    umask: int | None = None
    limits: Mapping[int, int] = {}
    cgroup: str | None = None
    contained: bool = False


class Child(Protocol):
    """A command that was started. Its ``wakes`` become readable when it ends."""

    wakes: Sequence[int]

    def poll(self) -> int | None:
        """Its exit status once it has ended, negative for a signal."""

    def terminate(self) -> None:
        """Sends it SIGTERM."""

    def kill(self) -> None:
        """Sends it SIGKILL."""

    def end(self, wakeup: int) -> list[int]:
        """Kills all that it started and has not ended, and reaps it. Returns what could not be killed. ``wakeup`` is
        readable when a child of this process ends."""


class Started(NamedTuple):
    """A child, what to read of it, whether it is in a PID namespace, and why not where that was asked for."""

    child: Child
    stdout: int
    stderr: int
    contained: bool
    uncontained: str | None


class _Streams(NamedTuple):
    stdin: int
    stdout: int
    stderr: int


class _CannotContain(Exception):
    """Why there is no namespace."""


def start(command: Command) -> Started:
    """Starts it. The descriptors of the result are the caller's to close.

    Raises OSError, and ValueError for arguments that no program can have.
    """
    stdout_read, stdout_write = os.pipe()
    stderr_read, stderr_write = os.pipe()
    stdin = os.memfd_create("stdin")  # a file in memory: no writer is needed, and the whole of it fits
    with contextlib.ExitStack() as unused:
        for fd in (stdin, stdout_write, stderr_write):
            unused.callback(os.close, fd)
        failed = unused.enter_context(contextlib.ExitStack())
        for fd in (stdout_read, stderr_read):
            failed.callback(os.close, fd)
        with open(stdin, "wb", closefd=False) as file:
            file.write(command.stdin)
        os.lseek(stdin, 0, os.SEEK_SET)
        with contextlib.suppress(OSError):  # only faster: beyond the user's share of pipe memory it stays as it is
            fcntl.fcntl(stdout_read, _F_SETPIPE_SZ, READ_BYTES)
        streams = _Streams(stdin, stdout_write, stderr_write)
        child: Child | None = None
        contained, uncontained = command.contained, None
        if contained:
            try:
                child = _Contained(command, streams)
            except _CannotContain as error:
                contained, uncontained = False, str(error)
        child = child or _Reaped(command, streams)
        failed.pop_all()
    return Started(child, stdout_read, stderr_read, contained, uncontained)


class _Reaped:
    """A child of this process, which adopts what the child leaves behind."""

    wakes: Sequence[int] = ()

    def __init__(self, command: Command, streams: _Streams) -> None:
        become_subreaper()
        self._process = _spawn(command, streams)
        self.terminate = self._process.terminate
        self.kill = self._process.kill

    def poll(self) -> int | None:
        """Reaps every child that is dead, adopted ones too."""
        child = self._process
        while child.returncode is None:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == child.pid:
                child.returncode = _exit_code(status)
        return child.returncode

    def end(self, wakeup: int) -> list[int]:
        del wakeup
        return kill_descendants()


class _Contained:
    """A child of the init of a namespace, which tells of it through a pipe.

    Raises _CannotContain, and what ``start`` does.
    """

    def __init__(self, command: Command, streams: _Streams) -> None:
        self._report, told = os.pipe()
        self.wakes: Sequence[int] = (self._report,)
        self._heard = b""
        self._rc: int | None = None
        self._gone = False
        try:
            self._init = fork_init()
            if self._init == 0:
                _live_as_init(command, streams, told)
        except OSError as error:
            os.close(self._report)
            raise _CannotContain(f"no PID namespace: {error.strerror}") from None
        finally:
            os.close(told)
        try:
            first = self._hear()
            os.set_blocking(self._report, False)
            if "namespace" in first:
                raise _CannotContain(first["namespace"])
            if "running" not in first:
                number, text, name = first.get("error", (None, "the turn's first process was killed", None))
                raise OSError(number, text, name) if number else OSError(text)
        except BaseException:
            os.waitpid(self._init, 0)
            os.close(self._report)
            raise

    def _hear(self) -> dict[str, Any]:
        """What the init says next; nothing where it is gone.

        Raises BlockingIOError where it has not spoken.
        """
        while b"\n" not in self._heard:
            chunk = os.read(self._report, 65536)
            if not chunk:
                return {}
            self._heard += chunk
        line, _end, self._heard = self._heard.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def poll(self) -> int | None:
        if self._rc is None:
            with contextlib.suppress(BlockingIOError):
                self._rc = self._hear().get("rc", -signal.SIGKILL)
        return self._rc

    def terminate(self) -> None:
        os.kill(self._init, signal.SIGTERM)

    def kill(self) -> None:
        os.kill(self._init, signal.SIGKILL)

    def end(self, wakeup: int) -> list[int]:
        if self._gone:
            return []
        self.kill()
        deadline = time.monotonic() + KILL_SECONDS
        while not os.waitpid(self._init, os.WNOHANG)[0]:
            left = deadline - time.monotonic()
            if left <= 0:
                return descendants(os.getpid())
            if select.select([wakeup], [], [], left)[0]:
                os.read(wakeup, 4096)
        self._gone = True
        os.close(self._report)
        return []


def _live_as_init(command: Command, streams: _Streams, told: int) -> NoReturn:
    """The whole life of a namespace's init: it starts the command, reaps what is left to it, and ends with the
    command. What happens goes to ``told``, a line of JSON each."""
    try:
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        close_all_but({0, 1, 2, *streams, told})
        for message in _reports_of_init(command, streams, told):
            os.write(told, json.dumps(message).encode() + b"\n")
    finally:
        os._exit(0)


def _reports_of_init(command: Command, streams: _Streams, told: int) -> Iterator[dict[str, Any]]:
    try:
        settle()
    except OSError as error:
        yield {"namespace": f"no PID namespace with a /proc of its own: {error.strerror}"}
        return
    poller = select.poll()
    poller.register(told, 0)
    if poller.poll(0):
        return  # nobody listens: the parent was gone before its end could have been this one's
    try:
        process = _spawn(command, streams)
    except (OSError, ValueError) as error:
        number, text = (error.errno, error.strerror) if isinstance(error, OSError) else (None, None)
        yield {"error": (number, text or str(error), getattr(error, "filename", None))}
        return
    signal.signal(signal.SIGTERM, lambda _number, _frame: process.terminate())
    for fd in streams:
        os.close(fd)
    yield {"running": process.pid}
    while process.returncode is None:
        pid, status = os.waitpid(-1, 0)
        if pid == process.pid:
            process.returncode = _exit_code(status)
    yield {"rc": process.returncode}


def _exit_code(status: int) -> int:
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _spawn(command: Command, streams: _Streams) -> subprocess.Popen[bytes]:
    """Starts it as a child of this process, with which it dies.

    Raises as ``start``.
    """
    runner = os.getpid()
    report_read, report_write = os.pipe()

    def prepare() -> None:
        try:
            reset_signals()
            if command.cgroup is not None:
                with open(command.cgroup, "w", encoding="ascii") as entrance:
                    entrance.write("0")
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

    try:
        # AnsibleModule.run_command(), which pylint would have in its place, only tells what was said at the end.
        return subprocess.Popen(  # pylint: disable=ansible-bad-function
            list(command.argv),
            env=dict(command.env),
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            start_new_session=True,
            preexec_fn=prepare,
        )
    except subprocess.SubprocessError as error:
        os.write(report_write, b"\n")  # so that there is something to read
        raise OSError(os.read(report_read, 4096).decode("utf-8", "replace").strip()) from error
    finally:
        os.close(report_read)
        os.close(report_write)
