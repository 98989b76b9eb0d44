# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Starts a turn's supervisor, a process of its own, and waits for its result or leaves that to the action."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
from typing import Any, Callable, Sequence

from .._host import access
from .._host.descriptors import close_all_but
from . import lease
from .begin import Turn, begin
from .options import TurnOptions
from .prepare import prepare


def keep_job_private() -> list[str]:
    """Ansible writes the result of an async task with the umask. Its own directory for that becomes its user's alone;
    another one, which may hold other things, is not changed, but told of in a warning."""
    directory = os.path.expanduser(os.environ.get("ANSIBLE_ASYNC_DIR", ""))
    if not os.path.isdir(directory) or not access.open_to_others(directory):
        return []  # it is no async task, or nobody else reads there
    if os.path.basename(directory) == ".ansible_async" and os.stat(directory).st_uid == os.geteuid():
        os.chmod(directory, 0o700)
        return []
    return [f"other users may read the result of this task in {directory}: chmod 700 {directory}"]


def start_turn(options: TurnOptions, detach: bool, verbose: bool) -> tuple[dict[str, Any], list[str]]:
    """The module's result, and warnings. With ``detach``, the result tells the action how to watch a turn that has only
    begun; without, it is the turn's own.

    Raises CannotRun.
    """
    if "mitogen.core" in sys.modules:
        from . import run  # noqa: F401  # a fork cannot have Mitogen fetch it

    directory = lease.make_directory(access.temporary_directory())
    try:
        turn = prepare(options, directory)
    except BaseException:
        lease.remove_directory(directory)
        raise
    result = (_detach if detach else _attend)(turn, directory, verbose)
    from .cautions import cautions  # while the turn runs: the bench row exec shows what that saves

    return result, cautions(options)


def _detach(turn: Turn, directory: str, verbose: bool) -> dict[str, Any]:
    options = turn.options
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        _supervise(turn, directory, verbose, (done,), lambda: lease.Detached(directory, options.grace_period), done)
    with open(os.path.join(directory, "pid"), "w", encoding="ascii") as file:
        file.write(str(pid))
    os.close(done)
    os.read(ready, 1)  # Ansible removes what the supervisor still imports once this process ends
    os.close(ready)
    # What the action goes by is as it is read here: the task's own arguments may be strings, or left to a default.
    watch = {
        "directory": directory,
        "grace_period": options.grace_period,
        "max_bytes": options.max_bytes,
        "show": options.show,
        "thread_id": options.thread_id,
        "workspace": options.workspace,
        "contained": turn.tenant.identity is not None,
    }
    return {"changed": True, "watch": watch}


def _attend(turn: Turn, directory: str, verbose: bool) -> dict[str, Any]:
    # What is written to the lifeline does not matter: that it closes, when this process ends, does.
    lifeline_read, lifeline_write = os.pipe()
    result_read, result_write = os.pipe()
    if os.fork() == 0:
        keep = (lifeline_read, result_write)
        _supervise(turn, directory, verbose, keep, lambda: lease.Attached(lifeline_read, result_write))
    os.close(lifeline_read)
    os.close(result_write)
    result: dict[str, Any] = {"thread_id": turn.options.thread_id}
    for line in _wait(result_read, lifeline_write).splitlines():
        with contextlib.suppress(ValueError):  # the last one may be cut off
            result.update(json.loads(line))
    lease.remove_directory(directory)
    if "status" not in result:
        message = lease.killed(turn.tenant.identity is not None)
        result.update(failed=True, changed=True, status="aborted", reason=lease.KILLED, msg=message)
    return result


def _supervise(
    turn: Turn,
    directory: str,
    verbose: bool,
    keep: Sequence[int],
    make_link: Callable[[], lease.Link],
    ready: int | None = None,
) -> None:
    """The rest of the supervisor's life. It holds nothing of the module's, whose connection would stay open; ``ready``
    is closed once it needs none of the module's files either."""
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        close_all_but({0, 1, 2, *keep, *(() if turn.events_fd is None else (turn.events_fd,))})
        link = make_link()
        begun = begin(turn, turn.argv)
        from .run import run_turn  # while the CLI starts: the bench row exec shows what that saves

        if ready is not None:
            os.close(ready)
        link.deliver(run_turn(turn, begun, link, verbose))
        lease.remove_directory(directory)
        code = 0
    finally:
        os._exit(code)  # with the directory left, whoever polls finds that this process died


def _wait(result: int, lifeline: int) -> bytes:
    """Reads the result to its end. Where this process is to end, or nobody can take its output any more, the lifeline
    is closed; the supervisor then ends the turn, and its result still comes."""

    def let_go(*_unused: Any) -> None:
        nonlocal lifeline
        if lifeline >= 0:
            os.close(lifeline)
            lifeline = -1

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, let_go)
    poller = select.poll()
    poller.register(result, select.POLLIN)
    poller.register(1, 0)  # errors and hang-ups are always told
    chunks: list[bytes] = []
    while True:
        ready = dict(poller.poll())
        if 1 in ready:
            poller.unregister(1)
            let_go()
        if result in ready:
            chunk = os.read(result, 1024 * 1024)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
