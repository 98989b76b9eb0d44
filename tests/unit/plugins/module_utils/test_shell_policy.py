"""Whether the host or the turn keeps the API key from the model's commands; the real CLI has the same forms to read in
tests/system/test_shell_policy.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._turn import cautions
from support.shell_policies import FORMS, KEEPS, LEAKS, REFUSED, Form
from support.stub import FAKE_KEY
from support.turns import wanted


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The host's configuration, which is not there yet."""
    path = tmp_path / "config.toml"
    monkeypatch.setattr(cautions, "SYSTEM_CONFIG", str(path))
    return path


def warnings(**given: object) -> list[str]:
    options = {"prompt": "x", "api_key": FAKE_KEY, "codex_path": "/bin/true", "working_directory": "/", **given}
    return cautions.cautions(wanted(**options))


def warnings_of(etc: Path, form: Form) -> list[str]:
    etc.write_bytes(form.text.encode())
    return warnings(config_overrides=list(form.overrides))


@pytest.mark.parametrize("name", FORMS)
def test_a_warning_comes_where_the_key_leaks(etc: Path, name: str) -> None:
    found = warnings_of(etc, FORMS[name])
    assert all("protect_api_key" in warning for warning in found)
    assert name in REFUSED or bool(found) == (name in LEAKS), found


def test_a_host_without_a_configuration_keeps_nothing(etc: Path) -> None:
    [warning] = warnings()
    assert "is in the environment of every command" in warning


def test_options_of_the_turn_count(etc: Path) -> None:
    assert warnings(protect_api_key=True) == []
    assert warnings(api_key=None) == []
    assert warnings(config={"shell_environment_policy": {"exclude": ["CODEX_API_KEY"]}}) == []
    etc.write_text('[shell_environment_policy]\nexclude = ["CODEX_API_KEY"]\n')
    assert warnings() == []
    assert warnings(config={"shell_environment_policy": {"exclude": ["AWS_*"]}}) != []


def test_what_windows_puts_first_is_passed_over(etc: Path) -> None:
    assert warnings_of(etc, Form("\ufeff" + KEEPS["as the role writes it"].text)) == []


@pytest.mark.parametrize("data", [b"[shell_environment_policy", b"# \xff"])
def test_what_cannot_be_read_is_told(etc: Path, data: bytes) -> None:
    etc.write_bytes(data)
    [warning] = warnings()
    assert f"{etc} cannot be read (" in warning and "may be in the environment" in warning
