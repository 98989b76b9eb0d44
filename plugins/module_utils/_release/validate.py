# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Looks at a Codex binary as one user would meet it: what codex_validate does."""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat
from subprocess import SubprocessError
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

from .._formats.specifier import satisfies
from .._formats.text import abridged, clean
from .._formats.version import parse_version, printed_version
from .._host import access
from .._host.identity import Identity, current_identity
from .._host.process import STANDARD_PATH, Completed
from . import binary, record

_TIMEOUT = 10.0  # seconds for each question to the binary
_SDK_PACKAGE = "@openai/codex-sdk"
# What `codex exec` must accept for the SDK's turns.
FLAGS = ("--experimental-json",)


class Check(NamedTuple):
    """One thing looked at: whether it is well, and in words what was found, with the cure where it is not."""

    name: str
    ok: bool
    detail: str


def report(
    path: str, user: Identity, flags: Sequence[str], sandbox: bool, requires: str, sdk_path: str | None
) -> dict[str, Any]:
    """What codex_validate documents as its result.

    Raises ValueError for ``requires`` that cannot be read.
    """
    found = Findings(path, user, flags, sandbox)
    found.examine()
    sdk = None
    if sdk_path:
        try:
            sdk = read_sdk(sdk_path)
        except (OSError, ValueError) as error:
            found.add("sdk", False, "", str(error))
    if found.version is not None:
        found.compare(found.version, requires, sdk)
    return {
        "version": found.version,
        "version_raw": found.version_raw,
        "compatible": found.version is not None
        and all(check.ok for check in found.checks if check.name in ("requires", "sdk")),
        "path": found.path,
        "real_path": found.real_path or None,
        "owner": found.owner,
        "mode": found.mode,
        "interpreter": found.interpreter,
        "sdk": sdk,
        "checks": [check._asdict() for check in found.checks],
        "problems": [check.detail for check in found.checks if not check.ok],
    }


