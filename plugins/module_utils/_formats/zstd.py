# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The beginning of a zstd stream.

Python reads zstd from 3.14 on only; the system's libzstd, which Debian's own package manager needs, does it everywhere.
"""

from __future__ import annotations

import ctypes


class Unreadable(Exception):
    """There is no libzstd on this host."""


class _Buffer(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("position", ctypes.c_size_t))


def decompressed(data: bytes, limit: int) -> bytes:
    """What ``data``, the beginning of a stream, decompresses to, at most ``limit`` bytes; as far as it is valid."""
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError as error:
        raise Unreadable(str(error)) from None
    library.ZSTD_createDStream.restype = ctypes.c_void_p
    library.ZSTD_freeDStream.argtypes = (ctypes.c_void_p,)
    library.ZSTD_decompressStream.restype = ctypes.c_size_t
    library.ZSTD_decompressStream.argtypes = (ctypes.c_void_p, ctypes.POINTER(_Buffer), ctypes.POINTER(_Buffer))
    library.ZSTD_isError.argtypes = (ctypes.c_size_t,)
    source = ctypes.create_string_buffer(data, len(data))
    target = ctypes.create_string_buffer(limit)
    incoming = _Buffer(ctypes.addressof(source), len(data), 0)
    outgoing = _Buffer(ctypes.addressof(target), limit, 0)
    stream = library.ZSTD_createDStream()
    if not stream:
        raise MemoryError
    try:
        before = -1
        while before != incoming.position + outgoing.position:
            before = incoming.position + outgoing.position
            if library.ZSTD_isError(library.ZSTD_decompressStream(stream, outgoing, incoming)):
                break
    finally:
        library.ZSTD_freeDStream(stream)
    return target.raw[: outgoing.position]
