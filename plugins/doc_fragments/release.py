# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """Where a module finds the releases."""

    PLACES = r"""
options:
  prefix:
    description: Where releases live.
    type: path
    default: /usr/local/lib/alive-codex
  bin:
    description: The stable path of the command.
    type: path
    default: /usr/local/bin/codex
"""
