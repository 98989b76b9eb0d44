"""What is said twice must agree: a role's defaults and its argument spec, the modules and their group, the README."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.alive.codex.plugins.module_utils._formats import version as cli_version
from ansible_collections.alive.codex.plugins.module_utils._formats.specifier import satisfies
from support.documentation import (
    CHECKOUT,
    MODULES,
    argument_spec,
    documentation,
    extended,
    fragment,
    returns,
    role_options,
)

ROLES = sorted(path.parent for path in (CHECKOUT / "roles").glob("*/defaults"))
INVENTORIES = sorted(path.stem for path in (CHECKOUT / "plugins/inventory").glob("*.py"))
# What people copy from: none of it may name another release than the one that is installed.
DOCUMENTATION = sorted(
    path for pattern in ("README.md", "roles/*/**/*.*", "plugins/modules/*.py") for path in CHECKOUT.glob(pattern)
)


# Words of an option's name that tell of a secret.
SECRET = {"auth", "credential", "env", "key", "passphrase", "passwd", "password", "secret", "token"}


def load(path: Path):
    return yaml.safe_load(path.read_text())


def without_templates(defaults):
    """A default that is computed can be said in words only, in an argument spec."""
    return {name: value for name, value in defaults.items() if "{{" not in str(value)}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_roles_defaults_are_those_of_its_argument_spec(role):
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    specified = {name: option["default"] for name, option in options.items() if "default" in option}
    ours, theirs = map(without_templates, (load(role / "defaults/main.yml"), specified))
    differ = [
        name for name in {**ours, **theirs} if (name in ours, ours.get(name)) != (name in theirs, theirs.get(name))
    ]
    assert not differ, f"roles/{role.name}: defaults/main.yml and meta/argument_specs.yml differ in {', '.join(differ)}"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_roles_variables_carry_its_name_and_are_in_its_readme(role):
    readme = (role / "README.md").read_text()
    for name in load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]:
        assert name.startswith(f"{role.name}_")
        assert f"`{name}`" in readme or f"`{name.removeprefix(role.name)}`" in readme, (
            f"roles/{role.name}/README.md: {name}"
        )


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_roles_readme_names_no_variable_that_is_gone(role):
    named = set(re.findall(rf"\b{role.name}_\w+", (role / "README.md").read_text()))
    assert named - load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"].keys() == set()


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_no_as_text_is_no(role):
    """What is typed after -e is a text, and any text is true. A module reads it as its option; an expression has to."""
    defaults = r"(?: \| default\([^()]*\))*"
    switches = [name for name, about in role_options(role.name).items() if about["type"] == "bool"]
    assert switches
    for path in [*role.glob("*/*.yml"), *role.glob("templates/*"), *(CHECKOUT / "playbooks").glob("*.yml")]:
        text = re.sub(r"#.*", "", path.read_text())
        for name in switches if path.parent.name not in ("defaults", "meta") else []:
            used = len(re.findall(rf"\b{name}\b(?!:|=)", text))
            read = len(re.findall(rf"\{{\{{ {name}{defaults} \}}\}}\"?$|\b{name}{defaults} \| bool\b", text, re.M))
            assert used == read, f"{path.relative_to(CHECKOUT)}: {name} | bool"


def options_in(spec: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every option, those of options too."""
    for name, about in spec.items():
        yield name, about
        yield from options_in(about.get("options") or {})


def tells_of_a_secret(name: str) -> bool:
    return any(word in SECRET or word.removesuffix("s") in SECRET for word in name.split("_"))


def not_marked(spec: dict[str, dict[str, Any]]) -> list[str]:
    """The options that may be secrets by their names, and of which nobody has said whether they are."""
    return [name for name, about in options_in(spec) if tells_of_a_secret(name) and "no_log" not in about]


@pytest.mark.parametrize("module", MODULES)
def test_a_secret_is_marked_as_one(module):
    assert not_marked(argument_spec(module)) == [], "give it no_log, False where it is no secret"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_roles_secret_is_one_of_a_module(role):
    """A role's argument spec cannot mark one: the option that it feeds keeps it out of messages."""
    kept = {name for module in MODULES for name, about in options_in(argument_spec(module)) if about.get("no_log")}
    secrets = {name for name, _about in options_in(role_options(role.name)) if tells_of_a_secret(name)}
    assert {name for name in secrets if name.removeprefix(f"{role.name}_") not in kept} == set()


def test_secrets_are_known_by_their_names_at_every_depth():
    assert "codex_cli_registry_token" in role_options("codex_cli")
    spec = {"a": {"options": {"upload_token": {}, "keep": {}, "api_keys": {}}}, "ssh_key": {"no_log": False}}
    assert not_marked(spec) == ["upload_token", "api_keys"]


def test_one_release_is_the_default_everywhere():
    assert load(CHECKOUT / "roles/codex_cli/defaults/main.yml")["codex_cli_version"] == cli_version.DEFAULT
    named = {
        (str(path.relative_to(CHECKOUT)), version)
        for path in DOCUMENTATION
        for version in re.findall(r"\b0\.1\d\d\.\d+\b", path.read_text())
    }
    assert {file for file, _release in named} >= {"README.md", "roles/codex_cli/meta/argument_specs.yml"}
    known = {cli_version.OLDEST_PROVEN, cli_version.DEFAULT, cli_version.NEWEST_PROVEN}
    assert {(file, version) for file, version in named if version not in known} == set()


