"""codex_release against real npm and a registry on loopback, with small packages of Codex's shape."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.modules import result_of, start_module
from support.registry import Registry
from support.releases import TRIPLE, Host, build_release
from support.settings import usual_umask

OLD, NEW, NEXT = "0.160.0", "0.161.0", "0.162.0"


@pytest.fixture(scope="module")
def tarballs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tarballs")
    return {version: build_release(folder, version) for version in (OLD, NEW, NEXT)}


@pytest.fixture
def registry(tarballs):
    with Registry([path for paths in tarballs.values() for path in paths]) as running:
        yield running


@pytest.fixture
def host(open_dir, registry):
    return Host(open_dir, registry)


def test_installs_and_then_has_nothing_to_do(host):
    first = host.release(OLD)
    assert first["changed"] and first["version"] == OLD and first["previous"] is None
    assert host.says() == f"codex-cli {OLD}"
    assert first["real_path"] == os.path.realpath(host.bin)
    assert [(r["version"], r["active"], r["processes"]) for r in first["releases"]] == [(OLD, True, 0)]
    assert os.path.realpath(host.tree).startswith(str(host.prefix))
    assert f"@openai/codex@{OLD}" in host.npm("ls")

    asked = len(host.registry.requests)
    second = host.release(OLD, npm="/nowhere/npm")
    assert second["changed"] is False
    assert len(host.registry.requests) == asked
    assert sorted(os.listdir(host.prefix)) == ["lock", "releases"]


def test_check_mode_says_what_would_happen(host):
    told = host.release("latest", check=True)
    assert told["changed"] and told["version"] == NEXT
    assert f"+active: {NEXT}" not in told["diff"]["before"] and f"active: {NEXT}" in told["diff"]["after"]
    assert not host.prefix.exists() and not host.bin.exists()
    assert "no match" in host.release("0.1.0", check=True, requires="")["msg"].lower()

    done = host.release("latest")
    assert done["changed"] and done["version"] == NEXT
    assert host.release("latest", check=True)["changed"] is False
    assert host.release("latest")["changed"] is False


def test_going_back_twice_is_going_back_once(host):
    host.release(OLD)
    up = host.release(NEW)
    assert (up["version"], up["previous"], up["rolled_back_from"], host.says()) == (NEW, OLD, None, f"codex-cli {NEW}")
    host.registry.stop()
    for changed in (True, False, False):
        for check in (True, False):
            back = host.release("previous", check=check)
            told = [back[key] for key in ("changed", "version", "previous", "rolled_back_from")]
            assert told == [changed, OLD, OLD, NEW]
        assert host.says() == f"codex-cli {OLD}"
    # On again, and back again: by its name, it is going back too.
    on = host.release(NEW)
    assert (on["changed"], on["previous"], on["rolled_back_from"]) == (True, OLD, None)
    back = host.release(OLD)
    assert (back["previous"], back["rolled_back_from"]) == (OLD, NEW)
    assert host.release("previous")["changed"] is False


def test_what_was_gone_back_from_is_never_the_previous_release(host):
    host.release(OLD)
    host.release(NEW)
    host.release("previous")
    on = host.release(NEXT, keep=2)
    assert (on["previous"], on["rolled_back_from"]) == (OLD, None)
    assert host.release("previous", keep=2)["version"] == OLD


def tree_of(place):
    """Everything below a directory: what kind of thing, its mode, and its text or where it leads."""
    found = {}
    for path in sorted(place.rglob("*")):
        text = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        found[str(path.relative_to(place))] = (stat.S_IFMT(path.lstat().st_mode), text)
    return found


def test_all_of_it_goes_and_what_it_replaced_is_given_back(host):
    host.npm("install", f"@openai/codex@{OLD}")
    before = tree_of(host.root)
    host.release(NEW)
    assert tree_of(host.root) != before
    (host.prefix / "mine").touch()
    told = host.release("all", state="absent", check=True)
    assert told["changed"] and host.says() == f"codex-cli {NEW}"
    done = host.release("all", state="absent")
    assert (done["changed"], done["given_back"], done["releases"]) == (True, [str(host.tree), str(host.bin)], [])
    said = ("given_back", "diff", "warnings")
    assert [told[key] for key in said] == [done[key] for key in said]
    assert f"{host.prefix} stays, as mine in it is none of ours" in str(done["warnings"])
    assert done["diff"]["after"].endswith(f"given back:\n  {host.tree}\n  {host.bin}\n")
    shutil.rmtree(host.prefix)
    # npm hides a file of its own in the tree, which it writes anew.
    assert {name: each for name, each in tree_of(host.root).items() if ".package-lock" not in name} == {
        name: each for name, each in before.items() if ".package-lock" not in name
    }
    assert f"@openai/codex@{OLD}" in host.npm("ls")
    assert host.release("all", state="absent")["changed"] is False


def test_a_link_to_a_release_that_is_gone_is_still_ours(host):
    host.release(OLD)
    shutil.rmtree(host.prefix / "releases" / OLD)
    assert host.bin.is_symlink() and not host.bin.exists()
    host.release(NEW)
    assert not (host.prefix / "replaced").exists()  # nobody else's, to be given back
    shutil.rmtree(host.prefix / "releases" / NEW)
    for check in (True, False):
        done = host.release("all", state="absent", check=check)
        assert (done["changed"], done["given_back"]) == (True, [])
    assert not host.bin.is_symlink() and not host.tree.is_symlink()


def test_a_file_is_given_back_and_a_bare_host_is_bare_again(host):
    host.bin.parent.mkdir()
    host.bin.parent.chmod(0o755)
    host.bin.write_text("#!/bin/sh\necho codex-cli 0.99.0\n")
    host.bin.chmod(0o755)
    host.release(NEW)
    assert host.release("all", state="absent")["given_back"] == [str(host.bin)]
    assert host.says() == "codex-cli 0.99.0"
    host.bin.unlink()
    host.release(NEW)
    assert host.release("all", state="absent")["given_back"] == []
    assert [path for path in host.root.rglob("*") if not path.is_dir()] == []


def test_what_is_not_kept_any_more_is_told_not_given_back(host):
    host.npm("install", f"@openai/codex@{OLD}")
    host.release(NEW, keep=0)
    told = host.release("all", state="absent", check=True)
    done = host.release("all", state="absent")
    assert told["warnings"] == done["warnings"] and told["given_back"] == done["given_back"] == []
    assert f"npm install --global @openai/codex@{OLD} brings it back" in str(done["warnings"])
    assert not host.bin.is_symlink() and not host.tree.is_symlink()


def test_nothing_goes_while_a_release_runs_unless_forced(host):
    host.release(OLD)
    packages = host.prefix / "releases" / OLD / "lib/node_modules/@openai"
    process = subprocess.Popen([next(packages.glob(f"*/vendor/{TRIPLE}/codex-path/rg")), "300"])
    try:
        for check in (True, False):
            assert f"1 process(es) run {OLD}" in host.release("all", state="absent", check=check)["msg"]
        assert host.says() == f"codex-cli {OLD}"
        assert host.release("all", state="absent", force=True)["changed"]
        assert not host.bin.exists()
    finally:
        process.kill()
        process.wait()


def test_what_check_mode_foresees_comes_true(host):
    host.npm("install", f"@openai/codex@{OLD}")
    for version, options in [
        (NEW, {}),
        (NEXT, {"state": "present"}),
        (NEXT, {}),
        ("previous", {}),
        (NEXT, {"keep": 0}),
    ]:
        told = host.release(version, check=True, **options)
        done = host.release(version, **options)
        assert done["changed"] and done["diff"]["before"] != done["diff"]["after"]
        assert [told[key] for key in ("diff", "version", "previous")] == [
            done[key] for key in ("diff", "version", "previous")
        ]
    assert host.versions() == {NEXT}


def test_a_release_that_was_never_tried_is_warned_of_before_it_is_asked_for(host):
    assert "0.999.0 is newer than" in str(host.release("0.999.0", check=True)["warnings"])
    assert "warnings" not in host.release("0.999.0", check=True, warn_unproven=False)


def test_there_may_be_no_previous_release(host):
    host.release(OLD)
    host.release(NEW, state="present")
    assert "no previous release" in host.release("previous")["msg"]


def test_keeps_as_many_as_asked_for_but_never_one_in_use(host):
    host.release(OLD)
    packages = host.prefix / "releases" / OLD / "lib/node_modules/@openai"
    process = subprocess.Popen([next(packages.glob(f"*/vendor/{TRIPLE}/codex-path/rg")), "300"])
    try:
        used = host.release(NEW, keep=0)
        assert {r["version"]: r["processes"] for r in used["releases"]} == {OLD: 1, NEW: 0}
        assert f"{OLD} is in use by 1 process" in host.release(OLD, state="absent")["msg"]
    finally:
        process.kill()
        process.wait()
    assert host.release(NEW, keep=0)["changed"]
    assert host.versions() == {NEW}
    assert host.release(NEW, keep=0)["changed"] is False


def test_a_release_that_waits_for_its_first_service_stays(host):
    host.release(OLD)
    assert host.release(NEXT, state="present")["changed"]
    assert host.release(NEXT, state="present")["changed"] is False
    assert host.says() == f"codex-cli {OLD}"
    host.release(NEW, keep=0)
    assert host.versions() == {NEW, NEXT}


def test_removes_a_release_but_not_the_active_one(host):
    host.release(OLD)
    host.release(NEW)
    assert f"{NEW} is active" in host.release(NEW, state="absent")["msg"]
    assert host.release(OLD, state="absent", check=True)["changed"]
    assert host.versions() == {OLD, NEW}
    assert host.release(OLD, state="absent")["changed"]
    assert host.release(OLD, state="absent")["changed"] is False
    assert host.versions() == {NEW}


@pytest.mark.root
def test_modes_do_not_depend_on_the_umask(host):
    host.release(OLD)
    for path in [host.prefix, *host.prefix.rglob("*"), host.bin.parent, host.tree.parent, host.tree.parent.parent]:
        info = path.lstat()
        assert (info.st_uid, info.st_gid) == (0, 0), path
        if path.name == "lock":
            assert stat.S_IMODE(info.st_mode) == 0o600
        elif not path.is_symlink():
            runs = path.is_dir() or path.parent.name in ("bin", "codex-path")
            assert stat.S_IMODE(info.st_mode) == (0o755 if runs else 0o644), path


@pytest.mark.root
def test_a_place_that_tenants_cannot_reach_or_could_change_is_refused(host):
    private = host.root / "private"
    private.mkdir(mode=0o700)
    refused = host.release(OLD, prefix=str(private / "codex"))
    assert f"cannot go through {private}" in refused["msg"]
    private.chmod(0o777)
    assert f"{private} is writable by everybody" in host.release(OLD, prefix=str(private / "codex"))["msg"]
    private.chmod(0o755)
    os.chown(private, 54321, 54321)
    assert f"{private} belongs to UID 54321" in host.release(OLD, bin=str(private / "codex"))["msg"]
    assert not host.prefix.exists() and not list(private.iterdir())


@pytest.mark.parametrize("umask", ["022", "002"])
def test_a_plain_installation_becomes_the_release_to_go_back_to(host, umask):
    subprocess.run(
        ["npm", "install", "-g", "--prefix", host.root, "--registry", host.registry.url, f"@openai/codex@{OLD}"],
        check=True,
        umask=int(umask, 8),
        capture_output=True,
    )
    assert not host.tree.is_symlink()
    took = host.release(NEW)
    assert (took["version"], took["previous"], host.says()) == (NEW, OLD, f"codex-cli {NEW}")
    assert f"@openai/codex@{NEW}" in host.npm("ls")
    host.registry.stop()
    assert host.release("previous")["version"] == OLD
    assert host.says() == f"codex-cli {OLD}"


def test_a_plain_installation_of_the_same_version_is_taken_over_without_a_download(host):
    host.npm("install", f"@openai/codex@{OLD}")
    host.registry.stop()
    assert host.release(OLD, npm="/nowhere/npm", check=True)["changed"]
    assert host.release(OLD)["changed"]
    assert host.says() == f"codex-cli {OLD}" and host.tree.is_symlink()
    assert host.release(OLD)["changed"] is False


def test_an_incomplete_installation_is_replaced(host):
    host.npm("install", f"@openai/codex@{OLD}")
    shutil.rmtree(host.tree / "node_modules")
    host.release(NEW)
    assert host.versions() == {NEW} and host.tree.is_symlink()


def test_nothing_at_the_stable_path_goes_without_a_word_and_a_way_back(host, tmp_path):
    with usual_umask():
        host.bin.parent.mkdir()
    replaced = host.prefix / "replaced"
    there = tmp_path / "wrapper"
    there.write_text("#!/bin/sh\n")
    # Each with what is told of it, and under which name it is kept.
    for put, told, name in [
        (lambda: host.bin.symlink_to("/nowhere/codex"), "was a link to /nowhere/codex", "codex"),
        (lambda: host.bin.symlink_to(there), f"was a link to {there}", "codex.1"),
        (lambda: host.bin.write_text("#!/bin/sh\necho mine\n"), "was a file that no release", "codex"),
        (lambda: host.bin.write_text("another"), "was a file that no release", "codex"),
        (lambda: host.bin.symlink_to(host.bin), "was a link to", "codex.4"),
    ]:
        host.bin.unlink(missing_ok=True)
        put()
        kept = host.release(OLD)
        assert kept["changed"] and told in kept["warnings"][0], kept
        assert f"kept as {replaced / name}" in kept["warnings"][0], kept
        assert host.says() == f"codex-cli {OLD}"
    assert sorted(os.listdir(replaced)) == ["codex", "codex.1", "codex.2", "codex.3", "codex.4"]
    assert os.readlink(replaced / "codex.2") == "/nowhere/codex"
    assert (replaced / "codex.3").read_text() == "#!/bin/sh\necho mine\n"
    assert "warnings" not in host.release(OLD)


@pytest.mark.parametrize("kind", ["a directory", "a FIFO", "a symbolic link to a directory"])
def test_what_can_be_no_command_is_left_where_it_is(host, tmp_path, kind):
    with usual_umask():
        host.bin.parent.mkdir()
    {"a directory": host.bin.mkdir, "a FIFO": lambda: os.mkfifo(host.bin)}.get(
        kind, lambda: host.bin.symlink_to(tmp_path)
    )()
    assert f"codex is {kind}; the path of the command itself is wanted" in host.release(OLD)["msg"]
    assert not host.prefix.exists()


@pytest.mark.parametrize("kind", ["incomplete", "a file", "a link elsewhere", "a tenant's"])
def test_what_is_in_npms_tree_and_can_be_no_release_is_kept(host, tmp_path, kind):
    with usual_umask():
        host.tree.parent.mkdir(parents=True)
        if kind == "a file":
            host.tree.write_text("theirs")
        elif kind == "a link elsewhere":
            host.tree.symlink_to(tmp_path)
        else:
            host.npm("install", f"@openai/codex@{OLD}")
    if kind == "incomplete":
        shutil.rmtree(host.tree / "node_modules")
    elif kind == "a tenant's":
        (host.tree / "package.json").chmod(0o666)
    before = host.tree.lstat().st_ino
    host.bin.unlink(missing_ok=True)
    assert f"it is kept as {host.prefix}/replaced/tree" in host.release(NEW)["warnings"][0]
    assert (host.prefix / "replaced" / "tree").lstat().st_ino == before
    assert os.path.realpath(host.tree).startswith(str(host.prefix)) and host.versions() == {NEW}


def test_a_damaged_release_is_installed_again(host):
    host.release(OLD)
    Path(os.path.realpath(host.bin)).write_bytes(b"")
    assert host.release(OLD, check=True)["changed"]
    assert host.release(OLD)["changed"]
    assert host.says() == f"codex-cli {OLD}"


@pytest.mark.root
def test_where_the_whole_host_looks_both_npm_trees_lead_to_the_release(host, tmp_path):
    # In a mount namespace, so that this machine's own /usr/local stays as it is.
    (tmp_path / ".npmrc").write_text(f"prefix={tmp_path / 'odd'}\n")
    script = f"""
        set -e
        mount -t tmpfs -o mode=755 tmpfs /usr/local
        export HOME={tmp_path}
        npm install -g --registry {host.registry.url} @openai/codex@{OLD} >/dev/null
        {sys.executable} -m support.modules codex_release '{{"version": "{NEW}", "registry": "{host.registry.url}"}}'
        codex --version
        npm ls -g
        npm ls -g --prefix /usr/local
        {sys.executable} -m support.modules codex_release '{{"version": "previous"}}'
        npm ls -g
    """
    os.chmod(tmp_path, 0o755)
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin"},
        check=True,
    )
    assert done.stdout.count(f"@openai/codex@{NEW} -> ") == 2, done.stdout
    assert f"codex-cli {NEW}\n" in done.stdout
    assert f"@openai/codex@{OLD} -> " in done.stdout.rpartition("real_path")[2]


def test_two_runs_at_once_do_it_once(host):
    both = [start_module("codex_release", host.params(OLD)) for _run in range(2)]
    results = [result_of(process) for process in both]
    assert sorted(result["changed"] for result in results) == [False, True]
    assert sum(request.path.endswith(".tgz") for request in host.registry.requests) == 2
    assert host.says() == f"codex-cli {OLD}"


def test_going_far_back_warns(host, tmp_path):
    host.registry.add(build_release(tmp_path, "0.140.0")[0])
    host.registry.add(build_release(tmp_path, "0.140.0")[1])
    host.release(OLD)
    for check in (True, False):
        assert "cannot read all sessions" in host.release("0.140.0", check=check)["warnings"][0]


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"version": "0.40.0"}, "does not fit requires '>=0.44.0' (0.44.0 is the first"),
        ({"version": NEW, "requires": "<0.161"}, "does not fit requires '<0.161'"),
        ({"version": NEW, "requires": "~0.161"}, "is not a requirement"),
        ({"version": "0.161.9"}, "No match"),
        ({"version": "nosuchtag"}, "nosuchtag"),
        ({"version": NEW, "prefix": "codex"}, "must be an absolute path"),
        ({"version": NEW, "npm": "/nowhere/npm"}, "there is no npm"),
        ({"version": NEW, "registry": "ftp://127.0.0.1/"}, "not an http(s) address"),
        ({"version": NEW, "keep": -1}, "keep must not be negative"),
        ({"version": NEW, "probe_user": "nosuchuser"}, "nosuchuser"),
        ({"version": "latest", "state": "absent"}, "must be exact"),
    ],
)
def test_bad_input_changes_nothing(host, params, complaint):
    result = host.release(**params)
    assert result["failed"] and complaint.lower() in result["msg"].lower()
    assert (not host.bin.exists() and not (host.prefix / "releases").exists()) or not host.versions()
