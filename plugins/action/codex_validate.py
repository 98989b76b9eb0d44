# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares on the control node the versions that the module codex_validate finds on the target."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

try:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion, Version
except ImportError as error:
    PACKAGING_ERROR: ImportError | None = error
else:
    PACKAGING_ERROR = None


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """The action of the module codex_validate, which documents both."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        if PACKAGING_ERROR:
            raise AnsibleActionFail(
                f"the control node lacks the Python library packaging ({PACKAGING_ERROR}): pip install packaging"
            )
        result: dict[str, Any] = self._execute_module(task_vars=task_vars)
        findings, asked = result.pop("findings", None), result.pop("asked", None)
        if findings is not None:
            result.update(judge(findings, read_requirements(asked["requires"], asked["min_version"])))
            if result["problems"] and asked["fail"]:
                result.update(failed=True, msg="; ".join(result["problems"]))
        return result


def read_requirements(requires: str | None, min_version: str | None) -> SpecifierSet:
    """Both options as one specifier. Raises AnsibleActionFail for what is none."""
    clauses = [requires or "", f">={min_version}" if min_version else ""]
    try:
        return SpecifierSet(",".join(clause for clause in clauses if clause), prereleases=True)
    except InvalidSpecifier as error:
        raise AnsibleActionFail(f"requires, min_version: {error}: wanted is something like >=0.150,<1.0") from None


def judge(findings: dict[str, Any], requires: SpecifierSet) -> dict[str, Any]:
    """The module's findings with the checks that compare versions, ``compatible`` and ``problems``."""
    known = findings["version"] is not None
    comparisons = compare(findings, requires) if known else []
    checks = [*findings["checks"], *comparisons]
    compatible = known and all(check["ok"] for check in checks if check["name"] in ("requires", "sdk"))
    problems = [check["detail"] for check in checks if not check["ok"]]
    return {**findings, "checks": checks, "compatible": compatible, "problems": problems}


def compare(findings: dict[str, Any], requires: SpecifierSet) -> list[dict[str, Any]]:
    """The checks of the version found against what is required, and against what the SDK pins."""
    text, sdk = findings["version"], findings["sdk"]
    version = read_version(text)
    checks = []
    if str(requires):
        well = f"{text} fits {requires}"
        ill = f"{findings['path']} is {text}, which does not fit {requires}: install a release that does"
        checks.append(check("requires", version in requires, well, ill))
    if sdk:
        pin = sdk["requires_cli"]
        well = f"{text} serves the SDK {sdk['version']}, which pins {pin}"
        ill = (
            f"{findings['path']} is {text}, older than {pin}, which the SDK {sdk['version']} in {sdk['path']} pins: "
            "install that release or a newer one"
        )
        checks.append(check("sdk", pin is None or version >= read_version(pin.lstrip("^~=v")), well, ill))
    return checks


def check(name: str, ok: bool, well: str, ill: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": well if ok else ill}


def read_version(text: str) -> Version:
    """A semantic version for packaging. A prerelease that Python's order does not know counts as a development build,
    which comes before everything of its release."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version(f"{text.partition('-')[0].partition('+')[0]}.dev0")
