# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Runs npm for codex_release.

npm reads its own settings (proxy, CA, registry, token) from the caller's environment, and from the .npmrc of the caller
and of the host; what would change where or what it installs is said again on the command line, which wins over all. It
starts in / and asks for no project's settings: it would look for them in every directory above the one that it is in.
Its exit code proves nothing: with the platform package refused, or the disk full, it is 0.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import shutil
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Sequence
from urllib.parse import urlsplit

from .._formats.values import check_line
from .._host.access import changeable, planted, private_directory
from .._host.new_files import write_file
from .._host.proc import command_line, processes_by_user, shares_root
from .._host.process import Completed, run
from .binary import PACKAGE
from .environment import own_surroundings

# The options by which a module is told of npm.
OPTIONS: dict[str, dict[str, Any]] = {
    "registry": {"type": "str"},
    "registry_token": {"type": "str", "no_log": True},
    "npm": {"type": "str", "default": "npm"},
}
OLDEST_NODE = 16
_LONGEST_ADDRESS = 2000
_UPDATES = ("update", "up", "upgrade")
_CHANGES = (*_UPDATES, "install", "i", "add", "uninstall", "un", "unlink", "remove", "rm", "r", "link", "ln")
# Whatever an .npmrc says.
_MANNERS = ("--ignore-scripts", "--include=optional", "--no-dry-run", "--no-audit", "--no-fund")
_SHORT = 60.0  # seconds for a question to Node.js or npm that needs no network
# A failed npm has left so little: what it could not write is larger.
_NEXT_TO_NOTHING = 4 << 20  # bytes
_FEW_INODES = 16
# Lines of npm's log that tell why a download failed.
_TELLING = re.compile(
    rb"fetch GET [45]\d\d|attempt \d+ failed|corrupted|ENOSPC|EDQUOT|EINTEGRITY|"
    rb"^npm (?:error|ERR!) (?!A complete log|Log files)"
)
# A line of npm's list of settings.
_SETTING = re.compile(r'^(?:; )?(globalconfig|prefix|userconfig) = (".*?")(?: |$)', re.MULTILINE)
_CURES = (
    (("ENOSPC", "EDQUOT"), "make room on that file system, or raise the quota, then try again"),
    (
        ("with a date before",),
        "it is held back, as too young for npm's settings on this host (before or min-release-age in .npmrc): wait, "
        "ask for an older version, or change the setting",
    ),
    (("EBADENGINE",), "install the Node.js that it asks for, or unset engine-strict in .npmrc: it needs none to run"),
    (("ENOTCACHED",), "unset offline in .npmrc, or give tarballs"),
    (("ETARGET", "No match found"), "ask for a version that the registry has: npm view @openai/codex versions"),
    (("EINTEGRITY", "corrupted"), "what came is not what the registry announced: look for a proxy that alters it"),
    (("E401", "E403", "fetch GET 401", "fetch GET 403"), "give npm the right registry_token, or an .npmrc that has it"),
    (
        ("ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH"),
        "check the network, the proxy and the registry option; without a registry, give tarballs",
    ),
    (("CERT", "certificate"), "tell npm the registry's CA: cafile in .npmrc, or NODE_EXTRA_CA_CERTS"),
    (("fetch GET 404",), "the registry lacks the package for this platform: use one that mirrors it too"),
    (("fetch GET 5", "E50"), "the registry is out of order: run this again later, or use another"),
)


class NpmError(Exception):
    """npm did not do it; the message says what failed and how to go on."""


class Npm(NamedTuple):
    """How npm is called. ``scratch`` is a directory for what it leaves, ``warnings`` are for whoever runs this,
    ``keep_open`` are descriptors that npm holds as long as it lives."""

    path: str
    environment: Mapping[str, str]
    settings: Sequence[str]
    registry: str | None
    timeout: float
    scratch: str
    warnings: Sequence[str]
    keep_open: Sequence[int] = ()


