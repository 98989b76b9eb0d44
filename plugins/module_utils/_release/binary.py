# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Where the Codex binary is, and what it says of itself.

Source: the launchers and the SDK of the npm packages 0.1 to 0.171, which look in these places in this order.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from typing import Iterator, NamedTuple, Sequence

from .._formats.version import parse_version, printed_version
from .._host.access import check_program
from .._host.identity import Identity
from .._host.process import Completed, bare_environment, run

PACKAGE = "@openai/codex"
VERSION_SECONDS = 30.0  # for `codex --version`


class Platform(NamedTuple):
    """How npm and the vendor name a machine."""

    suffix: str  # of the platform package and its versions
    triple: str

    @property
    def package(self) -> str:
        return f"{PACKAGE}-{self.suffix}"


PLATFORMS = {
    "x86_64": Platform("linux-x64", "x86_64-unknown-linux-musl"),
    "aarch64": Platform("linux-arm64", "aarch64-unknown-linux-musl"),
}


def stated_version(package: str) -> str | None:
    """The version in a package's own package.json, whatever it says there; None where it says none."""
    try:
        with open(os.path.join(package, "package.json"), encoding="utf-8") as stream:
            return str(json.load(stream)["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def this_platform() -> Platform:
    """Raises LookupError on a machine that Codex is not built for."""
    machine = os.uname().machine
    try:
        return PLATFORMS[machine]
    except KeyError:
        raise LookupError(f"there is no Codex for {machine}, only for {' and '.join(PLATFORMS)}") from None


def platform_directories(package: str, platform: Platform) -> list[str]:
    """Where Node finds the platform package from the directory of @openai/codex: nested, or beside it."""
    nested = os.path.join(package, "node_modules", platform.package)
    parent = os.path.realpath(package)
    beside = os.path.join(parent[: -len(PACKAGE)], platform.package) if parent.endswith(f"/{PACKAGE}") else ""
    return [path for path in (nested, beside) if path]


def native_in(package: str, platform: Platform) -> str | None:
    """The native binary that a directory of @openai/codex leads to, in any layout since 0.1.2505; None without one."""
    return next((path for path in _candidates(package, platform) if os.path.isfile(path)), None)


def _candidates(package: str, platform: Platform) -> Iterator[str]:
    for directory in [*platform_directories(package, platform), package]:
        vendor = os.path.join(directory, "vendor", platform.triple)
        yield os.path.join(vendor, "bin", "codex")
        yield os.path.join(vendor, "codex", "codex")
    yield os.path.join(package, "bin", f"codex-{platform.triple}")


def resolve(path: str, search_path: str) -> str:
    """The binary that ``path`` means: a file, a directory of @openai/codex, or a bare name that ``search_path`` has.

    Raises FileNotFoundError with the reason in words.
    """
    if "/" not in path:
        found = shutil.which(path, path=search_path)
        if not found:
            raise FileNotFoundError(f"there is no {path} in {search_path}")
        return found
    if os.path.isdir(path):
        platform = this_platform()
        native = native_in(path, platform)
        if not native:
            raise FileNotFoundError(f"{path} has no native binary, which the platform package {platform.package} holds")
        return native
    return path


def read_interpreter(path: str) -> list[str]:
    """What a script's first line names: the program and its argument, if any. Empty for what is no script."""
    with open(path, "rb") as stream:
        first = stream.readline(256)
    if not first.startswith(b"#!"):
        return []
    return os.fsdecode(first[2:].strip()).split(None, 1)


def is_executable_file(path: str) -> bool:
    """Whether it is a regular file that somebody may run."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & 0o111)


def ask(path: str, arguments: Sequence[str], identity: Identity, timeout: float) -> Completed:
    """Runs the binary as that user with a bare environment, from ``/``.

    Raises OSError where it cannot start, or would be run by root though another user could change it.
    """
    check_program(path, identity)
    return run([path, *arguments], bare_environment(identity, "/"), timeout, identity)


def ailment(package: str, version: str, platform: Platform, identity: Identity) -> str | None:
    """What is wrong with a package's binary, in words; None where it runs as that user would run it, and is of that
    version. Nothing else is believed: neither npm's exit code, nor that files are there."""
    native = native_in(package, platform)
    if native is None:
        return f"the platform package {platform.package} is missing"
    try:
        done = ask(native, ["--version"], identity, VERSION_SECONDS)
    except OSError as error:
        return f"{native} does not run as {identity}: {error.strerror}"
    if done.timed_out:
        return f"{native} --version did not end within {VERSION_SECONDS:g} s"
    output = done.stdout.decode(errors="replace")
    printed = printed_version(output)
    if done.rc != 0 or printed is None:
        said = (output + done.stderr.decode(errors="replace")).strip()[:200]
        return f"{native} --version as {identity} ended with rc {done.rc} and said {said!r}"
    # The releases 0.1.<date> print another version than npm gives them.
    if printed != version and parse_version(version).release[:2] != (0, 1):
        return f"{native} says that it is {printed}, not {version}"
    return None
