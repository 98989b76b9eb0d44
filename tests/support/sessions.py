"""Workspaces with real sessions, made by the real CLI as their own user, and the pruner that runs over them."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.alive.codex.plugins.module_utils._sessions import options as options_
from ansible_collections.alive.codex.plugins.module_utils._sessions import prune_all

from support.packages import CODEX_VERSION, native_codex
from support.returned import hold
from support.stub import FAKE_KEY, ResponsesStub

DAY = 86400
UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


# Copies every row that names a thread for each of the others.
MULTIPLY = """
import glob, json, sqlite3, sys
codex, thread = sys.argv[1:]
copies = json.load(sys.stdin)
for path in glob.glob(codex + "/*.sqlite"):
    connection = sqlite3.connect(path)
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for row in connection.execute(f'SELECT * FROM "{table}"').fetchall():
            if any(thread in str(value) for value in row):
                marks = ",".join("?" * len(row))
                for copy in copies:
                    values = [value.replace(thread, copy) if isinstance(value, str) else value for value in row]
                    connection.execute(f'INSERT INTO "{table}" VALUES ({marks})', values)
    connection.commit()
    connection.close()
"""


@contextmanager
def workspaces_root() -> Iterator[Path]:
    """A directory for workspaces that tenants can reach: pytest's own are private to root."""
    root = Path(tempfile.mkdtemp(prefix="workspaces-", dir="/var/tmp"))
    root.chmod(0o711)
    try:
        yield root
    finally:
        shutil.rmtree(root)


class Workspace:
    """A HOME and its user, who has no passwd entry; ``version`` of the CLI works there."""

    def __init__(self, root: Path, name: str, uid: int, version: str = CODEX_VERSION) -> None:
        self.home = root / name
        self.uid = uid
        self.version = version
        self.home.mkdir(mode=0o700)
        os.chown(self.home, uid, uid)

    @property
    def codex(self) -> Path:
        return self.home / ".codex"

    def command(self, *argv: str | Path, **environment: str) -> dict[str, Any]:
        """What subprocess needs to run ``argv`` as this workspace."""
        return {
            "args": [str(argument) for argument in argv],
            "user": self.uid,
            "group": self.uid,
            "extra_groups": [],
            "cwd": self.home,
            "env": {"HOME": str(self.home), "PATH": "/usr/bin:/bin", **environment},
        }

    def exec_argv(self, stub: ResponsesStub, *arguments: str, version: str | None = None) -> list[str]:
        return [
            str(native_codex(version or self.version)),
            "exec",
            "--json",
            "--config",
            f'openai_base_url="{stub.base_url}"',
            "--config",
            "features.plugins=false",
            "--skip-git-repo-check",
            *arguments,
        ]

    def turn(self, stub: ResponsesStub, *arguments: str, prompt: str = "hello", version: str | None = None) -> str:
        """Runs a turn to its end and returns its thread's ID."""
        end = subprocess.run(
            **self.command(
                *self.exec_argv(stub, *arguments, version=version),
                CODEX_API_KEY=FAKE_KEY,
                OPENAI_API_KEY=FAKE_KEY,
                OPENAI_BASE_URL=stub.base_url,
            ),
            input=prompt.encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert end.returncode == 0, end.stdout.decode() + end.stderr.decode()
        first = json.loads(end.stdout.splitlines()[0])
        assert first["type"] == "thread.started"
        thread: str = first["thread_id"]
        return thread

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            **self.command(native_codex(self.version), *arguments, CODEX_API_KEY=FAKE_KEY),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def rollouts(self) -> dict[str, Path]:
        """Each session's file."""
        return {UUID.findall(path.name)[0]: path for path in self.codex.rglob("rollout-*")}

    def age(self, *threads: str, days: float = 40) -> None:
        rollouts = self.rollouts()
        for thread in threads:
            when = time.time() - days * DAY
            os.utime(rollouts[thread], (when, when))

    def sql(self, database: str, statement: str) -> None:
        """Runs a statement in one of the CLI's databases, as the workspace: root would leave files of its own."""
        program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit(); c.close()"
        argv = ("/usr/bin/python3", "-c", program, self.codex / database, statement)
        subprocess.run(**self.command(*argv), check=True)

    def multiply(self, thread: str, number: int) -> list[str]:
        """So many more sessions like one that the CLI made: file and rows."""
        copies = [str(uuid.uuid4()) for _number in range(number)]
        original = self.rollouts()[thread]
        content = original.read_text()
        for copy in copies:
            path = Path(str(original).replace(thread, copy))
            path.write_text(content.replace(thread, copy))
            os.chown(path, self.uid, self.uid)
        argv = ("/usr/bin/python3", "-c", MULTIPLY, self.codex, thread)
        subprocess.run(**self.command(*argv), input=json.dumps(copies).encode(), check=True)
        return copies

    @contextmanager
    def open_databases(self, directory: Path | None = None) -> Iterator[dict[str, sqlite3.Connection]]:
        """Copies of the CLI's databases, with what is in their write-ahead logs."""
        place = directory or self.codex
        with tempfile.TemporaryDirectory() as copies:
            for path in (*place.glob("*.sqlite"), *place.glob("*.sqlite-wal")):
                shutil.copy(path, copies)
            connections = {path.name: sqlite3.connect(path) for path in Path(copies).glob("*.sqlite")}
            try:
                yield connections
            finally:
                for connection in connections.values():
                    connection.close()

    def mentions(self, threads: set[str], outside: Path | None = None) -> list[str]:
        """Where the CLI's databases, below HOME or there, still name one of the threads, in whatever column."""
        below = [self.home, *filter(None, [outside])]
        found = []
        directories = {path.parent for place in below for path in place.rglob("*.sqlite")}
        for directory in (path for path in directories if path.parent.name != "db-backups"):
            with self.open_databases(directory) as databases:
                for database, connection in databases.items():
                    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                    for (table,) in tables:
                        for row in connection.execute(f'SELECT * FROM "{table}"'):
                            named = threads.intersection(UUID.findall(" ".join(map(str, row))))
                            found += [f"{database}: {table}: {name}" for name in named]
        return found

    def integrity(self) -> set[str]:
        with self.open_databases() as databases:
            return {connection.execute("PRAGMA integrity_check").fetchone()[0] for connection in databases.values()}

    def parity(self) -> str:
        report = json.loads(self.cli("doctor", "--json").stdout)
        check = report["checks"]["state.rollout_db_parity"]
        return str(check["status"] if check["status"] == "ok" else check)

    def foreign_files(self) -> list[Path]:
        """What below HOME does not belong to the tenant."""
        paths = [self.home, *self.home.rglob("*")]
        return [path for path in paths if (path.lstat().st_uid, path.lstat().st_gid) != (self.uid, self.uid)]


def prune(root: Path, dry_run: bool = False, **options: Any) -> dict[str, Any]:
    """The pruner, as the module and the script call it."""
    given = {name: spec.get("default") for name, spec in options_.OPTIONS.items()}
    given.update({"codex_path": str(native_codex()), **options})
    result = prune_all.prune(str(root), given["workspaces"], prune_all.orders_from(given, dry_run), given["archive"])
    hold("codex_prune", result)
    return result


def gone(result: dict[str, Any]) -> set[str]:
    """The sessions that a result says went."""
    return {session["id"] for workspace in result["workspaces"] for session in workspace["sessions"]}
