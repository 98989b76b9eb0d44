"""What `make test` sees on machines with more and with fewer Pythons, and that it tells what it does not see."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT
from support import pythons, surroundings
from support.pythons import Python


def machine(*versions: str) -> list[Python]:
    """With these Pythons; those with a minus have no venv."""
    found = []
    for version in versions:
        number = version.rstrip("-")
        major, minor = map(int, number.split("."))
        found.append(Python((major, minor), f"/usr/bin/python{number}", number == version))
    return found


def seen(end: str, *versions: str) -> tuple[str, str, str]:
    choice = surroundings.choose(surroundings.ENDS[end], machine(*versions))
    return str(choice.python), choice.core.version, str(choice.target)


def lacking(end: str, *versions: str) -> str:
    index = surroundings.ENDS[end]
    return " ".join(surroundings.unseen(index, surroundings.choose(index, machine(*versions))))


def test_both_ends_are_seen_where_the_pythons_are_there():
    all_of_them = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
    assert seen("old", *all_of_them) == ("3.11", "2.17", "3.8")
    assert seen("new", *all_of_them) == ("3.13", "2.21", "3.13")
    assert lacking("old", *all_of_them) == lacking("new", *all_of_them) == ""


@pytest.mark.parametrize(
    ("only", "old", "new"),
    [
        ("3.11", ("3.11", "2.17", "3.11"), ("3.11", "2.19", "3.11")),
        ("3.12", ("3.12", "2.17", "3.12"), ("3.12", "2.21", "3.12")),
        ("3.13", ("3.13", "2.18", "3.13"), ("3.13", "2.21", "3.13")),
    ],
)
def test_with_one_python_its_oldest_and_newest_core_are_seen(only, old, new):
    assert (seen("old", only), seen("new", only)) == (old, new)


def test_what_is_not_seen_is_told_with_the_cure():
    told = lacking("new", "3.8", "3.11")
    assert "NOT SEEN: Python 3.13 with ansible-core 2.21 on the control node" in told
    assert "in their place was 3.11 with 2.19" in told and "Install Python 3.13" in told
    assert "NOT SEEN: Python 3.8 on targets; in its place was 3.9" in lacking("old", "3.9", "3.11")


def test_a_python_without_venv_is_one_of_targets_only():
    assert seen("new", "3.12", "3.13-") == ("3.12", "2.21", "3.13")
    with pytest.raises(LookupError, match=r"no Python 3\.11 to 3\.13 with venv"):
        seen("old", "3.10", "3.13-", "3.14")


def test_the_newest_core_is_the_one_that_ignore_files_end_with():
    """A new release of ansible-core is added here, and there."""
    ignored = sorted(path.stem.removeprefix("ignore-") for path in (CHECKOUT / "tests/sanity").glob("ignore-*.txt"))
    assert [core.version for core in surroundings.CORES] == ignored


def test_what_is_left_out_is_there():
    for names in surroundings.LEFT_OUT.values():
        for name in names:
            assert (CHECKOUT / "tests/system" / name).is_file()


def test_this_machine_has_the_python_that_runs_this():
    found = {python.version: python for python in pythons.find_pythons()}
    own = found[sys.version_info[:2]]
    assert Path(own.path).resolve() == Path(sys.executable).resolve() and own.control


def test_shims_and_links_to_nowhere_are_no_pythons(monkeypatch, tmp_path):
    for name in ("shims", "bin"):
        (tmp_path / name).mkdir()
    shim = tmp_path / "shims/python3.99"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    (tmp_path / "bin/python3.98").symlink_to("nowhere")
    (tmp_path / "bin/python3.97").write_text("not executable")
    (tmp_path / "bin/python3-config").symlink_to("/bin/false")
    monkeypatch.setenv("PATH", f"{tmp_path}/shims:{tmp_path}/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    pythons.find_pythons.cache_clear()
    assert all(python.version < (3, 90) for python in pythons.find_pythons())
    pythons.find_pythons.cache_clear()
