"""What is remembered of rollouts, so that a header is read once: never at the price of a base that a fork needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._sessions import lineage
from ansible_collections.alive.codex.plugins.module_utils._sessions.codex_store import CodexStore
from ansible_collections.alive.codex.plugins.module_utils._sessions.home import Home
from hypothesis import given
from hypothesis import strategies as st
from support.sessions import DAY, Workspace, gone, prune, workspaces_root


@pytest.fixture
def home(tmp_path):
    """A HOME of this process's own user, with a base and its fork."""
    (tmp_path / ".codex").mkdir()
    return tmp_path


def rollout(home: Path, base: str | None = None, day: str = "2026/01/02", days: float = 5) -> str:
    """A session's id; its file, and the directory of that, were last changed so many days ago."""
    session = str(uuid.uuid4())
    directory = home / ".codex/sessions" / day
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"rollout-{day.replace('/', '-')}T03-04-05-{session}.jsonl"
    payload = {"id": session, "forked_from_id": base} if base else {"id": session}
    file.write_text(json.dumps({"type": "session_meta", "payload": payload}) + "\n")
    for path in (file, directory):
        os.utime(path, (time.time() - days * DAY,) * 2)
    return session


def parents(home: Path, unread: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """What one run learns, and keeps for the next one."""
    fd = os.open(home, os.O_RDONLY)
    try:
        store = CodexStore(Home(fd))
        found = {thread: set(ids) for thread, _path, ids in store.parents(unread)}
        store.remember()
        return found
    finally:
        os.close(fd)


@pytest.fixture
def headers(monkeypatch):
    """The names of the files that are read."""
    read = []
    pieces = lineage.pieces

    def noting(name, dir_fd):
        read.append(name)
        return pieces(name, dir_fd)

    monkeypatch.setattr(lineage, "pieces", noting)
    return read


def test_a_header_is_read_once(home, headers):
    base = rollout(home)
    forks = {rollout(home, base): {base}, rollout(home, base, day="2026/01/03"): {base}}
    assert parents(home) == forks and len(headers) == 3
    headers.clear()
    assert parents(home) == forks and headers == []
    assert (home / ".codex" / lineage.FILE).stat().st_mode & 0o777 == 0o600


def test_a_directory_that_changed_is_read_again_and_no_other(home, headers):
    base = rollout(home)
    expected = {rollout(home, base): {base}, rollout(home, base, day="2026/01/03"): {base}}
    parents(home)
    headers.clear()
    expected[rollout(home, base, day="2026/01/03", days=4)] = {base}
    assert parents(home) == expected and len(headers) == 2


def test_a_directory_that_has_just_changed_is_not_remembered(home, headers):
    base = rollout(home, days=0)
    fork = rollout(home, base, days=0)
    for _run in range(2):
        assert parents(home) == {fork: {base}}
    assert len(headers) == 4


def test_a_file_without_a_header_yet_is_read_again(home):
    base = rollout(home)
    fork = rollout(home, base)
    path = next(home.rglob(f"*{fork}.jsonl"))
    header = path.read_bytes()
    path.write_bytes(b"")
    assert parents(home) == {}
    path.write_bytes(header)
    assert parents(home) == {fork: {base}}


def test_what_was_left_unread_is_read_when_it_is_asked_for(home):
    base = rollout(home)
    fork = rollout(home, base)
    assert parents(home, unread=(fork,)) == {fork: set()}
    assert parents(home) == {fork: {base}}


def test_a_directory_of_more_files_than_are_held_at_a_time(home, monkeypatch, headers):
    monkeypatch.setattr("ansible_collections.alive.codex.plugins.module_utils._sessions.codex_store._AT_ONCE", 3)
    base = rollout(home)
    forks = {rollout(home, base): {base} for _number in range(10)}
    assert parents(home) == forks
    headers.clear()
    assert parents(home) == forks and headers == []
    forks[rollout(home, base, days=3)] = {base}
    assert parents(home) == forks


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)
DAY_DIRECTORY = ".codex/sessions/2026/01/02"


DOCUMENTS = JSON | st.fixed_dictionaries({DAY_DIRECTORY: JSON})


@given(st.binary(max_size=50) | DOCUMENTS.map(lambda document: json.dumps(document).encode()))
def test_a_memory_that_makes_no_sense_is_none(tmp_path_factory, content):
    home = tmp_path_factory.mktemp("home")
    base = rollout(home)
    fork = rollout(home, base)
    (home / ".codex" / lineage.FILE).write_bytes(content)
    assert parents(home) == {fork: {base}}


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**12)


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path), huge])
def test_a_memory_that_is_no_file_of_ours_is_none(home, put):
    base = rollout(home)
    fork = rollout(home, base)
    put(home / ".codex" / lineage.FILE)
    assert parents(home) == {fork: {base}}


