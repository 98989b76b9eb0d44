"""What the modules show as EXAMPLES, run as it is shown, one task after the other, on a copy of this machine that is
thrown away."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.documentation import MODULES, examples
from support.machines import on_a_copy
from support.packages import native_codex
from support.plays import LOCAL
from support.registry import Registry
from support.releases import build_release
from support.stub import FAKE_KEY, ResponsesStub
from support.turns import DEFAULTS

pytestmark = pytest.mark.root
VERSIONS = ("0.160.0", "0.171.0", "0.172.0")
CODEX = "/usr/local/bin/codex"
# The tasks that bring the machine into the state that a module's examples begin with.
FILE, COMMAND = "ansible.builtin.file", "ansible.builtin.command"
LINK = [
    {FILE: {"path": "/usr/local/bin", "state": "directory"}},
    {FILE: {"path": CODEX, "src": str(native_codex()), "state": "link", "force": True}},
]
TENANTS = {
    "alive.codex.codex_workspaces": {
        "workspaces": [{"name": name, "uid": uid, "gid": uid} for name, uid in (("acme", 20_101), ("globex", 20_102))]
    }
}
APP = "/var/lib/claude-sessions/acme/app"
REPOSITORY = [
    {COMMAND: f"git init --quiet --initial-branch main {APP}"},
    {COMMAND: f"git -C {APP} -c user.name=a -c user.email=a@b commit --quiet --allow-empty -m x"},
    {FILE: {"path": APP, "owner": "20101", "group": "20101", "recurse": True}},
]
OLDER = {"alive.codex.codex_release": {"version": VERSIONS[0]}}
BEFORE: Mapping[str, list[dict[str, Any]]] = {
    "codex_exec": [*LINK, TENANTS, *REPOSITORY],
    "codex_policy": LINK,
    "codex_preflight": [TENANTS],
    "codex_prune": [*LINK, TENANTS],
    "codex_release": [OLDER],
    "codex_sessions_info": [TENANTS],
    "codex_table": [{"ansible.builtin.set_fact": {"codex": {"version": "0.171.0"}}}],
    "codex_validate": LINK,
}
# What would need an application with the SDK of the very CLI, and user namespaces on every machine.
LEFT_OUT = {"It serves this tenant, who has no passwd entry, with the SDK of the application"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("tarballs")
    with Registry([path for version in VERSIONS for path in build_release(folder, version)]) as running:
        yield running


@pytest.mark.skipif(platform.machine() != "x86_64", reason="NOT RUN: one example names the tarball of x86_64")
@pytest.mark.parametrize("module", MODULES)
def test_examples_run_as_shown(module: str, tmp_path: Path, registry: Registry, stub: ResponsesStub) -> None:
    tasks = [task for task in yaml.safe_load(examples(module)) if task["name"] not in LEFT_OUT]
    before = list(BEFORE.get(module, ()))
    variables = {**LOCAL, "ansible_become": False, "vault_openai_api_key": FAKE_KEY}
    if module == "codex_release":
        for name, path in zip(
            ("codex_digest", "codex_platform_digest"), build_release(tmp_path, VERSIONS[1]), strict=True
        ):
            variables[name] = f"sha512:{hashlib.sha512(path.read_bytes()).hexdigest()}"
            before.append({"ansible.builtin.copy": {"src": str(path), "dest": "/root/", "mode": "0600"}})
    if module == "codex_exec":
        defaults = {"alive.codex.codex_exec": {"base_url": stub.base_url, "config": {"features": {"plugins": False}}}}
        assert "base_url" in DEFAULTS
    else:
        defaults = {}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "environment": {"npm_config_registry": registry.url},
        "module_defaults": defaults,
        "vars": variables,
        "tasks": [*before, *tasks],
    }
    (tmp_path / "play.json").write_text(json.dumps([play]))
    (tmp_path / "machine").mkdir()
    playbook = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "-i",
        "localhost,",
        str(tmp_path / "play.json"),
    ]
    argv = on_a_copy(tmp_path / "machine", *playbook)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("TASK [") == len(before) + len(tasks)
