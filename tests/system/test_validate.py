"""codex_validate over real releases of every layout, and over binaries that are wrong in every way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._formats.specifier import satisfies
from ansible_collections.alive.codex.plugins.module_utils._formats.version import NEWEST_PROVEN
from ansible_collections.alive.codex.plugins.module_utils._host.process import STANDARD_PATH
from packaging.version import Version
from support.modules import run_module
from support.packages import CODEX_VERSION, native_codex, npm_install
from support.settings import TARGET_PYTHON, usual_umask
from support.turns import wait_until

USER = "54321:54321"
# version of npm's package, what it prints, whether it knows --experimental-json
RELEASES = {
    "0.1.2504172351": ("0.1.2504172351", False),  # a script without a native binary
    "0.1.2505291658": ("0.0.2505291458", False),
    "0.23.0": ("0.23.0", False),
    "0.42.0": ("0.42.0", True),
    "0.44.0": ("0.44.0", True),
    "0.98.0": ("0.98.0", True),
    "0.120.0": ("0.120.0", True),
    "0.140.0": ("0.140.0", True),
    CODEX_VERSION: (CODEX_VERSION, True),
}
# All of them take 2 GB of downloads the first time.
TRIED = RELEASES if "ALIVE_TRIALS" in os.environ else ["0.1.2504172351", "0.1.2505291658", "0.44.0", CODEX_VERSION]

pytestmark = pytest.mark.root


def validate(path, **options):
    """What the task would return, but for failing."""
    return run_module("codex_validate", {"path": str(path), "user": USER, "fail": False, **options})


@pytest.mark.parametrize("version", TRIED)
def test_real_releases(version):
    printed, modern = RELEASES[version]
    launcher = npm_install("@openai/codex", version).parents[3] / "bin" / "codex"
    result = validate(launcher, min_version="0.44")
    assert result["version"] == printed
    assert result["interpreter"] == ("/usr/bin/env sh" if version == "0.1.2504172351" else "/usr/bin/env node")
    assert result["compatible"] is (Version(version) >= Version("0.44"))
    flag = next(check for check in result["checks"] if check["name"] == "flag --experimental-json")
    assert flag["ok"] is modern
    if version != "0.1.2504172351":
        native = validate(launcher.parents[1] / "lib" / "node_modules" / "@openai" / "codex")
        assert native["version"] == printed and native["interpreter"] is None
        assert "vendor" in native["real_path"] or "/bin/codex-" in native["real_path"]


def test_the_pinned_release_has_nothing_wrong():
    result = validate(native_codex(), requires=">=0.150,<1.0", min_version="0.160", sandbox=True)
    assert result["problems"] == [] and result["compatible"]
    assert (result["owner"], result["mode"]) == ("root:root", "0755")
    assert result["version_raw"] == f"codex-cli {CODEX_VERSION}"


def test_the_sdk_says_what_it_needs():
    sdk = npm_install("@openai/codex-sdk", "0.163.0").parents[3]
    new_enough = Version(CODEX_VERSION) >= Version("0.163.0")
    assert validate(native_codex(), sdk_path=str(sdk))["compatible"] is new_enough
    old = validate(native_codex("0.44.0"), sdk_path=str(sdk))
    assert not old["compatible"] and "older than 0.163.0, which the SDK 0.163.0" in old["problems"][0]
    missing = validate(native_codex(), sdk_path="/usr")
    assert not missing["compatible"] and "/usr holds no @openai/codex-sdk" in missing["problems"][0]


@pytest.fixture
def codex(open_dir):
    """A script in place of Codex, and a way to say what it does."""

    def make(body="echo codex-cli 0.169.0", interpreter="/bin/sh", name="codex"):
        path = open_dir / "bin" / name
        with usual_umask():
            path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{interpreter}\n{body}\n")
        path.chmod(0o755)
        return path

    return make


MODULE_ENVIRONMENT = {**os.environ, "PYTHONPATH": ":".join(sys.path)}


def module_command(options):
    """The module as a command, for where another process must be around it."""
    return [sys.executable, "-m", "support.modules", "codex_validate", options]


def problems_of(path, **options):
    return "\n".join(validate(path, **options)["problems"])


def test_a_private_parent(codex):
    path = codex()
    path.parent.chmod(0o700)
    assert problems_of(path) == (
        f"54321:54321 cannot go through {path.parent}: chmod a+x {path.parent}, or install Codex elsewhere"
    )


def test_everything_wrong_is_told_at_once(codex):
    path = codex()
    os.chown(path, 54321, 0)
    path.chmod(0o770)
    path.parent.chmod(0o777)
    told = problems_of(path, user="60000:60000")
    for words in (
        f"{path.parent} is writable by everybody (mode 0777)",
        f"{path} belongs to UID 54321",
        f"{path} is writable by the group root (mode 0770)",
        f"{path} has mode 0770, which keeps users from running it: chmod 0755 {path}",
    ):
        assert words in told


def test_root_runs_nothing_that_another_user_could_change(codex, open_dir):
    path = codex(f"touch {open_dir}/ran")
    os.chown(path, 54321, 0)
    told = problems_of(path, user="root")
    assert f"root does not run what another user could change: {path} belongs to UID 54321" in told
    assert not (open_dir / "ran").exists()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("sleep 300", "did not end within"),
        ("echo hello; echo 1.2", "printed 'hello\\n1.2', which holds no version: that is not Codex, install it there"),
        ("echo broken >&2; exit 3", "ended with rc 3: broken: install this release again"),
        ("kill -SEGV $$", "was killed by signal 11"),
    ],
)
def test_scripts_that_misbehave(codex, body, told):
    assert told in problems_of(codex(body))


def test_interpreters_that_are_not_there(codex):
    told = problems_of(codex("", "/usr/bin/env nosuchnode"))
    assert "is a script for nosuchnode, which 54321:54321 does not find (PATH " in told
    assert "install nosuchnode there, or let codex_release put the native binary at the stable path" in told
    private = codex("exec /bin/sh", name="private")
    private.chmod(0o700)
    assert f"is a script for {private}, which 54321:54321 cannot run" in problems_of(codex("", str(private)))


def test_npms_launcher_where_the_tenant_has_no_node():
    launcher = npm_install("@openai/codex", CODEX_VERSION).parents[3] / "bin" / "codex"
    nodes = {os.path.realpath(f"{folder}/node") for folder in STANDARD_PATH.split(":")}
    hidden = [f'mount --bind /dev/null "{node}"' for node in nodes if os.path.exists(node)]
    options = json.dumps({"path": str(launcher), "user": USER, "fail": False})
    script = "; ".join([*hidden, 'exec "$@"'])
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", *module_command(options)],
        capture_output=True,
        text=True,
        env=MODULE_ENVIRONMENT,
        check=True,
    )
    told = [check["detail"] for check in json.loads(done.stdout)["checks"] if not check["ok"]]
    assert told == [
        f"{launcher.resolve()} is a script for node, which {USER} does not find (PATH {STANDARD_PATH}): install node "
        "there, or let codex_release put the native binary at the stable path"
    ]


def test_a_truncated_binary(codex):
    path = codex()
    with native_codex().open("rb") as binary:
        path.write_bytes(binary.read(1 << 20))
    assert "--version as 54321:54321" in problems_of(path) and "install this release again" in problems_of(path)


def test_links_and_what_is_not_there(open_dir):
    link = open_dir / "codex"
    link.symlink_to("/nowhere/codex")
    assert problems_of(link) == f"{link} is a dangling link to /nowhere/codex: install Codex again"
    assert "cannot be opened (No such file or directory)" in problems_of("/nowhere/codex")
    assert "there is no nosuchcodex in /" in problems_of("nosuchcodex")
    assert "has no native binary, which the platform package @openai/codex-linux-" in problems_of(open_dir)
    link.unlink()
    os.mkfifo(link)
    assert "is no regular file" in problems_of(link)


def test_a_package_whose_platform_package_is_missing(open_dir):
    package = open_dir / "lib" / "node_modules" / "@openai" / "codex"
    with usual_umask():
        shutil.copytree(npm_install("@openai/codex", CODEX_VERSION) / "bin", package / "bin")
    shutil.copy(npm_install("@openai/codex", CODEX_VERSION) / "package.json", package)
    assert "Missing optional dependency @openai/codex-linux-" in problems_of(package / "bin" / "codex.js")


@pytest.mark.parametrize("strict", [False, True])
def test_a_host_without_user_namespaces(strict):
    options = json.dumps({"path": str(native_codex()), "user": USER, "sandbox": strict})
    told = json.loads(without_namespaces(module_command(options)))
    checks = {check["name"]: check for check in told["checks"]}
    assert checks["sandbox"]["ok"] is not strict
    assert "54321:54321 cannot use" in checks["sandbox"]["detail"]


def without_namespaces(argv):
    """What a command prints where no more user namespaces may be made, as on a host whose administrator forbids them:
    in one with the same users, whose own limit is 0."""
    forbid = 'read go; exec sh -c \'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"\' sh "$@"'
    process = subprocess.Popen(
        ["unshare", "--user", "sh", "-c", forbid, "sh", *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=MODULE_ENVIRONMENT,
    )
    wait_until(lambda: os.readlink(f"/proc/{process.pid}/ns/user") != os.readlink("/proc/self/ns/user"))
    for kind in ("uid", "gid"):
        Path(f"/proc/{process.pid}/{kind}_map").write_text("0 0 100000")
    return process.communicate("go\n")[0]


def test_the_task_fails_with_all_problems(codex, tmp_path):
    path = codex()
    path.parent.chmod(0o777)
    env = {**os.environ, "ANSIBLE_HOME": str(tmp_path), "ANSIBLE_NOCOLOR": "1"}
    for options, fail in (({}, True), ({"fail": "yes"}, True), ({"fail": False}, False), ({"fail": "no"}, False)):
        arguments = {"path": str(path), "user": USER, "requires": ">=0.170", **options}
        argv = ["ansible", "localhost", "-m", "alive.codex.codex_validate", "-a", json.dumps(arguments)]
        argv += ["-e", f"ansible_python_interpreter={TARGET_PYTHON}"]
        done = subprocess.run(argv, capture_output=True, text=True, env=env, check=False)
        result = json.loads(done.stdout[done.stdout.index("=> {") + 3 :])
        assert (done.returncode != 0) is fail
        assert len(result["problems"]) == 2 and "does not fit >=0.170" in result["problems"][1]
        assert result.get("msg", "; ".join(result["problems"])) == "; ".join(result["problems"])
        assert result["compatible"] is False and result["owner"] == "root:root" and result["changed"] is False


@pytest.mark.parametrize("options", [{"requires": "about 0.44"}, {"min_version": "new"}])
def test_requirements_that_cannot_be_read(codex, options):
    result = validate(codex(), **options)
    assert result["failed"] and "is not a requirement such as" in result["msg"]


@pytest.mark.parametrize(("version", "warned"), [(NEWEST_PROVEN, False), ("0.999.0", True), ("1.0.0-alpha.1", True)])
def test_a_release_that_was_never_tried_is_warned_of(codex, version, warned):
    path = codex(f"echo codex-cli {version}")
    told = [str(warning) for warning in validate(path).get("warnings", [])]
    assert [f"Codex {version} is newer than {NEWEST_PROVEN}" in warning for warning in told] == [True] * warned
    assert "warnings" not in validate(path, warn_unproven=False)


def test_release_and_validation_judge_alike(codex):
    """A prerelease of the very bound, and forms of a requirement that one of them used to refuse."""
    path = codex("echo codex-cli 0.170.0-alpha.3")
    for requires, fits in {"<0.170.0": False, "<0.170.0,>=0.44": False, "~=0.169": True, "==0.170.*": True}.items():
        assert validate(path, requires=requires)["compatible"] is fits is satisfies("0.170.0-alpha.3", requires)
