"""What an execution environment is built from, and the collection called by a program."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import ansible_runner
import pytest
import yaml
from support.modules import CHECKOUT
from support.plays import LOCAL, environment
from support.registry import Registry
from support.releases import build_release

OLD, NEW = "0.160.0", "0.161.0"
KEY = "sk-fake-key-of-a-panel"


def test_ansible_builder_finds_what_the_collection_needs(tmp_path: Path) -> None:
    """The context of the image: no engine is needed for that."""
    place = tmp_path / "ansible_collections/alive/codex"
    place.parent.mkdir(parents=True)
    place.symlink_to(CHECKOUT)
    argv = ["ansible-builder", "introspect", "--sanitize", str(tmp_path)]
    found = yaml.safe_load(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    assert [line.split()[0] for line in found["python"]] == ["packaging"]
    assert {line.split()[0] for line in found["system"]} == {"npm", "openssh-client", "openssh-clients"}

    definition = {"version": 3, "images": {"base_image": {"name": "a-base-of-yours:1"}}}
    definition["dependencies"] = {"galaxy": {"collections": [{"name": str(CHECKOUT), "type": "dir"}]}}
    (tmp_path / "execution-environment.yml").write_text(json.dumps(definition))
    subprocess.run(["ansible-builder", "create"], check=True, capture_output=True, cwd=tmp_path)
    assert (
        "a-base-of-yours:1" in next((tmp_path / "context").glob("*file")).read_text()
    )  # podman and docker name it each in its way


@pytest.fixture
def places(open_dir: Path) -> dict[str, str]:
    return {"codex_cli_prefix": f"{open_dir}/lib/alive-codex", "codex_cli_bin": f"{open_dir}/bin/codex"}


def test_a_program_updates_and_reads_how_it_went(open_dir: Path, tmp_path: Path, places: dict[str, str]) -> None:
    tarballs = [*build_release(tmp_path, OLD), *build_release(tmp_path, NEW)]
    key = tmp_path / "key"
    key.write_text(KEY)
    (tmp_path / "run").mkdir()
    with Registry(tarballs) as registry:
        variables = {
            **places,
            **LOCAL,
            "codex_hosts": "all",
            "codex_cli_registry": registry.url,
            "codex_cli_warn_unproven": False,
            "codex_workspaces_root": str(open_dir / "workspaces"),
            "codex_prune_state": "absent",
            "ansible_become": False,
            "api_key": f"{{{{ lookup('ansible.builtin.file', '{key}') }}}}",
        }
        reports = []
        for version in (OLD, NEW):
            run = ansible_runner.run(
                private_data_dir=str(tmp_path / "run"),
                inventory="here",
                playbook="alive.codex.update",
                extravars={**variables, "codex_cli_version": version},
                envvars={name: environment(tmp_path)[name] for name in ("ANSIBLE_HOME", "ANSIBLE_COLLECTIONS_PATH")},
                quiet=True,
            )
            assert (run.status, run.rc) == ("successful", 0), run.stdout.read()
            reports += [
                event["event_data"]["res"]["ansible_facts"]["codex_update_report"]
                for event in run.events
                if event["event"] == "runner_on_ok" and event["event_data"]["task"] == "Note how it went"
            ]
    assert [(each["before"], each["after"], each["result"]) for each in reports] == [
        ("none", OLD, "moved"),
        (OLD, NEW, "moved"),
    ]
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert written == []
    assert os.path.realpath(places["codex_cli_bin"]).startswith(places["codex_cli_prefix"])
