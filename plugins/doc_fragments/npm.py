# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """What every module that calls npm can be told of it."""

    DOCUMENTATION = r"""
options:
  registry:
    description:
      - The address of an npm registry. By default npm's own settings decide, C(.npmrc) files and environment included.
      - It must hold no credentials.
    type: str
  registry_token:
    description: The token for O(registry). npm gets it in its environment, never in an argument.
    type: str
  npm:
    description: npm's path, or its name on C(PATH). It needs Node.js 16 or newer.
    type: str
    default: npm
"""