class Findings:
    """What there is to say of the binary that ``path`` means, for ``user``. Nothing is changed."""

    def __init__(self, path: str, user: Identity, flags: Sequence[str], sandbox: bool) -> None:
        self.path = path
        self.user = user
        self.flags = flags
        self.sandbox = sandbox
        self.real_path = ""
        self.owner: str | None = None
        self.mode: str | None = None
        self.interpreter: str | None = None
        self.version_raw: str | None = None
        self.version: str | None = None
        self.checks: list[Check] = []

    def examine(self) -> None:
        """Makes every check that still has a meaning after those before it."""
        info = self._resolve()
        if info is None:
            return
        self._check_owners()
        self._check_whole()
        runnable = self._check_reach(info)
        if self._check_interpreter() and runnable and self._ask_version():
            for flag in self.flags:
                self._ask_flag(flag)
            self._ask_sandbox()

    def compare(self, version: str, requires: str, sdk: Mapping[str, Any] | None) -> None:
        """Holds the version against what is required, and against what the SDK pins."""
        if requires:
            self.add(
                "requires",
                satisfies(version, requires),
                f"{version} fits {requires}",
                f"{self.path} is {version}, which does not fit {requires}: install a release that does",
            )
        if sdk and sdk["requires_cli"] is not None:
            pin = sdk["requires_cli"]
            pinned_by = f"the SDK {sdk['version']} in {sdk['path']}"
            try:
                oldest = parse_version(str(pin).lstrip("^~=v"))
            except ValueError:
                self.add("sdk", False, "", f"{pinned_by} pins {pin!r}, which is no version: install that SDK again")
                return
            self.add(
                "sdk",
                parse_version(version) >= oldest,
                f"{version} serves {pinned_by}, which pins {pin}",
                f"{self.path} is {version}, older than {pin}, which {pinned_by} pins: install that release, or a newer "
                "one",
            )

    def add(self, name: str, ok: bool, well: str, ill: str) -> bool:
        self.checks.append(Check(name, ok, clean(well if ok else ill)))  # it may hold words of a program's
        return ok

    def _resolve(self) -> os.stat_result | None:
        try:
            found = binary.resolve(self.path, STANDARD_PATH)
            info = os.stat(found)
        except OSError as error:
            self.add("resolves", False, "", self._why_missing(error))
            return None
        self.path, self.real_path = found, os.path.realpath(found)
        self.owner, self.mode = _owner(info), f"{stat.S_IMODE(info.st_mode):04o}"
        regular = stat.S_ISREG(info.st_mode)
        leads = f"{self.path} leads to {self.real_path}"
        self.add("resolves", regular, leads, f"{leads}, which is no regular file: install Codex again")
        return info if regular else None

    def _why_missing(self, error: OSError) -> str:
        if error.errno is None:
            return f"{error}: install Codex there, or give its path"
        if os.path.islink(self.path) and not os.path.exists(self.path):
            return f"{self.path} is a dangling link to {os.readlink(self.path)}: install Codex again"
        return f"{self.path} cannot be opened ({error.strerror}): install Codex there, or give its path"

    def _check_owners(self) -> None:
        changeable = "; ".join(access.changeable(self.path, _trusted(self.user)))
        self.add(
            "protected",
            not changeable,
            "no user but its owner can change it, or a directory on the way to it",
            f"{changeable}: others than root could replace what {self.user} runs. Let them not: chown root, chmod go-w",
        )

    def _check_whole(self) -> None:
        """Whether what the binary runs, too, is as codex_release has installed it."""
        release = record.release_of(self.real_path)
        if release is None:
            return
        wrong = record.compare(release, (0, *_trusted(self.user))).wrong
        self.add(
            "whole",
            not wrong,
            f"{release} is as it was installed",
            f"{release} is not as it was installed: {abridged(wrong, '; ')}. Run codex_release for it again",
        )

    def _check_reach(self, info: os.stat_result) -> bool:
        """Whether the user can be expected to run it."""
        self.add(
            "mode",
            info.st_mode & 0o555 == 0o555,
            f"{self.real_path} has mode {self.mode}",
            f"{self.real_path} has mode {self.mode}, which keeps users from running it: chmod 0755 {self.real_path}",
        )
        blocked = access.blocked_at(self.path, self.user)
        self.add(
            "reachable",
            blocked is None,
            f"{self.user} can go through every directory on the way",
            f"{self.user} cannot go through {blocked}: chmod a+x {blocked}, or install Codex elsewhere",
        )
        return blocked is None and access.may(info, self.user, 0o5)

    def _check_interpreter(self) -> bool:
        words = binary.read_interpreter(self.real_path)
        self.interpreter = " ".join(words) or None
        problem = next((problem for problem in map(self._why_not_run, _programs(words)) if problem), "")
        return self.add(
            "interpreter",
            not problem,
            f"{self.interpreter} is there" if words else "none is needed",
            f"{self.real_path} is a script for {problem}",
        )

    def _why_not_run(self, program: str) -> str:
        """What keeps the user from running an interpreter; empty where nothing does."""
        try:
            found = binary.resolve(program, STANDARD_PATH)
            info = os.stat(found)
        except OSError:
            return (
                f"{program}, which {self.user} does not find (PATH {STANDARD_PATH}): install {program} there, or let "
                "codex_release put the native binary at the stable path"
            )
        blocked = access.blocked_at(found, self.user)
        if blocked or not access.may(info, self.user, 0o5):
            return f"{found}, which {self.user} cannot run: chmod a+rx {blocked or found}"
        return ""

    def _ask(self, *arguments: str) -> tuple[Completed | None, str]:
        """The answer, if any, and in words why it is not a good one."""
        command = f"{self.path} {' '.join(arguments)} as {self.user}"
        try:
            done = binary.ask(self.path, arguments, self.user, _TIMEOUT)
        except (OSError, SubprocessError) as error:
            return None, f"{command} cannot be started: {getattr(error, 'strerror', None) or error}"
        if done.timed_out:
            return None, f"{command} did not end within {_TIMEOUT:g} s"
        return done, "" if done.rc == 0 else f"{command} {_ending(done)}: {_last_words(done)}"

    def _ask_version(self) -> bool:
        done, problem = self._ask("--version")
        well = f"{self.path} --version as {self.user} ended well"
        self.add("runs", not problem, well, f"{problem}: install this release again")
        if done is None or problem:
            return False
        self.version_raw = clean(done.stdout.decode(errors="replace").strip())
        self.version = printed_version(self.version_raw)
        return self.add(
            "version",
            self.version is not None,
            f"it is {self.version}",
            f"{self.path} --version as {self.user} printed {self.version_raw[:200]!r}, which holds no version: that is "
            "not Codex, install it there",
        )

    def _ask_flag(self, flag: str) -> None:
        _done, problem = self._ask("exec", flag, "--help")
        well = f"codex exec accepts {flag}"
        self.add(
            f"flag {flag}", not problem, well, f"{problem}: {self.version} lacks {flag}, install a release that has it"
        )

    def _ask_sandbox(self) -> None:
        # The command was named differently in the past; what is no usage error is an answer.
        for command in (("sandbox", "--"), ("sandbox", "linux", "--"), ("debug", "landlock", "--")):
            done, problem = self._ask(*command, "/bin/true")
            if done is None or done.rc != 2:
                break
        self.add(
            "sandbox",
            not problem or not self.sandbox,
            f"{self.user} cannot use it: {problem}" if problem else f"{self.user} can use it",
            f"{problem}: {self.user} cannot use Codex's sandbox, and every command of the model fails. Allow user "
            "namespaces (user.max_user_namespaces, kernel.unprivileged_userns_clone, AppArmor), or run without it",
        )


