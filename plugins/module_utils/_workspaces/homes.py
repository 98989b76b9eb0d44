# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The workspaces below a root, and who owns each."""

from __future__ import annotations

import os
import stat
from typing import Iterator, NamedTuple, Sequence

from .._formats.names import name_problem
from .._host.identity import Identity, identity_of
from .._host.safefs import kind_of, open_trusted, opened

# mkfs puts it at the top of a file system.
_LOST_AND_FOUND = "lost+found"
_LOOK = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


class OpenedHome(NamedTuple):
    """A HOME: ``fd`` is open on it, and the receiver's to close; where ``problem`` says why it cannot be worked on, it
    is not open."""

    name: str
    path: str
    owner: Identity
    fd: int
    problem: str = ""


def each_home(root: str, names: Sequence[str] | None = None) -> Iterator[OpenedHome]:
    """The workspaces in ``root``: those of ``names``, or every directory but root's own that only a file system or an
    administrator makes there.

    A HOME is taken by its directory, never through a link. One that belongs to root is nobody's workspace, and an
    unprivileged process can work in its own only.

    Raises OSError where ``root`` cannot be read.
    """
    with opened(open_trusted(root)) as root_fd:
        listed = sorted(os.listdir(root_fd)) if names is None else names
        for name in listed:
            problem = name_problem(name) if names is not None else None
            if problem:
                yield _refused(root, name, f"is not the name of a workspace, one plain path component: it {problem}")
                continue
            if names is None and not _may_be_workspace(name, root_fd):
                continue
            yield _workspace(root, name, root_fd)


def _workspace(root: str, name: str, root_fd: int) -> OpenedHome:
    try:
        fd = os.open(name, _LOOK, dir_fd=root_fd)
    except NotADirectoryError:
        kind = kind_of(os.stat(name, dir_fd=root_fd, follow_symlinks=False).st_mode)
        return _refused(root, name, f"is {kind}, not a directory")
    except OSError as error:
        return _refused(root, name, os.strerror(error.errno or 0))
    info = os.fstat(fd)
    owner = Identity(info.st_uid, info.st_gid)  # numbers are enough: a look at passwd for each takes its time
    problem = ""
    if os.geteuid() == 0 and 0 in owner[:2]:
        problem = f"belongs to {identity_of(*owner[:2])}: a workspace has an owner and a group of its own"
    elif os.geteuid() not in (0, owner.uid):
        problem = f"belongs to {identity_of(*owner[:2])}, and only root or that user can work there"
    if problem:
        os.close(fd)
        return _refused(root, name, problem)
    return OpenedHome(name, os.path.join(root, name), owner, fd)


def _refused(root: str, name: str, problem: str) -> OpenedHome:
    return OpenedHome(name, os.path.join(root, name), Identity(-1, -1), -1, problem)


def _may_be_workspace(name: str, dir_fd: int) -> bool:
    """Whether an entry of the root is a directory, and none like ``lost+found`` or a hidden one of root's."""
    try:
        info = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    of_the_host = info.st_uid == 0 and (name == _LOST_AND_FOUND or name.startswith("."))
    return stat.S_ISDIR(info.st_mode) and not of_the_host
