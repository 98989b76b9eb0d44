"""Pruning a million session files in 200 HOMEs against ``find``: a tenth of them to go, and nothing to do."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.harness import Claim, Side

TITLE = "prune: a million session files in 200 HOMEs, a tenth aged"
CLAIMS = (
    Claim("codex_prune, a tenth to prune", "find -mtime +30 -delete", at_most=1.2),
    Claim("codex_prune, nothing to prune", "find without a match", at_most=1.2),
)
ROUNDS = 3
HOMES = 200
FILES = int(os.environ.get("ALIVE_BENCH_SESSIONS", "1000000"))
DAYS = 50
FIRST_UID = 62_000
MAX_MEMORY = 100 * 2**20
DAY = 86400


def sessions_of(home: int, step: int) -> Iterator[tuple[str, str, float]]:
    """Date directory, session and last activity of every ``step``-th session: days alike, every tenth session aged."""
    now = time.time()
    for number in range(0, FILES // HOMES, step):
        days = 31 + number % 19 if number % 10 == 0 else number % 29
        when = now - days * DAY - 3600
        session = str(uuid.UUID(int=(home << 64) + number))
        yield time.strftime("%Y/%m/%d", time.gmtime(when)), session, when


def fill(root: Path) -> None:
    """Makes every session that is missing: all of them at first, then those that were pruned."""
    step = 10 if root.joinpath(f"ws{HOMES - 1:03}").exists() else 1
    for home in range(HOMES):
        uid = FIRST_UID + home
        sessions = root / f"ws{home:03}" / ".codex" / "sessions"
        made: set[str] = set()
        for date, session, when in sessions_of(home, step):
            directory = sessions / date
            if date not in made:
                directory.mkdir(parents=True, exist_ok=True)
                made.add(date)
            path = directory / f"rollout-{date.replace('/', '-')}T00-00-00-{session}.jsonl"
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            os.write(fd, json.dumps({"type": "session_meta", "payload": {"id": session, "cwd": "/"}}).encode() + b"\n")
            os.fchown(fd, uid, uid)
            os.utime(fd, (when, when))
            os.close(fd)
        for directory, _directories, _files in os.walk(root / f"ws{home:03}"):
            os.chown(directory, uid, uid)


def pack(root: Path, place: Path) -> list[str]:
    """The script as the role installs it, run by the interpreter that it names, with the role's defaults."""
    from ansible_collections.alive.codex.plugins.plugin_utils import _zipapp

    source = Path(_zipapp.__file__).parents[2] / "roles/codex_prune/files/alive_codex_prune.py"
    script = place / "alive-codex-prune"
    script.write_bytes(_zipapp.pack(source.read_text()))
    script.chmod(0o755)
    config = place / "prune.json"
    config.write_text(json.dumps({"root": str(root), "log_dir": str(place / "log")}))
    return [str(script), "--cron", "--config", str(config)]


@contextlib.contextmanager
def sides() -> Iterator[dict[str, Side]]:
    if os.geteuid() != 0:
        raise SystemExit("row prune: needs root, to drop to the owners of 200 HOMEs")
    place = Path(tempfile.mkdtemp(prefix="bench-prune-", dir="/var/tmp"))
    root = place / "root"
    try:
        for directory in (place, root):
            directory.mkdir(exist_ok=True)
            directory.chmod(0o711)
        (place / "log").mkdir(mode=0o700)
        ours = pack(root, place)
        find = ["find", str(root), "-type", "f", "-mtime", "+30"]

        def timed(argv: list[str], full: bool) -> Callable[[], float]:
            def side() -> float:
                if full:
                    fill(root)
                os.sync()
                start = time.perf_counter()
                subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
                seconds = time.perf_counter() - start
                if argv is ours:
                    check_memory()
                return seconds

            return side

        yield {
            "codex_prune, a tenth to prune": timed(ours, True),
            "codex_prune, nothing to prune": timed(ours, False),
            "find -mtime +30 -delete": timed([*find, "-delete"], True),
            "find without a match": timed(find, False),
        }
    finally:
        shutil.rmtree(place)


def check_memory() -> None:
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert peak < MAX_MEMORY, f"one process took {peak / 2**20:.0f} MiB"
