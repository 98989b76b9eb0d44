"""A new option touches a few files, which CONTRIBUTING.md lists. Each test names the one that was forgotten."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import yaml
from ansible_collections.alive.codex.plugins.module_utils._sessions.plan import STORES
from ansible_collections.alive.codex.plugins.module_utils._sessions.prune_home import STORE_CLASSES
from ansible_collections.alive.codex.plugins.module_utils._workspaces import request
from ansible_collections.alive.codex.plugins.module_utils._workspaces.request import read_workspaces
from support.documentation import (
    CHECKOUT,
    MODULES,
    ROLES,
    argument_spec,
    documented_options,
    role_options,
    working_tree,
)

# The module whose options are a role's variables.
MAIN_MODULE = {"codex_cli": "codex_release", "codex_prune": "codex_prune", "codex_workspaces": "codex_workspaces"}
# Options, and choices of them, that a role does not offer. The cron job prunes every workspace, by the host's clock.
NOT_OF_ROLE = {"codex_prune": {"workspaces", "now"}}
# Options of one plain value that the playbook alive.codex.exec does not offer: it runs turns in workspaces, and says
# itself what the terminal shows and how much.
NOT_OF_PLAYBOOK = {"home", "max_bytes"}


def none_of(forgotten: Iterable[str]) -> None:
    """Names each of them, in full."""
    names = sorted(forgotten)
    assert not names, "forgotten in\n" + "\n".join(names)


def facts(option: dict[str, Any]) -> dict[str, Any]:
    """What an argument spec and a documentation both say of an option. Where it is JSON, the module reads what is in
    it by itself."""
    inner = option.get("options") or option.get("suboptions") or {}
    if option.get("type") == "json":
        inner = {}
    return {
        "type": option.get("type", "str"),
        "elements": option.get("elements"),
        "choices": option.get("choices"),
        "default": option.get("default"),
        "required": option.get("required", False),
        "suboptions": {name: facts(about) for name, about in inner.items()},
    }


@pytest.mark.parametrize("module", MODULES)
def test_the_argument_spec_and_the_documentation_say_the_same(module):
    spec, documented = argument_spec(module), documented_options(module)
    forgotten = [f"DOCUMENTATION of plugins/modules/{module}.py: {name}" for name in spec.keys() - documented.keys()]
    forgotten += [f"the argument spec of {module}: {name}" for name in documented.keys() - spec.keys()]
    for name in spec.keys() & documented.keys():
        documented_as, specified_as = facts(documented[name]), facts(spec[name])
        if documented_as != specified_as:
            forgotten.append(f"one of the two for {name}: documented as {documented_as}, specified as {specified_as}")
    none_of(forgotten)


def test_what_a_workspace_has_is_documented_with_its_type():
    """Ansible would take a second to look into 10,000 of them; the module does it in hundredths."""
    documented = documented_options("codex_workspaces")["workspaces"]["suboptions"]
    assert documented.keys() == request.KEYS
    typed = {"str": "x", "int": 1, "dict": {}}
    given = {name: about.get("default", typed[about["type"]]) for name, about in documented.items()}
    assert read_workspaces([given], {})[0].present
    for name in documented:
        for bad in (["x"], 1.5):
            with pytest.raises(request.InvalidRequest):
                read_workspaces([{**given, name: bad}], {})
    for name in (name for name, about in documented.items() if about.get("required")):
        with pytest.raises(request.InvalidRequest):
            read_workspaces([{other: value for other, value in given.items() if other != name}], {})


def test_an_option_of_a_turn_has_an_effect():
    options = ast.parse(working_tree("plugins/module_utils/_turn/options.py"))
    [fields] = [
        [each.target.id for each in node.body if isinstance(each, ast.AnnAssign)]
        for node in options.body
        if isinstance(node, ast.ClassDef) and node.name == "TurnOptions"
    ]
    others = [path for path in (CHECKOUT / "plugins/module_utils/_turn").glob("*.py") if path.stem != "options"]
    read = {
        node.attr
        for path in others
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    none_of(f"plugins/module_utils/_turn, where no file reads it: {name}" for name in fields if name not in read)


def arguments_of(module: str, tasks: Any) -> Iterator[str]:
    """The options that tasks, or defaults of modules, give to a module."""
    if isinstance(tasks, dict):
        yield from tasks.get(f"alive.codex.{module}", {})
    for inner in tasks.values() if isinstance(tasks, dict) else tasks if isinstance(tasks, list) else ():
        yield from arguments_of(module, inner)


def test_the_playbook_offers_what_can_be_typed():
    playbook = set(arguments_of("codex_exec", yaml.safe_load(working_tree("playbooks/exec.yml"))))
    plain = {name for name, about in argument_spec("codex_exec").items() if about["type"] not in ("list", "dict")}
    none_of(f"playbooks/exec.yml: {name}" for name in plain - NOT_OF_PLAYBOOK - playbook)
    assert plain - playbook >= NOT_OF_PLAYBOOK


def test_the_playbook_prunes_as_the_cron_job_does():
    playbook = set(arguments_of("codex_prune", yaml.safe_load(working_tree("playbooks/prune.yml"))))
    wanted = argument_spec("codex_prune").keys() - NOT_OF_ROLE["codex_prune"]
    none_of(f"playbooks/prune.yml: {name}" for name in wanted - playbook)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_a_variable_for_each_option_of_its_module(role):
    """Its defaults and its README: tests/unit/test_consistency.py."""
    variables = {name.removeprefix(f"{role}_"): about for name, about in role_options(role).items()}
    offered = set(with_choices(variables))
    missing = {each for each in with_choices(argument_spec(MAIN_MODULE[role])) if each not in offered}
    left = NOT_OF_ROLE.get(role, set())
    none_of(f"roles/{role}/meta/argument_specs.yml: {each}" for each in missing - left)
    assert left <= missing


def with_choices(options: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Each option, each choice as ``option=choice``, and each that a list has by default as ``option+=choice``."""
    for name, about in options.items():
        yield from (name, *(f"{name}={choice}" for choice in about.get("choices") or ()))
        if about.get("type") == "list":
            yield from (f"{name}+={each}" for each in about.get("default") or ())


