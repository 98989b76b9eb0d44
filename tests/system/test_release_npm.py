"""codex_release in every surrounding that npm may be in, and beside somebody else who runs npm."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._release.npm import ready_npm
from support.modules import result_of, start_module
from support.packages import npm_install
from support.proxy import Proxy
from support.registry import Fault, Registry, platform_suffix
from support.releases import Host, build_release

OLD, NEW, NEXT = "0.160.0", "0.161.0", "0.162.0"
# npm otherwise waits for ten seconds before it tries again.
AT_ONCE = {"npm_config_fetch_retries": "0"}


@pytest.fixture(scope="module")
def tarballs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tarballs")
    return [path for version in (OLD, NEW, NEXT) for path in build_release(folder, version)]


@pytest.fixture
def host(open_dir, tarballs):
    with Registry(tarballs) as registry:
        yield Host(open_dir, registry)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A site's own certificate authority: its certificate, and certificate and key of the registry."""
    folder = tmp_path_factory.mktemp("authority")
    ca, ca_key, certificate, key = (folder / name for name in ("ca.pem", "ca.key", "registry.pem", "registry.key"))
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    own = ["-subj", "/CN=Site CA", "-keyout", ca_key, "-out", ca]
    subprocess.run([*make, *own], check=True, capture_output=True)
    signed = ["-CA", ca, "-CAkey", ca_key, "-addext", "basicConstraints=CA:FALSE", "-addext"]
    signed += [
        "subjectAltName=IP:127.0.0.1,DNS:localhost",
        "-subj",
        "/CN=registry",
        "-keyout",
        key,
        "-out",
        certificate,
    ]
    subprocess.run([*make, *signed], check=True, capture_output=True)
    return ca, (certificate, key)


@pytest.fixture
def private_host(open_dir, tarballs, authority):
    """A host whose registry speaks TLS, with a certificate that nobody else knows."""
    with Registry(tarballs, certificate=authority[1]) as registry:
        yield Host(open_dir, registry)


@pytest.fixture(params=["this machine's", "the oldest"])
def npm(request, tmp_path):
    """An npm, of Node.js 16 too, that notes its arguments beside it."""
    folder = tmp_path / "npm"
    folder.mkdir()
    node, script = shutil.which("node"), Path(shutil.which("npm") or "").resolve()
    if request.param == "the oldest":
        node = npm_install(f"node-{platform_suffix()}", "16.20.2") / "bin" / "node"
        script = npm_install("npm", "8.19.4") / "bin" / "npm-cli.js"
    (folder / "node").symlink_to(node)
    (folder / "npm").write_text(f'#!/bin/sh\necho "$@" >> {folder}/arguments\nexec {folder}/node {script} "$@"\n')
    (folder / "npm").chmod(0o755)
    return folder / "npm"


def npmrc(home: Path, *lines: str) -> dict[str, str]:
    """The environment of a user whose .npmrc, in ``home``, holds these lines and who has no other settings of npm."""
    (home / ".npmrc").write_text("".join(f"{line}\n" for line in lines))
    return {"HOME": str(home), "npm_config_globalconfig": "/dev/null", "NODE_EXTRA_CA_CERTS": ""}


def test_settings_of_npm_that_say_otherwise_do_not_matter(host, tmp_path):
    (tmp_path / ".npmrc").write_text(
        "omit=optional\nignore-scripts=false\ndry-run=true\nglobal=false\nbin-links=false\ninstall-strategy=linked\n"
        f"prefix={tmp_path / 'elsewhere'}\nregistry=http://127.0.0.1:9/\n@openai:registry=http://127.0.0.1:9/\n"
    )
    assert host.release(OLD, env={"HOME": str(tmp_path), "NPM_CONFIG_OMIT": "optional"})["changed"]
    assert host.says() == f"codex-cli {OLD}"
    assert os.listdir(tmp_path) == [".npmrc"]


def test_a_home_that_cannot_be_written_does_not_matter(host):
    assert host.release(OLD, env={"HOME": "/proc/1/fdinfo"})["changed"]


def test_a_proxy_named_in_the_environment(host):
    with Proxy() as proxy:
        assert host.release(OLD, env=proxy.environment())["changed"]
    assert set(proxy.asked) == {f"127.0.0.1:{host.registry.port}"}
    assert host.says() == f"codex-cli {OLD}"


def test_a_proxy_and_a_ca_named_in_npms_settings(private_host, authority, tmp_path):
    with Proxy() as proxy:
        env = npmrc(tmp_path, f"https-proxy={proxy.url}", "noproxy=", f"cafile={authority[0]}")
        assert private_host.release(OLD, env={**env, "no_proxy": ""})["changed"]
    assert set(proxy.asked) == {f"127.0.0.1:{private_host.registry.port}"}
    assert private_host.says() == f"codex-cli {OLD}"


def test_a_proxy_that_is_not_there(host, npm):
    with Proxy() as proxy:
        env = {**proxy.environment(), **AT_ONCE}
    told = host.release(OLD, env=env, npm=str(npm))["msg"]
    assert "ECONNREFUSED" in told and "check the network, the proxy and the registry option" in told


def test_a_private_ca_named_in_the_environment(private_host, authority, tmp_path):
    told = private_host.release(OLD, env={**npmrc(tmp_path), **AT_ONCE})["msg"]
    assert "tell npm the registry's CA: cafile in .npmrc, or NODE_EXTRA_CA_CERTS" in told
    assert not private_host.bin.exists()
    env = {**npmrc(tmp_path), "NODE_EXTRA_CA_CERTS": str(authority[0])}
    assert private_host.release(OLD, env=env)["changed"]
    assert private_host.says() == f"codex-cli {OLD}"


