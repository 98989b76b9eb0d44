"""What is said twice must agree: a role's defaults and its argument spec, the modules and their group, the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parent for path in (CHECKOUT / "roles").glob("*/defaults"))
INVENTORIES = sorted(path.stem for path in (CHECKOUT / "plugins/inventory").glob("*.py"))
MODULES = sorted(path.stem for path in (CHECKOUT / "plugins/modules").glob("*.py"))


def load(path: Path):
    return yaml.safe_load(path.read_text())


def without_templates(defaults):
    """A default that is computed can be said in words only, in an argument spec."""
    return {name: value for name, value in defaults.items() if "{{" not in str(value)}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_roles_defaults_are_those_of_its_argument_spec(role):
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    specified = {name: option["default"] for name, option in options.items() if "default" in option}
    assert without_templates(load(role / "defaults/main.yml")) == without_templates(specified)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_roles_variables_carry_its_name_and_are_in_its_readme(role):
    readme = (role / "README.md").read_text()
    for name in load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]:
        assert name.startswith(f"{role.name}_")
        assert f"`{name}`" in readme or f"`{name.removeprefix(role.name)}`" in readme


def test_the_action_group_names_every_module():
    assert load(CHECKOUT / "meta/runtime.yml")["action_groups"]["codex"] == MODULES


def test_the_readme_names_everything_the_collection_has():
    readme = (CHECKOUT / "README.md").read_text()
    playbooks = [f"alive.codex.{path.stem}" for path in (CHECKOUT / "playbooks").glob("*.yml")]
    missing = [
        name
        for name in (*MODULES, *INVENTORIES, *(role.name for role in ROLES), *playbooks)
        if f"`{name}`" not in readme
    ]
    assert not missing


def keys_of(returns):
    """Every key of a result, at every depth."""
    for name, value in returns.items():
        yield name
        yield from keys_of(value.get("contains", {}))


@pytest.mark.parametrize("module", MODULES)
def test_jinja_reaches_every_key_of_a_result(module):
    """There, ``result.items`` is the method of the mapping, not the key."""
    [text] = re.findall(
        r'^RETURN = r"""\n(.*?)^"""', (CHECKOUT / f"plugins/modules/{module}.py").read_text(), re.S | re.M
    )
    assert not set(keys_of(yaml.safe_load(text))) & set(dir(dict))
