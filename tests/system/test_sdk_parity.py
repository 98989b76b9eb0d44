"""``codex_exec`` against the official TypeScript SDK: the same cases through both, over a binary that records.

A new seed each run; repeat one with ALIVE_SEED. More cases with ALIVE_TRIALS.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import string
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support import turns
from support.packages import npm_install

SDK_VERSION = os.environ.get("ALIVE_SDK") or "0.163.0"
CASES = max(520, int(os.environ.get("ALIVE_TRIALS", 0)))
SUPPORT = Path(turns.__file__).parent / "sdk"
ODD = [
    '"',
    "'",
    "\\",
    "\n",
    "\t",
    "\x00",
    "\x1b",
    "\x7f",
    "\x85",
    "é",
    "…",
    "\u2028",
    "😀",
    "\ud800",
    "=",
    " ",
    "{",
    "]",
    "#",
]
EVIL = [character for character in ODD if character != "\x00"]  # what can be in an argument
EFFORTS = ["minimal", "low", "medium", "high", "xhigh"]
MEGABYTE = 1 << 20


class Case(NamedTuple):
    options: dict[str, Any]  # codex_exec's
    script: dict[str, Any]  # the stand-in's


class Generator:
    """Draws cases. Whatever JSON holds can come up; what the two sides are known to differ in is tested below."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def text(self, odd: list[str] = EVIL, longest: int = 12) -> str:
        pool = [*string.ascii_letters, *string.digits, "-", "_", "/", *odd]
        return "".join(self.random.choice(pool) for _ignored in range(self.random.randint(1, longest)))

    def number(self) -> int | float:
        draw = self.random
        return draw.choice(
            [
                draw.randint(-(2**53) + 1, 2**53 - 1),
                draw.randint(-9, 9),
                float(draw.randint(-9, 9)),
                draw.uniform(-1, 1) * 10.0 ** draw.randint(-320, 308),
                draw.choice([0.0, -0.0, 1e21, 1e-7, 123456789012345680000.0, 1e-6, 5e-324, 1.5e300, 0.1, 100.0, 1e20]),
            ]
        )

    def key(self) -> str:
        if self.chance(0.15):
            return str(self.random.choice([0, 7, 10, 4294967294, 4294967295, "01", "-1"]))
        return self.text([character for character in ODD if character != "\x00"], 8)

    def value(self, depth: int) -> Any:
        kind = self.random.random()
        if depth and kind < 0.25:
            return {self.key(): self.value(depth - 1) for _ignored in range(self.random.randint(0, 3))}
        if depth and kind < 0.4:
            return [self.value(depth - 1) for _ignored in range(self.random.randint(0, 3))]
        if kind < 0.65:
            return self.text(ODD)
        return self.number() if kind < 0.9 else self.chance(0.5)

    def config(self) -> dict[str, Any]:
        config = {self.key(): self.value(3) for _ignored in range(self.random.randint(0, 5))}
        if self.chance(0.03):
            config[""] = 1  # refused by both
        if self.chance(0.03):
            config["nothing"] = None  # refused by both
        return config

    def options(self) -> dict[str, Any]:
        draw = self.random
        choices: dict[str, Any] = {
            "thread_id": self.text,
            "thread_source": lambda: draw.choice(["", "cli", self.text()]),
            "model": lambda: draw.choice(["", "gpt-5", self.text()]),
            "sandbox_mode": lambda: draw.choice(["read-only", "workspace-write", "danger-full-access"]),
            "working_directory": lambda: draw.choice(["", self.text()]),
            "additional_directories": lambda: [self.text() for _ignored in range(draw.randint(0, 3))],
            "skip_git_repo_check": lambda: self.chance(0.5),
            "output_schema": lambda: {"type": "object", "title": self.text(ODD)},
            "model_reasoning_effort": lambda: draw.choice(EFFORTS),
            "network_access_enabled": lambda: self.chance(0.5),
            "web_search_mode": lambda: draw.choice(["disabled", "cached", "live"]),
            "web_search_enabled": lambda: self.chance(0.5),
            "approval_policy": lambda: draw.choice(["never", "on-request", "on-failure", "untrusted"]),
            "cyber_access_program": lambda: draw.choice(["", "standard", "daybreak_blue"]),
            "config": self.config,
            "config_overrides": lambda: [f"{self.text()}={self.text()}" for _ignored in range(draw.randint(0, 3))],
            "base_url": lambda: draw.choice(["", "http://127.0.0.1:1/v1", self.text()]),
            "api_key": lambda: draw.choice(["", "sk-fake-0123456789abcdef"]),
            "env": lambda: {f"V{number}": self.text() for number in range(draw.randint(0, 3))} | self.originator(),
        }
        options = {name: make() for name, make in choices.items() if self.chance(0.35)}
        if self.chance(0.5):
            options["prompt"] = self.text(ODD, 200)
        else:
            options["input"] = [
                {"type": "text", "text": self.text(ODD)}
                if self.chance(0.6)
                else {"type": "local_image", "path": self.text()}
                for _ignored in range(draw.randint(0, 4))
            ]
        return options

    def originator(self) -> dict[str, str]:
        return {"CODEX_INTERNAL_ORIGINATOR_OVERRIDE": self.random.choice(["", "other"])} if self.chance(0.3) else {}

    def script(self) -> dict[str, Any]:
        draw = self.random
        item = {"id": "item_0", "type": "agent_message", "text": self.text(ODD, 60)}
        lines: list[Any] = [
            {"type": "thread.started", "thread_id": f"thread-{draw.randint(0, 999)}"},
            {"type": "turn.started"},
        ]
        for _ignored in range(draw.randint(0, 5)):
            lines.append(
                draw.choice(
                    [
                        {"type": "item.completed", "item": item},
                        {"type": "item.completed", "item": {"id": "x", "type": self.text(), "new": self.value(2)}},
                        {
                            "type": "item.started",
                            "item": {"id": "y", "type": "command_execution", "command": self.text()},
                        },
                        {"type": "error", "message": "Reconnecting... 1/5"},
                        {"type": self.text(), "whatever": self.value(2)},
                        self.number(),
                        [],
                    ]
                )
            )
        usage = {"input_tokens": 3, "cached_input_tokens": 1, "output_tokens": 2, "reasoning_output_tokens": 0}
        usage |= draw.choice([{}, {"cache_write_input_tokens": None}, {"cache_write_input_tokens": 4}])
        end = draw.random()
        if end < 0.75:
            lines.append({"type": "turn.completed", "usage": usage})
        else:
            lines.append({"type": "turn.failed", "error": {"message": "quota " + self.text(ODD)}})
        # The CLI itself writes UTF-8 without escapes; anything that JSON allows must be read as well.
        escaped = self.chance(0.5)
        encoded = [json.dumps(line, ensure_ascii=escaped).encode("utf-8", "replace") for line in lines]
        if self.chance(0.12):
            junk = [b"", b"not json", b"{", b"null", b'{"a": NaN}', b'{"a": "\x01"}', b"Infinity", b"[1,]", b"\xff\xfe"]
            encoded.insert(draw.randint(0, len(encoded)), draw.choice(junk))
        newline = draw.choice([b"\n", b"\n", b"\r\n", b"\r"]) if self.chance(0.3) else b"\n"
        stdout = newline.join(line.replace("\u2028".encode(), b" ") for line in encoded)
        stdout += newline if self.chance(0.85) else b""
        return {
            "stdout": [stdout.hex()],
            "stderr": self.text(),
            "rc": draw.choice([0] * 8 + [1, 2, 101]),
            "signal": draw.choice([signal.SIGTERM, signal.SIGKILL, signal.SIGINT]) if self.chance(0.06) else 0,
        }

    def case(self) -> Case:
        return Case(self.options(), self.script())


