# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Calls of the Linux kernel that Python has no function for, in the one place that loads the C library.

Each has its types declared, so that a wrong argument fails here and no 64-bit one is cut. Each is looked up once, at
import, not by a child between fork(2) and exec(2). They raise OSError as the functions of ``os`` do.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import struct
from typing import Any

# unshare(2), setns(2) and mount(2)
CLONE_NEWNS = 0x20000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
# capabilities(7)
CAP_SYS_RESOURCE = 24

_AT_FDCWD = -100
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_RENAME_EXCHANGE = 2
_CAPABILITY_VERSION = 0x20080522
_SYNC_FILE_RANGE_WRITE = 2
_NO_ID = 0xFFFFFFFF
_FIDEDUPERANGE = 0xC0189436
_DEDUPE_MOST = 16 << 20  # bytes that every file system takes at once
# Numbers of system calls for which older C libraries have no function.
_CLOSE_RANGE = 436
_RENAMEAT2 = {"x86_64": 316, "aarch64": 276}

_LIBC = ctypes.CDLL(None, use_errno=True)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = _LIBC[name]  # an object of its own each time, as syscall(2) stands for several
    function.restype, function.argtypes = result, arguments
    return function


_prctl = _function("prctl", ctypes.c_int, ctypes.c_int, *[ctypes.c_ulong] * 4)
_setfsuid = _function("setfsuid", ctypes.c_int, ctypes.c_uint32)
_setfsgid = _function("setfsgid", ctypes.c_int, ctypes.c_uint32)
_unshare = _function("unshare", ctypes.c_int, ctypes.c_int)
_setns = _function("setns", ctypes.c_int, ctypes.c_int, ctypes.c_int)
_capget = _function("capget", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_capset = _function("capset", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_mount = _function("mount", ctypes.c_int, *[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_void_p)
_sync_file_range = _function("sync_file_range", ctypes.c_int, ctypes.c_int, *[ctypes.c_int64] * 2, ctypes.c_uint)
_close_range = _function("syscall", ctypes.c_long, ctypes.c_long, *[ctypes.c_uint] * 3)
_renameat2 = _function(
    "syscall",
    ctypes.c_long,
    *(ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint),
)


def _checked(result: int, path: str | None = None) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)


def die_with_parent() -> None:
    """Has the kernel kill this process when the one that started it ends. A change of user clears this: call it
    afterwards."""
    _checked(_prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


def become_subreaper() -> None:
    """Makes this process the parent of whatever below it loses its own."""
    _checked(_prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def set_file_system_ids(uid: int, gid: int) -> None:
    """setfsuid(2) and setfsgid(2): the file system's capabilities go and come with UID 0.

    Raises PermissionError.
    """
    _setfsgid(gid)
    _setfsuid(uid)
    # Neither tells a failure. Asked for an ID that cannot be, they change nothing, and tell which one is set.
    if (_setfsuid(_NO_ID) & _NO_ID, _setfsgid(_NO_ID) & _NO_ID) != (uid, gid):
        raise PermissionError(errno.EPERM, f"this process cannot act as {uid}:{gid} in the file system")


def unshare(flags: int) -> None:
    """unshare(2): gives this process namespaces of its own."""
    _checked(_unshare(flags))


def set_namespace(fd: int, flags: int) -> None:
    """setns(2): puts this process, or for CLONE_NEWPID its children, into the namespace that a file of /proc names."""
    _checked(_setns(fd, flags))


def mount(source: str | None, target: str, flags: int, kind: str | None = None) -> None:
    """mount(2) without data; bind mounts and changes of propagation have no ``kind`` of file system either."""
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    _checked(_mount(*words, flags, None), target)


def set_capability(number: int, effective: bool) -> bool:
    """Has this process use one of its capabilities, or not; it can take back what it may have. Returns whether it used
    it before."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: of the numbers below 32, then of the others
    _checked(_capget(header, sets))
    word, bit = 3 * (number // 32), 1 << number % 32
    before = bool(sets[word] & bit)
    if before != effective:
        sets[word] ^= bit
        _checked(_capset(header, sets))
    return before


def start_writing(fd: int) -> None:
    """sync_file_range(2): has a file's content be brought to the disk, and waits for nothing. It is advice: that there
    is no such call, or that the disk does not take it, is told by fsync(2)."""
    _sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE)


def share_blocks(source: int, target: int, size: int) -> None:
    """ioctl_fideduperange(2): has two files of that size, the second open for writing, take the room of one, as far as
    the kernel finds their content to be the same. OSError where the file system cannot."""
    start = 0
    while start < size:
        length = min(size - start, _DEDUPE_MOST)
        request = bytearray(struct.pack("=QQHHIqQQiI", start, length, 1, 0, 0, target, start, 0, 0, 0))
        fcntl.ioctl(source, _FIDEDUPERANGE, request)
        shared, status = struct.unpack_from("=Qi", request, 40)
        if status < 0:
            raise OSError(-status, os.strerror(-status))
        if status > 0 or not shared:  # they differ
            return
        start += shared


def close_range(first: int, last: int) -> None:
    """close_range(2), which Linux has since 5.9: closes all descriptors from ``first`` to ``last``."""
    _checked(_close_range(_CLOSE_RANGE, first, last, 0))


def exchange(one: str, other: str) -> None:
    """renameat2(2): swaps two names in one step, whatever they are. OSError with EINVAL or ENOSYS where the file system
    or the kernel cannot."""
    number = _RENAMEAT2[os.uname().machine]
    result = _renameat2(number, _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    _checked(result, other)
