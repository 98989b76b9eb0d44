# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Work that is done as other users: one child process each, bounded.

A child has dropped to its user for good before it does anything, sits in that user's directory, holds no descriptor
but that one and its pipes, and may be stopped, starved or killed by its user: the parent waits for none of them longer
than its limit, and believes nothing but a bounded JSON document. As the drop makes the child undumpable, its user can
neither trace it nor read its memory.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import resource
import selectors
import signal
import time
import traceback
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Protocol

from .descriptors import close_all_but, write_all
from .identity import Identity, become
from .linux import die_with_parent

MAX_REPORT = 8 * 2**20
_CHUNK = 2**16
_LONGEST_WAIT = 60.0


class Limits(NamedTuple):
    """What one child may use: ``seconds`` of the clock (and of processor time), ``memory`` in bytes, beyond what its
    parent holds already. It starts nothing where its user has so many ``processes`` on the host."""

    seconds: float = 600.0
    memory: int = 256 * 2**20
    processes: int = 2048


class Sink(Protocol):
    """Where a child's bulk data go, in the parent. What it raises as OSError ends the child."""

    def write(self, data: bytes) -> None:
        """Takes the next bytes."""

    def commit(self) -> None:
        """Everything since the last commit is there, and is to stay."""

    def close(self) -> None:
        """Nothing more comes; what was not committed goes."""


class Channel:
    """The child's side of its bulk data, in frames: four bytes of length, then so many bytes. An empty one commits."""

    def __init__(self, data: int, answer: int) -> None:
        self.fds = (data, answer)

    def write(self, data: bytes) -> int:
        for start in range(0, len(data), _CHUNK):
            self._send(bytes(data[start : start + _CHUNK]))
        return len(data)

    def commit(self) -> None:
        """Waits until the parent has everything in place. OSError where it has not."""
        self._send(b"")
        if os.read(self.fds[1], 1) != b"+":
            raise OSError(errno.EIO, "it could not be stored")

    def _send(self, piece: bytes) -> None:
        write_all(self.fds[0], len(piece).to_bytes(4, "big") + piece)


class Job(NamedTuple):
    """``work`` runs as ``identity`` in ``directory`` (a descriptor, which is the job's to close) and returns what JSON
    can hold."""

    name: str
    identity: Identity
    directory: int
    work: Callable[[Channel | None], dict[str, Any]]
    sink: Sink | None = None


class JobOutcome(NamedTuple):
    """What a job returned, or ``error``: why it did not end well."""

    name: str
    result: dict[str, Any]
    error: str


class _Running:
    """A child as its parent knows it."""

    def __init__(self, job: Job, limits: Limits) -> None:
        self.job = job
        self.report = bytearray()
        self.frames = bytearray()
        self.deadline = time.monotonic() + limits.seconds
        self.seconds = limits.seconds
        self.error = ""
        self.reaped = False
        self.report_fd, report_out = os.pipe()
        self.data_fd = self.answer_fd = -1
        channel = None
        inner = [report_out]
        if job.sink:
            self.data_fd, data_out = os.pipe()
            answer_in, self.answer_fd = os.pipe()
            channel = Channel(data_out, answer_in)
            inner += channel.fds
        self.pid = os.fork()
        if self.pid == 0:
            _child(job, report_out, channel, limits)
        for fd in (*inner, job.directory):
            os.close(fd)

    def fds(self) -> list[int]:
        return [fd for fd in (self.report_fd, self.data_fd) if fd >= 0]

    def receive(self, fd: int) -> bool:
        """Takes what has arrived; False at the end of that pipe, which is closed then."""
        piece = os.read(fd, _CHUNK)
        if fd == self.report_fd:
            self.report += piece
            if len(self.report) > MAX_REPORT:
                self.stop("reported more than can be taken")
        elif self.job.sink:
            self._store(self.job.sink, piece)
        if piece:
            return True
        os.close(fd)
        if fd == self.report_fd:
            self.report_fd = -1
        else:
            os.close(self.answer_fd)
            self.data_fd = self.answer_fd = -1
        return False

    def _store(self, sink: Sink, piece: bytes) -> None:
        if self.error:
            return
        self.frames += piece
        try:
            while len(self.frames) >= 4:
                size = int.from_bytes(self.frames[:4], "big")
                if size > _CHUNK:
                    self.stop("sent what is no archive")
                    return
                if len(self.frames) < 4 + size:
                    return
                if size:
                    sink.write(bytes(self.frames[4 : 4 + size]))
                else:
                    sink.commit()
                    os.write(self.answer_fd, b"+")
                del self.frames[: 4 + size]
        except BrokenPipeError:
            return  # the child has died; its status says how
        except OSError as error:
            self.stop(f"nothing was pruned, as the archive could not be written: {error}")

    def stop(self, reason: str) -> None:
        self.error = self.error or reason
        os.kill(self.pid, signal.SIGKILL)

    def outcome(self) -> JobOutcome:
        """What came of it, after the end of its pipes."""
        if self.job.sink:
            self.job.sink.close()
        result: dict[str, Any] = {}
        if not self.error:
            try:
                result = json.loads(self.report.decode())
                self.error = result.pop("error", "")
            except (ValueError, AttributeError, RecursionError):
                status = self.reap(0)
                how = f"was killed by {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else "ended"
                self.error = f"{how}, and left no report"
        return JobOutcome(self.job.name, result, self.error)

    def reap(self, options: int) -> int:
        """Takes the exit status, once; 0 where it has been taken before, or, with WNOHANG, is not there yet."""
        if self.reaped:
            return 0
        pid, status = os.waitpid(self.pid, options)
        self.reaped = pid != 0
        return status


