# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Reads the tarballs that npm packs, and nothing else: gzip, ustar, plain files below ``package/``.

A tarball is hostile until it has been read to its end. Python's tarfile, whose 3.8 still runs here, believes what
headers say of their own size, calls itself for each extended header, and hands on whatever kind of member there is; so
the few parts of the format that npm uses are read here, within limits of bytes, members and depth.
Source: POSIX.1-2017, pax (ustar interchange format and extended headers); tarballs of @openai/codex 0.1 to 0.171.
"""

from __future__ import annotations

import os
import stat
import zlib
from typing import BinaryIO, Iterator, NamedTuple

_BLOCK = 512  # of a tar archive, in bytes
_CHUNK = 1 << 20  # bytes unpacked at once

# Limits. A platform package of 0.171 has 172 MB packed, 423 MB unpacked and 45 members with names of 103 bytes.
_MOST_BYTES = 2 << 30
_MOST_TIMES = 50  # larger than packed,
_ALWAYS_BYTES = 16 << 20  # unless it stays below this
_MOST_HEADERS = 5_000
_MOST_EXTENDED = 16 << 10  # bytes of an extended header
_MOST_NAME = 1024
_MOST_COMPONENT = 255
_MOST_DEPTH = 32


class MalformedError(Exception):
    """The tarball is none of npm's; the message says why, as the end of a sentence that starts with the file's name."""


class Member(NamedTuple):
    """A plain file of the package. ``content`` has to be read before the next member is asked for."""

    name: str  # its path below package/
    executable: bool
    content: Iterator[bytes]


def members(path: str) -> Iterator[Member]:
    """The files of a tarball, in its order; what was handed out is to be believed only when all of it has been read.

    Raises MalformedError, or OSError where the file cannot be read.
    """
    with open_file(path) as stream:
        most = min(_MOST_BYTES, max(_ALWAYS_BYTES, _MOST_TIMES * os.fstat(stream.fileno()).st_size))
        yield from _read(_Bytes(_inflate(stream, most)))


def open_file(path: str) -> BinaryIO:
    """Opens it for reading; a FIFO is not waited for.

    Raises MalformedError where it is no regular file, or OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise MalformedError("is no regular file")


def plain_parts(name: str) -> list[str]:
    """The components of a relative path that stays below where it starts.

    Raises ValueError with the reason.
    """
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        raise ValueError("is not UTF-8") from None
    parts = name.split("/")
    if len(raw) > _MOST_NAME or len(parts) > _MOST_DEPTH or any(len(p.encode()) > _MOST_COMPONENT for p in parts):
        raise ValueError("is too long or too deep")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("has an empty, '.' or '..' component")
    if "\\" in name or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise ValueError("has a backslash or a control character")
    return parts


# --- members


class _Header(NamedTuple):
    name: bytes
    mode: int
    size: int
    kind: bytes


def _read(archive: _Bytes) -> Iterator[Member]:
    names = _Names()
    extended: dict[str, bytes] = {}
    for _count in range(_MOST_HEADERS):
        block = archive.read(_BLOCK)
        if not any(block):
            if extended or any(archive.read(_BLOCK)):
                raise MalformedError("is damaged: a member is missing")
            archive.expect_zeros()
            return
        header = _header(block)
        if header.kind in (b"x", b"g"):
            if extended or header.size > _MOST_EXTENDED:
                raise MalformedError("has an extended header of a kind that npm does not write")
            records = _records(archive.read(header.size))
            archive.skip_padding(header.size)
            if header.kind == b"x":
                extended = {"mtime": b"", **records}  # not empty: a member has to follow
            elif any(key in records for key in ("path", "size")):
                raise MalformedError("names members for all of the archive")
            continue
        raw = extended.get("path", header.name)
        size = _decimal(extended["size"]) if "size" in extended else header.size
        extended = {}
        is_directory = header.kind == b"5" or (header.kind == b"\0" and raw.endswith(b"/"))
        name = raw.decode("utf-8", "surrogateescape")
        inner = _below_package(name[:-1] if is_directory and name.endswith("/") else name, is_directory)
        if not is_directory and header.kind not in (b"0", b"\0"):
            raise MalformedError(f"holds {shown(name)}, which is neither a file nor a directory")
        if header.mode & 0o7000:
            raise MalformedError(f"holds {shown(name)} with mode {header.mode & 0o7777:04o}, a set-ID or sticky bit")
        if size > (0 if is_directory else _MOST_BYTES):
            raise MalformedError(f"holds {shown(name)} of {size} bytes, more than it may have")
        names.add(inner, is_directory)
        if not is_directory:
            content = archive.pieces(size)
            yield Member("/".join(inner), bool(header.mode & 0o111), content)
            for _piece in content:
                pass
        archive.skip_padding(size)
    raise MalformedError(f"has more than {_MOST_HEADERS} members")