def long_header(home: Path, base: str, length: int) -> str:
    """A fork whose header has so many bytes before it says what it was forked from."""
    fork = rollout(home)
    payload = {"id": fork, "base_instructions": "x" * length, "forked_from_id": base}
    path = next(home.rglob(f"*{fork}.jsonl"))
    path.write_text(json.dumps({"type": "session_meta", "payload": payload}) + "\n")
    return fork


@pytest.mark.parametrize("length", [2**16, 2**20 - 200, 2**20 + 1, 5 * 2**20])
def test_a_long_header_is_read_to_its_end(home, length):
    base = rollout(home)
    fork = long_header(home, base, length)
    assert parents(home) == {fork: {base}}


@pytest.mark.skipif(not shutil.which("zstd"), reason="NOT RUN: the program zstd is not installed")
@pytest.mark.parametrize("length", [2**18, 5 * 2**20])
def test_a_long_header_that_is_compressed_is_read_to_its_end(home, length):
    base = rollout(home)
    fork = long_header(home, base, length)
    path = next(home.rglob(f"*{fork}.jsonl"))
    subprocess.run(["zstd", "--quiet", "--rm", path], check=True)
    assert parents(home) == {fork: {base}}


def endless(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


def closed(path: Path) -> None:
    path.chmod(0)


@pytest.mark.root
@pytest.mark.parametrize(("change", "said"), [(endless, "a line of more than 16 MiB"), (closed, "Permission denied")])
def test_where_a_header_cannot_be_read_to_its_end_nothing_that_it_may_need_goes(change, said):
    with workspaces_root() as root:
        workspace = Workspace(root, "acme", 61_501)
        base = rollout(workspace.home, days=40)
        fork = rollout(workspace.home, base, days=1)
        for path in (workspace.home, *workspace.home.rglob("*")):
            os.chown(path, workspace.uid, workspace.uid)
        change(workspace.rollouts()[fork])
        result = prune(root)
        (problem,) = result["problems"]
        assert (gone(result), result["totals"]["kept"]) == (set(), 2)
        assert "1 session that should have gone did not: what .codex/sessions" in problem and said in problem


def test_what_an_older_version_remembered_is_read_again(home, headers):
    base = rollout(home)
    fork = rollout(home, base)
    parents(home)
    memory = home / ".codex" / lineage.FILE
    directories = json.loads(memory.read_text())["directories"]
    memory.write_text(json.dumps({path: [*known[:2], {}] for path, known in directories.items()}))
    assert parents(home) == {fork: {base}}


@pytest.mark.root
@pytest.mark.parametrize("way", ["forked", "resumed"])
def test_a_base_that_comes_to_be_needed_at_the_last_moment_stays(monkeypatch, way):
    with workspaces_root() as root:
        workspace = Workspace(root, "acme", 61_501)
        first = rollout(workspace.home, days=42)
        base = rollout(workspace.home, first, days=41)
        last = rollout(workspace.home, base if way == "resumed" else None, days=40)
        for path in (workspace.home, *workspace.home.rglob("*")):
            os.chown(path, workspace.uid, workspace.uid)
        closed = CodexStore.closed

        def after_a_turn(store):
            if way == "forked":
                rollout(workspace.home, base, day="2026/01/09", days=0)
            else:
                os.utime(workspace.rollouts()[last])
            return closed(store)

        monkeypatch.setattr(CodexStore, "closed", after_a_turn)
        result = prune(root, sweep=False)
        assert gone(result) == ({last} if way == "forked" else set())
        assert result["problems"] == [] and {first, base} <= set(workspace.rollouts())


@pytest.mark.root
def test_a_base_stays_as_long_as_its_fork_whatever_is_remembered():
    with workspaces_root() as root:
        workspace = Workspace(root, "acme", 61_501)
        base, other = rollout(workspace.home, days=40), rollout(workspace.home, days=40)
        fork = rollout(workspace.home, base, day="2026/01/05", days=10)
        aged = [rollout(workspace.home, day="2026/01/07", days=days) for days in (41, 42)]
        for path in (workspace.home, *workspace.home.rglob("*")):
            os.chown(path, workspace.uid, workspace.uid)

        assert gone(prune(root, dry_run=True)) == {other, *aged}
        assert not (workspace.codex / lineage.FILE).exists()
        assert gone(prune(root, max_age="1000h")) == {aged[1]}
        remembered = json.loads((workspace.codex / lineage.FILE).read_text())
        assert set(remembered["directories"]) == {".codex/sessions/2026/01/02", ".codex/sessions/2026/01/05"}
        assert workspace.foreign_files() == []
        assert gone(prune(root)) == {other, aged[0]}
        assert gone(prune(root)) == set()
        assert set(workspace.rollouts()) == {base, fork}
        assert gone(prune(root, max_age="9d")) == {base, fork}