@pytest.mark.parametrize("role", ROLES)
def test_a_role_uses_each_of_its_variables(role):
    used = [path for part in ("tasks", "templates", "vars") for path in (CHECKOUT / "roles" / role / part).glob("*.*")]
    text = "".join(path.read_text() for path in used)
    none_of(f"roles/{role}/tasks: {name}" for name in role_options(role) if not re.search(rf"\b{name}\b", text))


def test_a_store_of_sessions_has_a_class():
    assert tuple(STORE_CLASSES) == STORES, "STORE_CLASSES in plugins/module_utils/_sessions/prune_home.py"


def git(*arguments: str) -> str:
    end = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if end.returncode != 0:
        raise FileNotFoundError(end.stderr)
    return end.stdout.strip()


def test_an_option_that_no_release_has_is_in_a_fragment_of_the_changelog():
    """A release is the commit that wrote changelogs/changelog.yaml."""
    try:
        if git("rev-parse", "--is-shallow-repository") == "true":
            raise FileNotFoundError("the clone is shallow")
        release = git("log", "-1", "--format=%H", "--", "changelogs/changelog.yaml")
    except FileNotFoundError as error:
        pytest.skip(f"NOT RUN: what the last release had is not known here: {error}")

    def then(path: str) -> str:
        return git("show", f"{release}:{path}")

    fragments = [path.read_text() for path in (CHECKOUT / "changelogs/fragments").glob("*.yml")]
    forgotten = []
    for options_of, names in ((documented_options, MODULES), (role_options, ROLES)):
        for name in names:
            try:
                known = options_of(name, then)
            except FileNotFoundError:
                continue  # it is new itself, and listed as such
            forgotten += [
                f"changelogs/fragments: {option} of {name}"
                for option in options_of(name).keys() - known.keys()
                if not any(option.removeprefix(f"{name}_") in text and name in text for text in fragments)
            ]
    none_of(forgotten)
