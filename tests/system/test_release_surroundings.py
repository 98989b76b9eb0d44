"""codex_release and codex_tarballs as root, where a tenant has laid out settings, code and directories for npm."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._host import access
from ansible_collections.alive.codex.plugins.module_utils._release.environment import own_surroundings
from support.modules import run_module
from support.registry import Registry
from support.releases import Host, build_release

OLD, NEW = "0.160.0", "0.161.0"
TENANT = 54321
TOKEN = "npm-fake-registry-token"

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def tarballs(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("tarballs")
    return [path for version in (OLD, NEW) for path in build_release(folder, version)]


@pytest.fixture
def host(open_dir: Path, tarballs: list[Path]) -> Iterator[Host]:
    with Registry(tarballs) as registry:
        yield Host(open_dir, registry)


@pytest.fixture
def theirs(tarballs: list[Path]) -> Iterator[Registry]:
    """The tenant's registry, which is asked nothing."""
    with Registry(tarballs) as registry:
        yield registry
        assert registry.requests == []


@pytest.fixture
def lair(open_dir: Path, host: Host, theirs: Registry) -> Path:
    """A tenant's directory, where every setting serves the tenant."""
    folder = open_dir / "lair"
    folder.mkdir()
    (folder / "package.json").write_text('{"name": "lair", "version": "1.0.0"}')
    lines = [f"{name}={theirs.url}" for name in ("registry", "@openai:registry", "proxy", "https-proxy")]
    lines += ["noproxy=", "fetch-retries=0", "strict-ssl=false", f"logs-dir={folder}/of-root/logs"]
    lines += [f"prefix={folder}/of-root/prefix", f"cafile={folder}/ca.pem"]
    lines += [f"//127.0.0.1:{host.registry.port}/:_authToken=of-the-tenant"]
    lines += [f"node-options=--require={folder}/code.js", f"script-shell={folder}/code"]
    (folder / ".npmrc").write_text("".join(f"{line}\n" for line in lines))
    (folder / "code.js").write_text(f"require('fs').writeFileSync('{folder}/of-root', '')")
    (folder / ".node_modules").mkdir()
    shutil.copy(folder / "code.js", folder / ".node_modules" / "encoding.js")  # npm uses it where it is installed
    for name in ("code", "npm", "node"):
        (folder / name).write_text(f'#!/bin/sh\ntouch {folder}/of-root\nexec {shutil.which("npm")} "$@"\n')
        (folder / name).chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, TENANT, TENANT)
    yield folder
    assert not (folder / "of-root").exists()


@pytest.fixture
def own(open_dir: Path, host: Host) -> dict[str, str]:
    """The environment of a root whose own .npmrc names the registry."""
    home = open_dir / "root"
    home.mkdir()
    (home / ".npmrc").write_text(f"registry={host.registry.url}\n")
    return {"HOME": str(home), "npm_config_globalconfig": "/dev/null"}


def in_lair(lair: Path) -> str:
    (lair / "tmp").mkdir(mode=0o700)
    return str(lair / "tmp")


def as_if_tmp(lair: Path) -> str:
    os.chown(lair, 0, 0)
    lair.chmod(0o1777)
    return str(lair)


@pytest.mark.parametrize("place", [str, in_lair, as_if_tmp])
@pytest.mark.parametrize("version", ["latest", OLD])
def test_a_directory_for_temporary_files_in_a_tenants_reach(host, lair, own, place: Callable[[Path], str], version):
    env = {**own, "TMPDIR": place(lair)}
    assert host.release(version, check=True, registry=None, env=env)["changed"]
    host.registry.token = TOKEN
    assert host.release(version, registry_token=TOKEN, env=env)["changed"]
    kept = {"version": version, "directory": str(host.root / "kept")}
    fetched = run_module("codex_tarballs", {**kept, "registry": host.registry.url, "registry_token": TOKEN}, env=env)
    assert fetched["changed"] and not fetched.get("warnings"), fetched
    assert {request.authorization for request in host.registry.requests} == {"", f"Bearer {TOKEN}"}
    assert not [name for name in os.listdir(lair) if name.startswith("tmp") and name != "tmp"]


def test_a_tenants_directory_to_start_in(host, lair, own):
    env = {**own, "PATH": f":.:{lair}:{os.environ['PATH']}", "TMPDIR": "."}
    assert host.release("latest", registry=None, env=env, cwd=lair)["changed"]
    told = host.release(NEW, env={**own, "PATH": str(lair)}, cwd=lair)
    assert told["changed"] is False  # there already: npm is not looked for
    told = host.release(OLD, env={**own, "PATH": str(lair)}, cwd=lair)["msg"]
    assert f"npm is not found (PATH , without {lair}, which others could change)" in told


