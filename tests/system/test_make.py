"""The Makefile, in checkouts whose paths a shell or make would take apart: it works there or refuses in one line, and
touches nothing but what is its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
TARGETS = sorted(
    set(re.sub(r"\\\n", "", (CHECKOUT / "Makefile").read_text()).partition(".PHONY:")[2].partition("\n")[0].split())
)
WORK_TREE = ("Makefile", ".ci", "galaxy.yml", "README.md", "LICENSE", "meta", "playbooks", "plugins", "roles", "tests")
FIT = ("my project", "two  blanks", "prójekt 日本", "(1), a+b@c")
UNFIT = ("it's", 'a "b"', "a$HOME", "$(touch gone)", "a`touch gone`", "a#b", "a:b", "a%b", "a\\b", "a;b", "a&b", "*",
         "a|b", "a=b", "a\nb", "a\n", "a\tb", "{a,b}", "~")  # fmt: skip


@pytest.fixture
def place(open_dir: Path) -> Iterator[Path]:
    """A directory with guards in it, under the names that a path taken apart would have; none may change."""
    for name in ("my", "project", "two", "a", "b", ".venv", ".cache", ".quickstart", "(1),", "prójekt", "it", "home"):
        (open_dir / name).mkdir()
        (open_dir / name / "thesis").write_text("precious")
    before = listing(open_dir)
    yield open_dir
    assert {path: text for path, text in listing(open_dir).items() if path in before} == before


def listing(folder: Path) -> dict[str, str]:
    found = (Path(above, name) for above, directories, files in os.walk(folder) for name in (*directories, *files))
    return {str(path): path.read_text() if path.name == "thesis" else "" for path in found}


def check_out(path: Path) -> Path:
    path.mkdir(parents=True)
    path.chmod(0o755)  # or the quickstart would go elsewhere
    for name in WORK_TREE:
        if (CHECKOUT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(CHECKOUT / name, path / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(CHECKOUT / name, path / name)
    return path


def make(
    checkout: Path, *arguments: str | Path, cwd: Path | None = None, umask: int = 0o022, **env: str
) -> subprocess.CompletedProcess[str]:
    """As typed in a shell there, apart from the make that runs the tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    home = {"HOME": str(checkout.parent / "home")}
    return subprocess.run(
        ["make", *arguments],
        cwd=cwd or checkout,
        env={**environment, **home, **env},
        capture_output=True,
        text=True,
        umask=umask,
        check=False,
    )


def make_what_is_ours(checkout: Path) -> list[Path]:
    """What the targets leave behind, in small."""
    ours = [checkout / name for name in (".venv", ".cache", ".quickstart", ".pytest_cache", ".hypothesis", ".ansible")]
    for path in ours:
        path.mkdir()
        (path / "a file").write_text("")
    (checkout / ".venv/.requirements").write_text("")
    return ours


def at_once(each: bool) -> list[list[str]]:
    """The targets of each run of make: one alone, or all, of which the first that runs would be noticed as well."""
    return [[target] for target in TARGETS] if each else [TARGETS]


@pytest.mark.parametrize("name", UNFIT, ids=repr)
def test_an_unfit_path_is_refused_by_every_target_before_it_does_anything(place: Path, name: str) -> None:
    checkout = check_out(place / name)
    make_what_is_ours(checkout)
    before = listing(place)
    assert "clean" in TARGETS and "quickstart" in TARGETS
    for targets in at_once(name == UNFIT[0]):
        done = make(checkout, *targets)
        assert done.returncode == 2 and done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert "The path of this checkout, VENV and PYTHON may hold letters" in done.stderr
    assert listing(place) == before


@pytest.mark.parametrize("variable", ["VENV", "PYTHON"])
@pytest.mark.parametrize("value", ["it's", 'a "b"', "a$$HOME", "a`touch gone`", "a:b", "a;b", "a\nb", "a#b"], ids=repr)
def test_an_unfit_place_is_refused_by_every_target(place: Path, variable: str, value: str) -> None:
    checkout = check_out(place / "my project")
    before = listing(place)
    for targets in at_once(value == "it's"):
        done = make(checkout, *targets, f"{variable}={value}")
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done
    assert listing(place) == before


