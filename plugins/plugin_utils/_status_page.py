# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The page that shows the document of ``_status`` to people: one file, which loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "playbooks" / "files" / "status.html"
POLICY, DATA = "@POLICY@", "@STATUS@"


def page(document: Mapping[str, Any]) -> str:
    """The page with the document in it. Nothing but its own style and script is allowed to work in it; these make text
    of the document, never markup."""
    source = PAGE.read_text(encoding="utf-8")
    [style], [script] = (re.findall(rf"<{tag}>(.*?)</{tag}>", source, re.DOTALL) for tag in ("style", "script"))
    policy = f"default-src 'none'; base-uri 'none'; style-src {_digest(style)}; script-src {_digest(script)}"
    before, after = source.replace(POLICY, policy).split(DATA)
    return before + embedded(document) + after


def embedded(document: Mapping[str, Any]) -> str:
    """JSON, in ASCII, that ends no ``script`` element and begins no comment."""
    return json.dumps(document, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