def read_sdk(directory: str) -> dict[str, Any]:
    """What an installed SDK is, and which CLI it pins: ``path``, ``version``, ``requires_cli``. ``directory`` holds the
    SDK, directly or in node_modules.

    Raises OSError or ValueError in words.
    """
    for path in _sdk_places(directory):
        manifest_path = os.path.join(path, "package.json")
        if os.path.isfile(manifest_path):
            break
    else:
        raise FileNotFoundError(f"{directory} holds no {_SDK_PACKAGE}: give the directory it was installed into")
    with open(manifest_path, encoding="utf-8") as stream:
        manifest = json.load(stream)
    if manifest.get("name") != _SDK_PACKAGE:
        raise ValueError(f"{manifest_path} is {manifest.get('name')}, not {_SDK_PACKAGE}")
    return {
        "path": path,
        "version": str(manifest.get("version")),
        "requires_cli": manifest.get("dependencies", {}).get(binary.PACKAGE),
    }


def _sdk_places(directory: str) -> Iterator[str]:
    yield os.path.join(directory, "node_modules", _SDK_PACKAGE)
    yield os.path.join(directory, "lib", "node_modules", _SDK_PACKAGE)
    yield os.path.join(directory, _SDK_PACKAGE)
    yield directory


def _trusted(user: Identity) -> tuple[int, ...]:
    """Who else than root may own what ``user`` runs: where we are that user, and not root, the user's own."""
    me = current_identity().uid
    return (me,) if me == user.uid else ()


def _programs(words: Sequence[str]) -> Iterator[str]:
    yield from words[:1]
    if len(words) > 1 and os.path.basename(words[0]) == "env":
        arguments = [word for word in words[1].split() if not word.startswith("-") and "=" not in word]
        yield from arguments[:1]


def _ending(done: Completed) -> str:
    return f"was killed by signal {-done.rc}" if done.rc < 0 else f"ended with rc {done.rc}"


def _last_words(done: Completed) -> str:
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line] or lines
    return telling[-1].strip()[:300] if telling else "it said nothing"


def _owner(info: os.stat_result) -> str:
    """``root:root``; numbers for those without a name."""
    try:
        user = pwd.getpwuid(info.st_uid).pw_name
    except KeyError:
        user = str(info.st_uid)
    try:
        group = grp.getgrgid(info.st_gid).gr_name
    except KeyError:
        group = str(info.st_gid)
    return f"{user}:{group}"
