# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What a release was made of when it was installed, and what of it is another now.

Kinds, modes and owners are looked at each time. Contents are compared by their digests, which takes a second for a
whole release, so only of files whose inode is not as it was seen last: content does not change without the ctime, which
nobody can set.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

from .._host import linux, trees
from .._host.descriptors import pieces
from .._host.new_files import PUBLIC_DIRECTORY, PUBLIC_FILE, new_directory, new_file
from .._host.safefs import kind_of, printable

FOLDER = "record"  # in the release's directory; a new file in here leaves that one's time as it is
_FILE = os.path.join(FOLDER, "release.json")
_MOST_BYTES = 8 << 20
_CHUNK = 1 << 20
_SHOWN_NAME = 200
# What reading what is no record may raise.
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
_WHO = "another user could have changed it"


class File(NamedTuple):
    """``seen`` is the inode, mtime and ctime that it had when its content was last known."""

    mode: int
    size: int
    digest: str
    seen: Sequence[int]


class Record(NamedTuple):
    """All below a release's directory but the record, by its path there. ``owner`` is the UID and GID of all."""

    owner: Sequence[int]
    directories: Sequence[str]
    links: dict[str, str]
    files: dict[str, File]

    def same_content(self, other: Record) -> bool:
        return (
            sorted(self.directories) == sorted(other.directories)
            and self.links == other.links
            and {name: file._replace(seen=()) for name, file in self.files.items()}
            == {name: file._replace(seen=()) for name, file in other.files.items()}
        )


class Finding(NamedTuple):
    """``wrong`` has what is another than at the installation, in words. ``record`` is None for a release that has none
    which can be believed; ``seen`` are the files in it, if any, that have another inode, but not another content."""

    wrong: list[str]
    record: Record | None
    seen: Mapping[str, File] | None = None


class Digests:
    """Contents of a release's files, of which most are known before the last file is there."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], str] = {}
        self._last: set[tuple[int, ...]] = set()

    def look(self, root: str) -> None:
        """Reads the files that are as they were at the last look, which was some ticks of the kernel's clock ago: a
        later write gives them another mtime. Not the one that was written last, which may only be waited for."""
        files = {}
        for path in trees.entries(root):
            with contextlib.suppress(OSError):
                info = os.lstat(path)
                if stat.S_ISREG(info.st_mode):
                    files[_written(info)] = path
        newest = max((written[-1] for written in files), default=0)
        for written in self._last.intersection(files).difference(self._known):
            if written[-1] != newest:
                with contextlib.suppress(OSError):
                    self._known[written] = _digest(files[written])
        self._last = set(files)

    def of(self, path: str, info: os.stat_result) -> str:
        """That of a file as ``info`` tells of it.

        Raises OSError.
        """
        return self._known.get(_written(info)) or _digest(path)


def _written(info: os.stat_result) -> tuple[int, ...]:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns


def write(root: str, digests: Digests | None = None) -> Record:
    """Notes what a complete release is made of, which nobody else can change."""
    record = _take(root, digests or Digests())
    folder = os.path.join(root, FOLDER)
    if not os.path.isdir(folder):
        new_directory(folder, PUBLIC_DIRECTORY)
    _write(root, record)
    return record


def compare(root: str, trusted: Sequence[int] = (0,)) -> Finding:
    """What differs in the release's directory, which belongs to one of the ``trusted`` UIDs."""
    try:
        info = os.lstat(root)
    except OSError as error:
        return Finding([f"its directory {error.strerror}"], None)
    if not stat.S_ISDIR(info.st_mode):
        return Finding([f"its directory is {kind_of(info.st_mode)}"], None)
    if not os.path.lexists(os.path.join(root, FOLDER)):
        return Finding(list(_not_as_published(root, info)), None)
    try:
        record = _read(root, trusted)
    except _UNREADABLE as error:
        return Finding([f"{_FILE} {getattr(error, 'strerror', None) or error}"], None)
    comparison = _Comparison(root, record)
    return Finding(list(comparison.differences()), record, comparison.seen)


def note_seen(root: str, finding: Finding) -> None:
    """Spares the next comparison the contents that this one has looked at."""
    if finding.record is not None and finding.seen and not finding.wrong:
        with contextlib.suppress(OSError):  # they are looked at again, then
            _write(root, finding.record._replace(files={**finding.record.files, **finding.seen}))


