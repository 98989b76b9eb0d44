"""Runs a module of the collection as a target would: a process of its own, arguments in, a JSON result out.

Also as a command, for where a test needs another process around it: ``python -m support.modules NAME ARGUMENTS``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ansible

from support.returned import hold
from support.settings import TARGET_PYTHON, UMASK

CHECKOUT = Path(__file__).resolve().parents[2]


def _library() -> Path:
    """What a target gets: the collection and, of all that is installed beside these tests, Ansible alone."""
    library = CHECKOUT / ".cache" / f"library-{ansible.__version__}"
    library.mkdir(parents=True, exist_ok=True)
    for source in (Path(ansible.__file__).parent, CHECKOUT / ".cache" / "checkout" / "ansible_collections"):
        link = library / source.name
        if link.resolve() != source.resolve():
            with tempfile.TemporaryDirectory(dir=library) as folder:
                new = Path(folder, source.name)
                new.symlink_to(source)
                new.replace(link)
    return library


class Module(subprocess.Popen[str]):
    """The process of a module; ``documents`` is the one that says what it returns, none where an action reads it."""

    def __init__(self, documents: str | None, *arguments: Any, **how: Any) -> None:
        self.documents = documents
        super().__init__(*arguments, **how)


def start_module(
    name: str,
    params: Mapping[str, Any],
    *,
    check: bool = False,
    env: Mapping[str, str] | None = None,
    umask: int = UMASK,
    cwd: Path | None = None,
) -> Module:
    """The module at work. ``env`` is added to this process's environment, ``cwd`` where it starts. Read the result with
    ``result_of``."""
    arguments = {**params, "_ansible_check_mode": check, "_ansible_diff": True}
    process = Module(
        None if "_detach" in params else name,
        [TARGET_PYTHON, CHECKOUT / "plugins" / "modules" / f"{name}.py"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(_library()), **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        umask=umask,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    process.stdin.close()
    process.stdin = None
    return process


def result_of(process: Module) -> dict[str, Any]:
    """What the module said, warnings as texts. A module that dies without a result is an error of the test, and so is
    one that returns what it does not document."""
    stdout, stderr = process.communicate(timeout=300)
    try:
        result: dict[str, Any] = json.loads(stdout)
    except ValueError:
        raise AssertionError(f"no result, rc {process.returncode}: {stdout}\n{stderr}") from None
    if process.documents:
        hold(process.documents, result)
    if "warnings" in result:  # texts up to ansible-core 2.18
        result["warnings"] = [text if isinstance(text, str) else text["event"]["msg"] for text in result["warnings"]]
    return result


def run_module(name: str, params: Mapping[str, Any], **how: Any) -> dict[str, Any]:
    return result_of(start_module(name, params, **how))


if __name__ == "__main__":
    print(json.dumps(run_module(sys.argv[1], json.loads(sys.argv[2]))))
