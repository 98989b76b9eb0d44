"""Turns under Mitogen's strategy, which replaces what actions and connections of ansible-core do by itself.

And what of ansible-core the actions use that it does not promise: a strategy, or a new release, may lack it.
"""

from __future__ import annotations

import ast
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from support.cores import LAST_FOR_OLD_TARGETS, python_with
from support.plays import LOCAL, environment
from support.settings import usual_umask
from support.stub import FAKE_KEY, ResponsesStub
from support.turns import PNG, make_home, real

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
MITOGEN = "mitogen==0.3.54"
# Every action plugin rests on these, and Mitogen has each of them; the actions use nothing else of the kind.
RESTS_ON = {
    "_execute_module", "_low_level_execute_command",
    "_make_tmp_path", "_transfer_file", "_fixup_perms2",  # for images alone
    "_task", "_connection", "_shell", "_loader", "_uuid",
    "_templar",  # for variables of the inventory, which may be templates
}  # fmt: skip


def turn(register: str, keywords: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return {"alive.codex.codex_exec": options, "register": register, "ignore_errors": True, **(keywords or {})}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What one play of many turns registers."""
    python = python_with(LAST_FOR_OLD_TARGETS, beside=MITOGEN)
    ask = "import ansible_mitogen, os; print(os.path.dirname(ansible_mitogen.__file__))"
    mitogen = subprocess.check_output([python, "-c", ask], text=True).strip()
    directory = tmp_path_factory.mktemp("mitogen")
    (directory / "files").mkdir()
    (directory / "files" / "a.png").write_bytes(PNG)
    (directory / "files" / "prompt").write_text("[[say:read here]]")
    with usual_umask(), tempfile.TemporaryDirectory(prefix="alive-codex-test-") as root, ResponsesStub() as stub:
        Path(root).chmod(0o755)
        make_home(Path(root), "acme")
        secret = {"MY_TOKEN": "not-to-be-seen"}
        tasks = [
            turn("plain", prompt="[[run:id -u]] [[say:hello]]"),
            turn("secret", prompt="[[run:echo $MY_TOKEN]] [[output]]", extra_env=secret),
            turn("later", {"async": 60, "poll": 1}, prompt="[[say:later]]", extra_env=secret),
            turn("previewed", {"check_mode": True}, prompt="x", extra_env=secret),
            turn("read", prompt_src="prompt"),
            turn("seen", prompt="[[say:an image]]", images_src=["a.png"]),
            turn("failing", prompt="[[status:400]]"),
            turn("limited", prompt="[[run:sleep 600]]", timeout=1),
            turn("refused", prompt="x", timeout="never"),
        ]
        names = ", ".join(f"'{task['register']}': {task['register']}" for task in tasks)
        save = {"content": f"{{{{ {{{names}}} | to_json }}}}", "dest": f"{directory}/results.json"}
        play = {
            "hosts": "one",
            "strategy": "mitogen_linear",
            "gather_facts": False,
            "vars": {**LOCAL, "ansible_python_interpreter": str(python)},
            "module_defaults": {"alive.codex.codex_exec": {**real(stub), "root": root, "workspace": "acme"}},
            "tasks": [*tasks, {"ansible.builtin.copy": save}],
        }
        (directory / "play.json").write_text(json.dumps([play]))
        done = subprocess.run(
            [python.with_name("ansible-playbook"), "-i", "one,", "-vvv", directory / "play.json"],
            # Each process of its own has the time of a connection to start in: ten seconds, if nobody says more.
            env={
                **environment(directory),
                "ANSIBLE_STRATEGY_PLUGINS": f"{mitogen}/plugins/strategy",
                "ANSIBLE_TIMEOUT": "120",
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert (directory / "results.json").exists(), done.stdout[-5000:] + done.stderr
    yield {**json.loads((directory / "results.json").read_text()), "output": done.stdout + done.stderr}


@pytest.mark.root
@pytest.mark.parametrize(
    ("name", "status", "says"),
    [
        ("plain", "completed", "hello"),
        ("secret", "completed", "********"),
        ("later", None, None),
        ("previewed", "not_run", None),
        ("read", "completed", "read here"),
        ("seen", "completed", "an image"),
        ("failing", "failed", ""),
        ("limited", "timed_out", ""),
        ("refused", None, None),
    ],
)
def test_a_turn_ends_as_under_the_linear_strategy(
    results: dict[str, Any], name: str, status: str | None, says: str | None
) -> None:
    result = results[name]
    told = (result.get("status"), result.get("final_response"))
    assert told[0] == status and (told[1] or "").strip() == (says or ""), result
    assert status is not None or {"later": "strategy: linear", "refused": "timeout"}[name] in result["msg"]


@pytest.mark.root
def test_the_terminal_shows_the_turn_and_no_secret(results: dict[str, Any]) -> None:
    assert "says: hello" in results["output"]
    assert FAKE_KEY not in results["output"] and "not-to-be-seen" not in results["output"]


def test_the_actions_rest_on_nothing_else_that_is_private() -> None:
    used = set()
    for path in (*PLUGINS.glob("action/*.py"), *PLUGINS.glob("plugin_utils/*.py")):
        tree = ast.parse(path.read_text())
        own = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        own |= {
            node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        }
        own |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        used |= {name for name in attributes - own if name.startswith("_") and not name.startswith("__")}
    assert used - {"_replace", "_fields"} <= RESTS_ON
    methods = {name for name in RESTS_ON if hasattr(ActionBase, name)}
    assert {"_execute_module", "_low_level_execute_command", "_fixup_perms2"} <= methods
