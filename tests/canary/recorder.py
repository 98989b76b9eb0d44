"""What one release of the CLI is like: scenarios with the real one, as a tenant, and a look at all that came of them.

It needs npm, git, and root, to be a tenant without a passwd entry who has a /tmp of its own. What differs from run to
run (IDs, times, numbers of processes) is replaced by what it is; the rest is the same each time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from support.packages import native_codex, npm_install
from support.sessions import UUID, Workspace, workspaces_root
from support.settings import usual_umask
from support.stub import FAKE_KEY, ResponsesStub
from support.turns import SCHEMA, wait_until

# Nobody else's, so that all that is this user's is of the CLI.
TENANT = 100_000 + os.getpid()
# Where the CLI may leave something outside HOME, whatever TMPDIR says, besides /tmp.
SHARED = (Path("/var/tmp"), Path("/dev/shm"), Path("/run"))
# What is in these is not about turns and sessions.
FOLDED = (".codex/skills/.system/", "repository/")
COMMANDS = (
    "", "exec", "exec resume", "exec fork", "exec review", "archive", "unarchive", "delete", "doctor", "sandbox",
    "app-server", "migrate-rollouts", "features",
)  # fmt: skip
BASE_URL = 'openai_base_url = "{base_url}"\n'
# With the role's defaults the CLI talks to nobody but the stub; without them, to a proxy that is not there.
ROLES_DEFAULTS = """
features.plugins = false
features.unbounded_connection_retries = false
analytics.enabled = false
"""
NO_WAY_OUT = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
SPAWN = """
[=[call:collaboration.spawn_agent {"task_name": "look", "fork_turns": "none", "message": "[[say:I looked.]]"}]=]
[[call:collaboration.wait_agent {"timeout_ms": 10000}]] [[say:done]]
"""
PATCH = "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: patched.txt\n+hello\n*** End Patch\nEOF"

Section = dict[str, list[str]]


def describe(version: str) -> dict[str, Section]:
    """The description of a release, as ``drift`` reads it."""
    sections: dict[str, dict[str, set[str]]] = {}

    def note(section: str, name: str, details: Iterable[str] = ()) -> None:
        sections.setdefault(section, {}).setdefault(name, set()).update(details)

    with usual_umask(), workspaces_root() as root, ResponsesStub() as stub:
        run = Scenarios(Workspace(root, "tenant", TENANT), stub, version, ROLES_DEFAULTS)
        bare = Scenarios(Workspace(root, "bare", TENANT), stub, version)
        try:
            for name, details in run.package():
                note("package", name, details)
            for command in COMMANDS:
                for section, details in run.help(command):
                    note(section, f"codex {command}".strip(), details)
            threads = run.all_of_them()
            bare.turn(
                "a turn without the role's defaults", "[[run:echo hi]] [[say:done]]", "--sandbox", "workspace-write"
            )
            for section, name, details in (*run.seen, *bare.seen):
                note(section, name, details)
            for section, where in (("home", run), ("home_without_defaults", bare)):
                for name, detail in where.home():
                    note(section, name, [detail])
            for section, name, details in run.databases(threads):
                note(section, name, details)
            for section, name, details in run.asked():
                note(section, name, details)
        finally:
            for name in end_processes():
                note("leftovers", f"a process: {name}")
        for where, directory in (("/tmp", run.tmp), ("/tmp", bare.tmp), *((str(path), path) for path in SHARED)):
            for path in directory.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if path.lstat().st_uid == TENANT:
                        note("leftovers", plain(f"{where}/{path.name}"), [kind_of(path)])
                        subprocess.run(["rm", "-rf", path], check=True)
    return {
        section: {name: sorted(details) for name, details in sorted(names.items())}
        for section, names in sorted(sections.items())
    }


def plain(text: str) -> str:
    """Without what differs from run to run."""
    text = UUID.sub("<uuid>", text)
    text = text.replace(str(TENANT), "<uid>")
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d", "<time>", text)
    text = re.sub(r"/\d{4}(/\d\d(/\d\d)?)?(?=/|$)", "/<date>", text)
    text = re.sub(r"(?<![0-9a-zA-Z])[0-9a-f]{12,}(?![0-9a-zA-Z])", "<hex>", text)
    text = re.sub(r"(?<![0-9a-zA-Z_<])\d{5,}(?![0-9a-zA-Z])", "<number>", text)
    return re.sub(r"(?<=[-.])(?=\w*[A-Z])(?=\w*[a-z0-9])\w{6}(?=$|/)", "<random>", text)


def kind_of(path: Path) -> str:
    mode = path.lstat().st_mode
    kinds = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFSOCK: "socket"}
    kind = kinds.get(stat.S_IFMT(mode), "other")
    return kind if kind == "link" else f"{kind} {stat.S_IMODE(mode):04o}"


class Scenarios:
    """One tenant's HOME, and what is done there."""

    def __init__(self, workspace: Workspace, stub: ResponsesStub, version: str, config: str = "") -> None:
        self.workspace = workspace
        self.stub = stub
        self.version = version
        self.codex = native_codex(version)
        self.seen: list[tuple[str, str, list[str]]] = []
        self.repository = workspace.home / "repository"
        self.tmp = Path(f"{workspace.home}-tmp")
        self.tmp.mkdir()
        self.tmp.chmod(0o1777)
        self._write(".codex/config.toml", BASE_URL.format(base_url=stub.base_url) + config)
        self._write("schema.json", json.dumps(SCHEMA))

    def _write(self, name: str, text: str) -> None:
        path = self.workspace.home / name
        for made in (path.parent, path):
            if not made.exists():
                made.mkdir(mode=0o700) if made == path.parent else made.write_text(text)
                os.chown(made, TENANT, TENANT)

    def _command(self, *argv: str | Path, cwd: Path | None = None) -> dict[str, Any]:
        """What subprocess needs to run ``argv`` as the tenant, whose own directory is at /tmp."""
        private = ["unshare", "--mount", "/bin/sh", "-c", 'mount --bind "$0" /tmp && exec "$@"', self.tmp]
        drop = ["setpriv", "--reuid", str(TENANT), "--regid", str(TENANT), "--clear-groups"]
        command = self.workspace.command(CODEX_API_KEY=FAKE_KEY, **NO_WAY_OUT)
        return {"args": [*private, *drop, *argv], "cwd": cwd or command["cwd"], "env": command["env"]}

    def _run(self, *argv: str | Path, prompt: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            **self._command(*argv, cwd=cwd), input=prompt.encode(), capture_output=True, timeout=120, check=False
        )

    # What the release says of itself.

    def package(self) -> Iterator[tuple[str, list[str]]]:
        """The files of npm's packages; libraries beside a program are told by their directory."""
        root = npm_install("@openai/codex", self.version)
        for path in root.rglob("*"):
            if path.is_file():
                name = str(path.relative_to(root)).replace(self.codex.parts[-3], "<triple>")
                name = re.sub(r"codex-linux-(x64|arm64)", "codex-<platform>", name)
                folded = re.sub(r"(codex-resources/voice)/.*", r"\1/...", name)
                yield folded, [] if folded != name else [kind_of(path)]
        yield "package.json", [f"engines: {json.loads((root / 'package.json').read_text()).get('engines')}"]

    def help(self, command: str) -> Iterator[tuple[str, list[str]]]:
        """The commands below one, and its flags."""
        done = self._run(self.codex, *command.split(), "--help")
        text = done.stdout.decode()
        if done.returncode != 0 or (command and f"codex {command}" not in text):
            return
        commands = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.MULTILINE)
        if commands:
            yield "commands", re.findall(r"^  ([a-z][a-z-]*)", commands[1], re.MULTILINE)
        # A flag stands on a line of its own, with its value; what it does follows further in.
        yield "flags", re.findall(r"^ {2,6}(?:-\w, +)?(--[a-z].*?)(?:  .*)?$", text, re.MULTILINE)

    def asked(self) -> Iterator[tuple[str, str, list[str]]]:
        """What the CLI prints of its feature flags, its app server's items, requirements, and this HOME."""
        for name, stage, on in re.findall(
            r"^(\S+) +(.*?) +(true|false)$", self._run(self.codex, "features", "list").stdout.decode(), re.MULTILINE
        ):
            if on == "true":
                yield "features", name, [stage]
        report = json.loads(self._run(self.codex, "doctor", "--json").stdout)
        for name in report["checks"]:
            yield "doctor", name, []
        schemas = self.workspace.home / "schemas"
        self._run(self.codex, "app-server", "generate-json-schema", "--out", schemas)
        definitions = json.loads((schemas / "codex_app_server_protocol.v2.schemas.json").read_text())["definitions"]
        for item in definitions["ThreadItem"]["oneOf"]:
            yield "app_server_items", item["properties"]["type"]["enum"][0], []
        for name, definition in definitions.items():
            if name.endswith("Requirements"):
                yield "requirements", name, sorted(definition["properties"])

    # What it does.

    def all_of_them(self) -> set[str]:
        """Runs every scenario; the IDs of the threads that were made."""
        work = "[[think:hm]] [[run:echo hi]] [[output]]"
        first = self.turn("a turn that runs a command", "[[think:hm]] [[run:echo hi]] [[say:done]]")
        self.turn("a resumed turn", work, "resume", first)
        patched = self.turn("a turn that edits a file", f"[=[run:{PATCH}]=] [[say:done]]")
        answered = self.turn(
            "a turn with an output schema", "", "--output-schema", str(self.workspace.home / "schema.json")
        )
        failed = self.turn("a turn that the API refuses", "[[status:400]]")
        broken = self.turn("a turn whose response fails", "[[fail:server_error*9]]")
        forked = self.turn("a fork", "", "fork", first)
        went_on = self.turn("a fork with a prompt", work, "fork", first, "-")
        ephemeral = self.turn("an ephemeral turn", work, "--ephemeral")
        self.turn("a resume of no thread", work, "resume", "01a00000-0000-7000-8000-000000000000")
        spawning = self.turn("a turn that spawns an agent", SPAWN)
        reviewed = self.turn("a review", "", "review", "--uncommitted", cwd=self._git())
        killed = self.killed_turn()
        self.command("exec takes --experimental-json", "exec", "--experimental-json", "--help")
        self.command("archive", "archive", patched)
        self.command("archive, then unarchive", "archive", answered)
        self.command("unarchive", "unarchive", answered)
        self.command("delete", "delete", "--force", failed)
        self.command("delete of no thread", "delete", "--force", failed)
        self.tools()
        made = {first, patched, answered, failed, broken, forked, went_on, ephemeral, spawning, reviewed, killed}
        return made - {""} | set(self.workspace.rollouts())  # of agents, too

    def _git(self) -> Path:
        """A repository with a change to review."""
        script = "git init --quiet . && echo one > file && git add file && echo two > file"
        self.repository.mkdir()
        os.chown(self.repository, TENANT, TENANT)
        done = self._run("/bin/sh", "-c", script, cwd=self.repository)
        assert done.returncode == 0, done.stderr
        return self.repository

    def _exec(self, *arguments: str) -> list[str | Path]:
        options = ["--experimental-json", "--skip-git-repo-check"]
        if "--sandbox" not in arguments:
            options += ["--sandbox", "danger-full-access"]
        return [self.codex, "exec", *options, *arguments]

    def turn(self, name: str, prompt: str, *arguments: str, cwd: Path | None = None) -> str:
        """Notes how a turn ends and what types its events and items have; its thread's ID, if it had one."""
        done = self._run(*self._exec(*arguments), prompt=prompt or "hello", cwd=cwd)
        return self._note(name, done.returncode, done.stdout, done.stderr)

    def _note(self, name: str, code: int, output: bytes, errors: bytes = b"") -> str:
        events = [json.loads(line) for line in output.splitlines()]
        ended = events[-1]["type"] if events else plain(errors.decode().strip().splitlines()[-1])
        self.seen.append(("outcomes", name, [f"rc {code}", f"last: {ended}"]))
        for event in events:
            self.seen.append(("events", event["type"], sorted(event)))
            if "item" in event:
                self.seen.append(("items", event["item"]["type"], sorted(event["item"])))
        return next((str(event["thread_id"]) for event in events if "thread_id" in event), "")

    def killed_turn(self) -> str:
        """One that SIGKILL ends while the model is silent."""
        process = subprocess.Popen(
            **self._command(*self._exec()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdin and process.stdout
        process.stdin.write(b"[[run:echo hi]] [[say:Wait.]] [[stall]]")
        process.stdin.close()
        lines = []
        for line in process.stdout:
            lines.append(line)
            if b"agent_message" in line:
                break
        # It writes one beside all else, and leaves it when it is killed.
        wait_until(lambda: any(self.workspace.codex.glob("shell_snapshots/*.sh")))
        process.kill()
        output = b"".join(lines) + process.stdout.read()
        process.stdout.close()
        return self._note("a killed turn", process.wait(60), output)

    def command(self, name: str, *arguments: str) -> None:
        done = self._run(self.codex, *arguments)
        self.seen.append(("outcomes", name, [f"rc {done.returncode}"]))

    def tools(self) -> None:
        """The tools that the model is offered."""
        body = self.stub.requests()[0]["body"]

        def note(tools: list[dict[str, Any]], within: str) -> None:
            for tool in tools:
                name = within + str(tool.get("name") or tool["type"])
                self.seen.append(("tools", name, [str(tool["type"])]))
                note(tool.get("tools") or [], name + " ")
                for inner in re.findall(r"^### `(\w+)`", str(tool.get("description")), re.MULTILINE):
                    self.seen.append(("tools", f"{name} {inner}", []))

        note(body.get("tools") or [], "")
        for item in body.get("input") or []:
            if item.get("type") == "additional_tools":
                note(item.get("tools") or [], "")

    # What is left of it.

    def home(self) -> Iterator[tuple[str, str]]:
        for path in self.workspace.home.rglob("*"):
            name = str(path.relative_to(self.workspace.home))
            # Of a file that was being written when SIGKILL came, and of a database that nobody closed.
            fleeting = ".tmp-" in name or name.endswith(("-wal", "-shm"))
            if not fleeting and not any(name.startswith(folder) for folder in FOLDED):
                yield plain(name), kind_of(path)

    def databases(self, threads: set[str]) -> Iterator[tuple[str, str, list[str]]]:
        """Schemas; the columns that hold a thread's ID in some row; the keys of rollouts."""
        with self.workspace.open_databases() as databases:
            for database, connection in databases.items():
                for setting in ("auto_vacuum", "user_version", "journal_mode"):
                    value = connection.execute(f"PRAGMA {setting}").fetchone()[0]
                    yield "databases", database, [f"{setting} {value}"]
                yield from _schema(database, connection)
                yield from _naming(database, connection, threads)
        for path in self.workspace.rollouts().values():
            for line in path.read_bytes().splitlines():
                entry = json.loads(line)
                payload = entry.get("payload")
                kind = payload.get("type", "") if isinstance(payload, dict) and entry["type"] != "session_meta" else ""
                keys = sorted(payload) if entry["type"] == "session_meta" else []
                yield "rollouts", f"{entry['type']} {kind}".strip(), keys


def end_processes() -> Iterator[str]:
    """Ends what still runs as the tenant a few seconds after the last command, and names it."""

    def running() -> dict[int, str]:
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if path.stat().st_uid == TENANT:
                    found[int(path.name)] = (path / "comm").read_text().strip()
        return found

    with contextlib.suppress(AssertionError):
        wait_until(lambda: not running(), limit=5)
    for pid, name in running().items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        yield name


def _schema(database: str, connection: sqlite3.Connection) -> Iterator[tuple[str, str, list[str]]]:
    entries = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    for kind, name, table, sql in entries.fetchall():
        text = " ".join((sql or "").split())
        if kind == "table":
            columns = connection.execute(f'PRAGMA table_info("{name}")').fetchall()
            details = [
                f"{column[1]} {column[2]}{' NOT NULL' * column[3]}{' KEY' * bool(column[5])}" for column in columns
            ]
            yield "tables", f"{database} {name}", [text] if "VIRTUAL" in text.upper().split() else details
        elif kind == "index":
            yield "indexes", f"{database} {name}", [text]
        else:
            yield "triggers_and_views", f"{database} {name}", [kind, f"on {table}"]
        if name == "_sqlx_migrations":
            applied = connection.execute("SELECT version, description FROM _sqlx_migrations ORDER BY version")
            yield "migrations", database, [f"{version:>04} {text}" for version, text in applied]


def _naming(database: str, connection: sqlite3.Connection, threads: set[str]) -> Iterator[tuple[str, str, list[str]]]:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        rows = connection.execute(f'SELECT * FROM "{table}"')
        columns = [column[0] for column in rows.description]
        for row in rows:
            naming = [
                column for column, value in zip(columns, row, strict=True) if threads & set(UUID.findall(str(value)))
            ]
            if naming:
                yield "thread_columns", f"{database} {table}", naming
