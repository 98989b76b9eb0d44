# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Long text as a short argument of a module.

A file of its own, since each task compiles anew what its action imports.
"""

from __future__ import annotations

import base64
import zlib

_MARK = "zlib:"


def pack(text: str) -> str:
    """The text in about a tenth of its length, for ``unpack``."""
    return _MARK + base64.b64encode(zlib.compress(text.encode(errors="surrogatepass"), 1)).decode()


def unpack(text: str) -> str:
    """What was packed; other text as it is.

    Raises ValueError for what is neither.
    """
    if not text.startswith(_MARK):
        return text
    try:
        return zlib.decompress(base64.b64decode(text[len(_MARK) :])).decode(errors="surrogatepass")
    except zlib.error as error:
        raise ValueError(str(error)) from None