@contextlib.contextmanager
def ready_npm(
    npm: str, environ: Mapping[str, str], registry: str | None, token: str | None, timeout: float
) -> Iterator[Npm]:
    """npm, ready to be called within the block. ``npm`` is a path, or a name on PATH; ``environ`` the caller's
    environment.

    Raises NpmError where npm or Node.js is missing, too old, or another user's to change.
    """
    with private_directory() as scratch:
        environment, unsafe_path, warnings = own_surroundings(environ, scratch)
        path = _find(npm, environment["PATH"], unsafe_path)
        # A version manager keeps node beside npm, off everybody's PATH.
        environment["PATH"] = f"{os.path.dirname(path)}:{environment['PATH']}"
        environment.update(npm_config_logs_max="0", NODE_DISABLE_COMPILE_CACHE="1")  # it would be shared, in /tmp
        if token:
            if not registry:
                raise NpmError("registry_token needs the registry that it is for")
            warnings += _plain_text(registry)
        node = shutil.which("node", path=environment["PATH"])
        if node:
            _check_owners(node)
        version = _ask(["node", "--version"], environment)
        match = re.match(r"v(\d+)\.", version)
        if not match or int(match.group(1)) < OLDEST_NODE:
            raise NpmError(f"npm at {path} runs on Node.js {version or '(none found)'}: >= {OLDEST_NODE} is needed")
        settings, own = _ask_settings(path, environment, warnings)
        if token and registry:
            settings.append(_with_token(own, _nerf_dart(registry), token, environment))
        yield Npm(path, environment, settings, registry, timeout, scratch, warnings)


def _find(npm: str, search_path: str, unsafe_path: Sequence[str]) -> str:
    found = shutil.which(npm, path=search_path)
    if not found:
        left_out = f", without {':'.join(unsafe_path)}, which others could change" if any(unsafe_path) else ""
        raise NpmError(
            f"there is no npm: {npm} is not found (PATH {search_path}{left_out}). Install Node.js >= {OLDEST_NODE} "
            "with npm, say where npm is with the option npm, or give tarballs, which need neither"
        )
    path = os.path.abspath(found)
    _check_owners(path)
    return path


def _check_owners(program: str) -> None:
    for problem in changeable(program, (os.geteuid(),)):
        raise NpmError(
            f"{program} is not run, as another user could change it: {problem}. Let them not: chown root, chmod go-w; "
            "or say with the option npm where another is, or give tarballs, which need none"
        )


def _ask_settings(path: str, environment: Mapping[str, str], warnings: list[str]) -> tuple[list[str], str]:
    """The host's own .npmrc as an option, which counts even where npm is given another prefix, unless another user
    could have made it; and where the caller's own .npmrc would be.

    Raises NpmError where npm does not run.
    """
    # npm lists who says what, the one that counts last. It must not read the file before we know whose it is.
    other = os.path.join(environment["TMPDIR"], "npmrc")
    listing = ["config", "list", "--long", "--global", f"--globalconfig={other}", _cache(environment["TMPDIR"])]
    said = {"globalconfig": "", "prefix": "", "userconfig": ""}
    for name, value in _SETTING.findall(_ask([path, *listing], environment)):
        if json.loads(value) != other:
            said[name] = json.loads(value)
    if not said["prefix"]:
        raise NpmError(f"npm at {path} does not tell its settings: see what `npm config list --long` says")
    settings = said["globalconfig"] or os.path.join(said["prefix"], "etc", "npmrc")
    problem = planted(settings)
    if problem is not None:
        warnings.append(f"npm does not read {settings}, which another user could have changed: {problem}")
        settings = other
    return [f"--globalconfig={settings}"], said["userconfig"]


def _with_token(own: str, registry: str, token: str, environment: dict[str, str]) -> str:
    """The caller's .npmrc with the token, as an option: npm 8 takes none from the environment, and no command line
    should show it."""
    name = f"{registry}:_authToken"
    environment.pop(f"npm_config_{name}", None)
    lines = b""
    with contextlib.suppress(OSError), open(own, "rb") as file:
        lines = file.read()
    path = os.path.join(environment["TMPDIR"], "npmrc-with-token")
    write_file(path, lines + f"\n{name}={token}\n".encode(), 0o600)
    return f"--userconfig={path}"


def _plain_text(registry: str) -> Iterator[str]:
    parts = urlsplit(registry)
    host = parts.hostname or ""
    with contextlib.suppress(ValueError):  # a name
        host = "localhost" if ipaddress.ip_address(host).is_loopback else host
    if parts.scheme == "http" and host != "localhost":
        yield f"registry_token goes to {registry} in plain text, for all on the way to read: give an https address"


