# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Sets and removes keys of a TOML document whose other bytes stay as they are.

Which keys are ours is remembered in a comment on the last line, so that a key no longer wanted is removed and a key of
somebody else's never. The memory lives and dies with the file, is written with it in one go, and survives edits by
tools that keep comments, as the Codex CLI does. Whoever owns the file may forge it, and thereby chooses which keys of
its own file we remove: nothing that it could not do itself.
"""

from __future__ import annotations

import json
from typing import Any, Iterable, Iterator, Mapping, NamedTuple

from . import toml, toml_document
from .toml_document import Document, Pair, Section, TomlError

_MEMORY = "# Managed by alive.codex: "


class KeyChange(NamedTuple):
    """One key that was set or removed: its path, and its value as TOML before and after, None for no value. A table
    that was removed has its text before."""

    path: tuple[str, ...]
    before: str | None
    after: str | None

    @property
    def key(self) -> str:
        """Its dotted form."""
        return dotted(self.path)


class Edited(NamedTuple):
    """What became of a text. It is the same text where there was nothing to do."""

    text: str
    changes: list[KeyChange]


class _Memory(NamedTuple):
    """The keys that were set, and the headers that were written for them."""

    keys: set[tuple[str, ...]]
    tables: set[tuple[str, ...]]


def leaves_of(config: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The paths of a nested mapping's values. An empty mapping below the top is a value."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from leaves_of(value, (*path, key))
        else:
            yield (*path, key), value


def edit(text: str, config: Mapping[str, Any]) -> Edited:
    """Makes ``config`` the managed keys of the document ``text``.

    A value that is there already, in whatever notation, stays as it stands. What stands in the way of a key (a number
    where it needs a table, a table where it needs a number) makes room.

    Raises TomlError for a text that is not TOML.
    """
    wanted = dict(leaves_of(config))
    document = toml_document.parse_toml(text)
    memory_lines = _memory_lines(document)
    memory = _recall(text, memory_lines)
    changes: list[KeyChange] = []
    cuts = list(_obsolete(document, wanted, memory, changes))
    kept = _ending(_cut(text, [*cuts, *memory_lines]))
    inserts, tables = _missing(toml_document.parse_toml(kept), wanted, changes)
    if not cuts and not inserts and memory.keys == wanted.keys():
        return Edited(text, [])
    result = _insert(kept, inserts)
    document = toml_document.parse_toml(result)
    tables |= memory.tables & {section.path for section in document.sections}
    for path, value in wanted.items():
        if not _holds(document.data, path, value):
            raise TomlError(f"{dotted(path)} cannot be set in this document")
    return Edited(result + _remember(_Memory(set(wanted), tables)), changes)


def managed(text: str) -> dict[str, Any]:
    """The values that ``edit`` has set in a text and that are there, as the mapping that it was given.

    Raises TomlError for a text that is not TOML.
    """
    document = toml_document.parse_toml(text)
    leaves = dict(leaves_of(document.data))
    config: dict[str, Any] = {}
    for path in _recall(text, _memory_lines(document)).keys & leaves.keys():
        below = config
        for part in path[:-1]:
            below = below.setdefault(part, {})
        below[path[-1]] = leaves[path]
    return config


# Memory


def _remember(memory: _Memory) -> str:
    if not memory.keys:
        return ""
    noted = json.dumps({"keys": sorted(memory.keys), "tables": sorted(memory.tables)})
    # TOML allows no control character in a comment; JSON lets this one through.
    return f"{_MEMORY}{noted}\n".replace("\x7f", "\\u007f")


def _memory_lines(document: Document) -> list[tuple[int, int]]:
    return [span for span in document.comments if document.text.startswith(_MEMORY, span[0])]


def _recall(text: str, spans: Iterable[tuple[int, int]]) -> _Memory:
    memory = _Memory(set(), set())
    for start, end in spans:
        try:
            noted = json.loads(text[start + len(_MEMORY) : end])
            for paths, known in ((noted["keys"], memory.keys), (noted["tables"], memory.tables)):
                known.update(tuple(path) for path in paths if all(isinstance(part, str) for part in path))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return memory


# What has to go


class _Obsolete:
    """Tells which pairs are managed no longer, or in the way of what is wanted."""

    def __init__(self, document: Document, wanted: Mapping[tuple[str, ...], Any], memory: _Memory) -> None:
        self.through = {path[:length] for path in wanted for length in range(1, len(path))}
        self.missing = {path for path, value in wanted.items() if not _holds(document.data, path, value)}
        self.stale = memory.keys - wanted.keys() - self.through

    def pair(self, pair: Pair) -> bool:
        is_scalar = pair.value.pairs is None
        return (
            pair.path in self.stale or (is_scalar and pair.path in self.through) or self.below_missing(pair.path[:-1])
        )

    def below_missing(self, path: tuple[str, ...]) -> bool:
        return any(path[:length] in self.missing for length in range(1, len(path) + 1))


def _obsolete(
    document: Document,
    wanted: Mapping[tuple[str, ...], Any],
    memory: _Memory,
    changes: list[KeyChange],
) -> Iterator[tuple[int, int]]:
    """The spans of what has to go."""
    text = document.text
    is_obsolete = _Obsolete(document, wanted, memory)
    arrays = {section.path for section in document.sections if section.is_array}
    bounds = [section.start for section in document.sections[1:]] + [len(text)]
    for section, bound in zip(document.sections, bounds):
        above = {section.path[:length] for length in range(1, len(section.path) + 1)} & arrays
        if above & is_obsolete.through or is_obsolete.below_missing(section.path):
            changes.append(KeyChange(section.path, text[section.start : section.end].strip(), None))
            yield section.start, bound
        elif not above:
            yield from _obsolete_pairs(section, is_obsolete, text, changes)
            is_empty = len(section.pairs) == sum(map(is_obsolete.pair, section.pairs))
            if is_empty and section.path in memory.tables and section.path not in is_obsolete.through:
                yield _before_blank_line(text, section.start), section.end


def _obsolete_pairs(
    section: Section, is_obsolete: _Obsolete, text: str, changes: list[KeyChange]
) -> Iterator[tuple[int, int]]:
    for pair in section.pairs:
        if is_obsolete.pair(pair):
            changes.append(_removal(pair, text))
            yield _line_of(text, pair)
        elif pair.path not in is_obsolete.missing:
            yield from _obsolete_inline(pair, is_obsolete, text, changes)


def _obsolete_inline(
    pair: Pair, is_obsolete: _Obsolete, text: str, changes: list[KeyChange]
) -> Iterator[tuple[int, int]]:
    inner = pair.value.pairs or []
    if inner and all(map(is_obsolete.pair, inner)):  # with the comma that may end them
        changes += [_removal(each, text) for each in inner]
        yield pair.value.start + 1, pair.value.end - 1
        return
    kept_before = False
    for index, each in enumerate(inner):
        if not is_obsolete.pair(each):
            if each.path not in is_obsolete.missing:
                yield from _obsolete_inline(each, is_obsolete, text, changes)
            kept_before = True
            continue
        changes.append(_removal(each, text))
        if kept_before:
            yield inner[index - 1].value.end, each.value.end
        else:
            yield each.start, inner[index + 1].start if index + 1 < len(inner) else each.value.end


def _removal(pair: Pair, text: str) -> KeyChange:
    return KeyChange(pair.path, text[pair.value.start : pair.value.end], None)


def _line_of(text: str, pair: Pair) -> tuple[int, int]:
    """The span of a pair's lines, with the spaces before it and the comment behind it."""
    end = text.find("\n", pair.value.end)
    return text.rfind("\n", 0, pair.start) + 1, len(text) if end < 0 else end + 1


