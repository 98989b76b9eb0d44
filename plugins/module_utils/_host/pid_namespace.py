# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""A PID namespace: processes that the kernel ends as a whole, however fast they fork.

When its first process, its init, is gone, the kernel lets no other be made there, kills all that there are, and only
then tells the init's parent. An init dies with its parent.
"""

from __future__ import annotations

import os

from . import linux


def fork_init() -> int:
    """As fork(2); the child is the init of a namespace of its own, and has yet to ``settle``.

    Raises OSError where there can be none.
    """
    here = os.open("/proc/self/ns/pid", os.O_RDONLY)
    try:
        # Root of a user namespace may make one, and could not come back: that is known here, before anything changed.
        linux.set_namespace(here, linux.CLONE_NEWPID)
        linux.unshare(linux.CLONE_NEWPID)
        pid = -1
        try:
            pid = os.fork()
        finally:
            if pid != 0:  # or all that this process forks from now on would be there
                linux.set_namespace(here, linux.CLONE_NEWPID)
        return pid
    finally:
        os.close(here)


def settle() -> None:
    """Gives the init a /proc that shows its namespace. The host's mounts and unmounts still reach it; its own stay its
    own.

    Raises OSError.
    """
    linux.die_with_parent()
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", linux.MS_REC | linux.MS_SLAVE)
    linux.mount("proc", "/proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC, "proc")
