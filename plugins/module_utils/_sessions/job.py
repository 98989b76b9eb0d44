# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The files that make cron prune, as text: the script's configuration and the crontab."""

from __future__ import annotations

import json
import re
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
# What every cron reads: with one field that it does not, it leaves out the whole file, and tells only its log.
_FIELDS = {"minute": (0, 59), "hour": (0, 23), "weekday": (0, 7)}
_PART = re.compile(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAY = re.compile("|".join(_DAYS), re.IGNORECASE)
# A user or an address, which cron gives to a mailer; with a dash before it, it would be an option.
_ADDRESS = re.compile("[A-Za-z0-9_.+%@=][A-Za-z0-9_.+%@=-]*")
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
        if name in _FIELDS and not _is_field(value, name):
            least, most = _FIELDS[name]
            raise ValueError(
                f"{name} must be one field of a crontab, * or numbers from {least} to {most}, such as {least}-{most}/2,"
                f" not {json.dumps(value[:40])}"
            )
    if schedule.mailto and not all(map(_ADDRESS.fullmatch, schedule.mailto.split(","))):
        raise ValueError(
            "mailto must be a user or an address, or several with commas between them, not "
            f"{json.dumps(schedule.mailto[:40])}"
        )
    if not python or ("/" in python and not python.startswith("/")):
        raise ValueError(f"python must be an absolute path, or a name on PATH, not {json.dumps(python[:40])}")
    return _CRONTAB.format(
        **schedule._asdict(),
        python=_word(python),
        script=_word(script),
        config=config,
        named="" if config == DEFAULT_CONFIG else f" --config {_word(config)}",
    )


def _is_field(text: str, name: str) -> bool:
    """Whether every cron takes it for that field, and starts something at some time."""
    least, most = _FIELDS[name]
    if name == "weekday":
        text = _DAY.sub(lambda day: str(_DAYS.index(day[0].lower())), text)
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if not match:
            return False
        first, last, step = (None if number is None else int(number) for number in match.groups())
        if first is not None and not least <= first <= (first if last is None else last) <= most:
            return False
        if step is not None and (not 1 <= step <= most or (first is not None and last is None)):
            return False  # one cron takes 5/10 for 5 alone, another for the rest of the hour
    return True


def _word(path: str) -> str:
    """A path as one word of a cron command, in which a percent sign would end a line."""
    return shlex.quote(path).replace("%", r"\%")
