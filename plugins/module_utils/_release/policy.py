# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The files in /etc/codex that hold for every user of a host: what codex_policy does.

The real CLI judges them before they are put in place: it reads them in a mount namespace of its own, in which they are
in place already.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any, Mapping

from .._formats.toml import dumps
from .._host import linux
from .._host.access import check_program, private_directory
from .._host.identity import Identity
from .._host.new_files import PUBLIC_DIRECTORY, PUBLIC_FILE, new_directory, write_file
from .._host.process import Completed, bare_environment, run

FILES = ("config.toml", "requirements.toml")
HEADER = "# Written by Ansible (alive.codex.codex_policy).\n"

_TIMEOUT = 30.0


class PolicyError(Exception):
    """Codex refuses the files; the message says why."""


class NotChecked(Exception):
    """The files could not be judged; the message says why."""


def render(document: Mapping[str, Any]) -> str:
    """A file's text.

    Raises ValueError for what has no TOML form.
    """
    return HEADER + dumps(document)


def judge(texts: Mapping[str, str], codex: str, user: Identity) -> None:
    """Has the CLI at ``codex`` read these files as ``user``.

    Raises PolicyError, or NotChecked.
    """
    with private_directory() as etc:
        os.chmod(etc, PUBLIC_DIRECTORY)
        folder = os.path.join(etc, "codex")
        new_directory(folder, PUBLIC_DIRECTORY)
        for name, text in texts.items():
            write_file(os.path.join(folder, name), text.encode(), PUBLIC_FILE)
        loaded = _ask(codex, ["features", "list"], user, etc)
        if loaded.rc == 2:
            raise NotChecked(f"{codex} does not know the command that it would be checked with")
        if loaded.rc != 0:
            raise PolicyError(_reason(loaded))
        # This ends for want of a prompt. What is not known to a release that has no such flag is not found out.
        strict = _ask(codex, ["exec", "--strict-config", "--skip-git-repo-check"], user, etc)
        if b"unknown configuration field" in strict.stderr:
            raise PolicyError(_reason(strict))


def _ask(codex: str, arguments: list[str], user: Identity, etc: str) -> Completed:
    namespaces = linux.CLONE_NEWNS if os.geteuid() == 0 else linux.CLONE_NEWNS | linux.CLONE_NEWUSER

    def see_the_files_in_place() -> None:
        linux.unshare(namespaces)
        linux.mount(None, "/", linux.MS_REC | linux.MS_PRIVATE)
        linux.mount(etc, "/etc", linux.MS_BIND)

    try:
        check_program(codex, user)
        done = run([codex, *arguments], bare_environment(user, "/"), _TIMEOUT, user, before=see_the_files_in_place)
    except subprocess.SubprocessError:
        raise NotChecked("this host does not let the check have a mount namespace") from None
    except OSError as error:
        raise NotChecked(f"{codex} cannot be started: {error.strerror}") from None
    if done.timed_out:
        raise NotChecked(f"{codex} {' '.join(arguments)} did not end within {_TIMEOUT:g} s")
    return done


def _reason(done: Completed) -> str:
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines()]
    kept = [line for line in lines if line and line != "Caused by:" and not line.startswith(("WARNING", "|"))]
    return " ".join(kept)[:500]