def test_bounds_that_are_shown_do_not_age():
    bounds = {bound for path in DOCUMENTATION for bound in re.findall(r">=0[.0-9]+(?:,<[.0-9]+)?", path.read_text())}
    assert len(bounds) >= 2
    assert [
        bound for bound in bounds for version in (cli_version.DEFAULT, "0.999.0") if not satisfies(version, bound)
    ] == []


def test_what_is_installed_by_default_is_proven():
    oldest, default, newest = map(
        cli_version.parse_version, (cli_version.OLDEST_PROVEN, cli_version.DEFAULT, cli_version.NEWEST_PROVEN)
    )
    assert oldest <= default <= newest


def test_an_action_group_is_the_modules_of_one_documentation_fragment():
    """What ``module_defaults`` give to a group, each member must take: none may be there that lacks an option."""
    groups = {
        path.stem: [module for module in MODULES if f"alive.codex.{path.stem}" in extended(module)]
        for path in (CHECKOUT / "plugins/doc_fragments").glob("*.py")
        if " DOCUMENTATION = " in path.read_text() and fragment(path.stem)["options"]
    }
    assert load(CHECKOUT / "meta/runtime.yml")["action_groups"] == groups


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_nothing_again_that_a_fragment_says(module):
    """It may describe an option of a fragment in other words, where it does more with it; an attribute, not."""
    assert "alive.codex.attributes" in extended(module)
    own = documentation(module)
    for shared in map(fragment, extended(module)):
        options, attributes = (set(said(shared.get(part))) for part in ("options", "attributes"))
        assert options & set(said(own.get("options"))) == set()
        assert {each[:2] for each in attributes} & {each[:2] for each in said(own.get("attributes"))} == set()


def said(about: dict[str, dict[str, Any]] | None) -> Iterator[tuple[str, str, str]]:
    """All that is said of options or attributes: of which, what, and how."""
    for name, facts in (about or {}).items():
        yield from ((name, key, str(value)) for key, value in facts.items())


def test_contributors_are_shown_the_house_as_it_is():
    text = (CHECKOUT / "CONTRIBUTING.md").read_text()
    kinds = (path for path in (CHECKOUT / "plugins").iterdir() if any(path.rglob("*.py")))
    rooms = (path for path in (CHECKOUT / "plugins/module_utils").iterdir() if any(path.glob("*.py")))
    assert [path.name for path in (*kinds, *rooms) if f"{path.name}/" not in text] == []
    named = re.findall(r"\b(?:changelogs|playbooks|plugins|roles|tests)/[\w./]*\w", text)
    assert [path for path in named if not (CHECKOUT / path).exists()] == []


def test_the_readme_names_everything_the_collection_has():
    readme = (CHECKOUT / "README.md").read_text()
    playbooks = [f"alive.codex.{path.stem}" for path in (CHECKOUT / "playbooks").glob("*.yml")]
    missing = [
        name
        for name in (*MODULES, *INVENTORIES, *(role.name for role in ROLES), *playbooks)
        if f"`{name}`" not in readme
    ]
    assert not missing


def banners() -> Iterator[tuple[str, str]]:
    """What Ansible prints before each task of a role, and before each play and task of a playbook."""
    for path in sorted((*CHECKOUT.glob("roles/*/tasks/*.yml"), *CHECKOUT.glob("playbooks/*.yml"))):
        role = f"alive.codex.{path.parts[-3]} : " if path.parent.name == "tasks" else ""
        for name in named(load(path)):
            yield str(path.relative_to(CHECKOUT)), f"TASK [{role}{name}] ***"


def named(tasks: Any) -> Iterator[str]:
    for each in tasks if isinstance(tasks, list) else ():
        yield each.get("name", "")
        for part in ("pre_tasks", "tasks", "post_tasks", "block", "rescue", "always"):
            yield from named(each.get(part))


def test_no_line_that_ansible_prints_of_ours_is_longer_than_80_columns():
    found = list(banners())
    assert len(found) > 50
    assert [(path, banner) for path, banner in found if len(banner) > 80] == []


def keys_of(returns):
    """Every key of a result, at every depth."""
    for name, value in returns.items():
        yield name
        yield from keys_of(value.get("contains", {}))


@pytest.mark.parametrize("module", MODULES)
def test_jinja_reaches_every_key_of_a_result(module):
    """There, ``result.items`` is the method of the mapping, not the key."""
    assert not set(keys_of(returns(module))) & set(dir(dict))


def without_samples(returns, above=""):
    """The keys that show no value: by themselves, nor as part of a key that holds them, nor by those that they hold."""
    for name, about in returns.items():
        if "sample" not in about:
            if about.get("contains"):
                yield from without_samples(about["contains"], f"{above}{name}.")
            else:
                yield above + name


@pytest.mark.parametrize("module", MODULES)
def test_every_key_of_a_result_shows_a_sample(module):
    assert list(without_samples(returns(module))) == []


def test_no_two_files_of_tests_have_a_tenant_in_common():
    """They run at the same time, and some look at all processes that a user of the machine has."""
    found: dict[str, set[str]] = {}
    for path in (CHECKOUT / "tests/system").glob("test_*.py"):
        for uid in re.findall(r"\b6[12]_?\d{3}\b", path.read_text()):
            found.setdefault(uid.replace("_", ""), set()).add(path.name)
    assert len(found) > 40
    assert {uid: files for uid, files in found.items() if len(files) > 1} == {}
