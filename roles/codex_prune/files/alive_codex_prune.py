# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prunes sessions on this host, as cron or an operator starts it. The module codex_prune does the same from afar.

Exit status: 0 when all went well; 1 when something went wrong in a workspace, all others being pruned; 2 when nothing
could be done; 75 when another run is under way.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import stat
import sys
import syslog
import time
from typing import Any

from ansible_collections.alive.codex.plugins.module_utils._formats.text import MESSAGE_LENGTH, first_of, one_line
from ansible_collections.alive.codex.plugins.module_utils._host.new_files import new_file
from ansible_collections.alive.codex.plugins.module_utils._host.safefs import (
    open_own,
    open_trusted,
    opened,
    read_file,
    replace_file,
)
from ansible_collections.alive.codex.plugins.module_utils._sessions import options
from ansible_collections.alive.codex.plugins.module_utils._sessions.prune_all import (
    MOST_TOLD,
    orders_from,
    prune,
    summary,
)

CONFIG = "/etc/alive-codex-prune.json"
LOG = "runs.log"
LAST = "last.json"
LOCK = "lock"
MAX_LOG = 2**20
MAX_CONFIG = 2**20
KEPT_LOGS = 4
# Problems in one line of the log.
MAX_PROBLEMS = 10
# Administrators of root's group may read.
LOG_MODE = 0o640
LOG_DIRECTORY_MODE = 0o750
EX_TEMPFAIL = 75


def read_config(path: str) -> dict[str, Any]:
    """The options in the file, checked. Root believes only what nobody else can write. Raises ValueError."""
    try:
        directory, name = os.path.split(os.path.abspath(path))
        with opened(open_trusted(directory)) as dir_fd:
            content, info = read_file(name or ".", dir_fd, MAX_CONFIG)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; name a configuration with --config") from error
    if info.st_uid not in (0, os.geteuid()) or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError(f"{path} must belong to root and be writable by nobody else: chown root, chmod 644")
    try:
        return options.read_config(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def record(result: dict[str, Any], started: float, dir_fd: int) -> None:
    """Keeps the run whole, and appends a line about it to the log, which is rotated by size."""
    run = {"started": started, "duration": round(time.time() - started, 3), "ok": not result["problems"]}
    replace_file(LAST, dir_fd, json.dumps(dict(run, **result), indent=1).encode() + b"\n", LOG_MODE)
    try:
        if os.stat(LOG, dir_fd=dir_fd).st_size > MAX_LOG:
            for number in range(KEPT_LOGS, 0, -1):
                older, newer = f"{LOG}.{number}", f"{LOG}.{number - 1}" if number > 1 else LOG
                try:
                    os.replace(newer, older, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
                except FileNotFoundError:
                    continue
    except FileNotFoundError:
        pass
    problems = first_of(result["problems"], MAX_PROBLEMS, "problem")
    line = dict(run, changed=result["changed"], **result["totals"], problems=problems)
    with contextlib.suppress(FileExistsError):
        os.close(new_file(LOG, LOG_MODE, dir_fd))
    with opened(os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)) as fd:
        os.write(fd, json.dumps(line).encode() + b"\n")


def complain(text: str) -> None:
    """To whoever started this: cron mails it. A line for each, which nothing in a text can end."""
    text = one_line(text, MESSAGE_LENGTH)
    syslog.syslog(syslog.LOG_ERR, text)
    print(f"alive-codex-prune: {text}", file=sys.stderr)


def prune_and_record(config: dict[str, Any]) -> dict[str, Any]:
    """Prunes, unless another run does: BlockingIOError."""
    started = time.time()
    with opened(open_own(config["log_dir"], LOG_DIRECTORY_MODE)) as dir_fd:
        lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
        with opened(lock):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            result = prune_as_configured(config, dry_run=False)
            record(result, started, dir_fd)
    return result


def prune_as_configured(config: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    return prune(config["root"], config["workspaces"], orders_from(config, dry_run), config["archive"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="alive-codex-prune", description="Prunes the sessions on this host.")
    parser.add_argument("--config", default=CONFIG, help="what to prune (%(default)s)")
    parser.add_argument("--check", action="store_true", help="only say what would be pruned")
    parser.add_argument("--test-config", action="store_true", help="only say whether the configuration is in order")
    parser.add_argument("--cron", action="store_true", help="print nothing but what went wrong")
    arguments = parser.parse_args()
    syslog.openlog("alive-codex-prune", syslog.LOG_PID, syslog.LOG_CRON)
    try:
        config = read_config(arguments.config)
        if arguments.test_config:
            return 0
        result = prune_as_configured(config, dry_run=True) if arguments.check else prune_and_record(config)
    except BlockingIOError:
        complain("another run is under way")
        return EX_TEMPFAIL
    except (OSError, ValueError) as error:
        complain(f"nothing was pruned: {error}")
        return 2
    for problem in first_of(result["problems"], MOST_TOLD, "problem"):
        complain(problem)
    if not arguments.cron:
        print(summary(result, arguments.check))
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
