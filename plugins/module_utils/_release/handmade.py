# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Set-ups of Codex that somebody made by hand: plain npm installations, standalone binaries, cron lines.

What each does is said in words, and removed on request; a binary only where the stable path names a release of ours, so
that at no moment there is none.
"""

from __future__ import annotations

import glob
import os
import re
from typing import Iterator, NamedTuple

from .._host import crontabs, trees
from .._host.proc import running_files
from .._host.process import STANDARD_PATH
from .binary import PACKAGE, stated_version
from .store import ReleaseStore

_PREFIXES = ("/usr/local", "/usr", "/opt/*", "/root/.npm-global", "/root/.local", "/root/.nvm/versions/node/*")
_BINS = (*(f"{prefix}/bin" for prefix in _PREFIXES), "/snap/bin", "/root/bin")
_OURS = "alive-codex-prune"
_SESSIONS = re.compile(r"claude-sessions|\.codex/|\.claude/|archived_sessions|\brollout-")
_NPM = re.compile(rf"\b(?:npm|npx|pnpm|yarn|bun)\b.*{re.escape(PACKAGE)}\b")
_REMOVES = re.compile(r"\brm\b|-delete\b|\bunlink\b|\btmpreaper\b|\btmpwatch\b")


class Found(NamedTuple):
    """``kind`` is npm, binary or cron. ``what`` says what it does; ``kept`` why it is not removed on request, if so."""

    kind: str
    path: str
    text: str
    what: str
    kept: str = ""
    line: int = 0


def find(store: ReleaseStore, root: str, top: str = "/") -> list[Found]:
    """All of it. ``root`` is the directory of the workspaces' HOMEs."""
    return [*_plain(store, top), *_binaries(store, top), *_cron(root, top)]


def remove(found: list[Found], store: ReleaseStore) -> tuple[list[Found], list[Found]]:
    """Removes what can be. What was removed, and what stays, with the reason. Raises OSError."""
    removed, left = [], []
    running = set(running_files())
    served = store.active() is not None
    for each in found:
        kept = each.kept
        if each.kind != "cron" and not kept:
            if not served:
                kept = f"{store.bin} names no release yet: deploy first"
            elif any(_inode(path) in running for path in trees.entries(each.path)):
                kept = "a process runs it: try again when that has ended"
        if kept:
            left.append(each._replace(kept=kept))
            continue
        if each.kind != "cron":
            _remove_program(each)
        removed.append(each)
    for path in sorted({each.path for each in removed if each.kind == "cron"}):
        lines = [each for each in removed if each.path == path]
        if lines[0].line:
            crontabs.take_out(path, {each.line for each in lines})
        else:
            os.unlink(path)
    return removed, left


def _plain(store: ReleaseStore, top: str) -> Iterator[Found]:
    for prefix in _expand(_PREFIXES, top):
        package = os.path.join(prefix, "lib", "node_modules", PACKAGE)
        if os.path.islink(package) or not os.path.isdir(package):
            continue
        version = stated_version(package) or "unknown"
        kept = "deploy makes it a release to go back to" if package in store.trees() else ""
        what = "a plain npm install -g: each upgrade of it leaves the host without a binary for seconds"
        yield Found("npm", package, f"{PACKAGE}@{version}", what, kept)


def _binaries(store: ReleaseStore, top: str) -> Iterator[Found]:
    standard = [folder for folder in STANDARD_PATH.split(":") if folder]
    seen = set()
    for folder in _expand((*standard, *_BINS), top):
        path = os.path.join(folder, "codex")
        real = os.path.realpath(path)
        # A link leads to something that is found itself, or is npm's, which goes with its tree; /bin may be /usr/bin.
        if path == store.bin or os.path.islink(path) or not os.path.isfile(path) or real in seen:
            continue
        seen.add(real)
        package = _package_of(path, top)
        kept = f"the package {package} owns it: remove that" if package else ""
        what = "a binary that nobody updates, which some callers find before ours, or instead of it"
        yield Found("binary", path, os.path.basename(path), what, kept)


def _cron(root: str, top: str) -> Iterator[Found]:
    lines = list(crontabs.cron_lines(top))
    for line in lines:
        if _OURS in line.path or _OURS in line.text:
            continue
        if _NPM.search(line.text):
            what = "changes the CLI in place: turns fail while there is none, and it fights with our releases"
        elif root in line.text or _SESSIONS.search(line.text):
            what = _does(line.text)
        else:
            continue
        others = [each for each in lines if each.path == line.path and not _is_preamble(each.text)]
        if not line.script:
            yield Found("cron", line.path, line.text, what, "", line.number)
        elif len(others) > 1:
            yield Found(
                "cron", line.path, line.text, what, "it is one command of a script: edit that by hand", line.number
            )
        else:
            yield Found("cron", line.path, line.text, what)


def _does(command: str) -> str:
    if not _REMOVES.search(command):
        return "touches session directories"
    if re.search(r"\brm\s+-\w*[rR]", command):
        return (
            "deletes whole directories by the time of the directory, live sessions in them too; as root it follows "
            "links that a tenant plants"
        )
    return "deletes files by their time alone: what is open, what others were forked from; rows in databases stay"


def _is_preamble(text: str) -> bool:
    return text.startswith(("set ", "export ", "PATH=", "SHELL=", "MAILTO=")) or text == "exit 0"


def _remove_program(found: Found) -> None:
    if found.kind == "npm":
        launcher = os.path.join(os.path.dirname(found.path[: -len(f"/node_modules/{PACKAGE}")]), "bin", "codex")
        if os.path.islink(launcher) and os.path.realpath(launcher).startswith(f"{os.path.realpath(found.path)}/"):
            os.unlink(launcher)
        aside = trees.temporary_name(found.path)
        trees.remove(aside)
        os.rename(found.path, aside)
        trees.remove(aside)
    else:
        os.unlink(found.path)


def _package_of(path: str, top: str) -> str:
    """Debian's package that a file belongs to, if one is known."""
    for listing in glob.glob(os.path.join(top, "var/lib/dpkg/info/*codex*.list")):
        with open(listing, encoding="utf-8", errors="replace") as stream:
            if f"{path}\n" in stream.readlines():
                return os.path.basename(listing)[: -len(".list")].partition(":")[0]
    return ""


def _expand(patterns: tuple[str, ...], top: str) -> list[str]:
    below = [os.path.join(top, pattern.lstrip("/")) for pattern in patterns]
    return [path for pattern in below for path in sorted(glob.glob(pattern))]


def _inode(path: str) -> tuple[int, int]:
    info = os.lstat(path)
    return info.st_dev, info.st_ino
