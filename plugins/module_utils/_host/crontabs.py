# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The lines of all crontabs of a host, and how some of them are taken out.

Users write crontabs too: each is opened below its directory, no link is followed, and reading is bounded.
"""

from __future__ import annotations

import os
import stat
from typing import Collection, Iterator, NamedTuple

from . import safefs
from .descriptors import write_all
from .new_files import new_file

# Single files, directories of files that cron reads, and directories of scripts that it runs.
_FILES = ("/etc/crontab", "/etc/anacrontab")
_FOLDERS = ("/etc/cron.d", "/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron")
_SCRIPTS = ("/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly")
_LIMIT = 1024 * 1024


class CronLine(NamedTuple):
    """A line that does something. ``number`` counts from 1; a ``script`` is a file that cron runs whole."""

    path: str
    number: int
    text: str
    script: bool


def cron_lines(root: str = "/") -> Iterator[CronLine]:
    """All of them; comments, settings and empty lines are left out. What cannot be read is, too."""
    for path in _crontabs(root):
        script = os.path.dirname(path) in {_below(root, folder) for folder in _SCRIPTS}
        try:
            with safefs.opened(os.open(os.path.dirname(path), safefs.DIRECTORY)) as folder:
                content, _info = safefs.read_file(os.path.basename(path), folder, _LIMIT)
        except OSError:
            continue
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            text = line.strip()
            if text and not text.startswith("#") and (script or text[0] in "@*" or text[0].isdigit()):
                yield CronLine(path, number, text, script)


def take_out(path: str, numbers: Collection[int]) -> None:
    """Removes lines of a crontab, in one step; its owner and mode stay. Raises OSError."""
    with safefs.opened(os.open(os.path.dirname(path), safefs.DIRECTORY)) as folder:
        name = os.path.basename(path)
        content, info = safefs.read_file(name, folder, _LIMIT)
        lines = content.splitlines(keepends=True)
        kept = b"".join(line for number, line in enumerate(lines, 1) if number not in numbers)
        temporary = f".{name}.{os.urandom(8).hex()}"  # cron reads no file with a dot
        fd = new_file(temporary, 0o600, folder)
        try:
            try:
                write_all(fd, kept)
                os.fchown(fd, info.st_uid, info.st_gid)
                os.fchmod(fd, stat.S_IMODE(info.st_mode))
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(temporary, dir_fd=folder)
            raise


def _crontabs(root: str) -> Iterator[str]:
    yield from (_below(root, path) for path in _FILES)
    for folder in (*_FOLDERS, *_SCRIPTS):
        try:
            names = sorted(os.listdir(_below(root, folder)))
        except OSError:
            continue
        yield from (os.path.join(_below(root, folder), name) for name in names if not name.startswith("."))


def _below(root: str, path: str) -> str:
    return os.path.join(root, path.lstrip("/"))