def sdk_case(codex: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The case in the SDK's own terms."""
    names = {
        "options": {
            "baseUrl": "base_url",
            "apiKey": "api_key",
            "env": "env",
            "config": "config",
            "configOverrides": "config_overrides",
        },
        "thread": {
            "model": "model",
            "threadSource": "thread_source",
            "sandboxMode": "sandbox_mode",
            "workingDirectory": "working_directory",
            "skipGitRepoCheck": "skip_git_repo_check",
            "modelReasoningEffort": "model_reasoning_effort",
            "networkAccessEnabled": "network_access_enabled",
            "webSearchMode": "web_search_mode",
            "webSearchEnabled": "web_search_enabled",
            "approvalPolicy": "approval_policy",
            "additionalDirectories": "additional_directories",
        },
        "turn": {"cyberAccessProgram": "cyber_access_program", "outputSchema": "output_schema"},
    }  # fmt: skip
    case: dict[str, Any] = {
        part: {theirs: options[ours] for theirs, ours in pairs.items() if ours in options}
        for part, pairs in names.items()
    }
    case["options"]["codexPathOverride"] = str(codex)
    return {
        **case,
        "input": options["input"] if "input" in options else options["prompt"],
        "threadId": options.get("thread_id"),
    }


def place(directory: Path, script: dict[str, Any]) -> Path:
    """A stand-in of its own in ``directory``."""
    directory.mkdir(parents=True)
    codex = directory / "codex"
    codex.write_text("#!/usr/bin/python3 -IS\n" + (SUPPORT / "stand_in.py").read_text())
    codex.chmod(0o755)
    (directory / "script.json").write_text(json.dumps(script))
    return codex


def run_both(cases: list[Case], where: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The SDK's result and ours for each case, each with what its stand-in recorded as ``record``."""
    sdk = npm_install("@openai/codex-sdk", SDK_VERSION)
    theirs = [sdk_case(place(where / "sdk" / str(i), case.script), case.options) for i, case in enumerate(cases)]
    (where / "cases.json").write_text(json.dumps(theirs))
    node = shutil.which("node")
    assert node
    argv = [node, SUPPORT / "run.mjs", sdk, where / "cases.json", where / "results.json"]
    # Exactly what Python sees: GNU readline, where a test tool has loaded it, puts LINES and COLUMNS beside that.
    subprocess.run(argv, check=True, timeout=600, env=dict(os.environ))
    sdk_results = json.loads((where / "results.json").read_text())
    paths = [place(where / "ours" / str(i), case.script) for i, case in enumerate(cases)]
    our_results = turns.isolated(
        lambda: [
            turns.turn(**{**case.options, "codex_path": str(path)}) for case, path in zip(cases, paths, strict=True)
        ]
    )
    for side, results in (("sdk", sdk_results), ("ours", our_results)):
        for index, result in enumerate(results):
            record = where / side / str(index) / "record.json"
            result["record"] = json.loads(record.read_text()) if record.exists() else None
    return list(zip(sdk_results, our_results, strict=True))


def readable(record: dict[str, Any] | None) -> Any:
    if record is None:
        return None
    plain = {name: [bytes.fromhex(text) for text in record[name]] for name in ("argv", "environment")}
    return {**plain, "stdin": bytes.fromhex(record["stdin"]), "schema": record["schema"]}


def javascript(value: Any) -> Any:
    """A value after a round through JavaScript, whose numbers are all floats and whose text is written as UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if value.isascii() else _mended(value)
    if isinstance(value, list):
        return [javascript(item) for item in value]
    if isinstance(value, dict):
        return {javascript(key): javascript(item) for key, item in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _mended(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


def differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    found = []
    recorded = [readable(side["record"]) or {} for side in (theirs, ours)]
    for part in sorted({*recorded[0], *recorded[1]}):
        values = [side.get(part) for side in recorded]
        if values[0] != values[1]:
            if part == "environment" and all(values):
                values = [sorted({*one} - {*other}) for one, other in (values, values[::-1])]
            found.append(f"{part}: {values[0]} / {values[1]}")
    # The SDK does not look whether the final response fits the schema.
    if theirs["ok"] != (ours["status"] in ("completed", "invalid_response")):
        found.append(f"outcome: {theirs.get('error', 'well')} / {ours['status']}: {ours.get('msg')}")
    if theirs["threadId"] != ours["thread_id"]:
        found.append(f"thread: {theirs['threadId']} / {ours['thread_id']}")
    if theirs["ok"]:
        same = {"items": "thread_items", "finalResponse": "final_response", "usage": "usage"}
        for their_name, our_name in same.items():
            if javascript(theirs[their_name]) != javascript(ours[our_name]):
                found.append(f"{our_name}: {theirs[their_name]} / {ours[our_name]}")
    return found


def test_the_sdk_and_codex_exec_do_the_same(tmp_path: Path) -> None:
    seed = int(os.environ["ALIVE_SEED"])
    generator = Generator(seed)
    cases = [generator.case() for _ignored in range(CASES)]
    mismatches = {}
    for index, (theirs, ours) in enumerate(run_both(cases, tmp_path)):
        if found := differences(theirs, ours):
            mismatches[index] = (found, cases[index])
    for index, (found, case) in mismatches.items():
        print(index, found, case.options)
    assert not mismatches, f"ALIVE_SEED={seed}: {len(mismatches)} of {CASES} cases differ"


def script(*lines: Any, rc: int = 0, stdout: list[Any] | None = None) -> dict[str, Any]:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return {"stdout": stdout or [text.encode().hex()], "stderr": "", "rc": rc, "signal": 0}


DONE = {"type": "turn.completed", "usage": {"input_tokens": 1, "cached_input_tokens": 0, "output_tokens": 1}}


def test_a_line_of_50_megabytes_is_read_whole(tmp_path: Path) -> None:
    before = b'{"type":"item.completed","item":{"id":"a","type":"agent_message","text":"'
    stdout = [before.hex(), 50 * MEGABYTE, (b'"}}\n' + json.dumps(DONE).encode()).hex()]
    [(theirs, ours)] = run_both([Case({"prompt": "x", "events": "items"}, script(stdout=stdout))], tmp_path)
    assert theirs["ok"] and ours["status"] == "completed"
    assert len(theirs["finalResponse"]) == len(ours["final_response"]) == 50 * MEGABYTE
    assert len(json.dumps(ours["thread_items"])) < 1000 and "52428800 characters" in ours["thread_items"][0]["text"]


class TestOnPurpose:
    """Where we differ from the SDK, and why."""

    def run(
        self, tmp_path: Path, options: dict[str, Any], lines: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        [pair] = run_both([Case({"prompt": "x", **options}, lines)], tmp_path)
        return pair

    @staticmethod
    def overrides(result: dict[str, Any]) -> list[str]:
        argv = [part.decode() for part in readable(result["record"])["argv"]]
        return [argv[i + 1] for i, part in enumerate(argv) if part == "--config"]

    def test_a_key_with_a_dot_keeps_its_meaning(self, tmp_path: Path) -> None:
        """The CLI splits the SDK's key into three."""
        config = {"mcp_servers": {"my.server": {"command": "x"}, "b": {"command": "y"}}, "model": "m"}
        theirs, ours = self.run(tmp_path, {"config": config}, script(DONE))
        assert self.overrides(theirs)[0] == 'mcp_servers.my.server.command="x"'
        assert self.overrides(ours) == ['mcp_servers={"my.server" = {command = "x"}, b = {command = "y"}}', 'model="m"']

    def test_whole_numbers_stay_exact(self, tmp_path: Path) -> None:
        """JavaScript has no whole numbers beyond 2**53."""
        theirs, ours = self.run(tmp_path, {"config": {"n": 2**53 + 1}}, script(DONE))
        assert self.overrides(theirs) == ["n=9007199254740992"]
        assert self.overrides(ours) == ["n=9007199254740993"]

    def test_an_exit_without_completion_is_no_success(self, tmp_path: Path) -> None:
        """The CLI always ends a turn that went well with turn.completed."""
        theirs, ours = self.run(tmp_path, {}, script({"type": "turn.started"}))
        assert theirs["ok"] and ours["status"] == "incomplete"

    def test_a_line_separator_inside_a_string_ends_no_line(self, tmp_path: Path) -> None:
        """The readline of some releases of Node.js cuts at U+2028, which the CLI writes unescaped."""
        item = {"type": "item.completed", "item": {"id": "a", "type": "agent_message", "text": "one\u2028two"}}
        text = json.dumps(item, ensure_ascii=False) + "\n" + json.dumps(DONE) + "\n"
        _theirs, ours = self.run(tmp_path, {}, script(stdout=[text.encode().hex()]))
        assert ours["final_response"] == "one\u2028two"


@pytest.mark.parametrize("config", [{"": 1}, {"a": None}, {"a": {"b": [1, None]}}, {"a": [{"": 1}]}])
def test_what_the_sdk_refuses_is_refused_before_anything_runs(tmp_path: Path, config: dict[str, Any]) -> None:
    [(theirs, ours)] = run_both([Case({"prompt": "x", "config": config}, script(DONE))], tmp_path)
    assert not theirs["ok"] and ours["status"] == "spawn_failed" and "config" in ours["msg"]
    assert theirs["record"] is ours["record"] is None
