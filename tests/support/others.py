"""What another user of the machine, with privileges really dropped, can do to files that are not its own."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from support.turns import isolated

OTHER = 61999
# What lies in a turn's directory, whose entries nobody else can list: their names are no secret.
NAMES = ("result", "result.partial", "lease", "pid", "live", "schema.json", "image-0.png", "secrets")


def _become_other() -> None:
    os.setgroups([])
    os.setresgid(OTHER, OTHER, OTHER)
    os.setresuid(OTHER, OTHER, OTHER)


def _can(paths: Iterable[str]) -> list[str]:
    """What this process can do, in words. The kernel answers."""
    found = []
    for path in paths:
        if not os.path.islink(path):
            found += [f"reads {path}"] if os.access(path, os.R_OK) else []
            found += [f"writes {path}"] if os.access(path, os.W_OK) else []
    return found


def below(*roots: Path) -> list[Path]:
    """All that is there, the roots left out."""
    return sorted(path for root in roots for path in root.rglob("*"))


def access(paths: Iterable[Path]) -> list[str]:
    """What another user can read or write of these paths, which it is told."""
    names = [str(path) for path in paths]

    def look() -> list[str]:
        _become_other()
        return _can(names)

    result: list[str] = isolated(look)
    return result


def writes(*roots: Path) -> list[str]:
    return [line for line in access([*roots, *below(*roots)]) if line.startswith("writes")]


@contextlib.contextmanager
def spying(*directories: Path) -> Iterator[list[str]]:
    """Another user tries all the while what it can do to turns' directories in these places, and to what is known to be
    in them. The list has it at the end; ``looked`` is in it once a turn's directory was seen."""
    found: list[str] = []
    with tempfile.TemporaryFile() as report:
        stop, stopped = os.pipe()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os.close(stopped)
                _become_other()
                os.set_blocking(stop, False)
                report.write(json.dumps(sorted(_spy(directories, stop))).encode())
                report.flush()
            os._exit(0)
        os.close(stop)
        try:
            yield found
        finally:
            os.close(stopped)
            os.waitpid(pid, 0)
            report.seek(0)
            found += json.loads(report.read())


def _spy(directories: Iterable[Path], stop: int) -> set[str]:
    found: set[str] = set()
    while True:
        for directory in directories:
            for name in os.listdir(directory):
                if name.startswith("alive-codex-") and len(name) == len("alive-codex-") + 8:
                    found.add("looked")
                    place = f"{directory}/{name}"
                    found.update(_can([place, *(f"{place}/{entry}" for entry in NAMES)]))
        with contextlib.suppress(BlockingIOError):
            os.read(stop, 1)
            return found
        time.sleep(0.0005)


def grant(directory: Path) -> None:
    """A default ACL: what is made in the directory is for the other user too, as far as its mode allows. The umask does
    not count then. Source: acl(5), and posix_acl_xattr.h of the kernel."""
    user_owner, user, group_owner, mask, others = 1, 2, 4, 16, 32
    nobody = 0xFFFFFFFF
    entries = [(user_owner, 7, nobody), (user, 7, OTHER), (group_owner, 0, nobody), (mask, 7, nobody)]
    packed = b"".join(struct.pack("<HHI", *entry) for entry in [*entries, (others, 0, nobody)])
    os.setxattr(directory, "system.posix_acl_default", struct.pack("<I", 2) + packed)
