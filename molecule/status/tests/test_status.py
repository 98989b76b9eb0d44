"""The document says of each host what the host says itself, and fits the schema that is published."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from testinfra.host import Host

PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
DIRECTORY = PROJECT / ".cache/hosts/molecule-status/status"
SESSIONS = "/var/lib/claude-sessions"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(json.loads((DIRECTORY / "status.json").read_text()))


@pytest.fixture
def told(host: Host, document: dict[str, Any]) -> dict[str, Any]:
    name = host.backend.get_hostname()
    return next(dict(entry) for entry in document["hosts"] if entry["name"] == name)


def test_the_document_fits_its_schema(document: dict[str, Any]) -> None:
    schema = json.loads((PROJECT / "playbooks/files/status.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    assert [entry["state"] for entry in document["hosts"]] == ["ok", "problems", "problems", "unreachable"]
    assert document["available"]["version"] == "0.171.0"


def test_what_it_says_of_a_host_is_so(host: Host, told: dict[str, Any]) -> None:
    if told["state"] == "unreachable":
        pytest.skip("it was out of reach then")
    installed = host.run("/usr/local/bin/codex --version")
    assert told["installed"] == (installed.stdout.split()[-1] if installed.rc == 0 else None)
    for workspace in told["workspaces"]:
        with host.sudo():
            assert workspace["owner"] == host.check_output(f"stat --format %u:%g {SESSIONS}/{workspace['name']}")
            found = host.check_output(
                f"find {SESSIONS}/{workspace['name']}/.codex/sessions -name 'rollout-*' -printf '%k\\n'"
            )
        sizes = [int(kib) * 1024 for kib in found.split()]
        assert (workspace["sessions"], workspace["bytes"]) == (len(sizes), sum(sizes))


def test_the_page_loads_nothing_and_names_each_host(told: dict[str, Any]) -> None:
    page = (DIRECTORY / "status.html").read_text()
    assert told["name"] in page
    assert "src=" not in page.replace('src="data:', "")
    assert "@import" not in page