def lay_out(record: Record, root: str, target: str) -> bool:
    """Makes ``target``, an empty directory, what the record says, from what is in ``root``; whether all of it was
    there. Files that are as they were get a second name, so that they cost no room."""
    owner = (os.geteuid(), os.getegid())
    for name in sorted(record.directories):
        new_directory(os.path.join(target, name), PUBLIC_DIRECTORY)
    for name, link in record.links.items():
        os.symlink(link, os.path.join(target, name))
    for name, file in record.files.items():
        source, copy = os.path.join(root, name), os.path.join(target, name)
        try:
            info = os.lstat(source)
            if stat.S_ISREG(info.st_mode) and (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (
                file.mode,
                *owner,
            ):
                os.link(source, copy, follow_symlinks=False)
            else:
                _copy(source, copy, file)
        except OSError as error:
            if error.errno in _GONE:
                return False
            raise
    trees.publish(target)
    return write(target).same_content(record)


def share_room(root: str, other: str) -> None:
    """Has files of a release take the room of those in another one that have the same content, where the file system
    can: XFS, Btrfs. Each stays a file of its own; a second name of one file would be damaged with the first."""
    trusted = (os.geteuid(),)
    try:
        files, others = _read(root, trusted).files, _read(other, trusted).files
    except _UNREADABLE:
        return
    names = {(file.digest, file.size): name for name, file in others.items()}
    for name, file in files.items():
        twin = os.path.join(other, names.get((file.digest, file.size), ""))
        with contextlib.suppress(OSError), _opened(twin) as theirs, open(os.path.join(root, name), "r+b") as own:
            linux.share_blocks(theirs, own.fileno(), file.size)


def has_all(record: Record, root: str) -> bool:
    """Whether all that the record knows could be had from what is in ``root``."""
    try:
        return all(_digest(os.path.join(root, name)) == file.digest for name, file in record.files.items())
    except OSError:
        return False


def release_of(path: str) -> str | None:
    """The directory of the release with a record that a file belongs to; None for any other file."""
    while path != "/":
        path = os.path.dirname(path)
        if os.path.basename(os.path.dirname(path)) == "releases" and os.path.lexists(os.path.join(path, FOLDER)):
            return path
    return None


# --- what is there


class _Lost(OSError):
    """A file that is no longer what the record knows. It has no errno."""


_GONE = (None, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


def _copy(source: str, target: str, file: File) -> None:
    """Its bytes alone: whoever had it open, or owns it, has no part in the copy."""
    with _opened(source) as old, open(new_file(target, file.mode), "wb") as new:
        if os.fstat(old).st_size != file.size:
            raise _Lost
        left = file.size
        for chunk in pieces(old, _CHUNK):
            left -= len(chunk)
            if left < 0:
                raise _Lost
            new.write(chunk)
        if left:
            raise _Lost


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _Lost
        yield descriptor
    finally:
        os.close(descriptor)


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with _opened(path) as descriptor:
        for chunk in pieces(descriptor, _CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _seen(info: os.stat_result) -> list[int]:
    return [info.st_ino, info.st_mtime_ns, info.st_ctime_ns]


def _below(root: str, folder: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """All below a release's directory but its record, links not followed, a directory before what is in it."""
    with os.scandir(os.path.join(root, folder)) as entries:
        found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    for name, info in found:
        path = os.path.join(folder, name)
        if path != FOLDER:
            yield path, info
            if stat.S_ISDIR(info.st_mode):
                yield from _below(root, path)


def _take(root: str, digests: Digests) -> Record:
    info = os.lstat(root)
    record = Record([info.st_uid, info.st_gid], [], {}, {})
    directories = []
    for name, info in _below(root):
        path = os.path.join(root, name)
        if stat.S_ISDIR(info.st_mode):
            directories.append(name)
        elif stat.S_ISLNK(info.st_mode):
            record.links[name] = os.readlink(path)
        else:
            record.files[name] = File(stat.S_IMODE(info.st_mode), info.st_size, digests.of(path, info), _seen(info))
    return record._replace(directories=directories)


# --- what was there


def _read(root: str, trusted: Sequence[int]) -> Record:
    """Raises OSError or another error for what is no record that can be believed."""
    folder = os.lstat(os.path.join(root, FOLDER))
    if not stat.S_ISDIR(folder.st_mode) or folder.st_mode & 0o022 or folder.st_uid not in trusted:
        raise ValueError(f"is not believed: {_WHO}")
    with _opened(os.path.join(root, _FILE)) as descriptor:
        info = os.fstat(descriptor)
        if info.st_mode & 0o022 or info.st_uid not in trusted or info.st_nlink != 1:
            raise ValueError(f"is not believed: {_WHO}")
        if info.st_size > _MOST_BYTES:
            raise ValueError("is no record: it is too large")
        values: dict[str, Any] = json.loads(os.read(descriptor, _MOST_BYTES))
    files = {name: File(*file) for name, file in values["files"].items()}
    return Record(values["owner"], values["directories"], values["links"], files)


def _write(root: str, record: Record) -> None:
    path = os.path.join(root, _FILE)
    temporary = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    with open(new_file(temporary, PUBLIC_FILE), "w", encoding="utf-8") as stream:
        json.dump(record._asdict(), stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(temporary, path)


# --- what differs


class _Comparison:
    """``seen`` has the files, as they are to be noted, that have another inode, but not another content."""

    def __init__(self, root: str, record: Record) -> None:
        self.root = root
        self.record = record
        self.seen: dict[str, File] = {}

    def differences(self) -> Iterator[str]:
        missing = {*self.record.directories, *self.record.links, *self.record.files}
        yield from self._metadata("its directory", os.lstat(self.root), PUBLIC_DIRECTORY)
        for name, info in self._known(""):
            missing.discard(name)
            yield from self._entry(name, info)
        for name in sorted(missing):
            if os.path.dirname(name) not in missing:
                yield f"{name} is missing"

    def _known(self, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        """As far as the record goes: what somebody has put there may be of any size."""
        try:
            with os.scandir(os.path.join(self.root, folder)) as entries:
                found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        except FileNotFoundError:  # another run replaces it
            return
        for name, info in found:
            path = os.path.join(folder, name)
            if path != FOLDER:
                yield path, info
                if path in self.record.directories and stat.S_ISDIR(info.st_mode):
                    yield from self._known(path)

    def _entry(self, name: str, info: os.stat_result) -> Iterator[str]:
        shown = printable(name)[-_SHOWN_NAME:]
        kind = stat.S_IFMT(info.st_mode)
        file = self.record.files.get(name)
        if name in self.record.directories and kind == stat.S_IFDIR:
            yield from self._metadata(shown, info, PUBLIC_DIRECTORY)
        elif name in self.record.links and kind == stat.S_IFLNK:
            yield from self._metadata(shown, info, None)
            if os.readlink(os.path.join(self.root, name)) != self.record.links[name]:
                yield f"{shown} leads elsewhere"
        elif file is not None and kind == stat.S_IFREG:
            yield from self._metadata(shown, info, file.mode)
            yield from self._content(name, info, file)
        elif file is not None or name in self.record.directories or name in self.record.links:
            yield f"{shown} is {kind_of(info.st_mode)} now"
        else:
            yield f"{shown} was added"

    def _metadata(self, shown: str, info: os.stat_result, mode: int | None) -> Iterator[str]:
        if [info.st_uid, info.st_gid] != list(self.record.owner):
            yield "{} belongs to {}:{}, not to {}:{}".format(shown, info.st_uid, info.st_gid, *self.record.owner)
        if mode is not None and stat.S_IMODE(info.st_mode) != mode:
            yield f"{shown} has mode {stat.S_IMODE(info.st_mode):04o}, not {mode:04o}"

    def _content(self, name: str, info: os.stat_result, file: File) -> Iterator[str]:
        if info.st_size != file.size:
            yield f"{name} has {info.st_size} bytes, not {file.size}"
        elif _seen(info) != list(file.seen):
            try:
                known = _digest(os.path.join(self.root, name)) == file.digest
            except OSError as error:
                yield f"{name} cannot be read: {error.strerror}"
                return
            if known:
                self.seen[name] = file._replace(seen=_seen(info))
            else:
                yield f"{name} has another content"


def _not_as_published(root: str, info: os.stat_result) -> Iterator[str]:
    """What is wrong with a release of a time when they had no record, as far as can be seen."""
    owner = [info.st_uid, info.st_gid]
    if info.st_uid != os.geteuid():
        yield f"its directory belongs to UID {info.st_uid}"
    if stat.S_IMODE(info.st_mode) != PUBLIC_DIRECTORY:
        yield f"its directory has mode {stat.S_IMODE(info.st_mode):04o}, not {PUBLIC_DIRECTORY:04o}"
    resources = []
    for name, entry in _below(root):
        mode = stat.S_IMODE(entry.st_mode)
        shown = printable(name)[-_SHOWN_NAME:]
        if [entry.st_uid, entry.st_gid] != owner:
            yield f"{shown} belongs to {entry.st_uid}:{entry.st_gid}, not to {owner[0]}:{owner[1]}"
        if stat.S_ISREG(entry.st_mode):
            if mode not in (PUBLIC_FILE, PUBLIC_DIRECTORY):
                yield f"{shown} has mode {mode:04o}"
            if _is_cut_short(os.path.join(root, name), entry.st_size):
                yield f"{shown} is cut short"
            if os.path.basename(name) == "codex-package.json":
                resources += [os.path.join(os.path.dirname(name), part) for part in _RESOURCES]
        elif stat.S_ISDIR(entry.st_mode):
            if mode != PUBLIC_DIRECTORY:
                yield f"{shown} has mode {mode:04o}, not {PUBLIC_DIRECTORY:04o}"
        elif not stat.S_ISLNK(entry.st_mode):
            yield f"{shown} is {kind_of(entry.st_mode)}"
    for name in resources:
        if not os.path.isfile(os.path.join(root, name)):
            yield f"{name} is missing"


# What every release that has a codex-package.json comes with beside it.
_RESOURCES = ("codex-path/rg", "codex-resources/bwrap")


def _is_cut_short(path: str, size: int) -> bool:
    """Whether an ELF file (64 bits, little-endian) ends before its table of sections, which linkers put last."""
    with _opened(path) as descriptor:
        header = os.read(descriptor, 64)
    if header[:6] != b"\x7fELF\x02\x01" or len(header) < 64:
        return header[:4] == b"\x7fELF" and len(header) < 64
    table = int.from_bytes(header[40:48], "little")
    entry, count = int.from_bytes(header[58:60], "little"), int.from_bytes(header[60:62], "little")
    return table + entry * count > size