def _before_blank_line(text: str, start: int) -> int:
    return start - 1 if text[max(start - 2, 0) : start] in ("\n", "\n\n") else start


# What is missing


def _missing(
    document: Document, wanted: Mapping[tuple[str, ...], Any], changes: list[KeyChange]
) -> tuple[list[tuple[int, int, str]], set[tuple[str, ...]]]:
    """The edits (start, end, new text) that set what is not set, and the tables that these write a header for."""
    text = document.text
    arrays = {section.path for section in document.sections if section.is_array}
    plain = [
        section
        for section in document.sections
        if not any(section.path[:length] in arrays for length in range(1, len(section.path) + 1))
    ]
    headers = {section.path: section for section in plain}
    pairs: dict[tuple[str, ...], Pair] = {}
    dotted_sections: dict[tuple[str, ...], Section] = {}
    for section in plain:
        for pair in section.pairs:
            pairs.update((each.path, each) for each in _with_inline(pair))
            for length in range(len(section.path) + 1, len(pair.path)):
                dotted_sections[pair.path[:length]] = section
    inserts: list[tuple[int, int, str]] = []
    inline: dict[int, tuple[Pair, list[str]]] = {}
    new: dict[tuple[str, ...], list[str]] = {}
    for path, value in wanted.items():
        if _holds(document.data, path, value):
            continue
        rendered = toml.dumps_value(value)
        if path in pairs:
            old = pairs[path].value
            changes.append(KeyChange(path, text[old.start : old.end], rendered))
            inserts.append((old.start, old.end, rendered))
            continue
        changes.append(KeyChange(path, None, rendered))
        holder = next((pairs[path[:n]] for n in range(len(path) - 1, 0, -1) if path[:n] in pairs), None)
        table = path[:-1]
        if holder is not None:
            added = inline.setdefault(holder.value.start, (holder, []))[1]
            added.append(f"{dotted(path[len(holder.path) :])} = {rendered}")
        elif table in headers:
            place = _end_of(text, headers[table])
            inserts.append((place, place, f"{dotted(path[-1:])} = {rendered}\n"))
        elif table in dotted_sections:
            section = dotted_sections[table]
            place = _end_of(text, section)
            inserts.append((place, place, f"{dotted(path[len(section.path) :])} = {rendered}\n"))
        else:
            new.setdefault(table, []).append(f"{dotted(path[-1:])} = {rendered}\n")
    for holder, added in inline.values():
        inner = holder.value.pairs
        place = inner[-1].value.end if inner else holder.value.start + 1
        inserts.append((place, place, (", " if inner else "") + ", ".join(added)))
    for table, lines in new.items():
        blank = "\n" if text or inserts else ""
        inserts.append((len(text), len(text), f"{blank}[{dotted(table)}]\n{''.join(lines)}"))
    return inserts, set(new)


