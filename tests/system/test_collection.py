"""The built collection, installed where a user would have it, and used by its full names from elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def ansible(tool: str, *args: str | Path, collections: Path, cwd: Path) -> str:
    env = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(cwd / "home"),
        "NO_COLOR": "1",
    }
    return subprocess.run([BIN / tool, *args], cwd=cwd, env=env, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def tarball(elsewhere):
    ansible(
        "ansible-galaxy",
        "collection",
        "build",
        CHECKOUT,
        "--output-path",
        elsewhere,
        collections=elsewhere,
        cwd=elsewhere,
    )
    return next(elsewhere.glob("alive-codex-*.tar.gz"))


@pytest.fixture(scope="module")
def installed(tarball, elsewhere):
    collections = elsewhere / "collections"
    install = ("collection", "install", "--offline", tarball, "--collections-path", collections)
    ansible("ansible-galaxy", *install, collections=collections, cwd=elsewhere)
    return collections


def test_the_tarball_holds_what_users_run_and_nothing_of_the_developers(tarball):
    with tarfile.open(tarball) as archive:
        tops = {name.partition("/")[0] for name in archive.getnames()}
    shipped = {"CHANGELOG.rst", "README.md", "changelogs", "docs", "meta", "playbooks", "plugins", "roles"}
    assert tops == shipped | {"LICENSE", "LICENSES", "REUSE.toml", "bindep.txt", "FILES.json", "MANIFEST.json"}


@pytest.mark.parametrize("kind", ["module", "inventory", "role"])
def test_everything_is_documented_by_its_full_name(kind, installed, elsewhere):
    listing = ansible(
        "ansible-doc", "--json", "--list", "--type", kind, "alive.codex", collections=installed, cwd=elsewhere
    )
    folder = {"module": "modules", "inventory": "inventory"}.get(kind)
    names = (
        [path.stem for path in (CHECKOUT / "plugins" / folder).glob("*.py")]
        if folder
        else os.listdir(CHECKOUT / "roles")
    )
    assert sorted(json.loads(listing)) == sorted(f"alive.codex.{name}" for name in names)
    shown = ansible("ansible-doc", "--json", "--type", kind, *json.loads(listing), collections=installed, cwd=elsewhere)
    assert json.loads(shown).keys() == json.loads(listing).keys()


@pytest.mark.parametrize("playbook", sorted(path.stem for path in (CHECKOUT / "playbooks").glob("*.yml")))
def test_every_playbook_runs_by_its_full_name(playbook, installed, elsewhere):
    listing = ansible(
        "ansible-playbook", "--list-tasks", f"alive.codex.{playbook}", collections=installed, cwd=elsewhere
    )
    assert "TAGS:" in listing
