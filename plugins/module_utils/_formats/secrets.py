# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What of a configuration nobody is shown: values that were in a vault, and those whose name says that they are secret.

Names are those of Codex's own settings and of what people put below them: variables of an environment, headers.
"""

from __future__ import annotations

import re
from typing import Any, Iterable, Iterator, Mapping, Sequence

from . import toml_document
from .toml_document import Pair, TomlError

HIDDEN = "(hidden)"

_SECRET = re.compile(
    r"token|secret|passw|passphrase|pwd|api[-_]?key|private[-_]?key|access[-_]?key|signing[-_]?key|credential"
    r"|authori[sz]ation|bearer|cookie|(?:^|[-_])(?:auth|pat|key)$",
    re.IGNORECASE,
)
# Names that only look so: of variables, files and numbers. An environment's variables and headers are not named by us.
_HARMLESS = re.compile(r"(?:limits?|tokens|count|ttl|_env|env_var|env_vars|env_key|_file|_path|_url|exclude)$", re.I)
_HOLDERS = {"env", "http_headers", "headers", "query_params", "set"}


class Secrets:
    """``vaulted`` are the paths of values that were in a vault; an empty path means all."""

    def __init__(self, vaulted: Iterable[Sequence[str]] = ()) -> None:
        self._vaulted = {tuple(path) for path in vaulted}

    def covers(self, path: Sequence[str]) -> bool:
        """Whether the value at ``path`` is one."""
        if self._vaulted and any(tuple(path[:length]) in self._vaulted for length in range(len(path) + 1)):
            return True
        if any(part in _HOLDERS for part in path[:-1]):
            return True
        return any(_SECRET.search(part) and not _HARMLESS.search(part) for part in path)

    def hide(self, data: Any, path: tuple[str, ...] = ()) -> Any:
        """A copy of the configuration without them."""
        if isinstance(data, Mapping):
            return {key: self.hide(value, (*path, str(key))) for key, value in data.items()}
        if self.covers(path) and not isinstance(data, bool):
            return HIDDEN
        return [self.hide(item, path) for item in data] if isinstance(data, (list, tuple)) else data

    def hide_in_value(self, path: tuple[str, ...], text: str) -> str:
        """The text of a TOML value, or of a section, without them."""
        if self.covers(path):
            return HIDDEN
        for before in ("value = ", ""):
            try:
                return self._hide_in(before + text, path, 1 if before else 0)[len(before) :]
            except TomlError:
                continue
        return HIDDEN

    def hide_in_document(self, text: str) -> str:
        """The text of a TOML document without them; none of it where it is no TOML."""
        try:
            return self._hide_in(text, (), 0)
        except TomlError:
            return f"{HIDDEN}: {len(text)} characters that are no TOML\n" if text else ""

    def _hide_in(self, text: str, path: tuple[str, ...], skip: int) -> str:
        """``skip`` is how many parts of each key inside are not of the path."""
        parts, at = [], 0
        document = toml_document.parse_toml(text)
        pairs = [pair for section in document.sections for pair in section.pairs]
        for start, end in sorted(self._spans(pairs, path, skip)):
            parts += [text[at:start], f'"{HIDDEN}"']
            at = end
        return "".join([*parts, text[at:]])

    def _spans(self, pairs: Iterable[Pair], path: tuple[str, ...], skip: int) -> Iterator[tuple[int, int]]:
        for pair in pairs:
            whole = (*path, *pair.path[skip:])
            if self.covers(whole):
                if not isinstance(pair.value.data, bool):
                    yield pair.value.start, pair.value.end
            elif pair.value.pairs is not None:
                yield from self._spans(pair.value.pairs, path, skip)
            elif self.hide(pair.value.data, whole) != pair.value.data:  # tables in an array
                yield pair.value.start, pair.value.end