def _with_inline(pair: Pair) -> Iterator[Pair]:
    yield pair
    for inner in pair.value.pairs or []:
        yield from _with_inline(inner)


def _end_of(text: str, section: Section) -> int:
    """Where a pair can be added to a section: behind its last one."""
    return _line_of(text, section.pairs[-1])[1] if section.pairs else section.end


# Text and values


def _cut(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text without some spans of it."""
    kept = []
    at = 0
    for start, end in sorted(spans):
        kept.append(text[at:start])
        at = max(at, end)
    return "".join([*kept, text[at:]])


def _insert(text: str, edits: Iterable[tuple[int, int, str]]) -> str:
    parts = []
    at = 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])


def _ending(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _holds(data: Any, path: tuple[str, ...], value: Any) -> bool:
    """Whether a document has a value at ``path``. An empty mapping asks for a table, whatever is in it."""
    for part in path:
        if not isinstance(data, dict) or part not in data:
            return False
        data = data[part]
    return isinstance(data, dict) if value == {} else _same(data, value)


def _same(present: Any, value: Any) -> bool:
    """Whether TOML would call them the same; Python thinks that True == 1 == 1.0."""
    if isinstance(value, Mapping):
        return (
            isinstance(present, dict)
            and present.keys() == value.keys()
            and all(_same(present[key], value[key]) for key in value)
        )
    if isinstance(value, (list, tuple)):
        return isinstance(present, list) and len(present) == len(value) and all(map(_same, present, value))
    return type(present) is type(value) and bool(present == value)


def dotted(path: tuple[str, ...]) -> str:
    return ".".join(map(toml.dumps_key, path))
