"""What was replaced is given back as it was foreseen."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from ansible_collections.alive.codex.plugins.module_utils._release.binary import this_platform
from ansible_collections.alive.codex.plugins.module_utils._release.replaced import give_back, plan_return
from ansible_collections.alive.codex.plugins.module_utils._release.store import ReleaseStore

OLD, NEW = "0.160.0", "0.161.0"


def _put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    """Two releases, of which the old one was a plain installation of npm's, and the new one is active."""
    root = Path(os.path.realpath(tmp_path))
    store = ReleaseStore(str(root / "lib/alive-codex"), str(root / "bin/codex"), this_platform())
    for version in (OLD, NEW):
        package = Path(store.package(version))
        _put(package / "bin/codex.js")
        _put(package.parents[1] / store.platform.package / "codex")
    for path in (root / "bin", root / "lib/node_modules/@openai", root / "etc", Path(store.replaced) / "npm"):
        path.mkdir(parents=True, exist_ok=True)
    _put(root / "opt/codex")
    (root / "etc/codex").symlink_to("../lib/node_modules/@openai/codex/bin/codex.js")
    (root / "etc/round").symlink_to("round")
    [tree] = store.trees()
    os.symlink(store.package(NEW), tree)
    os.symlink(os.path.join(store.package(NEW), "bin/codex.js"), store.bin)
    os.symlink(OLD, os.path.join(store.replaced, "npm", quote(tree, safe="")))
    return store


@pytest.mark.parametrize(
    ("leads", "comes_back"),
    [
        ("../lib/node_modules/@openai/codex/bin/codex.js", True),
        ("{root}/etc/codex", True),
        ("../lib/node_modules/@openai/codex/node_modules/{platform}/codex", True),
        ("../lib/node_modules/{platform}/codex", False),
        ("../lib/node_modules/@openai/codex/bin/gone.js", False),
        ("../lib/alive-codex/releases/0.161.0/lib/node_modules/@openai/codex/bin/codex.js", False),
        ("../opt/codex", True),
        ("../opt/gone", False),
        ("{root}/etc/round", False),
        ("codex", False),
    ],
)
def test_a_link_is_given_back_where_it_will_lead_to_something(
    store: ReleaseStore, leads: str, comes_back: bool
) -> None:
    root = os.path.dirname(os.path.dirname(store.bin))
    link = leads.format(root=root, platform=store.platform.package)
    os.symlink(link, os.path.join(store.replaced, "codex"))
    planned = plan_return(store)
    assert [(each.path, each.problem == "") for each in planned] == [
        (*store.trees(), True),
        (store.bin, comes_back),
    ]
    give_back(store, planned)
    assert os.readlink(store.bin) == (link if comes_back else os.path.join(store.package(NEW), "bin/codex.js"))
    assert os.path.exists(store.bin) and not os.path.islink(store.trees()[0])
    assert plan_return(store)[:-1] == []  # a killed run goes on from here


def test_what_leads_through_a_tree_that_does_not_come_back_does_not_either(store: ReleaseStore) -> None:
    os.rename(store.path(OLD), f"{store.path(OLD)}.gone")
    os.symlink("../lib/node_modules/@openai/codex/bin/codex.js", os.path.join(store.replaced, "codex"))
    tree, link = plan_return(store)
    assert "npm install --global @openai/codex@0.160.0" in tree.problem and "not there any more" in link.problem
    before = os.readlink(store.bin)
    give_back(store, [tree, link])
    assert os.readlink(store.bin) == before and os.path.islink(store.trees()[0])


def test_what_somebody_has_put_there_since_stays(store: ReleaseStore) -> None:
    _put(Path(store.replaced) / "codex")
    os.unlink(store.bin)
    _put(Path(store.bin))
    [tree] = store.trees()
    os.unlink(tree)
    os.mkdir(tree)
    assert plan_return(store) == []
