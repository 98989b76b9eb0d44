# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What of its caller's environment npm is given.

The caller is root, or the user whose work it is: proxies, certificates, npm's settings and whatever an .npmrc refers
to are theirs to choose, and stay. But a variable may lead into another user's hands: a HOME that sudo has kept, a PATH
with somebody's directory, settings or code below /tmp. Nobody can list the variables that make some program read a
file, so all are judged alike, by the places that they name.
"""

from __future__ import annotations

import os
import re
from typing import Mapping, NamedTuple

from .._host.access import planted
from .._host.identity import current_identity

# Node.js takes a relative name from its working directory, which is / here.
_PLACE = re.compile(r"[^\s:=,;'\"]*/[^\s:=,;'\"]*")
# Those that somebody would miss: npm, Node.js or the loader reads them.
_MISSED = re.compile(r"npm_config_|node_|ssl_cert_|openssl_|ld_|prefix$", re.IGNORECASE)
_OURS = ("HOME", "PATH", "PWD", "OLDPWD", "TMPDIR", "TMP", "TEMP")


class Surroundings(NamedTuple):
    """``environment`` has a PATH of absolute names and a HOME. ``unsafe_path`` are the parts of PATH that it lacks,
    ``warnings`` tell what else it lacks that the caller may have counted on."""

    environment: dict[str, str]
    unsafe_path: list[str]
    warnings: list[str]


def own_surroundings(environ: Mapping[str, str], scratch: str) -> Surroundings:
    """The caller's environment without what leads to a place that another user could change. Temporary files go into
    ``scratch``, a directory of the caller's own."""
    environment: dict[str, str] = {}
    warnings: list[str] = []
    for name, value in environ.items():
        if name in _OURS:
            continue
        problem = next(filter(None, (planted(os.path.join("/", place)) for place in _PLACE.findall(value))), None)
        if problem is None:
            environment[name] = value
        elif _MISSED.match(name):
            warnings.append(f"npm is not given {name}, which leads to what another user could change: {problem}")
    search_path = environ.get("PATH", os.defpath).split(":")
    safe_path = [directory for directory in search_path if directory.startswith("/") and planted(directory) is None]
    environment.update(HOME=_home(environ, scratch, warnings), PATH=":".join(safe_path), TMPDIR=scratch)
    return Surroundings(environment, [part for part in search_path if part not in safe_path], warnings)


def _home(environ: Mapping[str, str], scratch: str, warnings: list[str]) -> str:
    """Where npm finds .npmrc, and Node.js looks for modules."""
    given = environ.get("HOME") or ""
    problem = _why_not_home(given)
    if problem is None:
        return given
    if given:
        warnings.append(f"npm is not given HOME {given}, and reads no .npmrc there: {problem}")
    own = current_identity().home or ""
    return scratch if _why_not_home(own) else own


def _why_not_home(path: str) -> str | None:
    if not path.startswith("/"):
        return "it is no absolute path"
    return planted(path) or planted(os.path.join(path, ".npmrc"))
