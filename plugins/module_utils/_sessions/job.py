# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The files that make cron prune, as text: the script's configuration and the crontab."""

from __future__ import annotations

import json
import shlex
from typing import Any, Mapping, NamedTuple

from .._formats.values import check_line
from .options import read_config

_CRONTAB = """\
# Ansible managed
# Prunes the sessions of workspaces; what it prunes is in {config}.
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
MAILTO="{mailto}"
{minute} {hour} * * {weekday} root nice -n 19 ionice -c 3 {python} -I {script} --cron{named}
"""
# Where the script looks by itself.
DEFAULT_CONFIG = "/etc/alive-codex-prune.json"


class Schedule(NamedTuple):
    """The fields of a crontab, and whom cron mails; empty for nobody."""

    minute: str
    hour: str
    weekday: str
    mailto: str


def config_text(options: Mapping[str, Any]) -> str:
    """The script's configuration, with keys that ``options.CONFIG`` has.

    Raises ValueError, which names the option that the script would refuse.
    """
    text = json.dumps(options, indent=4, sort_keys=True) + "\n"
    read_config(text.encode())
    return text


def crontab(schedule: Schedule, python: str, script: str, config: str) -> str:
    """A file for ``/etc/cron.d`` that has this Python run the script with this configuration.

    Raises ValueError for what would be another line, field or word of it.
    """
    for name, value in {**schedule._asdict(), "python": python}.items():
        check_line(name, value)
        if name in ("minute", "hour", "weekday") and (not value or " " in value):
            raise ValueError(f"{name} must be one field of a crontab, such as *, not {json.dumps(value)}")
    if '"' in schedule.mailto:
        raise ValueError(f"mailto must be without quotes, not {json.dumps(schedule.mailto)}")
    return _CRONTAB.format(
        **schedule._asdict(),
        python=_word(python),
        script=_word(script),
        config=config,
        named="" if config == DEFAULT_CONFIG else f" --config {_word(config)}",
    )


def _word(path: str) -> str:
    """A path as one word of a cron command, in which a percent sign would end a line."""
    return shlex.quote(path).replace("%", r"\%")