@pytest.mark.parametrize("name", FIT)
@pytest.mark.parametrize("how", ["in it", "through a link", "-C"])
def test_clean_removes_what_is_ours_and_nothing_else(place: Path, name: str, how: str) -> None:
    checkout = check_out(place / name)
    tracked = listing(checkout)
    ours = make_what_is_ours(checkout)
    (place / "a link").symlink_to(checkout)
    if how == "-C":
        done = make(checkout, "-C", checkout, "clean", cwd=place)
    else:
        done = make(checkout, "clean", cwd=place / "a link" if how == "through a link" else checkout)
    assert done.returncode == 0, done.stderr
    assert not any(path.exists() for path in ours)
    assert listing(checkout) == tracked


def test_clean_does_not_follow_links(place: Path) -> None:
    checkout = check_out(place / "my project")
    for name in (".venv", ".cache", ".quickstart"):
        (checkout / name).symlink_to(place / "my")
    done = make(checkout, "clean")
    assert done.returncode == 0, done.stderr
    assert not (checkout / ".cache").is_symlink() and not (checkout / ".quickstart").is_symlink()
    assert f"{checkout}/.venv was not made by make setup: it stays" in done.stdout


@pytest.mark.parametrize("venv", ["../my", "", ".", "..", "/", "../two"])
def test_a_directory_with_other_things_is_no_venv(place: Path, venv: str) -> None:
    checkout = check_out(place / "my project")
    done = make(checkout, "setup", f"VENV={venv}")
    assert done.returncode == 2 and "was not made by make setup: remove it, or choose another VENV" in done.stdout
    done = make(checkout, "clean", f"VENV={venv}")
    assert done.returncode == 0 and "was not made by make setup: it stays" in done.stdout


def test_a_makefile_named_from_elsewhere_is_refused(place: Path) -> None:
    checkout = check_out(place / "my project")
    for target in TARGETS:
        done = make(checkout, "-f", checkout / "Makefile", target, cwd=place)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "without -f" in done.stderr


@pytest.mark.root
def test_a_private_checkout_has_a_place_under_var_lib_of_its_own(place: Path) -> None:
    place.chmod(0o700)
    checkouts = [check_out(place / name) for name in ("my project", "two  blanks")]
    places = [Path(*re.findall(r"/var/lib/[\w-]+", make(checkout, "-n", "clean").stdout)) for checkout in checkouts]
    assert len(set(places)) == 2
    shared = Path("/var/lib/alive-codex-quickstart")
    try:
        for path in places:
            path.mkdir()
        was_there = shared.exists()
        assert make(checkouts[0], "clean").returncode == 0
        assert [path.exists() for path in places] == [False, True]
        assert shared.exists() == was_there
    finally:
        for path in filter(Path.exists, places):
            path.rmdir()


def test_programs_run_from_paths_with_blanks(place: Path) -> None:
    """The environments are real, with less in them than ours have."""
    checkout = check_out(place / "prójekt 日本")
    requirements = checkout / "tests/requirements.txt"
    wanted = requirements.read_text().splitlines(keepends=True)
    python = place / "my python" / "python3"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    where = (f"PYTHON={python}", "VENV=../the venv")
    done = make(checkout, "quickstart-collection", *where, umask=0o000)
    assert done.returncode == 0 and "Installing the collection" in done.stdout, done.stderr
    assert (checkout / ".quickstart/collections/ansible_collections/alive/codex/plugins").is_dir()
    made = [path for path in (checkout / ".quickstart").rglob("*") if not path.is_symlink()]
    assert [path for path in made if path.stat().st_mode & 0o022] == []  # root runs it
    assert make(checkout, "quickstart-collection", *where).stdout == ""
    requirements.write_text(
        "".join(
            line
            for line in wanted
            if line.startswith(("ansible-core", "packaging", "pytest==", "pytest-xdist", "hypothesis"))
        )
    )
    for path in (checkout / "tests/unit").rglob("test_*.py"):
        if path.name != "test_version.py":
            path.unlink()
    done = make(checkout, "test-unit", *where)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout + done.stderr
    assert make(checkout, "clean", *where).returncode == 0
    assert not (place / "the venv").exists() and not (checkout / ".quickstart").exists()
