"""What codex_workspaces writes, read and rewritten by the real CLI, as the tenant."""

from __future__ import annotations

import os
import shutil
import tempfile
import tomllib
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._host import identity, process
from ansible_collections.alive.codex.plugins.module_utils._workspaces import prepare_all, report, request
from support.packages import native_codex
from support.stub import FAKE_KEY, ResponsesStub

ROOT = os.geteuid() == 0
UID = 61_050 if ROOT else os.getuid()
GID = 61_050 if ROOT else os.getgid()


def settings(base_url: str) -> dict:
    """Nested tables, arrays, quotes, dots and non-ASCII keys, wherever the CLI has a place for them."""
    provider = {"name": 'A "stub"', "base_url": base_url, "wire_api": "responses", "env_key": "CODEX_API_KEY"}
    return {
        "model": "gpt-5-codex",
        "model_provider": "alive.stub",
        "features": {"plugins": False},
        "model_providers": {"alive.stub": {**provider, "http_headers": {"X-A.B": "c'd"}, "request_max_retries": 0}},
        "projects": {
            "/home/x/a.b": {"trust_level": "trusted"},
            '/srv/"quoted" dir': {"trust_level": "untrusted"},
            "/srv/größe/é": {"trust_level": "trusted"},
        },
        "shell_environment_policy": {"exclude": ["CODEX_API_KEY", "*_TOKEN"], "set": {"GRÖSSE": 'é\n"x"\t', "a.b": ""}},
        "mcp_servers": {"docs": {"command": "true", "args": ["-c", "it's"], "env": {"A.B": "1"}, "enabled": False}},
    }


class Tenant:
    """One workspace, prepared with settings, and the CLI in it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.home = root / "acme"
        self.config = self.home / ".codex" / "config.toml"

    def prepare(self, config: dict) -> list[str]:
        """The settings that changed."""
        items = request.read_workspaces([{"name": "acme", "uid": UID, "gid": GID}], config)
        outcome = prepare_all.prepare_all(prepare_all.WorkspacesRequest(str(self._root), items))
        assert not outcome.failures
        return [change.what for change in outcome.changes.get("acme", []) if change.path == report.CONFIG]

    def codex(self, *arguments: str) -> str:
        tenant = identity.Identity(UID, GID)
        environment = {**process.bare_environment(tenant, str(self.home)), "CODEX_API_KEY": FAKE_KEY}
        done = process.run([str(native_codex()), *arguments], environment, 120, tenant, cwd=str(self.home))
        assert done.rc == 0, done.stderr.decode() + done.stdout.decode()
        return done.stdout.decode()


@pytest.fixture
def tenant():
    # Not below /tmp, where the CLI refuses to work, and reached by tenants.
    place = Path(tempfile.mkdtemp(prefix="alive-cli-", dir="/var/tmp"))
    place.chmod(0o711)
    yield Tenant(place / "root")
    shutil.rmtree(place)


def test_the_cli_accepts_every_kind_of_setting(tenant):
    with ResponsesStub() as stub:
        tenant.prepare(settings(stub.base_url))
        tenant.codex("exec", "--strict-config", "--skip-git-repo-check", "--sandbox", "read-only", "Say hello")
    assert "docs" in tenant.codex("mcp", "list")


def test_what_the_cli_writes_stays_and_what_it_removes_comes_back(tenant):
    given = settings("http://127.0.0.1:9/v1")
    tenant.prepare(given)
    assert tenant.prepare(given) == []
    tenant.codex("mcp", "add", "own", "--", "echo", "hi")
    tenant.codex("features", "enable", "shell_snapshot")
    assert tenant.prepare(given) == []
    tenant.codex("mcp", "remove", "docs")
    assert "mcp_servers.docs.command set" in tenant.prepare(given)
    tenant.prepare({})
    left = tomllib.loads(tenant.config.read_text())
    assert left["mcp_servers"] == {"own": {"command": "echo", "args": ["hi"]}}
    assert left["features"] == {"shell_snapshot": True}
    assert set(left) == {"mcp_servers", "features"}