def check_options(params: Mapping[str, Any]) -> None:
    """Raises ValueError for values of ``OPTIONS`` that can be none."""
    check_line("registry_token", params["registry_token"] or "")
    check_line("npm", params["npm"])
    if not params["npm"]:
        raise ValueError("npm must be npm's path or its name on PATH, not an empty text")
    if params["registry"]:
        _check_registry(params["registry"])


def _check_registry(registry: str) -> None:
    """Raises ValueError for what is no registry's address, or one that shows credentials in process lists and logs."""
    try:
        parts = urlsplit(registry)
        fit = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets or a port that are none
        fit = False
    if not fit or not registry.isprintable() or " " in registry or len(registry) > _LONGEST_ADDRESS:
        raise ValueError(f"registry {registry.partition(':')[0][:20]!r}... is not an http(s) address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("registry must hold no credentials: give them as registry_token, or in .npmrc")


def resolve_version(npm: Npm, version: str, platform_package: str) -> str:
    """The exact version that npm would install here for a dist-tag, or a version: npm itself decides, by its settings
    (``before``, ``min-release-age``, ``engine-strict``, the registry of a scope). Nothing but metadata is downloaded.

    Raises NpmError, also where npm would leave the platform package out.
    """
    # A project of its own, in which npm writes what it would do to a lock file; no npm from 7 on says it otherwise.
    project = os.path.join(npm.scratch, "resolution")
    os.makedirs(project, mode=0o700, exist_ok=True)
    arguments = [
        "install",
        f"--prefix={project}",
        "--no-global",
        "--location=project",
        "--package-lock-only",
        "--package-lock",
        "--save",
        *_MANNERS,
        _cache(npm.scratch),
        f"{PACKAGE}@{version}",
    ]
    done = _run(npm, arguments)
    if done.rc != 0 or done.timed_out:
        raise _failure(npm, "install", f"{PACKAGE}@{version}", done)
    with open(os.path.join(project, "package-lock.json"), encoding="utf-8") as stream:
        packages = json.load(stream)["packages"]
    package = packages[f"node_modules/{PACKAGE}"]
    wants = platform_package in package.get("optionalDependencies", {})
    if wants and not any(path.endswith(f"node_modules/{platform_package}") for path in packages):
        raise NpmError(
            f"npm would install {PACKAGE}@{package['version']} without {platform_package}, which the registry lacks or "
            "npm's settings hold back (before, min-release-age): wait, or ask for an older version"
        )
    return str(package["version"])


def install_release(
    npm: Npm, version: str, platform_package: str, prefix: str, cache: str, meanwhile: Callable[[], None]
) -> None:
    """Installs an exact version in npm's global layout below ``prefix``. ``meanwhile`` is called again and again.

    Raises NpmError where npm gave up, or gave up the platform package or a file of it, which it says in its log alone.
    """
    arguments = [
        "install",
        "--global",
        f"--prefix={prefix}",
        _cache(cache),
        "--no-package-lock-only",
        "--install-strategy=hoisted",
        "--bin-links",
        *_MANNERS,
        f"{PACKAGE}@{version}",
    ]
    done = _run(npm, arguments, meanwhile)
    if done.rc != 0 or done.timed_out:
        raise _failure(npm, "install", f"{PACKAGE}@{version}", done, prefix)
    lost = re.compile(rb"TAR_ENTRY_ERROR|failed optional dependency .*" + re.escape(platform_package.encode()) + rb"\n")
    if lost.search(done.stderr):
        room, _full = _room_in(prefix)
        reason = (
            _explain(done)
            or f"its download broke off, or the disk or a quota is full ({room}): make room, or try again"
        )
        raise NpmError(f"npm install {PACKAGE}@{version} left out {platform_package}, or a part of it: {reason}")


def pack(npm: Npm, specs: Sequence[str], folder: str, cache: str) -> Mapping[str, str]:
    """Downloads the tarballs of exact versions into ``folder``: the digest of each, as npm has it, by its file name.

    Raises NpmError.
    """
    arguments = [
        "pack",
        "--global",
        "--json",
        f"--pack-destination={folder}",
        _cache(cache),
        "--ignore-scripts",
        "--no-dry-run",
    ]
    done = _run(npm, [*arguments, *specs])
    if done.rc != 0 or done.timed_out:
        raise _failure(npm, "pack", " ".join(specs), done, folder)
    # npm 8 names the package where it means the file.
    return {
        packed["filename"].replace("@", "").replace("/", "-"): packed["integrity"] for packed in json.loads(done.stdout)
    }


def global_root(npm: Npm) -> str | None:
    """The directory that npm installs global packages into; None where npm cannot say."""
    answer = _ask([npm.path, "root", "--global", _cache(npm.scratch), *npm.settings], npm.environment)
    return answer if answer.startswith("/") else None


def at_work() -> str | None:
    """A process of this user and root directory, in words, in which npm may be changing a global @openai/codex."""
    for pid in processes_by_user().get(os.geteuid(), []):
        with contextlib.suppress(OSError):  # it has ended
            words = command_line(pid)
            if shares_root(pid) and _may_change_codex(words):
                return f"{' '.join(words)!r} (PID {pid})"
    return None


def _may_change_codex(words: Sequence[str]) -> bool:
    """Judges by npm's title, which has the command and its arguments without options, or how npm was called."""
    if words and os.path.basename(words[0]).startswith("node"):
        words = words[1:]
    if not words or os.path.basename(words[0]) not in ("npm", "npm-cli.js"):
        return False
    command, *rest = [word for word in words[1:] if not word.startswith("-")] or [""]
    return command in _UPDATES or (command in _CHANGES and any("codex" in word for word in rest))


def _explain(done: Completed, place: str | None = None) -> str:
    """Why, in a line: what npm's log tells, and the cure. ``place`` is a directory that npm wrote to."""
    lines = [line for line in done.stderr.splitlines() if _TELLING.search(line)]
    told = "; ".join(dict.fromkeys(line.decode(errors="replace").replace("npm ", "", 1) for line in lines[:6]))
    cure = next((cure for signs, cure in _CURES if any(sign in told for sign in signs)), "")
    if not cure and place is not None:
        room, full = _room_in(place)
        cure = f"{room}: make room there, then try again" if full else ""
    return f"{told}: {cure}" if cure else told


def _room_in(place: str) -> tuple[str, bool]:
    """What is free there, in words, and whether that is next to nothing. Where no inode is left, npm may tell of a
    directory that is missing, and there already, in place of ENOSPC."""
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    inodes = f" and {disk.f_favail} inodes" if disk.f_files else ""  # Btrfs counts none
    full = free < _NEXT_TO_NOTHING or (disk.f_files > 0 and disk.f_favail < _FEW_INODES)
    return f"{free >> 20} MiB{inodes} are free in {place}", full


def _failure(npm: Npm, command: str, spec: str, done: Completed, place: str | None = None) -> NpmError:
    where = f" from {npm.registry}" if npm.registry else ""
    told = _explain(done, place)
    if done.timed_out:
        reason = f"took longer than {npm.timeout:g} s: {told or 'raise timeout, or look at the network'}"
    else:
        reason = f"failed (rc {done.rc}): {told or done.stderr.decode(errors='replace')[-500:].strip()}"
    return NpmError(f"npm {command} {spec}{where} {reason}")


def _run(npm: Npm, arguments: Sequence[str], meanwhile: Callable[[], None] | None = None) -> Completed:
    registry = [f"--registry={npm.registry}", f"--@openai:registry={npm.registry}"] if npm.registry else []
    quiet = ["--loglevel=verbose", "--no-update-notifier", "--no-progress"]
    argv = [npm.path, *arguments, *npm.settings, *registry, *quiet]
    return run(argv, npm.environment, npm.timeout, umask=0o022, keep_open=npm.keep_open, meanwhile=meanwhile)


def _ask(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    program = shutil.which(argv[0], path=environment["PATH"])
    if not program:
        return ""
    done = run([program, *argv[1:]], environment, _SHORT, umask=0o022)
    return done.stdout.decode(errors="replace").strip() if done.rc == 0 else ""


def _cache(directory: str) -> str:
    """Where npm keeps what it downloads, and would otherwise make directories in the caller's HOME."""
    return f"--cache={directory}"


def _nerf_dart(registry: str) -> str:
    """How npm's settings name a registry: without scheme, with a slash at the end."""
    parts = urlsplit(registry)
    return f"//{parts.netloc}{parts.path.rstrip('/')}/"
