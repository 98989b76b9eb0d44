# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Archives of what is removed: read by the owner of a HOME, written by whoever started it all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tarfile
import time
from typing import Iterable, Protocol

from .._host.descriptors import write_all
from .._host.new_files import new_directory, new_file
from .._host.safefs import open_directory, open_own, opened, refuse_foreign
from .home import Home, split

_PARTIAL = ".partial"
_PRIVATE = 0o700


class Writer(Protocol):
    """What takes an archive's bytes."""

    def write(self, data: bytes) -> int:
        """How many of them it took."""


class ArchiveFiles:
    """One workspace's archives, ``<directory>/<workspace>/<time>.tar.gz``, for root alone. An archive has its name only
    when all of it is on the disk."""

    def __init__(self, directory: str, workspace: str) -> None:
        self.paths: list[str] = []
        self._directory = os.path.join(directory, workspace)
        self._root, self._workspace = directory, workspace
        self._dir_fd = self._fd = -1

    def write(self, data: bytes) -> None:
        """Takes the next bytes of an archive."""
        if self._dir_fd < 0:
            self._dir_fd = self._open_directory()
        if self._fd < 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_PARTIAL, dir_fd=self._dir_fd)  # of a run that was killed
            self._fd = new_file(_PARTIAL, 0o600, self._dir_fd)
        place = os.fstatvfs(self._fd)
        if place.f_bavail * place.f_frsize < len(data):
            # Root could go on into the blocks that are kept for it: not with what a tenant has.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.path.join(self._directory, _PARTIAL))
        write_all(self._fd, data)

    def _open_directory(self) -> int:
        with opened(open_own(self._root, _PRIVATE)) as root_fd:
            with contextlib.suppress(FileExistsError):
                new_directory(self._workspace, _PRIVATE, root_fd)
            fd = open_directory(self._workspace, root_fd)
            try:
                refuse_foreign(fd, self._directory)
                os.fchmod(fd, _PRIVATE)
            except BaseException:
                os.close(fd)
                raise
            return fd

    def commit(self) -> None:
        """Ends an archive: synchronised, then renamed to a name of its own."""
        os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        number = 0
        while True:
            name = f"{stamp}-{number}.tar.gz"
            try:
                os.link(_PARTIAL, name, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)
                break
            except FileExistsError:
                number += 1
        os.unlink(_PARTIAL, dir_fd=self._dir_fd)
        os.fsync(self._dir_fd)
        self.paths.append(os.path.join(self._directory, name))

    def close(self) -> None:
        """Drops what was not committed."""
        if self._fd >= 0:
            os.close(self._fd)
            os.unlink(_PARTIAL, dir_fd=self._dir_fd)
        if self._dir_fd >= 0:
            os.close(self._dir_fd)
        self._dir_fd = self._fd = -1


def write_archive(home: Home, paths: Iterable[str], out: Writer) -> None:
    """Packs files and trees below a HOME, named by their paths below it. OSError where one changes meanwhile."""
    # Any writer will do, though its type says otherwise.
    with tarfile.open(fileobj=out, mode="w|gz", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        pending = list(reversed(list(paths)))
        while pending:
            path = pending.pop()
            with contextlib.suppress(FileNotFoundError):
                info = home.stat(path)
                if stat.S_ISDIR(info.st_mode):
                    archive.addfile(_member(path, info, tarfile.DIRTYPE))
                    pending.extend(f"{path}/{name}" for name in home.entries(path))
                elif stat.S_ISREG(info.st_mode):
                    _add_file(archive, home, path)


def _add_file(archive: tarfile.TarFile, home: Home, path: str) -> None:
    above, name = split(path)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=home.directory(above)), "rb") as file:
        info = os.fstat(file.fileno())
        if stat.S_ISREG(info.st_mode):
            member = _member(path, info, tarfile.REGTYPE)
            member.size = info.st_size
            archive.addfile(member, file)


def _member(path: str, info: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type = kind
    member.mode = stat.S_IMODE(info.st_mode)
    member.mtime = info.st_mtime
    member.uid, member.gid = info.st_uid, info.st_gid
    return member
