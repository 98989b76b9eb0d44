"""What the real CLI passes on to the model's commands under each form that a host's configuration can have."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.packages import native_codex
from support.settings import usual_umask
from support.shell_policies import FORMS, KEEPS, LEAKS, REFUSED, Form
from support.stub import FAKE_KEY, ResponsesStub
from support.turns import TENANT, make_home

pytestmark = pytest.mark.root

NOT_RUN, KEPT, LEAKED = "no turn ran", "the key was kept", "the key leaked"
ON_SUCH_A_HOST = f"""
mount --bind "$0" /etc && exec setpriv --reuid {TENANT} --regid {TENANT} --clear-groups -- "$@"
"""


def outcome(form: Form, directory: Path, stub: ResponsesStub) -> str:
    """Of a turn of a tenant, on a host with this configuration."""
    directory.mkdir()
    directory.chmod(0o755)
    home = make_home(directory, "home")
    (directory / "etc" / "codex").mkdir(parents=True)
    (directory / "etc" / "codex" / "config.toml").write_bytes(form.text.encode())
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", ON_SUCH_A_HOST, str(directory / "etc")]
    argv += [str(native_codex()), "exec", "--experimental-json", "--skip-git-repo-check"]
    argv += ["--sandbox", "danger-full-access", "--config", f'openai_base_url="{stub.base_url}"']
    for override in ("features.plugins=false", "analytics.enabled=false", *form.overrides):
        argv += ["--config", override]
    done = subprocess.run(
        [*argv, "[[run:/usr/bin/env]]"],
        env={"HOME": str(home), "PATH": os.environ["PATH"], "CODEX_API_KEY": FAKE_KEY},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    items = [json.loads(line).get("item", {}) for line in done.stdout.splitlines()]
    printed = [item["aggregated_output"] for item in items if item.get("exit_code") == 0]
    if done.returncode != 0 or not printed:
        return NOT_RUN
    return LEAKED if FAKE_KEY in "".join(printed) else KEPT


def test_the_cli_and_our_judgement_agree(stub: ResponsesStub, open_dir: Path) -> None:
    places = [open_dir / str(number) for number in range(len(FORMS))]
    with usual_umask(), ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(outcome, FORMS.values(), places, [stub] * len(FORMS)))
    expected = {**dict.fromkeys(KEEPS, KEPT), **dict.fromkeys(LEAKS, LEAKED), **dict.fromkeys(REFUSED, NOT_RUN)}
    assert dict(zip(FORMS, outcomes, strict=True)) == expected