@pytest.mark.parametrize("name", ["./npm", "lair/npm"])
def test_a_tenants_npm_is_not_run(host, lair, own, name):
    npm = name if name.startswith(".") else str(lair / "npm")
    told = host.release(OLD, env=own, npm=npm, cwd=lair)["msg"]
    assert f"{lair}/npm is not run, as another user could change it: {lair} belongs to UID {TENANT}" in told
    os.chown(lair / "npm", 0, 0)
    (host.root / "npm").symlink_to(lair / "npm")
    assert "is not run" in host.release(OLD, env=own, npm=str(host.root / "npm"))["msg"]


def test_a_tenants_node_is_not_run(host, lair, own):
    beside = host.root / "beside"
    beside.mkdir()
    (beside / "npm").symlink_to(os.path.realpath(shutil.which("npm")))
    (beside / "node").symlink_to(lair / "node")
    told = host.release(OLD, env=own, npm=str(beside / "npm"))["msg"]
    assert f"{beside}/node is not run, as another user could change it" in told


@pytest.mark.parametrize("home", ["{lair}", "{link}", "lair", "/tmp", ""])
def test_another_users_home_is_not_roots(host, lair, home):
    (host.root / "link").symlink_to(lair)
    given = home.format(lair=lair, link=host.root / "link")
    env = {"HOME": given, "npm_config_globalconfig": "/dev/null"}
    result = host.release(OLD, env=env, cwd=host.root)
    assert result["changed"], result
    warnings = result.get("warnings", [])
    assert len(warnings) == (1 if given else 0)
    assert all(f"npm is not given HOME {given}, and reads no .npmrc there" in told for told in warnings)


def test_settings_in_roots_home_that_are_anothers(host, lair, own):
    settings = Path(own["HOME"]) / ".npmrc"
    settings.unlink()
    for make in (settings.symlink_to, lambda path: os.chown(shutil.copy(path, settings), TENANT, 0)):
        make(lair / ".npmrc")
        result = host.release(OLD, env=own, check=True)
        assert [told for told in result["warnings"] if "reads no .npmrc there" in told], result
        settings.unlink()


def test_the_hosts_own_settings_count_for_installing_too(host, own, lair):
    Path(own["HOME"], ".npmrc").unlink()
    site = host.root / "site of ours"
    (site / "etc").mkdir(parents=True)
    (site / "etc" / "npmrc").write_text(f"registry={host.registry.url}\nprefix={host.root}/elsewhere\n")
    env = {"HOME": own["HOME"], "PREFIX": str(site)}
    assert host.release(OLD, registry=None, env=env)["changed"]
    shutil.copy(lair / ".npmrc", site / "etc" / "npmrc")
    os.chown(site / "etc", TENANT, TENANT)
    (told,) = host.release(NEW, env=env)["warnings"]
    assert f"npm does not read {site}/etc/npmrc, which another user could have changed: {site}/etc belongs to" in told


@pytest.mark.parametrize("setting", ["globalconfig={}/npmrc", "prefix={}"])
def test_the_hosts_settings_are_where_roots_say(host, own, setting):
    site = host.root / "site"
    (site / "etc").mkdir(parents=True)
    for settings in (site / "npmrc", site / "etc" / "npmrc"):
        settings.write_text(f"registry={host.registry.url}\n")
    Path(own["HOME"], ".npmrc").write_text(setting.format(site))
    assert host.release(OLD, registry=None, env={"HOME": own["HOME"]})["changed"]


# Of root's own environment, what is root's to choose stays.
KEPT = {
    "https_proxy": "http://proxy.example:3128/",
    "NO_PROXY": "10.0.0.0/8,.example",
    "NODE_EXTRA_CA_CERTS": "/etc/ssl/certs/ca-certificates.crt",
    "NODE_OPTIONS": "--use-openssl-ca --max-old-space-size=4096",
    "NPM_CONFIG_REGISTRY": "https://registry.example/npm/",
    "npm_config_cafile": "/etc/ssl/certs/ca-certificates.crt",
    "npm_config_//registry.example/npm/:_authToken": "a/b+c/==",
    "npm_config_userconfig": "/root/.npmrc",
    "SITE_TOKEN": "/what/an.npmrc/refers/to",
    "LD_LIBRARY_PATH": ":/usr/local/lib",
    "LANG": "C.UTF-8",
    "XDG_CONFIG_HOME": "/root/.config",
}
MISSED = [
    "NODE_OPTIONS=--max-old-space-size=4096 --require {lair}/code.js",
    "NODE_OPTIONS=--import=file://{lair}/code.js",
    'NODE_OPTIONS=--require "{lair}/my code.js"',
    "NODE_OPTIONS=--require .{lair}/code.js",
    "NODE_PATH=/usr/lib/node_modules:{lair}",
    "NODE_EXTRA_CA_CERTS={lair}/not-there.pem",
    "NODE_COMPILE_CACHE={sticky}/cache",
    "LD_PRELOAD={lair}/code.so",
    "LD_LIBRARY_PATH={lair}",
    "SSL_CERT_DIR={lair}",
    "OPENSSL_CONF={lair}/openssl.cnf",
    "PREFIX={lair}",
    "npm_config_userconfig={lair}/.npmrc",
    "NPM_CONFIG_GLOBALCONFIG=..{lair}/.npmrc",
    "NPM_CONFIG_USERCONFIG={link}/.npmrc",
    "npm_config_prefix={lair}/new/prefix",
]
LEFT_OUT = ["BASH_ENV={lair}/code", "XDG_CONFIG_HOME={lair}", "PYTHONPATH={lair}", "PWD={lair}", "TMP={lair}"]


