# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Files and directories below a place that a hostile tenant owns.

Everything goes through the file descriptor of a directory and one plain component, never through a path, and no
symbolic link is followed: what the tenant swaps while we look can only ever be something of its own. Opening never
waits (FIFOs, leases) and reading is bounded. Errors are OSError.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Callable, Iterator

from .descriptors import write_all
from .new_files import PUBLIC_DIRECTORY, new_directory, new_file

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# Only to look at and to go on from; the kernel opens nothing, which costs half.
TRAVERSE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_MAX_LINKS = 40
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def printable(name: str) -> str:
    """A file name as text that any terminal and JSON can hold: control characters and invalid UTF-8 are escaped."""
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in name)


def kind_of(mode: int) -> str:
    """What an ``st_mode`` is, in words: ``a directory``, ``a FIFO``."""
    return _KINDS.get(stat.S_IFMT(mode), "a regular file")


def open_directory(name: str, dir_fd: int) -> int:
    """Opens the directory ``name`` below ``dir_fd``. NotADirectoryError says what else it is."""
    try:
        return os.open(name, DIRECTORY, dir_fd=dir_fd)
    except NotADirectoryError:
        kind = kind_of(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)
        raise NotADirectoryError(errno.ENOTDIR, f"is {kind}, not a directory") from None


@contextlib.contextmanager
def opened(fd: int) -> Iterator[int]:
    """Closes ``fd`` at the end of the block."""
    try:
        yield fd
    finally:
        os.close(fd)


def open_trusted(path: str, create: int | None = None) -> int:
    """Opens an absolute path that the operator named, for a process that may be root.

    Symbolic links are followed only where root made them, and nothing is looked up in a directory in which everybody
    may rename (writable by others and not sticky): so nobody else decides where the path ends. An unprivileged process
    has no more than its own rights to lose, and follows what it likes. With ``create``, the mode of a directory that is
    missing, it is made, and those above it, 0755.

    Raises FileNotFoundError for what is missing otherwise, PermissionError for what is not to be trusted.
    """
    if not os.path.isabs(path):
        raise ValueError(f"{path!r} is not an absolute path")
    privileged = os.geteuid() == 0
    pending = _components(path)
    links = 0
    here = os.open("/", TRAVERSE)
    try:
        while pending:
            name = pending.pop()
            if privileged:
                _refuse_shared(here)
            try:
                below = _open_or_make(name, here, PUBLIC_DIRECTORY if pending and create is not None else create)
            except NotADirectoryError:
                info = os.stat(name, dir_fd=here, follow_symlinks=False)
                if not stat.S_ISLNK(info.st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, f"{name} is {kind_of(info.st_mode)}", path) from None
                if privileged and info.st_uid != 0:
                    message = f"{name} is a symbolic link that belongs to UID {info.st_uid}, and is not followed"
                    raise PermissionError(errno.EPERM, message, path) from None
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
                target = os.readlink(name, dir_fd=here)
                pending += _components(target)
                if not os.path.isabs(target):
                    continue
                below = os.open("/", TRAVERSE)
            os.close(here)
            here = below
        return os.open(".", DIRECTORY, dir_fd=here)
    finally:
        os.close(here)


def _components(path: str) -> list[str]:
    """The components of a path, the first one last."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _open_or_make(name: str, dir_fd: int, mode: int | None) -> int:
    try:
        return os.open(name, TRAVERSE, dir_fd=dir_fd)
    except FileNotFoundError:
        if mode is None:
            raise
    new_directory(name, mode, dir_fd)
    return os.open(name, TRAVERSE, dir_fd=dir_fd)


def open_own(path: str, mode: int) -> int:
    """Opens a directory that this process is to write to, made with ``mode`` where it is missing: like
    ``open_trusted``, and PermissionError for one that another user owns, or everybody may write to."""
    fd = open_trusted(path, create=mode)
    try:
        refuse_foreign(fd, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def refuse_foreign(fd: int, path: str) -> None:
    """PermissionError for an open directory in which another user could have put, or could swap, what is ours."""
    info = os.fstat(fd)
    if info.st_uid not in (0, os.geteuid()):
        raise PermissionError(errno.EPERM, f"belongs to UID {info.st_uid}, not to UID {os.geteuid()}", path)
    if info.st_mode & stat.S_IWOTH:
        raise PermissionError(errno.EPERM, "everybody may write to it", path)


def _refuse_shared(fd: int) -> None:
    if os.fstat(fd).st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
        path = os.readlink(f"/proc/self/fd/{fd}")
        raise PermissionError(errno.EPERM, "everybody may write to it and rename what is in it", path)


def mount_id(fd: int) -> str:
    """What tells one mount from another, bind mounts of one file system too, of a file that is open."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        return next((line.split()[1] for line in file if line.startswith("mnt_id:")), "")


def converging(fd: int, owner: tuple[int, int], mode: int, check: bool) -> Iterator[tuple[str, str]]:
    """Gives what is open its owner and mode; tells after each of both that was another what it was and is, in words.
    With ``check``, it is only told."""
    info = os.fstat(fd)
    present = (info.st_uid, info.st_gid)
    if present != owner:
        if not check:
            os.fchown(fd, *owner)
        yield "owner", "{}:{} -> {}:{}".format(*present, *owner)
    if stat.S_IMODE(info.st_mode) != mode:
        if not check:
            os.fchmod(fd, mode)
        yield "mode", f"{stat.S_IMODE(info.st_mode):04o} -> {mode:04o}"


def read_file(name: str, dir_fd: int, limit: int, owner: int | None = None) -> tuple[bytes, os.stat_result]:
    """The content of a regular file of at most ``limit`` bytes, and its status as it was opened. With ``owner``, a file
    of anybody else, which a hard link can bring here, is not read."""
    try:
        fd = os.open(name, _READ, dir_fd=dir_fd)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        kind = kind_of(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)
        raise OSError(errno.EINVAL, f"is {kind}, not a regular file") from None
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, f"is {kind_of(info.st_mode)}, not a regular file")
        if owner is not None and info.st_uid != owner:
            raise PermissionError(errno.EPERM, f"belongs to UID {info.st_uid}, not to UID {owner}")
        if info.st_size > limit:
            raise OSError(errno.EFBIG, f"has {info.st_size} bytes, more than the {limit} that are read")
        # One read in all but every case: asked for one byte more than there should be, it comes back short.
        content = os.read(fd, info.st_size + 1)
        while info.st_size < len(content) <= limit:
            more = os.read(fd, limit + 1 - len(content))
            if not more:
                break
            content += more
        if len(content) > limit:
            raise OSError(errno.EFBIG, f"grew past the {limit} bytes that are read")
        return content, info
    finally:
        os.close(fd)


def replace_file(
    name: str,
    dir_fd: int,
    content: bytes,
    mode: int,
    expected: Callable[[], bool] = lambda: True,
    durable: bool = True,
) -> bool:
    """Writes a file whole or not at all: beside it, synchronised, then renamed over it. It belongs to the caller.

    ``expected`` is asked right before the rename; where it says no, nothing is replaced, and False returned. Without
    ``durable``, a crash of the host may leave the new file empty: enough where no content is at stake.
    """
    temporary = f".{name}.{os.urandom(8).hex()}"
    fd = new_file(temporary, mode, dir_fd)
    try:
        try:
            write_all(fd, content)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        if not expected():
            os.unlink(temporary, dir_fd=dir_fd)
            return False
        os.rename(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        return True
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=dir_fd)
        raise
