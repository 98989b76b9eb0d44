# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""All that comes before a turn of the Codex CLI on this host: who runs it, and what it is given."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from typing import Any, BinaryIO, Iterator

from .._host.access import check_program, planted
from .._host.identity import Identity, acting_as
from .._host.new_files import new_file
from .._host.process import bare_environment
from .argv import BASE_URL_SETTING_SINCE, build_argv, build_environment
from .begin import Turn
from .options import CannotRun, TurnOptions
from .tenant import Tenant, find_tenant


def prepare(options: TurnOptions, inputs: str) -> Turn:
    """A turn that is ready to run. ``inputs`` is a directory for files that the CLI is to read.

    Raises CannotRun.
    """
    tenant = find_tenant(options)
    runner = tenant.runner()
    if runner.uid == 0:
        _check_what_root_trusts(options, runner)
    images = (*options.images, *_copy_images(options, inputs, tenant))
    schema_file = _write_schema(options, inputs, tenant)
    inherited = dict(os.environ)
    if tenant.home is not None:
        inherited = {**bare_environment(runner, tenant.home), "TMPDIR": "/tmp"}
    env = build_environment(options, inherited, _knows_base_url_setting(options, tenant))
    if tenant.home is not None and not env.get("HOME"):
        env["HOME"] = tenant.home  # or the session would be in passwd's, where nobody prunes it
    argv = build_argv(options, images, schema_file)
    return Turn(options, tenant, argv, env, images, schema_file, _open_events(options, tenant))


def preview(options: TurnOptions) -> dict[str, Any]:
    """The module's result in check mode: the argument vector, with what would be copied by the names that it has."""
    schema_file = None if options.output_schema is None else "schema.json"
    return {
        "changed": False,
        "status": "not_run",
        "reason": None,
        "thread_id": options.thread_id,
        "argv": build_argv(options, (*options.images, *options.images_src), schema_file),
    }


def _check_what_root_trusts(options: TurnOptions, root: Identity) -> None:
    """A turn of root's own runs nobody else's program, and by default works where nobody else has put anything.

    Raises CannotRun.
    """
    with contextlib.suppress(FileNotFoundError):  # the start says so
        try:
            check_program(options.codex_path, root)
        except PermissionError as error:
            raise CannotRun(f"codex_path {options.codex_path}: {error.strerror}") from None
    problem = None if options.working_directory else planted(".")
    if problem:
        raise CannotRun(
            f"root's turn would work in {os.getcwd()}, where another user could put something ({problem}): give the "
            "workspace that the turn is for, or working_directory"
        )


def _knows_base_url_setting(options: TurnOptions, tenant: Tenant) -> bool:
    if not options.base_url:
        return True
    # Only such a turn waits for these imports: the bench row exec shows what they cost.
    from .._formats.version import parse_version
    from .cli_version import cli_version

    version = cli_version(options.codex_path, tenant)
    return version is None or parse_version(version) >= parse_version(BASE_URL_SETTING_SINCE)


def _write_schema(options: TurnOptions, inputs: str, tenant: Tenant) -> str | None:
    if options.output_schema is None:
        return None
    path = os.path.join(inputs, "schema.json")
    try:
        with _new_input(path, tenant) as file:
            file.write(json.dumps(options.output_schema).encode("ascii"))
    except OSError as error:
        raise CannotRun(f"output_schema cannot be written for the CLI: {error}") from error
    return path


def _copy_images(options: TurnOptions, inputs: str, tenant: Tenant) -> list[str]:
    paths = []
    for number, source in enumerate(options.images_src):
        path = os.path.join(inputs, f"image-{number}{os.path.splitext(source)[1]}")
        try:
            with open(source, "rb") as image, _new_input(path, tenant) as file:
                shutil.copyfileobj(image, file)
        except OSError as error:
            raise CannotRun(f"the image {source} cannot be copied: {error}") from error
        paths.append(path)
    return paths


@contextlib.contextmanager
def _new_input(path: str, tenant: Tenant) -> Iterator[BinaryIO]:
    """A new file that the tenant alone can read, to be written: what is in it counts as the tenant's own."""
    runner = tenant.runner()
    fd = new_file(path, 0o400)
    if tenant.identity is not None:
        os.fchown(fd, runner.uid, runner.gid)
        os.setgroups([])
    with acting_as(runner), open(fd, "wb") as file:
        yield file


def _open_events(options: TurnOptions, tenant: Tenant) -> int | None:
    """``events_path``, opened as the tenant, as root it could be any file that a link names; emptied, and for its user
    alone. Somebody else's file is left as it is: its owner could read what is written."""
    path = options.events_path
    if path is None:
        return None
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        if tenant.identity is None:
            fd = os.open(path, flags, 0o600)
        else:
            os.setgroups([])
            with acting_as(tenant.identity):
                fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise CannotRun(f"events_path {path} cannot be written: {error.strerror}") from error
    info = os.fstat(fd)
    owner = os.geteuid() if tenant.identity is None else tenant.identity.uid
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise CannotRun(f"events_path {path} is not a regular file")
    if info.st_uid != owner:
        os.close(fd)
        raise CannotRun(f"events_path {path} belongs to UID {info.st_uid}, not to UID {owner}: name another file")
    os.fchmod(fd, 0o600)
    os.ftruncate(fd, 0)
    return fd
