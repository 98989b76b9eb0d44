# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives a workspace an old session, so that the quickstart's pruner has something to find.

    age_session.py HOME THREAD_ID        says "made", or "there" where an earlier run made it

The old session is a copy of the real one THREAD_ID, under an ID and a date of its own. Everything below HOME belongs to
a tenant, so it is read and written as HOME's owner.
"""

from __future__ import annotations

import datetime
import os
import re
import sys
from pathlib import Path

OLD = datetime.datetime(2025, 1, 15, 12, 0, 0, tzinfo=datetime.timezone.utc)
OLD_ID = "019469d5-b200-7000-8000-000000000001"


def main() -> None:
    home, thread_id = Path(sys.argv[1]), sys.argv[2]
    owner = home.stat()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(*(owner.st_gid,) * 3)
        os.setresuid(*(owner.st_uid,) * 3)
    os.umask(0o077)
    sessions = home / ".codex" / "sessions"
    old = sessions / f"{OLD:%Y/%m/%d}" / f"rollout-{OLD:%Y-%m-%dT%H-%M-%S}-{OLD_ID}.jsonl"
    if old.exists():
        print("there")
        return
    (rollout,) = sessions.glob(f"*/*/*/rollout-*-{thread_id}.jsonl")
    text = rollout.read_text(encoding="utf-8").replace(thread_id, OLD_ID)
    old.parent.mkdir(parents=True)
    old.write_text(re.sub(r'("timestamp":\s*")\d{4}-\d\d-\d\d', rf"\g<1>{OLD:%Y-%m-%d}", text), encoding="utf-8")
    os.utime(old, (OLD.timestamp(), OLD.timestamp()))
    print("made")


if __name__ == "__main__":
    main()
