# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""Whether a host has the release and the host's files that are asked for, so that there is nothing to do and nothing to
say. Looks only, and contacts nothing."""

from __future__ import annotations

import os
from typing import Any, Mapping

from .._host.access import blocked_at, planted
from .._host.identity import Identity
from .installer import Installer, ReleaseRequest
from .policy_files import look, plan
from .store import ReleaseError


def has_release(request: ReleaseRequest) -> bool:
    try:
        return Installer(request).is_done()
    except (ReleaseError, LookupError, ValueError, OSError):
        return False  # whoever installs it says why


def has_policy(directory: str, documents: Mapping[str, Mapping[str, Any]], merge: bool, user: Identity) -> bool:
    """``documents`` is what the files in the directory are to say, by their names; a file of which that is nothing is
    left alone."""
    try:
        for name, document in documents.items():
            if document:
                file = look(os.path.join(directory, name))
                if planted(directory) or not file.public or plan(file, document, merge).text != file.text:
                    return False
                if blocked_at(file.path, user):
                    return False
    except (ValueError, OSError):
        return False
    return True
