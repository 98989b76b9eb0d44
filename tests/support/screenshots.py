"""A fleet for the status page, and the pictures of it for the README: python -m support.screenshots, in tests."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.alive.codex.plugins.plugin_utils import _status, _status_page

from support.browser import Browser, chromium
from support.documentation import CHECKOUT

NOW = 1_795_831_200


def fleet(hosts: int, workspaces: int) -> dict[str, Any]:
    """A document as the playbook makes it: of ten hosts the fourth has problems, of fifty the eighth no connection."""
    draw = random.Random(1)

    def host(number: int) -> dict[str, Any]:
        if number % 50 == 7:
            return {_status.VALIDATION: {"unreachable": True, "msg": "ssh: connect to host: Connection timed out"}}
        reports = [
            {
                "name": f"tenant-{number * workspaces + each}",
                "owner": f"{20000 + number * workspaces + each}:20000",
                "stores": {
                    "codex": {
                        "sessions": draw.randrange(1, 400),
                        "bytes": int(draw.paretovariate(0.9) * 2**20),
                        "newest": NOW - draw.randrange(10**6),
                    }
                },
                "problems": ["sessions: Permission denied"] if draw.random() < 0.01 else [],
            }
            for each in range(workspaces)
        ]
        run = {"started": NOW - 20000, "duration": 3.2, "ok": True, "pruned": draw.randrange(50), "problems": []}
        return {
            "codex_cli_version": "0.171.0",
            _status.VALIDATION: {"version": "0.169.0" if number % 10 == 3 else "0.171.0", "checks": [], "problems": []},
            _status.SESSIONS: {"totals": {}, "workspaces": reports},
            _status.DISK: {"stdout": f"x\n/dev/sda1 100000000 0 {draw.randrange(10**7, 10**8)} 1% /var/lib"},
            _status.PRUNE: {"stdout": json.dumps({**run, "pruned_bytes": 2**27, "kept": 9000, "kept_bytes": 2**31})},
        }

    names = [f"worker{number}" for number in range(1, hosts + 1)]
    found = {name: host(number) for number, name in enumerate(names)}
    return _status.document(found, names, {"version": "0.171.0"}, NOW)


def main() -> None:
    images = CHECKOUT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, Browser(chromium()) as browser:
        page = Path(directory) / "status.html"
        page.write_text(_status_page.page(fleet(12, 8)))
        for scheme in ("light", "dark"):
            browser.show(1360, 1000, scheme)
            browser.open(page)
            (images / f"status-{scheme}.png").write_bytes(browser.picture())


if __name__ == "__main__":
    main()