def test_npm_in_a_place_that_is_on_nobodys_path(host, tmp_path):
    place = tmp_path / "versions" / "node" / "bin"  # as a version manager lays it out
    place.mkdir(parents=True)
    (place / "node").symlink_to(shutil.which("node"))
    (place / "npm").symlink_to(os.path.realpath(shutil.which("npm")))
    no_node = tmp_path / "bin"
    no_node.mkdir()
    (no_node / "sh").symlink_to("/bin/sh")
    bare = {"PATH": str(no_node)}
    assert f"there is no npm: npm is not found (PATH {no_node})" in host.release(OLD, env=bare)["msg"]
    assert host.release(OLD, env=bare, npm=str(place / "npm"))["changed"]
    assert host.says() == f"codex-cli {OLD}"


@pytest.mark.parametrize(("says", "told"), [("echo v14.21.3", "v14.21.3: >= 16 is needed"), ("exit 1", "(none found)")])
def test_a_node_that_is_too_old_or_broken(host, tmp_path, says, told):
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\n{says}\n")
    node.chmod(0o755)
    (tmp_path / "npm").symlink_to(shutil.which("npm"))
    assert told in host.release(OLD, npm=str(tmp_path / "npm"))["msg"]
    assert not host.bin.exists()


def test_the_oldest_node_is_taken(tmp_path):
    for name, says in (("node", "echo v16.0.0"), ("npm", "echo 'prefix = \"/nonexistent\"'")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{says}\n")
        (tmp_path / name).chmod(0o755)
    with ready_npm(str(tmp_path / "npm"), os.environ, None, None, 10) as npm:
        assert npm.path == str(tmp_path / "npm")


def test_a_token_is_sent_and_shown_nowhere(host, npm, tmp_path):
    host.registry.token = "sk-fake-registry-token"
    assert "401" in host.release(OLD)["msg"]
    # A token of the caller's own for that registry, and a setting that has to count beside ours.
    (tmp_path / ".npmrc").write_text(
        f"//127.0.0.1:{host.registry.port}/:_authToken=other\nregistry={host.registry.url}"
    )
    env = {"HOME": str(tmp_path), f"npm_config_//127.0.0.1:{host.registry.port}/:_authToken": "another"}
    result = host.release(OLD, registry_token=host.registry.token, npm=str(npm), env=env)
    assert result["changed"], result
    assert "\ninstall " in (npm.parent / "arguments").read_text()
    assert host.registry.token not in str(result)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.resolve().is_relative_to(tmp_path)]
    assert [path.name for path in written if host.registry.token.encode() in path.read_bytes()] == []
    assert "must hold no credentials" in host.release(OLD, registry="http://user:secret@127.0.0.1/")["msg"]


def test_npm_in_other_hands_leaves_releases_alone(host, tmp_path):
    host.release(OLD)
    other = tmp_path / "other"
    other.mkdir()
    (other / "package.json").write_text('{"name": "other", "version": "1.0.0"}')
    inodes = {path: path.lstat().st_ino for path in host.prefix.rglob("*")}
    host.npm("install", str(other))
    host.npm("uninstall", "other")
    assert {path: path.lstat().st_ino for path in host.prefix.rglob("*")} == inodes
    assert host.release(OLD)["changed"] is False
    host.npm("install", "--force", f"@openai/codex@{NEW}")
    assert host.release(OLD)["changed"]
    assert host.says() == f"codex-cli {OLD}"
    assert host.versions() == {OLD, NEW}


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", [["install", f"@openai/codex@{NEXT}"], ["uninstall", "@openai/codex"], ["update"]])
def test_npm_in_other_hands_harms_no_release(host, command):
    host.release(OLD)
    host.release(NEW)
    before = contents(host.prefix)
    argv = ["npm", "--global", "--prefix", host.root, "--registry", host.registry.url, *command]
    subprocess.run(argv, capture_output=True, check=False)
    assert contents(host.prefix) == before
    host.registry.stop()
    host.release(NEW)
    assert host.says() == f"codex-cli {NEW}" and f"@openai/codex@{NEW}" in host.npm("ls")


@pytest.mark.parametrize("state", ["fresh", "managed"])
def test_somebodys_npm_is_waited_for_and_its_release_kept(host, state):
    if state == "managed":
        host.release(OLD)
        host.release(NEW, state="present")
    host.registry.fault = Fault(silent=True, match=f"{NEXT}-linux")
    cache = host.root / "cache"
    argv = ["npm", "install", "--global", "--prefix", host.root, "--registry", host.registry.url, "--cache", cache]
    somebody = subprocess.Popen(
        [*argv, "--fetch-retries=9", f"@openai/codex@{NEXT}"], stderr=subprocess.DEVNULL, umask=0o022
    )
    try:
        while not any(f"{NEXT}-linux" in request.path for request in host.registry.requests):
            assert somebody.poll() is None
        impatient = host.release(NEW, timeout=3)
        assert f"npm install @openai/codex@{NEXT}' (PID {somebody.pid}) has been at work for 3 s" in impatient["msg"]
        ours = start_module("codex_release", host.params(NEW))
        host.registry.answer()
        assert somebody.wait(60) == 0
    finally:
        somebody.kill()
        somebody.wait()
    result = result_of(ours)
    assert (result["version"], result["previous"]) == (NEW, NEXT)
    assert host.says() == f"codex-cli {NEW}" and f"@openai/codex@{NEW}" in host.npm("ls")
    assert host.versions() == {NEW, NEXT} | ({OLD} if state == "managed" else set())
    assert host.release("previous")["version"] == NEXT and host.says() == f"codex-cli {NEXT}"
