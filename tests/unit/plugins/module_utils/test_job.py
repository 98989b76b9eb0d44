"""The cron job's file: cron leaves out a whole file for one field that it cannot read, and tells only its log."""

from __future__ import annotations

import pytest
from ansible_collections.alive.codex.plugins.module_utils._sessions import job

SOUND = {"minute": "5", "hour": "3", "weekday": "*", "mailto": "root", "python": "/usr/bin/python3"}


def line_of(**given: str) -> str:
    options = {**SOUND, **given}
    python = options.pop("python")
    return job.crontab(job.Schedule(**options), python, "/a script of 100%", "/config").splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "minute": ["*", "0", "07", "59", "*/5", "0-59/2", "1,5-9", "30-30"],
        "hour": ["0", "23", "1-5", "*/12"],
        "weekday": ["*", "0", "7", "1-5", "mon", "MON-FRI", "sat,sun"],
        "mailto": ["", "root", "root,adm", "first-last+x@x-y.org"],
        "python": ["python3", "/opt/a python%/bin/python3"],
    }.items(),
)
def test_what_every_cron_reads(name: str, values: list[str]) -> None:
    for value in values:
        assert line_of(**{name: value}).count(" root nice -n 19 ") == 1


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "minute": [
            "",
            "60",
            "-1",
            "5 4",
            "*/0",
            "*/",
            "*/60",
            "5-3",
            "5/10",
            "1,",
            ",",
            "@daily",
            "#",
            "\u0663",
            "9" * 400,
        ],
        "hour": ["24", "3\n* * * * * root sh", "0-24", "mon"],
        "weekday": ["8", "monday", "fri-mon", "?", "L", "1#2"],
        "mailto": ["a b", "-oX", "root,", "root,-oX", 'a"', "\u00e9", "a\nb", "$(id)", "a;b"],
        "python": ["", "./python3", "bin/python3", "~/python3", "/a\x1b"],
    }.items(),
)
def test_what_some_cron_would_not_read_is_refused(name: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^{name} must ") as refused:
            line_of(**{name: value})
        assert len(str(refused.value)) < 200 and str(refused.value).isascii()
