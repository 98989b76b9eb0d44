# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""zstd streams.

Python reads zstd from 3.14 on only; the system's libzstd, which Debian's own package manager needs, does it everywhere.
"""

from __future__ import annotations

import ctypes
from typing import Iterable, Iterator

_PIECE = 2**17


class Unreadable(Exception):
    """What is needed of a file cannot be read; the text says why, and what to do."""


class _Buffer(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("position", ctypes.c_size_t))


def decompressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What a stream, given in pieces, decompresses to, piece by piece, as far as it is valid.

    Raises Unreadable.
    """
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError as error:
        raise Unreadable(f"compressed ones cannot be read: {error}. Install libzstd") from None
    library.ZSTD_createDStream.restype = ctypes.c_void_p
    library.ZSTD_freeDStream.argtypes = (ctypes.c_void_p,)
    library.ZSTD_decompressStream.restype = ctypes.c_size_t
    library.ZSTD_decompressStream.argtypes = (ctypes.c_void_p, ctypes.POINTER(_Buffer), ctypes.POINTER(_Buffer))
    library.ZSTD_isError.argtypes = (ctypes.c_size_t,)
    target = ctypes.create_string_buffer(_PIECE)
    stream = library.ZSTD_createDStream()
    if not stream:
        raise MemoryError
    try:
        for piece in pieces:
            source = ctypes.create_string_buffer(piece, len(piece))
            incoming = _Buffer(ctypes.addressof(source), len(piece), 0)
            full = True
            while full or incoming.position < incoming.size:
                outgoing = _Buffer(ctypes.addressof(target), _PIECE, 0)
                if library.ZSTD_isError(library.ZSTD_decompressStream(stream, outgoing, incoming)):
                    return
                yield target.raw[: outgoing.position]
                full = outgoing.position == _PIECE
    finally:
        library.ZSTD_freeDStream(stream)