def _below_package(name: str, is_directory: bool) -> list[str]:
    try:
        top, *inner = plain_parts(name)
    except ValueError as reason:
        raise MalformedError(f"holds {shown(name)}, whose name {reason}") from None
    if top != "package" or not (inner or is_directory):
        raise MalformedError(f"holds {shown(name)}, which is not below package/")
    return inner


class _Names:
    """Each name once, whatever its case, and none both a file and a directory."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._directories: set[str] = set()

    def add(self, parts: list[str], is_directory: bool) -> None:
        above = ["/".join(parts[:depth]).casefold() for depth in range(1, len(parts) + is_directory)]
        name = "/".join(parts).casefold()
        if self._files.intersection((*above, name)) or (not is_directory and name in self._directories):
            raise MalformedError(f"holds {shown('/'.join(['package', *parts]))} more than once")
        self._directories.update(above)
        if not is_directory:
            self._files.add(name)


def shown(text: object) -> str:
    """Something of a tarball as a message may show it: on one line, not too long."""
    whole = ascii(text)
    return whole if len(whole) <= 100 else f"{whole[:80]}...{whole[-17:]}"


# --- the format


def _header(block: bytes) -> _Header:
    if sum(block) - sum(block[148:156]) + 8 * 32 != _octal(block[148:156]):
        raise MalformedError("is damaged: a member's header does not add up")
    name = block[:100].partition(b"\0")[0]
    above = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return _Header(
        above + b"/" + name if above else name, _octal(block[100:108]), _octal(block[124:136]), block[156:157]
    )


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise MalformedError("is damaged: a member's header has no number where one belongs")
    return int(digits or b"0", 8)


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 20:
        raise MalformedError("is damaged: an extended header has no number where one belongs")
    return int(digits)


def _records(content: bytes) -> dict[str, bytes]:
    """An extended header's values: each record is its own length, a blank, ``key=value`` and a newline."""
    records = {}
    while content:
        digits, _blank, _rest = content[:8].partition(b" ")
        length = _decimal(digits)
        whole, record, content = length <= len(content), content[len(digits) + 1 : length], content[length:]
        key, separator, value = record[:-1].partition(b"=")
        if not whole or not separator or record[-1:] != b"\n":
            raise MalformedError("is damaged: an extended header's records do not add up")
        if key.startswith(b"GNU.sparse."):
            raise MalformedError("holds a sparse file")
        records[key.decode("utf-8", "replace")] = value
    return records


# --- bytes


class _Bytes:
    """Takes bytes from a stream of chunks by their number."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes, as they come."""
        while size:
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise MalformedError("is damaged: it breaks off")
                self._rest = memoryview(chunk)
            piece, self._rest = bytes(self._rest[:size]), self._rest[size:]
            size -= len(piece)
            yield piece

    def read(self, size: int) -> bytes:
        return b"".join(self.pieces(size))

    def skip_padding(self, size: int) -> None:
        self.read(-size % _BLOCK)

    def expect_zeros(self) -> None:
        """Nothing else, to the end."""
        if bytes(self._rest).strip(b"\0") or any(chunk.strip(b"\0") for chunk in self._chunks):
            raise MalformedError("is damaged: something follows its end")


def _inflate(stream: BinaryIO, most: int) -> Iterator[bytes]:
    """What one gzip stream holds, its checksum checked at the end."""
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
    while not decoder.eof:
        packed = decoder.unconsumed_tail or stream.read(_CHUNK)
        try:
            chunk = decoder.decompress(packed, _CHUNK)
        except zlib.error as error:
            raise MalformedError(f"is damaged, or not packed with gzip: {error}") from None
        if not packed and not chunk:
            raise MalformedError("is damaged: it breaks off")
        most -= len(chunk)
        if most < 0:
            raise MalformedError("unpacks to far more than a release of Codex has")
        if chunk:
            yield chunk
    if decoder.unused_data or stream.read(1):
        raise MalformedError("is damaged: something follows its end")
