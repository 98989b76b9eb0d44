# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Where Codex keeps its databases. Runs as the owner of a HOME."""

from __future__ import annotations

import os
from typing import Iterator

from .._formats.toml_document import parse_toml
from .._host.safefs import opened, printable, read_file
from .home import Home
from .sqlite import Strange

# What moves them: a variable, and a key of both configurations, the tenant's and the host's.
VARIABLE = "CODEX_SQLITE_HOME"
HOST = "/etc/codex"
_KEY = "sqlite_home"
_CONFIG = "config.toml"
_MAX_BYTES = 2**20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def directories(home: Home, root: str, path: str, variable: str) -> Iterator[int]:
    """Descriptors of the directories that hold databases, or did, each valid until the next one: ``root``, one of
    Codex's directories below HOME; where the configuration has them in its place; and ``variable``, the value of that
    in the environment. ``path`` is HOME's.

    Strange where a directory is not the tenant's own, or the configuration cannot be understood. OSError where there is
    no ``root``.
    """
    codex = home.directory(root)
    named = [variable, _configured(codex, f"{path}/{root}", path) or _configured_for_all(path)]
    seen = {_identity(codex)}
    yield codex
    for directory in filter(None, named):
        try:
            fd = os.open(directory, _DIRECTORY)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise Strange(f"{printable(directory)}, where they are, cannot be opened: {error}") from None
        with opened(fd):
            if os.fstat(fd).st_uid != os.geteuid():
                raise Strange(f"{printable(directory)}, where they are, belongs to somebody else")
            if _identity(fd) not in seen:
                seen.add(_identity(fd))
                yield fd


def _configured_for_all(path: str) -> str:
    try:
        fd = os.open(HOST, _DIRECTORY)
    except FileNotFoundError:
        return ""
    with opened(fd):
        return _configured(fd, HOST, path)


def _configured(fd: int, directory: str, path: str) -> str:
    """Where the configuration in a directory has them; empty where it does not say."""
    config = printable(f"{directory}/{_CONFIG}")
    try:
        content, _info = read_file(_CONFIG, fd, _MAX_BYTES)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Strange(f"{config} cannot be read: {error.strerror}") from None
    if _KEY.encode() not in content:
        return ""
    try:
        value = parse_toml(content.decode()).data.get(_KEY, "")
    except ValueError as error:
        raise Strange(f"{config} cannot be understood: {error}") from None
    if not isinstance(value, str):
        raise Strange(f"{config} has a {_KEY} that is not text")
    if value.partition("/")[0] == "~":
        return path + value[1:]
    return value and os.path.join(directory, value)


def _identity(fd: int) -> tuple[int, int]:
    info = os.fstat(fd)
    return info.st_dev, info.st_ino
