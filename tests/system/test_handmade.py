"""Set-ups that somebody made by hand are found, said in words, and removed without a moment without a binary."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest
from ansible_collections.alive.codex.plugins.module_utils._release.binary import this_platform
from ansible_collections.alive.codex.plugins.module_utils._release.handmade import find, remove
from ansible_collections.alive.codex.plugins.module_utils._release.store import ReleaseStore

ROOT = "/var/lib/claude-sessions"
# What sites have had before this collection.
OLD_LINES = (
    f"30 3 * * * root find {ROOT}/*/.codex/sessions -mindepth 3 -type d -mtime +30 -exec rm -rf {{}} +",
    f"@daily root find {ROOT} -name 'rollout-*.jsonl' -mtime +30 -delete",
)
MINE = "0 4 * * * root /usr/local/sbin/backup --all"


@pytest.fixture
def top(tmp_path):
    for folder in (
        "etc/cron.d",
        "etc/cron.daily",
        "var/spool/cron/crontabs",
        "usr/local/bin",
        "usr/bin",
        "opt/n/bin",
    ):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def store(top):
    return ReleaseStore(str(top / "usr/local/lib/alive-codex"), str(top / "usr/local/bin/codex"), this_platform())


def serve(store):
    """Makes the stable path one that names a release."""
    binary = os.path.join(store.path("0.171.0"), "codex")
    os.makedirs(os.path.dirname(binary))
    with open(binary, "w", encoding="utf-8"):
        pass
    os.symlink(binary, store.bin)


def found(store, top):
    return [(each.kind, os.path.relpath(each.path, top), each.line) for each in find(store, ROOT, str(top))]


def test_lines_of_every_crontab_go_and_all_others_stay(store, top):
    (top / "etc/crontab").write_text(f"# {OLD_LINES[0]}\nROOT={ROOT}\n{OLD_LINES[0]}\n{MINE}\n")
    users = top / "var/spool/cron/crontabs/root"
    users.write_text(f"*/5 * * * * npm install -g @openai/codex@latest\n{MINE}\n")
    users.chmod(0o600)
    (top / "etc/cron.d/prune").write_text(f"{OLD_LINES[1]}\n")
    (top / "etc/cron.d/alive-codex-prune").write_text(f"0 1 * * * root alive-codex-prune --cron # {ROOT}\n")
    (top / "etc/cron.daily/codex").write_text(f"#!/bin/sh\nset -e\nrm -rf {ROOT}/*/.codex/sessions/2025\n")
    (top / "etc/cron.daily/mixed").write_text(f"#!/bin/sh\nbackup\nrm -rf {ROOT}/*/.codex/sessions/2025\n")
    (top / "etc/cron.d/link").symlink_to(top / "etc/crontab")
    assert found(store, top) == [
        ("cron", "etc/crontab", 3),
        ("cron", "etc/cron.d/prune", 1),
        ("cron", "var/spool/cron/crontabs/root", 1),
        ("cron", "etc/cron.daily/codex", 0),
        ("cron", "etc/cron.daily/mixed", 3),
    ]
    said = [each.what for each in find(store, ROOT, str(top))]
    assert "live sessions" in said[0] and "databases" in said[1] and "in place" in said[2]

    removed, left = remove(find(store, ROOT, str(top)), store)
    assert (len(removed), [os.path.basename(each.path) for each in left]) == (4, ["mixed"])
    assert (top / "etc/crontab").read_text() == f"# {OLD_LINES[0]}\nROOT={ROOT}\n{MINE}\n"
    assert (users.read_text(), users.stat().st_mode & 0o777) == (f"{MINE}\n", 0o600)
    assert not (top / "etc/cron.daily/codex").exists() and (top / "etc/cron.daily/mixed").exists()
    assert found(store, top) == [("cron", "etc/cron.daily/mixed", 3)]


def test_programs_go_once_a_release_serves(store, top):
    package = top / "opt/n/lib/node_modules/@openai/codex"
    (package / "bin").mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"version": "0.160.0"}))
    (package / "bin/codex.js").write_text("")
    launcher = top / "opt/n/bin/codex"
    launcher.symlink_to("../lib/node_modules/@openai/codex/bin/codex.js")
    standalone = top / "usr/bin/codex"
    standalone.write_text("")
    programs = [("npm", "opt/n/lib/node_modules/@openai/codex", 0), ("binary", "usr/bin/codex", 0)]
    # The one beside the stable path is codex_release's to take over.
    beside = top / "usr/local/lib/node_modules/@openai/codex"
    beside.mkdir(parents=True)
    assert found(store, top) == [("npm", "usr/local/lib/node_modules/@openai/codex", 0), *programs]

    removed, left = remove(find(store, ROOT, str(top)), store)
    assert not removed and "deploy first" in left[1].kept
    serve(store)
    removed, left = remove(find(store, ROOT, str(top)), store)
    assert [each.path for each in removed] == [str(package), str(standalone)]
    assert [each.path for each in left] == [str(beside)]
    assert not package.exists() and not launcher.is_symlink() and not standalone.exists()


def test_what_a_process_runs_stays(store, top):
    serve(store)
    standalone = top / "usr/bin/codex"
    standalone.write_bytes(b"")
    with open("/bin/sleep", "rb") as program:
        standalone.write_bytes(program.read())
    standalone.chmod(0o755)
    with subprocess.Popen([standalone, "300"]) as process:
        try:
            removed, left = remove(find(store, ROOT, str(top)), store)
        finally:
            process.kill()
    assert not removed and "a process runs it" in left[0].kept


def test_the_old_line_deletes_a_live_session(tmp_path):
    """Why it is worth a word: the time of a directory says nothing of the sessions in it."""
    day = tmp_path / "acme/.codex/sessions/2026/01/02"
    day.mkdir(parents=True)
    rollout = day / "rollout-2026-01-02T00-00-00-thread.jsonl"
    rollout.write_text("begun in January, ")
    before = time.time() - 40 * 86400
    os.utime(day, (before, before))
    with rollout.open("a") as session:
        session.write("resumed just now")
    command = OLD_LINES[0].partition("root ")[2].replace(ROOT, str(tmp_path))
    subprocess.run(["sh", "-c", command], check=True)
    assert not rollout.exists()
