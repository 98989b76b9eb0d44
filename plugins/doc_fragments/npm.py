# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """What a module that calls npm can be told of it."""

    DOCUMENTATION = r"""
options:
  registry:
    description:
      - The address of an npm registry. By default npm's own settings decide, those of the environment, of the user's
        own C(.npmrc), and of the host's. No project's settings are read, and nothing that another user than root and
        the one at work could have put in the way; what is left out is told in a warning.
      - It must hold no credentials.
    type: str
  registry_token:
    description:
      - The token for O(registry). npm gets it in its environment, never in an argument.
      - Where the address is C(http) and not this machine's, a warning tells that everybody on the way can read it.
    type: str
notes:
  - C(module_defaults) for the action group C(alive.codex.npm) take O(registry), O(registry_token) and O(npm).
"""

    # For modules that ask no registry, too.
    COMMAND = r"""
options:
  npm:
    description:
      - npm's path, or its name on C(PATH). It needs Node.js 16 or newer.
      - Neither npm nor Node.js is run where another user than root and the one at work could change it.
    type: str
    default: npm
"""
