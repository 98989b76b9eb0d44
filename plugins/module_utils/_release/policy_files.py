# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The files in /etc/codex as they are, what is to become of them, and what of somebody else's goes with that."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from typing import Any, Mapping, NamedTuple

from .._formats import toml_edit
from .._formats.toml_document import TomlError, parse_toml
from .._host.new_files import PUBLIC_DIRECTORY, PUBLIC_FILE, public_directories
from .._host.safefs import kind_of
from .policy import HEADER, render

_LABEL = "security.selinux"
_MOST_BYTES = 1 << 20


class PolicyFile(NamedTuple):
    """``text`` is None where there is no file, ``link`` what a symbolic link says. ``public``: every user can read it,
    and its owner, this process's user, alone change it."""

    path: str
    text: str | None
    link: str | None
    public: bool

    @property
    def ours(self) -> bool:
        return self.text is not None and self.text.startswith(HEADER)


class Plan(NamedTuple):
    """What the file is to be, and the keys that go, or get another value, of what was somebody's will."""

    text: str
    goes: list[str]


def look(path: str) -> PolicyFile:
    """Raises ValueError for what is no text file, or OSError."""
    link = os.readlink(path) if os.path.islink(path) else None
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):
            raise ValueError(f"{path} is {kind_of(info.st_mode)}, not a file: move it away")
        if info.st_size > _MOST_BYTES:
            raise ValueError(f"{path} has {info.st_size} bytes, which is no configuration: move it away")
        with open(path, encoding="utf-8", newline="") as stream:
            text = stream.read()
    except FileNotFoundError:
        return PolicyFile(path, None, link, False)
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no UTF-8, so Codex cannot read it: move it away") from None
    return PolicyFile(path, text, link, info.st_uid == os.geteuid() and stat.S_IMODE(info.st_mode) == PUBLIC_FILE)


def plan(file: PolicyFile, document: Mapping[str, Any], merge: bool) -> Plan:
    """What the file is to be. With ``merge``, the document's keys are set in what is there, and nothing else changes.

    Raises ValueError for a document that has no TOML form, and, with ``merge``, for a file that is no TOML.
    """
    try:
        text = toml_edit.edit(file.text or "", document).text if merge else render(document)
    except TomlError as error:
        raise ValueError(f"{file.path} cannot be merged with: {error}") from None
    return Plan(text, _lost(file, text))


def without_ours(file: PolicyFile) -> str | None:
    """What is left of a file without what this module wrote; None for nothing."""
    if file.ours or file.text is None:
        return None
    try:
        return toml_edit.edit(file.text, {}).text or None
    except TomlError:
        return file.text


def _lost(file: PolicyFile, text: str) -> list[str]:
    """Of a file of ours, nobody but a tenant has an interest in a default's old value: what goes is enough there."""
    if file.text is None:
        return []
    try:
        before = dict(toml_edit.leaves_of(parse_toml(file.text).data))
    except TomlError:
        return ["all of it, which is no TOML"]
    after = dict(toml_edit.leaves_of(parse_toml(text).data))
    only_gone = file.ours and os.path.basename(file.path) == "config.toml"
    return [
        toml_edit.dotted(path)
        for path, value in before.items()
        if path not in after or (not only_gone and after[path] != value)
    ]


def is_closed(directory: str) -> bool:
    """Whether users cannot get at the files in it, which ends each of their turns."""
    return os.path.isdir(directory) and not os.stat(directory).st_mode & stat.S_IXOTH


def write(directory: str, texts: Mapping[str, str]) -> None:
    """Puts each file, by its path, in place whole, readable by everybody, writable by its owner alone."""
    public_directories(directory)
    if is_closed(directory):
        os.chmod(directory, PUBLIC_DIRECTORY)
    for path, text in texts.items():
        descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=directory)
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
                stream.flush()
                os.fchmod(descriptor, PUBLIC_FILE)
                with contextlib.suppress(OSError):  # nothing labels files here, or it is a new one
                    os.setxattr(temporary, _LABEL, os.getxattr(path, _LABEL))
                os.fsync(descriptor)
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
