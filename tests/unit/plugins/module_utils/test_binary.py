"""The native binary is found in every layout that the package has had."""

from __future__ import annotations

import pytest
from ansible_collections.alive.codex.plugins.module_utils._release.binary import (
    PLATFORMS,
    native_in,
    read_interpreter,
    resolve,
)

ARM = PLATFORMS["aarch64"]
TRIPLE = ARM.triple
LAYOUTS = {
    "0.1.2505 to 0.40": f"codex/bin/codex-{TRIPLE}",
    "0.42 to 0.98": f"codex/vendor/{TRIPLE}/codex/codex",
    "0.99 to 0.132": f"codex/node_modules/@openai/codex-linux-arm64/vendor/{TRIPLE}/codex/codex",
    "since 0.133": f"codex/node_modules/@openai/codex-linux-arm64/vendor/{TRIPLE}/bin/codex",
    "in a project, flat": f"codex-linux-arm64/vendor/{TRIPLE}/bin/codex",
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(tmp_path, layout):
    packages = tmp_path / "node_modules" / "@openai"
    if "codex-linux-arm64/" in layout and "node_modules" not in layout:
        layout = f"codex-linux-arm64/{layout.partition('/')[2]}"
    binary = packages / layout
    binary.parent.mkdir(parents=True)
    (packages / "codex").mkdir(exist_ok=True)
    assert native_in(str(packages / "codex"), ARM) is None
    binary.touch()
    assert native_in(str(packages / "codex"), ARM) == str(binary)
    assert native_in(str(packages / "codex"), PLATFORMS["x86_64"]) is None


def test_a_bare_name_is_looked_for_on_the_path(tmp_path):
    command = tmp_path / "codex"
    command.touch(mode=0o755)
    assert resolve("codex", str(tmp_path)) == str(command)
    with pytest.raises(FileNotFoundError, match="no codex in /nowhere"):
        resolve("codex", "/nowhere")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"#!/usr/bin/env node\nx", ["/usr/bin/env", "node"]),
        (b"#! /bin/sh -e -u\n", ["/bin/sh", "-e -u"]),
        (b"\x7fELF", []),
        (b"#!\n", []),
        (b"", []),
    ],
)
def test_interpreters(tmp_path, content, words):
    script = tmp_path / "script"
    script.write_bytes(content)
    assert read_interpreter(str(script)) == words
