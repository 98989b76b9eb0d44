"""Databases that Codex keeps elsewhere: their rows go with the sessions, as far as they are the tenant's."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._sessions import sqlite_home
from support.packages import native_codex
from support.sessions import Workspace, gone, prune
from support.settings import usual_umask
from support.stub import FAKE_KEY, ResponsesStub

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def stub():
    with ResponsesStub() as server:
        yield server


@pytest.fixture(params=["0.169.0", "0.171.0"])
def acme(request, root):
    workspace = Workspace(root, "acme", 61_701, request.param)
    own(workspace, workspace.codex).mkdir()
    own(workspace, workspace.codex)
    return workspace


@pytest.fixture
def outside():
    """A place that is nobody's HOME."""
    path = Path(tempfile.mkdtemp(prefix="sqlite-home-", dir="/var/tmp"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def own(workspace: Workspace, path: Path) -> Path:
    if path.exists():
        os.chown(path, workspace.uid, workspace.uid)
    return path


def configure(workspace: Workspace, text: str) -> None:
    path = workspace.codex / "config.toml"
    path.write_text(text)
    own(workspace, path)


def aged_turns(workspace: Workspace, stub) -> list[str]:
    """Two turns, of which the first is due."""
    threads = [workspace.turn(stub) for _number in range(2)]
    workspace.age(threads[0])
    return threads


def assert_pruned(workspace: Workspace, threads: list[str], outside: Path | None = None) -> None:
    result = prune(workspace.home.parent, codex_path=str(native_codex(workspace.version)))
    assert result["problems"] == []
    assert gone(result) == {threads[0]}
    assert set(workspace.rollouts()) == {threads[1]}
    assert workspace.mentions({threads[0]}, outside) == []
    assert workspace.mentions({threads[1]}, outside)
    assert workspace.foreign_files() == []


@pytest.mark.parametrize("text", ["{home}/sqlite", "~/sqlite", "sqlite", "~/.codex/../sqlite", "{home}/.codex/", ""])
def test_where_the_tenant_has_them(acme, stub, text):
    configure(acme, f'sqlite_home = "{text.format(home=acme.home)}"\n[features]\nplugins = false\n')
    threads = aged_turns(acme, stub)
    assert bool(list(acme.codex.glob("*.sqlite"))) == (text in ("", "{home}/.codex/"))
    assert_pruned(acme, threads)
    assert acme.parity() == "ok"


def test_where_they_were_before_too(acme, stub):
    threads = aged_turns(acme, stub)
    configure(acme, f'sqlite_home = "{acme.home}/sqlite"\n')
    for thread in threads:
        acme.turn(stub, "resume", thread)
    acme.age(threads[0])
    assert len(list(acme.home.rglob("state_*.sqlite"))) == 2
    assert_pruned(acme, threads)


def test_outside_of_home_where_it_is_the_tenants(acme, stub, outside):
    (outside / "acme").mkdir()
    own(acme, outside / "acme")
    configure(acme, f'sqlite_home = "{outside}/acme"\n')
    assert_pruned(acme, aged_turns(acme, stub), outside)


def test_where_the_environment_has_them(acme, stub, monkeypatch):
    place = acme.home / "sqlite"
    command = acme.command
    monkeypatch.setattr(acme, "command", lambda *argv, **more: command(*argv, CODEX_SQLITE_HOME=str(place), **more))
    threads = aged_turns(acme, stub)
    assert list(place.glob("state_*.sqlite")) and not list(acme.codex.glob("*.sqlite"))
    monkeypatch.setenv("CODEX_SQLITE_HOME", str(place))
    assert_pruned(acme, threads)
    # The CLI, where it has to do it, looks there too.
    acme.age(threads[1])
    program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('CREATE TABLE t (other_thread_uuid TEXT)')"
    subprocess.run(**command("/usr/bin/python3", "-c", program, next(place.glob("state_*.sqlite"))), check=True)
    assert gone(prune(acme.home.parent, codex_path=str(native_codex(acme.version)))) == {threads[1]}
    assert acme.mentions({threads[1]}) == []


def test_a_relative_place_in_the_environment_is_refused(root, monkeypatch):
    monkeypatch.setenv("CODEX_SQLITE_HOME", "sqlite")
    with pytest.raises(ValueError, match="CODEX_SQLITE_HOME must be an absolute path, not 'sqlite'"):
        prune(root)


def test_where_the_host_has_them(acme, stub, outside, monkeypatch):
    """In /etc/codex, that of a mount namespace for the CLI."""
    etc = outside / "etc" / "codex"
    with usual_umask():
        etc.mkdir(parents=True)
        (etc / "config.toml").write_text('sqlite_home = "~/sqlite"\n')
    monkeypatch.setattr(sqlite_home, "HOST", str(etc))
    script = 'mount --bind "$0" /etc && exec setpriv --reuid "$1" --regid "$1" --clear-groups -- "$@"'
    script = script.replace('-- "$@"', '-- sh -c \'shift; exec "$@"\' sh "$@"')
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, etc.parent, str(acme.uid)]

    def turn():
        done = subprocess.run(
            [*argv, *acme.exec_argv(stub)],
            env={"HOME": str(acme.home), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CODEX_API_KEY": FAKE_KEY},
            cwd=acme.home,
            input=b"hello",
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    turn()
    first = next(iter(acme.rollouts()))
    turn()
    (second,) = set(acme.rollouts()) - {first}
    acme.age(first)
    assert list((acme.home / "sqlite").glob("state_*.sqlite")) and not list(acme.codex.glob("*.sqlite"))
    assert_pruned(acme, [first, second])


def others_place(workspace: Workspace, outside: Path) -> str:
    """Another tenant's, which everybody may write to."""
    place = outside / "other"
    place.mkdir()
    place.chmod(0o777)
    (place / "state_5.sqlite").write_text("other")
    return f'sqlite_home = "{place}"\n'


def link_to_others_place(workspace: Workspace, outside: Path) -> str:
    others_place(workspace, outside)
    (workspace.home / "link").symlink_to(outside / "other")
    return 'sqlite_home = "~/link"\n'


REFUSED = {
    "another's directory": (others_place, "belongs to somebody else"),
    "a link to another's": (link_to_others_place, "belongs to somebody else"),
    "a file": (lambda workspace, outside: 'sqlite_home = "/etc/passwd"\n', "cannot be opened"),
    "what the tenant may not enter": (lambda workspace, outside: 'sqlite_home = "/root/x"\n', "cannot be opened"),
    "no text": (lambda workspace, outside: "sqlite_home = 5\n", "has a sqlite_home that is not text"),
    "no TOML": (lambda workspace, outside: 'sqlite_home = "\n', "cannot be understood"),
}


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_the_tenants_own_is_left_alone_and_said(acme, outside, text, why):
    rollout = acme.codex / "sessions/2026/01/02/rollout-2026-01-02T03-04-05-0199a213-81c0-7800-8aa1-bbab2a035a53.jsonl"
    rollout.parent.mkdir(parents=True)
    rollout.write_text('{"type": "session_meta", "payload": {}}\n')
    os.utime(rollout, (0, 0))
    for path in (rollout, *rollout.parents[:4]):
        own(acme, path)
    configure(acme, text(acme, outside))
    before = {path: path.read_bytes() for path in outside.rglob("*.sqlite")}
    result = prune(acme.home.parent, codex_path="/nonexistent/codex", max_age="30d")
    assert rollout.exists()
    assert why in result["problems"][0]
    assert "1 session that should have gone did not" in result["problems"][0]
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before
