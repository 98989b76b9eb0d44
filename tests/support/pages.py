"""The pages of the documentation, and the commands that they show."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

from support.documentation import CHECKOUT

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "roles/*/README.md", "tests/README.md", "playbooks/*.yml")
    for path in CHECKOUT.glob(pattern)
)


def code(path: Path) -> list[tuple[str, str]]:
    """Blocks of code with their language, none for those that are indented only, and comments of a playbook."""
    text = path.read_text()
    if path.suffix == ".yml":
        return [("", "\n".join(_in_full(re.findall(r"^#   ((?:ansible|make|\.\.\.).+)", text, re.M))))]
    fenced = re.findall(r"^( *)```(\w*)\n(.*?)^ *```", text, re.M | re.S)
    rest = re.sub(r"^ *```\w*\n.*?^ *```", "", text, flags=re.M | re.S)
    # Below an item of a list, what is indented so far is its text.
    plain = re.findall(
        r"(?:(?<=\n\n)|^)((?:    .+\n?)+)", re.sub(r"^(?:[-*]|\d\.) .*(?:\n  .*)*", "", rest, flags=re.M)
    )
    inline = re.findall(r"`(ansible-playbook [^`]+)`", rest)
    return [
        *((language or "text", textwrap.dedent(body)) for _indent, language, body in fenced),
        *(("", body) for body in (*plain, *inline)),
    ]


def _in_full(lines: list[str]) -> Iterator[str]:
    """Dots stand for the last command that was written out."""
    command = ""
    for line in lines:
        if not line.startswith("..."):
            command = line
        yield line.replace("...", command, 1) if line.startswith("...") else line


def _whole(line: str) -> bool:
    """Whether it ends no line below, in an open quotation."""
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return False
    return True


def _commands(path: Path) -> list[str]:
    found = []
    for language, body in code(path):
        if language in ("", "console"):
            lines = iter(re.sub(r"\s*\\\n\s*", " ", body).splitlines())
            for line in lines:
                command = line.strip() if not language else line[2:] if line.startswith("$ ") else ""
                while not _whole(command):
                    command += f"\n{next(lines)}"
                before, comment, _text = command.rpartition(" # ")
                if command:
                    found.append(before.rstrip() if comment and _whole(before) else command)
    return found


# Each with its page, by the path in the checkout.
COMMANDS = sorted({(str(path.relative_to(CHECKOUT)), command) for path in PAGES for command in _commands(path)})
