"""Which release a host's own npm would install: codex_release asks it, whatever its .npmrc says, in check mode too."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.packages import npm_install
from support.registry import Registry, platform_suffix
from support.releases import Host, build_release

OLD, NEW, NEXT = "0.160.0", "0.161.0", "0.162.0"
# Days that they are old; the platform package of each is published a moment after the package.
AGES = {OLD: 30, NEW: 20, NEXT: 5}


@pytest.fixture(scope="module")
def tarballs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("tarballs")
    return [path for version in AGES for path in build_release(folder, version)]


def published(days: float) -> str:
    date = ["date", "--utc", "--date", f"{days * 86400:.0f} seconds ago", "+%Y-%m-%dT%H:%M:%SZ"]
    return subprocess.run(date, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def host(open_dir: Path, tarballs: list[Path]) -> Iterator[Host]:
    with Registry(tarballs) as registry:
        for version, days in AGES.items():
            registry.times[version] = published(days)
            registry.times[f"{version}-{platform_suffix()}"] = published(days - 0.1)
        registry.tags["alpha"] = NEW
        yield Host(open_dir, registry)


@pytest.fixture(params=["this machine's", "the oldest"])
def npm(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "npm"
    folder.mkdir()
    node, script = shutil.which("node"), Path(shutil.which("npm") or "").resolve()
    if request.param == "the oldest":
        node = str(npm_install(f"node-{platform_suffix()}", "16.20.2") / "bin" / "node")
        script = npm_install("npm", "8.19.4") / "bin" / "npm-cli.js"
    (folder / "npm").write_text(f'#!/bin/sh\nexec {node} {script} "$@"\n')
    (folder / "npm").chmod(0o755)
    (folder / "node").symlink_to(str(node))
    return folder / "npm"


def settings(folder: Path, *lines: str) -> dict[str, str]:
    """The environment of a user whose .npmrc holds these lines."""
    (folder / "npmrc").write_text("".join(f"{line}\n" for line in lines))
    return {"npm_config_userconfig": str(folder / "npmrc"), "npm_config_fetch_retries": "0"}


def plain(npm: Path, host: Host, env: dict[str, str], version: str, place: Path) -> str:
    """What that npm itself installs."""
    argv = [npm, "install", "-g", "--prefix", place, "--registry", host.registry.url, f"@openai/codex@{version}"]
    environment = {**env, "PATH": f"{npm.parent}:/usr/bin:/bin", "HOME": str(place)}
    subprocess.run(argv, env=environment, check=True, capture_output=True, umask=0o022)
    binary = next(place.glob("**/vendor/*/bin/codex"))
    return subprocess.run([binary, "--version"], check=True, capture_output=True, text=True).stdout.split()[-1]


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ([], NEXT),
        (["before={ten_days}"], NEW),
        (["min-release-age=10"], NEW),
        (["tag=alpha"], NEXT),  # for those who name no tag
        (["global=true", "dry-run=true", "package-lock=false", "save=false", "omit=optional"], NEXT),
        (["package-lock-only=true", "location=project", "engine-strict=true"], NEXT),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_latest_is_what_npm_would_install(host: Host, npm: Path, tmp_path: Path, lines: list[str], wanted: str) -> None:
    env = settings(tmp_path, *(line.format(ten_days=published(10)) for line in lines))
    if lines == ["min-release-age=10"]:  # which an npm knows, or not
        (tmp_path / "plain").mkdir()
        wanted = plain(npm, host, env, "latest", tmp_path / "plain")
    told = host.release("latest", npm=str(npm), env=env, check=True)
    assert (told.get("changed"), told.get("version")) == (True, wanted), told
    done = host.release("latest", npm=str(npm), env=env)
    assert (done["version"], host.says()) == (wanted, f"codex-cli {wanted}")
    assert host.release("latest", npm=str(npm), env=env)["changed"] is False


@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
def test_an_exact_version_that_is_held_back_is_refused_with_the_reason(
    host: Host, npm: Path, tmp_path: Path, check: bool
) -> None:
    refused = host.release(NEXT, npm=str(npm), env=settings(tmp_path, f"before={published(10)}"), check=check)
    assert "it is held back, as too young" in refused["msg"] and "min-release-age" in refused["msg"], refused
    assert not host.bin.exists()


def test_a_platform_package_that_is_held_back_is_told_of_before(host: Host, npm: Path, tmp_path: Path) -> None:
    refused = host.release(NEXT, npm=str(npm), env=settings(tmp_path, f"before={published(4.95)}"), check=True)
    assert f"npm would install @openai/codex@{NEXT} without @openai/codex-{platform_suffix()}" in refused["msg"], (
        refused
    )


def test_the_registry_of_the_scope_counts(host: Host, npm: Path, tmp_path: Path) -> None:
    env = settings(tmp_path, "registry=http://127.0.0.1:9/", f"@openai:registry={host.registry.url}")
    told = host.release("latest", npm=str(npm), env=env, check=True, registry=None)
    assert told["version"] == NEXT, told


@pytest.mark.parametrize(
    "version", ["", "^0.160.0", "0.160.x", "x", "*", "npm:left-pad@1", "file:/etc", "a" * 400, ".."]
)
def test_what_is_no_version_is_refused(host: Host, version: str) -> None:
    refused = host.release(version, npm="/nowhere/npm")
    assert "version must be an exact version" in refused["msg"] and "\n" not in refused["msg"]