def run_jobs(jobs: Iterable[Job], parallel: int, limits: Limits) -> Iterator[JobOutcome]:
    """Runs every job in a child of its own, ``parallel`` at a time, and yields each outcome as it comes."""
    gc.freeze()  # or a child that looks for garbage copies all that it shares with this process
    pending = iter(jobs)
    running: dict[int, _Running] = {}
    ending: list[_Running] = []
    selector = selectors.DefaultSelector()
    exhausted = False
    try:
        while True:
            while not exhausted and len(running) < parallel:
                job = next(pending, None)
                if job is None:
                    exhausted = True
                    break
                child = _Running(job, limits)
                running[child.pid] = child
                for fd in child.fds():
                    selector.register(fd, selectors.EVENT_READ, child)
            if not running:
                return
            wait = min(child.deadline for child in running.values()) - time.monotonic()
            for key, _events in selector.select(min(max(wait, 0), _LONGEST_WAIT)):
                child = key.data
                selector.unregister(key.fd)
                if child.receive(key.fd):
                    selector.register(key.fd, selectors.EVENT_READ, child)
                elif not child.fds():
                    # The next one starts while the kernel takes this one apart.
                    ending.append(running.pop(child.pid))
                    yield child.outcome()
            ending = [child for child in ending if not child.reap(os.WNOHANG) and not child.reaped]
            for child in running.values():
                if time.monotonic() > child.deadline:
                    child.stop(f"took longer than {child.seconds:.0f} s and was stopped")
                    child.deadline = float("inf")
    finally:
        for child in running.values():
            child.stop("")
        for child in running.values():
            if child.job.sink:
                child.job.sink.close()
        for child in (*running.values(), *ending):
            child.reap(0)
        selector.close()


def _data_held() -> int:
    """Bytes of this process's data, which a child has from its parent: where that is large, as a process that runs many
    modules may be, the child could begin nothing otherwise."""
    with open("/proc/self/statm", "rb") as file:  # text wants a codec, which the child's user may not be able to load
        return int(file.read().split()[5]) * resource.getpagesize()


def _child(job: Job, report: int, channel: Channel | None, limits: Limits) -> None:
    """Never returns, and runs nothing of the parent's on the way out."""
    status = 1
    try:
        close_all_but({0, 1, 2, job.directory, report, *(channel.fds if channel else ())})
        become(job.identity)
        die_with_parent()
        os.umask(0o077)
        os.fchdir(job.directory)
        for kind, value in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, int(limits.seconds) + 1),
            (resource.RLIMIT_DATA, _data_held() + limits.memory),
            (resource.RLIMIT_NPROC, limits.processes),
        ):
            _soft, hard = resource.getrlimit(kind)
            soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (soft, soft))
        try:
            document = job.work(channel)
        except MemoryError:
            document = {"error": f"needed more than {limits.memory // 2**20} MiB of memory"}
        except OSError as error:
            document = {"error": str(error)}
        except Exception:
            document = {"error": traceback.format_exc(limit=-3).strip()}
        write_all(report, json.dumps(document).encode())
        status = 0
    finally:
        os._exit(status)
