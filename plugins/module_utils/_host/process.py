# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Identities, the privilege drop, and bounded runs of a command.

No environment is ever inherited or remembered here: each call is given the one it uses.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pwd
import signal
from typing import Callable, Iterator, Mapping, NamedTuple, Sequence, TypeVar

_LIBC = ctypes.CDLL(None)
_PRCTL = _LIBC.prctl  # looked up here, not by each child
_PR_SET_PDEATHSIG = 1
# Looking at fewer things takes no longer than starting a process.
_WORTH_A_PROCESS = 1000
T = TypeVar("T")

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Identity(NamedTuple):
    """Who a process runs as. ``name`` and ``home`` are passwd's, None for a bare UID without an entry."""

    uid: int
    gid: int
    name: str | None = None
    home: str | None = None

    def __str__(self) -> str:
        numbers = f"{self.uid}:{self.gid}"
        return f"{self.name} ({numbers})" if self.name else numbers


class Completed(NamedTuple):
    """What a finished command left. ``rc`` is negative for a signal, as in subprocess; output is bytes."""

    rc: int
    stdout: bytes
    stderr: bytes
    timed_out: bool


def lookup_identity(spec: str) -> Identity:
    """The identity that ``name``, ``uid`` or ``uid:gid`` names. A bare UID without passwd entry has its own number as
    GID. Raises LookupError for a name that does not exist, ValueError for text of no such form."""
    user, colon, group = spec.partition(":")
    if colon and not (user.isdecimal() and group.isdecimal()):
        raise ValueError(f"{spec!r} is not a user: give a name, a UID, or UID:GID")
    if user.isdecimal():
        return identity_of(int(user), int(group) if colon else None)
    if not user:
        raise ValueError("an empty text is not a user: give a name, a UID, or UID:GID")
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise LookupError(f"there is no user {user!r} on this host") from None
    return Identity(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)


def identity_of(uid: int, gid: int | None = None) -> Identity:
    """The identity of a numeric UID, with passwd's GID, name and home where there is an entry."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Identity(uid, uid if gid is None else gid)
    return Identity(uid, entry.pw_gid if gid is None else gid, entry.pw_name, entry.pw_dir)


def current_identity() -> Identity:
    """Who this process is."""
    return identity_of(os.geteuid(), os.getegid())


def become(identity: Identity) -> None:
    """Turns this process into ``identity`` for good: groups cleared, real, effective and saved IDs set. Does nothing
    where it is that identity already. Raises PermissionError where the process may not."""
    if os.geteuid() != 0 and (os.getresuid(), os.getresgid()) == ((identity.uid,) * 3, (identity.gid,) * 3):
        return
    os.setgroups([])
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)


def die_with_parent() -> None:
    """Has the kernel kill this process when the one that started it ends. A change of user clears this: call it
    afterwards."""
    _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)


def reset_signals() -> None:
    """Ignores and blocks no signal any more. A program inherits both, and whoever starts us may have done so: a shell
    in the background, nohup(1)."""
    for number in signal.valid_signals():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


@contextlib.contextmanager
def acting_as(identity: Identity) -> Iterator[None]:
    """For the length of the block, root has the rights of ``identity`` and no more in the file system, and what it
    makes belongs to ``identity``. To the rest of the kernel it stays root: the effective UID would let the tenant
    slow this process down through its priority. Does nothing in an unprivileged process, which has its own rights only.
    Supplementary groups must have been cleared."""
    if os.geteuid() != 0:
        yield
        return
    _set_file_system_ids(identity.uid, identity.gid)
    try:
        yield
    finally:
        _set_file_system_ids(0, 0)


def _set_file_system_ids(uid: int, gid: int) -> None:
    """setfsuid(2): the file system's capabilities go and come with UID 0. Python has no call for it."""
    _LIBC.setfsgid(ctypes.c_uint32(gid))
    _LIBC.setfsuid(ctypes.c_uint32(uid))
    # Neither tells a failure. Asked for an ID that cannot be, they change nothing, and tell which one is set.
    nobody = ctypes.c_uint32(-1)
    if (_LIBC.setfsuid(nobody) & 0xFFFFFFFF, _LIBC.setfsgid(nobody) & 0xFFFFFFFF) != (uid, gid):
        raise PermissionError(errno.EPERM, f"this process cannot act as {uid}:{gid} in the file system")


def processes_by_user() -> dict[int, list[int]]:
    """The PIDs of every UID that a process has, as its real, effective or saved one."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/status", "rb") as file:
                    uids = next(line for line in file if line.startswith(b"Uid:")).split()[1:4]
            except OSError:
                continue
            for uid in set(uids):
                found.setdefault(int(uid), []).append(int(name))
    return found


def filtered(items: Sequence[T], wanted: Callable[[T], bool]) -> list[T]:
    """The items that are wanted. Where there are thousands, as many processes as there are CPUs find out; what they
    could not find out is wanted."""
    count = max(1, min(len(os.sched_getaffinity(0)), len(items) // _WORTH_A_PROCESS))
    size = -(-len(items) // count) or 1
    shares = [items[start : start + size] for start in range(0, len(items), size)]
    answers = [_answering(share, wanted) for share in shares[1:]]
    found = [item for item in items[:size] if wanted(item)]
    for share, (pid, reader) in zip(shares[1:], answers):
        with open(reader, "rb") as file:
            answer = file.read().ljust(len(share), b"\1")
        os.waitpid(pid, 0)
        found += [item for item, is_wanted in zip(share, answer) if is_wanted]
    return found


def _answering(items: Sequence[T], wanted: Callable[[T], bool]) -> tuple[int, int]:
    """A new process that answers for each item with a byte; its PID, and the descriptor to read them from."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            with open(writer, "wb") as file:
                file.write(bytes(map(wanted, items)))
        finally:
            os._exit(0)
    os.close(writer)
    return pid, reader


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
    umask: int = 0o022,
    keep_open: Sequence[int] = (),
    before: Callable[[], None] = lambda: None,
) -> Completed:
    """Runs a command to its end, at most ``timeout`` seconds; then its whole session's group is killed.

    It does not outlive this process either, and inherits the descriptors ``keep_open`` alone. ``before`` is called in
    the new process first. Raises OSError where the command cannot be started, SubprocessError where ``before`` fails.
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
    timed_out = False
    try:
        stdout, stderr = child.communicate(stdin, timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
        os.killpg(child.pid, signal.SIGKILL)
        stdout, stderr = child.communicate()
    return Completed(child.returncode, stdout, stderr, timed_out)
