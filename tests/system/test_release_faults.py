"""What goes wrong while a release is installed: one clear error in time, and the active release still works."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.modules import result_of, run_module, start_module
from support.registry import Fault, Registry, unreachable_url
from support.releases import build_release, pack_files
from support.turns import wait_until

OLD, NEW = "0.160.0", "0.161.0"
BALLAST = 12 << 20
# npm otherwise waits for ten seconds before it tries again.
ENV = {"npm_config_fetch_retries": "0"}
# How many moments a run is killed at; the claim is about twenty.
TRIALS = int(os.environ.get("ALIVE_TRIALS", "2"))


@pytest.fixture(scope="module")
def tarballs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tarballs")
    return {OLD: build_release(folder, OLD), NEW: build_release(folder, NEW, BALLAST)}


@pytest.fixture
def registry(tarballs):
    with Registry([path for paths in tarballs.values() for path in paths]) as running:
        yield running


@pytest.fixture
def params(open_dir, registry):
    """The options of a host on which OLD is active."""
    base = {"prefix": str(open_dir / "alive-codex"), "bin": str(open_dir / "bin" / "codex"), "registry": registry.url}
    assert run_module("codex_release", {**base, "version": OLD})["changed"]
    return {**base, "version": NEW}


def assert_old_works(params):
    said = subprocess.run([params["bin"], "--version"], capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"codex-cli {OLD}"


def assert_clean(params, *versions):
    assert sorted(os.listdir(params["prefix"])) == ["lock", "releases"]
    assert sorted(os.listdir(Path(params["prefix"]) / "releases")) == sorted(versions)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(status=404), ("@openai/codex-linux-", "404", "use one that mirrors it")),
        (Fault(status=503), ("@openai/codex-linux-", "503", "out of order")),
        (Fault(corrupt=True), ("@openai/codex-linux-", "corrupted", "proxy that alters it")),
        (Fault(cut=5000), ("@openai/codex-linux-.* broke off|npm install .* ECONNRESET",)),  # npm 8 gives up the whole
        (Fault(status=404, match=""), ("npm install", "404")),
    ],
    ids=["404", "503", "digest", "cut", "all-404"],
)
def test_a_registry_that_fails(registry, params, fault, told):
    registry.fault = fault
    result = run_module("codex_release", params, env=ENV)
    assert result["failed"]
    for words in told:
        assert re.search(words, result["msg"]), result["msg"]
    assert_old_works(params)
    assert_clean(params, OLD)
    registry.fault = Fault()
    assert run_module("codex_release", params)["changed"]


def test_a_registry_that_is_silent(registry, params):
    registry.fault = Fault(silent=True)
    result = run_module("codex_release", {**params, "timeout": 4}, env=ENV)
    assert "took longer than 4 s: raise timeout, or look at the network" in result["msg"]
    assert_old_works(params)
    assert_clean(params, OLD)


@pytest.mark.parametrize("version", [NEW, "latest"])
def test_a_registry_that_is_out_of_reach(params, version):
    url = unreachable_url()
    result = run_module("codex_release", {**params, "registry": url, "version": version}, env=ENV)
    for words in ("npm", url, "ECONNREFUSED", "check the network", "give tarballs"):
        assert words in result["msg"]
    assert_old_works(params)
    assert_clean(params, OLD)


@pytest.mark.root
@pytest.mark.parametrize("source", ["registry", "tarballs"])
def test_a_full_disk(open_dir, registry, tarballs, params, source):
    small = open_dir / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={BALLAST // 2},mode=755", "tmpfs", small], check=True)
    try:
        host = {**params, "prefix": str(small / "codex"), "bin": str(small / "bin" / "codex")}
        assert run_module("codex_release", {**host, "version": OLD})["changed"]
        if source == "tarballs":
            host = with_tarballs(host, tarballs[NEW])
        result = run_module("codex_release", host, env=ENV)
        assert "ENOSPC" in result["msg"] or "No space left on device" in result["msg"]
        assert "make room" in result["msg"]
        assert_old_works(host)
        assert_clean(host, OLD)
    finally:
        subprocess.run(["umount", small], check=True)


def with_tarballs(params, paths, **checksums):
    digests = {path.name: digest(path) for path in paths}
    host = {name: value for name, value in params.items() if name != "registry"}
    return {**host, "tarballs": [str(path) for path in paths], "checksums": {**digests, **checksums}}


def digest(path):
    said = subprocess.run(["sha512sum", path], capture_output=True, text=True, check=True).stdout
    return f"sha512:{said.split()[0]}"


def test_tarballs_need_neither_npm_nor_node(params, tarballs):
    host = with_tarballs(params, tarballs[NEW])
    result = run_module("codex_release", host, env={"PATH": "/nowhere"})
    assert result["changed"] and result["version"] == NEW and result["previous"] == OLD
    assert run_module("codex_release", host)["changed"] is False
    listed = subprocess.run(
        ["npm", "ls", "--global", "--prefix", Path(host["bin"]).parents[1]], capture_output=True, text=True, check=True
    )
    assert f"@openai/codex@{NEW}" in listed.stdout


@pytest.mark.parametrize(
    "kind", ["digest", "cut", "platform", "version", "link", "climb", "absolute", "type", "file", "nothing"]
)
def test_tarballs_that_are_not_right(tmp_path, params, tarballs, kind):
    package, native = tarballs[NEW]
    evil = tmp_path / "evil.tgz"
    manifest = f'{{"name": "@openai/codex", "version": "{NEW}"}}'.encode()
    if kind == "digest":
        host, told = with_tarballs(params, [package, native], **{native.name: digest(package)}), "has the sha512 digest"
    elif kind == "cut":
        evil.write_bytes(native.read_bytes()[:-5000])
        host, told = with_tarballs(params, [package, evil]), "evil.tgz is"
    elif kind == "platform":
        host, told = with_tarballs(params, [package]), "platform package is missing"
    elif kind == "version":
        host, told = with_tarballs(params, tarballs[OLD]), f"wanted are @openai/codex {NEW}"
    elif kind == "link":
        subprocess.run(["ln", "-s", "/etc/passwd", tmp_path / "link"], check=True)
        (tmp_path / "package.json").write_bytes(manifest)
        subprocess.run(
            ["tar", "-czf", evil, "-C", tmp_path, "--transform", "s,^,package/,", "package.json", "link"], check=True
        )
        host, told = with_tarballs(params, [evil, native]), "'package/link', which is neither a file nor a directory"
    elif kind == "climb":
        pack_files(evil, {"package.json": manifest, "../../../../../../escaped": b"x"})
        host, told = with_tarballs(params, [evil, native]), "has an empty, '.' or '..' component; get it anew"
    elif kind == "absolute":
        pack_files(evil, {"package.json": manifest, f"{tmp_path}/escaped": b"x"})
        host, told = with_tarballs(params, [evil, native]), "has an empty, '.' or '..' component; get it anew"
    elif kind == "type":
        pack_files(evil, {"package.json": manifest[:-1] + b', "optionalDependencies": 5}'})
        host, told = (
            with_tarballs(params, [evil, native]),
            "its package.json has 5 as optionalDependencies; get it anew",
        )
    elif kind == "file":
        evil.write_text("not a tarball")
        host, told = with_tarballs(params, [evil, native]), "is damaged, or not packed with gzip"
    else:
        host, told = with_tarballs(params, [package, native]), "cannot be read"
        host["tarballs"][0] = str(tmp_path / package.name)
    result = run_module("codex_release", host)
    assert told in result["msg"]
    assert not [*Path(params["prefix"]).parent.rglob("escaped"), *tmp_path.rglob("escaped")]
    assert_old_works(params)
    assert_clean(params, OLD)


def npm_of(module_pid):
    """The PID of the npm that a module runs, or None."""
    done = subprocess.run(["pgrep", "-P", str(module_pid)], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[0]) if done.stdout else None


def go_back(params):
    assert run_module("codex_release", {**params, "version": OLD})["changed"]
    assert run_module("codex_release", {**params, "version": NEW, "state": "absent"})["changed"]


@pytest.mark.parametrize("victim", ["module", "npm"])
def test_killed_at_any_moment(registry, params, victim):
    registry.fault = Fault(rate=BALLAST)
    started = time.monotonic()
    assert run_module("codex_release", params)["changed"]
    whole = time.monotonic() - started
    go_back(params)
    for trial in range(TRIALS):
        process = start_module("codex_release", params, env=ENV)
        time.sleep((trial + random.random()) * whole / TRIALS)  # the moment of the kill is what is tried
        pid = process.pid if victim == "module" else npm_of(process.pid)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signal.SIGKILL)
        process.communicate()
        said = subprocess.run([params["bin"], "--version"], capture_output=True, text=True, check=True).stdout
        assert said.strip() in (f"codex-cli {OLD}", f"codex-cli {NEW}")
        after = run_module("codex_release", params)
        assert after["version"] == NEW and not after.get("failed")
        assert_clean(params, OLD, NEW)
        go_back(params)


def test_npm_does_not_outlive_a_killed_module(registry, params):
    registry.fault = Fault(silent=True)
    asked = len(registry.requests)
    process = start_module("codex_release", params)
    while not any(request.path.endswith(f"{NEW}.tgz") for request in registry.requests[asked:]):
        assert process.poll() is None
    npm = npm_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    result_pipe_closed = process.communicate()
    assert result_pipe_closed[0] == ""
    wait_until(lambda: not Path(f"/proc/{npm}").exists())
    registry.fault = Fault()
    assert result_of(start_module("codex_release", params))["changed"]
