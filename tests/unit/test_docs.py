"""Every command in the documentation is one that there is, with options that it has; what is cheap is run."""

from __future__ import annotations

import ast
import functools
import itertools
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.documentation import CHECKOUT, MODULES, ROLES, documented_options, role_options
from support.pages import COMMANDS, PAGES, code
from support.surroundings import CORES, TARGETS

PROGRAMS = {
    *(
        "ansible",
        "ansible-playbook",
        "ansible-galaxy",
        "ansible-inventory",
        "ansible-doc",
        "ansible-builder",
        "make",
        "jq",
        "tail",
    ),
    *(".venv/bin/pytest", ".venv/bin/ruff", ".venv/bin/pre-commit"),
}
PLAYBOOKS = {path.stem for path in (CHECKOUT / "playbooks").glob("*.yml")}


def parts(line: str) -> list[list[str]]:
    """The words of each command of a line, without comments."""
    found: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word in ("&&", "|"):
            found.append([])
        else:
            found[-1].append(word)
    return [part for part in found if part]


@functools.cache
def variables() -> set[str]:
    """Whatever a playbook or a role reads."""
    texts = [path.read_text() for path in (CHECKOUT / "playbooks").rglob("*.yml")]
    return {name for role in ROLES for name in role_options(role)}.union(*(re.findall(r"\w+", text) for text in texts))


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 40
    assert {page for page, _line in COMMANDS} >= {"README.md", "docs/operator.md", "docs/status.md", "CONTRIBUTING.md"}


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_is_one_that_there_is(page: str, line: str) -> None:
    for words in parts(line):
        while "=" in words[0] and "/" not in words[0].partition("=")[0]:
            words = words[1:]  # a variable of the environment
        program = words[0]
        assert program in PROGRAMS or (CHECKOUT / program).exists(), f"{page}: there is no {program}"
        if program == "make":
            targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            made = re.findall(r"^([\w-]+(?: [\w-]+)*):", (CHECKOUT / "Makefile").read_text(), re.M)
            assert set(targets) <= {name for names in made for name in names.split()}, f"{page}: {line}"
        for word in words[1:]:
            if named := re.fullmatch(r"alive\.codex\.(\w+)", word):
                known = PLAYBOOKS if program == "ansible-playbook" else {*MODULES, *PLAYBOOKS, *ROLES}
                assert named[1] in known, f"{page}: {line}"
            elif program.endswith("pytest") and word.endswith(".py"):
                assert (CHECKOUT / word).exists(), f"{page}: {line}"
        for option, value in itertools.pairwise(words):
            if option == "-e" and program == "ansible-playbook" and not value.startswith(("@", "{")):
                assert value.partition("=")[0] in variables(), f"{page}: no playbook and no role reads {value}"
        if program == "ansible" and "-a" in words and "-m" in words:
            module = words[words.index("-m") + 1].removeprefix("alive.codex.")
            assert options_of(words[words.index("-a") + 1]) <= documented_options(module).keys(), f"{page}: {line}"


def options_of(given: str) -> set[str]:
    if given.startswith("{"):
        return set(json.loads(given))
    return {word.partition("=")[0] for word in shlex.split(given)}


@pytest.mark.parametrize("playbook", sorted(PLAYBOOKS))
def test_a_playbook_that_is_shown_starts(playbook: str, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("[workers]\nworker1\n")
    argv = [sys.executable, "-m", "ansible", "playbook", "--syntax-check", "-i", str(tmp_path / "hosts")]
    done = subprocess.run([*argv, f"alive.codex.{playbook}"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_what_is_shown_can_be_read(page: Path) -> None:
    for language, body in code(page):
        if language == "yaml":
            assert yaml.safe_load(body) is not None
        elif language == "json":
            json.loads(body)
        elif language == "python":
            ast.parse(body)


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            file, _hash, anchor = target.partition("#")
            aim = page.parent / file if file else page
            assert aim.exists(), f"{page.name}: {target}"
            heads = re.findall(r"^#+ (.+)", aim.read_text(), re.M) if aim.suffix == ".md" else []
            slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert not anchor or anchor in slugs, f"{page.name}: {target}"


def test_the_inventories_that_are_shown_work(tmp_path: Path) -> None:
    """Those of the operator's page, whose first line is the name of their file."""
    shown: dict[str, Any] = {
        re.match(r"# inventory/(\S+)", body)[1]: body  # type: ignore[index]
        for language, body in code(CHECKOUT / "docs/operator.md")
        if language == "yaml" and body.startswith("# inventory/")
    }
    assert len(shown) == 2
    for name, body in shown.items():
        (tmp_path / name).write_text(body)
    argv = [sys.executable, "-m", "ansible", "inventory", "-i", str(tmp_path), "--list"]
    listed = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    assert listed["workers"]["hosts"] == ["worker1", "worker2", "worker3"]
    assert "acme@worker1" in listed["_meta"]["hostvars"]


def test_what_is_supported_is_what_is_tested() -> None:
    rows = re.findall(
        r"^\| (2\.\d+) \| Python (.+?) \| Python (.+?) \|", (CHECKOUT / "docs/inclusion.md").read_text(), re.M
    )
    assert [row[0] for row in rows] == [core.version for core in CORES]
    for (_version, control, targets), core in zip(rows, CORES, strict=True):
        first, last = ends(control)
        assert first == max((3, 11), core.control.oldest) and last == min((3, 13), core.control.newest)
        first, last = ends(targets)
        assert first == max(TARGETS.oldest, core.targets.oldest) and last == min(TARGETS.newest, core.targets.newest)


def ends(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    versions = [tuple(map(int, version.split("."))) for version in re.findall(r"\d\.\d+", text)]
    return versions[0], versions[-1]


def test_the_sdks_options_are_all_told() -> None:
    """Each option of ``codex_exec`` is in the table that holds it against the SDK."""
    page = (CHECKOUT / "docs/developer.md").read_text()
    assert [name for name in documented_options("codex_exec") if not re.search(rf"`{name}`", page)] == ["root"]


def attacks() -> list[list[str]]:
    """The rows of the tables of attacks: attack, verdict, tests."""
    page = (CHECKOUT / "docs/security.md").read_text().partition("## Attacks that are tried")[2]
    rows = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in page.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] != "attack"]


def test_each_attack_is_told_once_with_tests_that_there_are() -> None:
    paths = list((CHECKOUT / "tests").rglob("test_*.py"))
    files = {path.name: path.read_text() for path in paths}
    everything = "".join(files.values())
    rows = attacks()
    assert len(rows) > 60 and {len(row) for row in rows} == {3}
    assert len({attack for attack, _verdict, _tests in rows}) == len(rows)
    gone = []
    for attack, _verdict, tests in rows:
        text = everything
        named = re.findall(r"([\w/]*\btest_\w+\.py)|(\btest_\w+|\bTest[A-Z]\w+)", tests)
        assert named or tests == "none", attack
        for file, name in named:
            if file:  # with or without its folders; what follows it is in it
                assert any(str(path).endswith(f"/{file}") for path in paths), file
                text = files[file.rpartition("/")[2]]
            elif not re.search(rf"\b(?:def|class) {name}\b", text):
                gone.append(name)
    assert gone == []
