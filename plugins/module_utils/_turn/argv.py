# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to the collection alive.codex: nothing outside it may import this file.
"""The argument vector and environment of one turn, as the official TypeScript SDK makes them.

Source: ``@openai/codex-sdk`` 0.163.0, ``dist/index.js``; a test holds both against each other. What the SDK has no
option for (``ephemeral``, ``fork``, ``review``) adds to its vector: ``codex exec --help`` of 0.171.0.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping, Sequence

from . import overrides
from .options import TurnOptions

ORIGINATOR = "CODEX_INTERNAL_ORIGINATOR_OVERRIDE"
API_KEY = "CODEX_API_KEY"
# From this version on the CLI reads its base URL from the setting; before, from the variable.
BASE_URL_SETTING_SINCE = "0.120.0"

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def build_argv(options: TurnOptions, images: Sequence[str] = (), schema_file: str | None = None) -> list[str]:
    """The whole vector, program first. ``images`` are paths; ``schema_file`` holds ``output_schema`` as JSON."""
    return [well_formed(text) for text in (options.codex_path, *_arguments(options, images, schema_file))]


def well_formed(text: str) -> str:
    """The text with each lone surrogate replaced, as Node.js does when it encodes; nothing else has UTF-8 bytes."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def _arguments(options: TurnOptions, images: Sequence[str], schema_file: str | None) -> Iterator[str]:
    yield from ("exec", "--experimental-json")
    for override in (*overrides.flatten(options.config), *options.config_overrides):
        yield from ("--config", override)
    if options.base_url:
        yield from ("--config", f"openai_base_url={overrides.quote(options.base_url)}")
    if options.model:
        yield from ("--model", options.model)
    if options.thread_source is not None and (options.fork or not options.thread_id):
        yield from ("--thread-source", options.thread_source)
    if options.sandbox_mode:
        yield from ("--sandbox", options.sandbox_mode)
    if options.working_directory:
        yield from ("--cd", options.working_directory)
    for directory in options.additional_directories:
        yield from ("--add-dir", directory)
    if options.skip_git_repo_check:
        yield "--skip-git-repo-check"
    if schema_file:
        yield from ("--output-schema", schema_file)
    if options.cyber_access_program is not None:
        yield from ("--cyber-access-program", options.cyber_access_program)
    for key, value in _settings(options):
        yield from ("--config", f"{key}={value}")
    if options.ephemeral:
        yield "--ephemeral"
    yield from options.extra_args
    if options.fork:
        yield from ("fork", str(options.thread_id), "-")  # without the dash, the prompt is not read
    elif options.thread_id:
        yield from ("resume", options.thread_id)
    elif options.review is not None:
        yield from ("review", *_review(options.review))
    for image in images:
        yield from ("--image", image)


def _review(review: Mapping[str, Any]) -> Iterator[str]:
    for name in ("base", "commit", "title"):
        if review.get(name):
            yield from (f"--{name}", review[name])
    if review.get("uncommitted"):
        yield "--uncommitted"
    elif not any(review.get(name) for name in ("base", "commit")):
        yield "-"  # the instructions are read from stdin


def _settings(options: TurnOptions) -> Iterator[tuple[str, str]]:
    """The thread options that are settings. They come last, so that they win over ``config``."""
    if options.model_reasoning_effort:
        yield "model_reasoning_effort", f'"{options.model_reasoning_effort}"'
    if options.network_access_enabled is not None:
        yield "sandbox_workspace_write.network_access", overrides.render_boolean(options.network_access_enabled)
    if options.web_search_mode:
        yield "web_search", f'"{options.web_search_mode}"'
    elif options.web_search_enabled is not None:
        yield "web_search", '"live"' if options.web_search_enabled else '"disabled"'
    if options.approval_policy:
        yield "approval_policy", f'"{options.approval_policy}"'
    if options.protect_api_key:
        excluded = options.config.get("shell_environment_policy", {}).get("exclude", [])
        yield "shell_environment_policy.exclude", overrides.render([*excluded, API_KEY], "exclude")


def build_environment(
    options: TurnOptions, inherited: Mapping[str, str], base_url_setting: bool = True
) -> dict[str, str]:
    """``env`` where given, else ``inherited``, then ``extra_env``, and on top what the SDK adds. ``base_url_setting``
    says whether the CLI knows the setting ``openai_base_url``; one that does not is told by a variable."""
    extra = {well_formed(name): well_formed(value) for name, value in options.extra_env.items()}
    env = {**(inherited if options.env is None else options.env), **extra}
    if not env.get(ORIGINATOR):
        env[ORIGINATOR] = "codex_sdk_ts"
    if options.api_key:
        env[API_KEY] = options.api_key
    if options.base_url and not base_url_setting:
        env["OPENAI_BASE_URL"] = options.base_url
    # What is inherited may be no UTF-8, which Python holds as surrogates and writes back as it was.
    return env if options.env is None else {well_formed(k): well_formed(v) for k, v in env.items()}