@pytest.mark.parametrize("said", [*MISSED, *LEFT_OUT])
def test_variables_that_lead_into_a_tenants_hands(open_dir, said):
    lair, link, sticky = open_dir / "lair", open_dir / "link", open_dir / "sticky"
    lair.mkdir()
    os.chown(lair, TENANT, TENANT)
    link.symlink_to(lair)
    sticky.mkdir()
    sticky.chmod(0o1777)
    name, _separator, value = said.format(lair=lair, link=link, sticky=sticky).partition("=")
    environ = {**KEPT, "HOME": "/root", "PATH": "/usr/bin", name: value}
    found = own_surroundings(environ, "/scratch")
    kept = {kept: value for kept, value in KEPT.items() if kept != name}
    assert found.environment == {**kept, "HOME": "/root", "PATH": "/usr/bin", "TMPDIR": "/scratch"}
    assert len(found.warnings) == (1 if said in MISSED else 0)
    why = f"others may put files into {sticky}" if "sticky" in said else f"{lair} belongs to UID {TENANT}"
    for told in found.warnings:
        assert f"npm is not given {name}, which leads to what another user could change: {why}" in told


def test_what_root_has_chosen_stays():
    found = own_surroundings({**KEPT, "HOME": "/root", "PATH": "/usr/local/bin:/usr/bin"}, "/scratch")
    assert found.environment == {**KEPT, "HOME": "/root", "PATH": "/usr/local/bin:/usr/bin", "TMPDIR": "/scratch"}
    assert (found.unsafe_path, found.warnings) == ([], [])


def test_npm_starts_in_the_root_directory_and_leaves_nothing(host, own, tmp_path):
    wrapper = tmp_path / "npm"
    wrapper.write_text(
        f'#!/bin/sh\n{{ pwd; stat -c "%u %a" "$TMPDIR"; echo "$NODE_DISABLE_COMPILE_CACHE"; }} >>{tmp_path}/seen\n'
        f'exec {shutil.which("npm")} "$@"\n'
    )
    wrapper.chmod(0o755)
    before = set(os.listdir("/"))
    assert host.release("latest", env={**own, "TMPDIR": str(tmp_path)}, npm=str(wrapper))["changed"]
    seen = (tmp_path / "seen").read_text().split("\n")[:-1]
    assert len(seen) >= 9 and seen == ["/", "0 700", "1"] * (len(seen) // 3)
    assert sorted(os.listdir(tmp_path)) == ["npm", "seen"] and set(os.listdir("/")) == before
    assert os.listdir(own["HOME"]) == [".npmrc"]


def test_a_token_on_its_way_in_plain_text_is_told(host, own):
    env = {**own, "npm_config_fetch_retries": "0"}
    told = host.release(NEW, check=True, env=env, registry="http://registry.invalid/", registry_token=TOKEN)
    assert told["failed"] and TOKEN not in str(told)
    assert "registry_token goes to http://registry.invalid/ in plain text" in str(told["warnings"])
    host.registry.token = TOKEN
    assert not host.release(NEW, check=True, env=env, registry_token=TOKEN).get("warnings")  # it stays on the machine


def test_tarballs_are_not_kept_in_a_tenants_reach(lair, own):
    for directory in (lair, lair / "new" / "kept"):
        told = run_module("codex_tarballs", {"version": OLD, "directory": str(directory)}, env=own)["msg"]
        assert f"directory {directory} is not safe from other users: {lair} belongs to UID {TENANT}" in told


def test_temporary_files_lie_where_no_tenant_can_swap_them(open_dir, monkeypatch):
    open_dir.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(open_dir))
    assert access.temporary_directory() == "/tmp"
    with access.private_directory() as directory:
        assert os.path.dirname(directory) == "/tmp"
    open_dir.chmod(0o1777)
    assert access.temporary_directory() == str(open_dir)
