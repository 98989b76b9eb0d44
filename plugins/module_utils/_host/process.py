# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Bounded runs of a command.

No environment is ever inherited or remembered here: each call is given the one it uses.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Callable, Mapping, NamedTuple, Sequence

from .identity import Identity, become
from .linux import die_with_parent
from .proc import descendants

# What cannot be killed for so long hangs in the kernel.
KILL_SECONDS = 10.0
_MEANWHILE = 0.2  # seconds between two calls of it
_LAST_WORDS = 1.0  # seconds for which a killed command's pipes are read on

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Completed(NamedTuple):
    """What a finished command left. ``rc`` is negative for a signal, as in subprocess; output is bytes."""

    rc: int
    stdout: bytes
    stderr: bytes
    timed_out: bool


def reset_signals() -> None:
    """Ignores and blocks no signal any more. A program inherits both, and whoever starts us may have done so: a shell
    in the background, nohup(1)."""
    for number in signal.valid_signals():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def bare_environment(identity: Identity, home: str) -> dict[str, str]:
    """The least a program expects, and nothing of the caller's."""
    name = identity.name or str(identity.uid)
    return {"HOME": home, "PATH": STANDARD_PATH, "USER": name, "LOGNAME": name, "LANG": "C.UTF-8"}


def run(
    argv: Sequence[str],
    env: Mapping[str, str],
    timeout: float,
    identity: Identity | None = None,
    cwd: str = "/",
    stdin: bytes = b"",
    umask: int = 0o077,
    keep_open: Sequence[int] = (),
    before: Callable[[], None] = lambda: None,
    meanwhile: Callable[[], None] | None = None,
) -> Completed:
    """Runs a command to its end, at most ``timeout`` seconds; then its whole session's group is killed.

    It does not outlive this process either, and inherits the descriptors ``keep_open`` alone. ``before`` is called in
    the new process first, ``meanwhile`` in this one, again and again until a command without ``stdin`` has ended. What
    it makes is its user's alone, unless ``umask`` says otherwise.

    Raises OSError where the command cannot be started, SubprocessError where ``before`` fails.
    """

    import subprocess  # not by everybody who imports this: what it imports makes every fork(2) slower

    def prepare() -> None:
        before()
        reset_signals()
        os.umask(umask)
        if identity is not None:
            become(identity)
        die_with_parent()

    # AnsibleModule.run_command(), which pylint would have in its place, drops no privileges and passes no descriptors.
    child = subprocess.Popen(  # pylint: disable=ansible-bad-function
        list(argv),
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=prepare,
        pass_fds=keep_open,
    )
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        try:
            stdout, stderr = child.communicate(stdin, left if meanwhile is None else min(left, _MEANWHILE))
            return Completed(child.returncode, stdout, stderr, False)
        except subprocess.TimeoutExpired:
            if meanwhile is None or time.monotonic() >= deadline:
                os.killpg(child.pid, signal.SIGKILL)
                try:
                    stdout, stderr = child.communicate(timeout=_LAST_WORDS)
                except subprocess.TimeoutExpired as held:  # by what it started in a session of its own
                    stdout, stderr = held.stdout or b"", held.stderr or b""
                    for pipe in (child.stdin, child.stdout, child.stderr):
                        with contextlib.suppress(OSError):
                            if pipe is not None:
                                pipe.close()
                    child.wait()
                return Completed(child.returncode, stdout, stderr, True)
            meanwhile()


def kill_descendants() -> list[int]:
    """Kills every process below this one until there is none, and reaps those that it is the parent of, or the
    subreaper. Returns those that did not die."""
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
