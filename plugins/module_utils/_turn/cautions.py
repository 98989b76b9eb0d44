# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""What is seen of a turn's options and this host that its user should know of."""

from __future__ import annotations

from typing import Any, Mapping

from .._formats import json_schema
from .._formats.toml_document import parse_toml
from . import overrides, shell_policy
from .argv import API_KEY
from .options import TurnOptions

SYSTEM_CONFIG = "/etc/codex/config.toml"


def cautions(options: TurnOptions) -> list[str]:
    """What there is to warn of before anything has run."""
    found = []
    if options.env is not None and "PATH" not in {**options.env, **options.extra_env}:
        found.append("env replaces the whole environment and has no PATH: the model's commands will find no programs")
    if options.api_key and not options.protect_api_key:
        found += _leaks_of_key(options)
    for keyword in json_schema.unsupported(options.output_schema):
        found.append(f"output_schema: {keyword} is not checked here")
    return found


def _leaks_of_key(options: TurnOptions) -> list[str]:
    """A warning where nothing keeps the API key from the model's commands, neither the host nor the turn itself. What a
    tenant sets in its own HOME is its own business."""
    remedy = f"exclude {API_KEY} there with the role codex_cli, or give protect_api_key: true"
    try:
        with open(SYSTEM_CONFIG, encoding="utf-8-sig", newline="") as file:
            settings: Mapping[str, Any] = parse_toml(file.read()).data
    except FileNotFoundError:
        settings = {}
    except (OSError, ValueError) as error:
        return [
            f"api_key may be in the environment of every command that the model runs: {SYSTEM_CONFIG} cannot be "
            f"read ({error}); {remedy}"
        ]
    given = (*overrides.flatten(options.config), *options.config_overrides)
    if shell_policy.keeps_from_shell(shell_policy.layered(settings, given), API_KEY):
        return []
    return [
        f"api_key is in the environment of every command that the model runs: nothing in {SYSTEM_CONFIG} keeps it "
        f"from them; {remedy}"
    ]
