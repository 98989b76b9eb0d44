"""What the modules, the fragments and the roles say of their options, as it is or as it was in another commit."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from ansible.module_utils.basic import AnsibleModule

CHECKOUT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (CHECKOUT / "plugins/modules").glob("*.py"))
ROLES = sorted(path.parent.name for path in (CHECKOUT / "roles").glob("*/defaults"))

Read = Callable[[str], str]


def working_tree(path: str) -> str:
    """The text of a file, by its path in the checkout. Its like for a commit reads what was there then."""
    return (CHECKOUT / path).read_text()


def documentation(module: str, read: Read = working_tree) -> dict[str, Any]:
    """What a module says of itself, without what the fragments say that it extends."""
    return _block("DOCUMENTATION", read(f"plugins/modules/{module}.py"))


def fragment(name: str, read: Read = working_tree) -> dict[str, Any]:
    """A fragment by the name that modules extend: ``alive.codex.<file>``, or ``alive.codex.<file>.<part of it>``."""
    file, _dot, part = name.removeprefix("alive.codex.").partition(".")
    return _block(part.upper() or "DOCUMENTATION", read(f"plugins/doc_fragments/{file}.py"))


def extended(module: str, read: Read = working_tree) -> list[str]:
    """The names of a module's fragments."""
    return documentation(module, read).get("extends_documentation_fragment", [])


def documented_options(module: str, read: Read = working_tree) -> dict[str, dict[str, Any]]:
    """What is said of each option of a module, in its fragments or by itself, but for what its action alone sets."""
    merged: dict[str, dict[str, Any]] = {}
    for about in (*(fragment(name, read) for name in extended(module, read)), documentation(module, read)):
        for name, facts in (about.get("options") or {}).items():
            merged[name] = {**merged.get(name, {}), **facts}
    return _public(merged)


@functools.cache
def returns(module: str) -> dict[str, dict[str, Any]]:
    """What a module says of its result."""
    return _block("RETURN", working_tree(f"plugins/modules/{module}.py"))


def examples(module: str) -> str:
    """The tasks that a module shows, as YAML."""
    [text] = re.findall(r'^EXAMPLES = r"""\n(.*?)^"""', working_tree(f"plugins/modules/{module}.py"), re.S | re.M)
    return text


def argument_spec(module: str) -> dict[str, dict[str, Any]]:
    """What the module gives to Ansible when it starts, without what its action alone sets."""
    face = importlib.import_module(f"ansible_collections.alive.codex.plugins.modules.{module}")
    with mock.patch.object(AnsibleModule, "__init__", side_effect=_Started) as started:
        try:
            face.main()
        except _Started:
            positional, named = started.call_args
            return _public(positional[0] if positional else named["argument_spec"])
    raise AssertionError(f"{module} made no AnsibleModule")


def role_options(role: str, read: Read = working_tree) -> dict[str, dict[str, Any]]:
    """What the argument spec of a role says of each of its variables."""
    return yaml.safe_load(read(f"roles/{role}/meta/argument_specs.yml"))["argument_specs"]["main"]["options"]


class _Started(Exception):
    """A module got as far as its arguments."""


def _public(options: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: about for name, about in options.items() if not name.startswith("_")}


def _block(name: str, source: str) -> dict[str, Any]:
    [text] = re.findall(rf'^ *{name} = r"""\n(.*?)^"""', source, re.S | re.M)
    return yaml.safe_load(text)
