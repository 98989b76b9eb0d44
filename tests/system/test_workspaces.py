"""Workspaces on a real file system: what is made, mended, configured and removed, and what is left alone."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ansible_collections.alive.codex.plugins.module_utils._host import fan_out, identity
from ansible_collections.alive.codex.plugins.module_utils._workspaces import prepare_all
from ansible_collections.alive.codex.plugins.module_utils._workspaces.report import Change
from ansible_collections.alive.codex.plugins.module_utils._workspaces.request import read_workspaces
from support.settings import TARGET_PYTHON

ROOT = os.geteuid() == 0
# Unprivileged, every workspace is the user's own.
UID = 61_010 if ROOT else os.getuid()
GID = 61_011 if ROOT else os.getgid()


def request(root: Path, items: list[dict], config: dict | None = None, **options) -> prepare_all.WorkspacesRequest:
    return prepare_all.WorkspacesRequest(str(root), read_workspaces(items, config or {}), **options)


def prepare(root: Path, items: list[dict], config: dict | None = None, **options) -> prepare_all.WorkspacesOutcome:
    return prepare_all.prepare_all(request(root, items, config, shared_uids=True, **options))


def own(name: str, **more) -> dict:
    return {"name": name, "uid": UID, "gid": GID, **more}


def look(path: Path) -> tuple[int, int, str]:
    info = path.lstat()
    return info.st_uid, info.st_gid, f"{stat.S_IMODE(info.st_mode):04o}"


def tell(changes: list[Change]) -> list[str]:
    return [f"{change.path} {change.what}" for change in changes]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "deep" / "root"


def test_workspaces_are_made_and_a_second_run_changes_nothing(root):
    items = [own("alpha"), own("beta", config={"model": "o3"})]
    outcome = prepare(root, items, {"tools": {"web_search": True}}, mode=0o750)
    assert look(root) == ((0, 0, "0711") if ROOT else (os.getuid(), os.getgid(), "0711"))
    for name in ("alpha", "beta"):
        assert look(root / name) == (UID, GID, "0750")
        assert look(root / name / ".codex") == look(root / name / ".codex/sessions") == (UID, GID, "0700")
        assert look(root / name / ".codex/config.toml") == (UID, GID, "0600")
    assert tomllib.loads((root / "alpha/.codex/config.toml").read_text()) == {"tools": {"web_search": True}}
    assert tomllib.loads((root / "beta/.codex/config.toml").read_text()) == {
        "model": "o3",
        "tools": {"web_search": True},
    }
    assert tell(outcome.root_changes) == [f"{root} created"]
    assert tell(outcome.changes["alpha"]) == [
        ". created",
        ".codex created",
        ".codex/sessions created",
        ".codex/config.toml created",
        ".codex/config.toml tools.web_search set",
    ]
    again = prepare(root, items, {"tools": {"web_search": True}}, mode=0o750)
    assert again == prepare_all.WorkspacesOutcome([], {}, {}, [], [])


def test_check_mode_tells_the_same_and_makes_nothing(root):
    items = [own("alpha")]
    planned = prepare(root, items, {"model": "o3"}, check=True)
    assert not root.exists()
    made = prepare(root, items, {"model": "o3"})
    assert (planned.root_changes, planned.changes) == (made.root_changes, made.changes)
    (root / "alpha").chmod(0o755)
    (root / "alpha/.codex/sessions").rmdir()
    before = sorted((str(path), look(path)) for path in root.rglob("*"))
    planned = prepare(root, items, {"model": "gpt-5"}, check=True)
    assert sorted((str(path), look(path)) for path in root.rglob("*")) == before
    assert planned.changes == prepare(root, items, {"model": "gpt-5"}).changes
    planned = prepare(root, [{"name": "alpha", "state": "absent"}], check=True)
    assert (tell(planned.changes["alpha"]), (root / "alpha").exists()) == ([". removed"], True)


def test_of_thousands_only_those_are_touched_that_need_it(root, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2})
    items = [own(f"ws-{number}") for number in range(2100)]
    assert len(prepare(root, items).changes) == 2100
    strayed = ("ws-0", "ws-1050", "ws-2099")
    for name in strayed:
        (root / name / ".codex").chmod(0o755)
    changes = prepare(root, items).changes
    assert {name: tell(each) for name, each in changes.items()} == {name: [".codex mode"] for name in strayed}


def test_what_a_process_that_ended_could_not_tell_is_looked_at_again(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    monkeypatch.setattr(fan_out, "_WORTH_A_PROCESS", 1)
    this = os.getpid()

    def is_even(number):
        if os.getpid() != this:
            os._exit(1)
        return number % 2 == 0

    found = fan_out.filtered(range(7), is_even)
    assert found == [0, 2, 4, 5, 6]


def test_drift_is_mended(root):
    prepare(root, [own("alpha")], {"model": "o3"})
    home = root / "alpha"
    for path, mode in ((root, 0o755), (home, 0o777), (home / ".codex", 0o755), (home / ".codex/config.toml", 0o644)):
        path.chmod(mode)
    outcome = prepare(root, [own("alpha")], {"model": "o3"})
    assert [change.detail for change in outcome.root_changes] == ["0755 -> 0711"]
    assert [(change.path, change.detail) for change in outcome.changes["alpha"]] == [
        (".", "0777 -> 0700"),
        (".codex", "0755 -> 0700"),
        (".codex/config.toml", "0644 -> 0600"),
    ]
    assert not prepare(root, [own("alpha")], {"model": "o3"}).changes


@pytest.mark.root
def test_what_root_made_by_mistake_is_given_to_the_tenant(root):
    prepare(root, [own("alpha")])
    for path in (root / "alpha", root / "alpha/.codex", root / "alpha/.codex/sessions"):
        os.chown(path, 0, 0)
    outcome = prepare(root, [own("alpha")])
    assert {change.detail for change in outcome.changes["alpha"]} == {f"0:0 -> {UID}:{GID}"}
    assert look(root / "alpha/.codex/sessions") == (UID, GID, "0700")


@pytest.mark.root
def test_nobody_is_given_another_tenants_home(root):
    prepare(root, [own("alpha")])
    outcome = prepare(root, [{"name": "alpha", "uid": 61_099}, own("beta")])
    assert "belongs to UID 61010, not to 61099:61099" in outcome.failures["alpha"]
    assert look(root / "alpha") == (UID, GID, "0700")
    assert (root / "beta/.codex").is_dir()


@pytest.mark.root
class TestHandOver:
    NEW = 61_019

    @pytest.fixture
    def home(self, root):
        prepare(root, [own("alpha", config={"model": "o3"})])
        sessions = root / "alpha/.codex/sessions"
        (sessions / "rollout").write_text("")
        (sessions / "link").symlink_to("/etc/passwd")
        (sessions / "roots").write_text("")
        (root / "alpha/tool").write_text("")
        for name in ("alpha/.codex/sessions/rollout", "alpha/.codex/sessions/link", "alpha/tool"):
            os.lchown(root / name, UID, GID)
        (root / "alpha/tool").chmod(0o6755)
        return root / "alpha"

    def change(self, root, **options):
        items = [{"name": "alpha", "uid": self.NEW, "gid": self.NEW, "config": {"model": "o3"}}]
        return prepare(root, items, **options)

    def test_a_home_is_given_with_all_that_was_its_owners(self, root, home):
        before = os.stat("/etc/passwd")
        assert "named in hand_over" in self.change(root).failures["alpha"]
        told = self.change(root, hand_over=["alpha"], check=True)
        assert (tell(told.changes["alpha"]), told.failures, look(home)[0]) == ([". handed over"], {}, UID)

        done = self.change(root, hand_over=["alpha"])
        assert (tell(done.changes["alpha"]), done.failures) == ([". handed over"], {})
        owners = {str(path.relative_to(root)): look(path)[:2] for path in [home, *home.rglob("*")]}
        assert owners.pop("alpha/.codex/sessions/roots") == (0, 0)
        assert set(owners.values()) == {(self.NEW, self.NEW)}
        assert look(home / "tool")[2] == "0755"
        assert os.stat("/etc/passwd") == before
        assert self.change(root, hand_over=["alpha"]).changes == {}

    def test_what_would_stay_with_the_old_owner_is_refused(self, root, home):
        os.link(home / "tool", root / "elsewhere")
        assert "tool has another name" in self.change(root, hand_over=["alpha"]).failures["alpha"]
        assert look(home)[0] == look(root / "elsewhere")[0] == UID
        (root / "elsewhere").unlink()
        assert self.change(root, hand_over=["alpha"]).failures == {}

    def test_an_owner_at_work_keeps_it_unless_forced(self, root, home):
        with subprocess.Popen(["sleep", "300"], user=UID) as process:
            try:
                refused = self.change(root, hand_over=["alpha"])
                assert f"still runs processes ({process.pid})" in refused.failures["alpha"]
                assert look(home)[0] == UID
                assert self.change(root, hand_over=["alpha"], force=True).failures == {}
            finally:
                process.kill()

    def test_a_tenant_who_nests_without_end_is_told(self, root, home):
        deep = os.open(home, os.O_RDONLY)
        for _level in range(420):  # not so many that Python could not remove them again
            os.mkdir("d", dir_fd=deep)
            below = os.open("d", os.O_RDONLY, dir_fd=deep)
            os.fchown(below, UID, GID)
            os.close(deep)
            deep = below
        os.close(deep)
        assert "directories deep" in self.change(root, hand_over=["alpha"]).failures["alpha"]
        assert look(home)[0] == UID


@pytest.mark.skipif(ROOT, reason="what root may do is tested elsewhere")
def test_an_unprivileged_user_prepares_no_workspace_of_others(root):
    outcome = prepare(root, [own("alpha"), {"name": "beta", "uid": UID + 1}])
    assert "only root can prepare a workspace of" in outcome.failures["beta"]
    assert (root / "alpha/.codex").is_dir() and not (root / "beta").exists()


class TestConfig:
    def config(self, root: Path) -> Path:
        return root / "alpha/.codex/config.toml"

    def test_what_is_not_managed_stays_and_what_is_managed_no_longer_goes(self, root):
        prepare(root, [own("alpha")], {"model": "o3", "tools": {"web_search": True}})
        path = self.config(root)
        tenants = '# mine\n[projects."/x"]\ntrust_level = "trusted"\n'
        path.write_text(path.read_text() + tenants)
        outcome = prepare(root, [own("alpha")], {"model": "gpt-5"})
        assert [(change.what, change.detail) for change in outcome.changes["alpha"]] == [
            ("tools.web_search removed", "true -> nothing"),
            ("model set", '"o3" -> "gpt-5"'),
        ]
        assert tenants in path.read_text()
        assert tomllib.loads(path.read_text())["model"] == "gpt-5"
        prepare(root, [own("alpha")])
        assert path.read_text().lstrip("\n") == tenants

    def test_without_settings_there_is_no_file(self, root):
        prepare(root, [own("alpha")])
        assert not self.config(root).exists()

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"a = \xff\n", "is not valid UTF-8"),
            (b"ok = 1\nsk-fake-secret", "line 2 is not TOML"),
            (b"a = 1\n" * 60_000, "has 360000 bytes, more than the 262144 that are read"),
        ],
    )
    def test_a_file_that_cannot_be_edited_is_an_error_and_stays(self, root, content, why):
        prepare(root, [own("alpha")])
        self.config(root).write_bytes(content)
        if ROOT:
            os.chown(self.config(root), UID, GID)
        outcome = prepare(root, [own("alpha"), own("beta")], {"model": "o3"})
        assert outcome.failures["alpha"].startswith(f".codex/config.toml: {why}")
        assert "secret" not in outcome.failures["alpha"]
        assert self.config(root).read_bytes() == content
        assert (root / "beta/.codex/config.toml").exists()

    def test_a_tenant_does_not_choose_how_long_the_result_is(self, root):
        prepare(root, [own("alpha")])
        keys = [[f"key-{number}"] for number in range(3000)]
        lines = "".join(f'{key[0]} = "{"x" * 30}"\n' for key in keys)
        memory = "# Managed by alive.codex: " + json.dumps({"keys": keys, "tables": []}) + "\n"
        self.config(root).write_text(f'{lines}model = "{"y" * 9000}"\n{memory}')
        if ROOT:
            os.chown(self.config(root), UID, GID)
        changes = prepare(root, [own("alpha")], {"model": "o3"}).changes["alpha"]
        assert changes[-1].what == "2981 more keys"
        assert len(json.dumps(changes)) < 5000


class TestAbsent:
    def test_a_home_goes_with_all_in_it_and_nothing_else(self, root):
        prepare(root, [own("alpha"), own("beta")], {"model": "o3"})
        (root / "alpha/to-beta").symlink_to("../beta")
        outcome = prepare(root, [{"name": "alpha", "state": "absent"}, {"name": "none", "state": "absent"}])
        assert {name: tell(changes) for name, changes in outcome.changes.items()} == {"alpha": [". removed"]}
        assert [path.name for path in root.iterdir()] == ["beta"]
        assert (root / "beta/.codex/config.toml").exists()

    def test_without_a_root_directory_there_is_nothing_to_remove(self, root):
        assert prepare(root, [{"name": "alpha", "state": "absent"}]) == prepare_all.WorkspacesOutcome(
            [], {}, {}, [], []
        )
        assert not root.exists()

    def test_what_is_no_home_is_left_alone(self, root):
        prepare(root, [own("alpha")])
        (root / "link").symlink_to("alpha")
        outcome = prepare(root, [{"name": "link", "state": "absent"}])
        assert outcome.failures == {"link": "is a symbolic link, not a HOME"}
        assert (root / "link").is_symlink() and (root / "alpha/.codex").is_dir()

    @pytest.mark.root
    def test_a_home_whose_owner_runs_processes_stays_unless_forced(self, root):
        prepare(root, [own("alpha")])
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=UID, group=GID, extra_groups=[], cwd="/") as tenant:
            for check in (True, False):
                outcome = prepare(root, [{"name": "alpha", "state": "absent"}], check=check)
                assert outcome.failures == {
                    "alpha": f"UID {UID} still runs processes ({tenant.pid}): stop them, or set force"
                }
            assert (root / "alpha").exists()
            assert not prepare(root, [{"name": "alpha", "state": "absent"}], force=True).failures
            assert tenant.poll() is None
            tenant.communicate()
        assert not (root / "alpha").exists()


@pytest.mark.root
class TestFaults:
    def test_one_workspace_that_cannot_be_prepared_stops_no_other(self, root):
        prepare(root, [own(name) for name in ("fine", "immutable", "no-directory", "no-file")], {"model": "o3"})
        config = root / "immutable/.codex/config.toml"
        subprocess.run(["chattr", "+i", config], check=True)
        (root / "no-directory/.codex/sessions").rmdir()
        (root / "no-directory/.codex/sessions").touch()
        (root / "no-file/.codex/config.toml").unlink()
        (root / "no-file/.codex/config.toml").mkdir()
        items = [own(name) for name in ("immutable", "no-directory", "no-file", "fine", "new")]
        items.append({"name": "nobodys", "user": "no-such-user"})
        try:
            outcome = prepare(root, items, {"model": "gpt-5"})
        finally:
            subprocess.run(["chattr", "-i", config], check=True)
        assert outcome.failures == {
            "immutable": ".codex/config.toml: Operation not permitted",
            "no-directory": ".codex/sessions: is a regular file, not a directory",
            "no-file": ".codex/config.toml: is a directory, not a regular file",
            "nobodys": "there is no user 'no-such-user' on this host: make it, or set create_users",
        }
        assert sorted(outcome.changes) == ["fine", "new"]

    def test_a_full_disk_is_told_and_leaves_no_half_file(self, tmp_path):
        root = tmp_path / "small"
        root.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0711", "none", root], check=True)
        try:
            prepare(root, [own("alpha")], {"model": "o3"})
            before = (root / "alpha/.codex/config.toml").read_bytes()
            with open(root / "filler", "wb") as file, pytest.raises(OSError, match="No space"):
                file.write(b"x" * 1_000_000)
            outcome = prepare(root, [own("alpha"), own("beta")], {"model": "gpt-5"})
            assert "No space left on device" in outcome.failures["alpha"]
            assert "No space left on device" in outcome.failures["beta"]
            assert (root / "alpha/.codex/config.toml").read_bytes() == before
            assert "alpha" not in outcome.changes
            assert all((root / "beta" / change.path).exists() for change in outcome.changes.get("beta", []))
            assert sorted(os.listdir(root / "alpha/.codex")) == ["config.toml", "sessions"]
            (root / "filler").unlink()
            assert not prepare(root, [own("alpha"), own("beta")], {"model": "gpt-5"}).failures
        finally:
            subprocess.run(["umount", root], check=True)


@pytest.mark.root
def test_root_owns_no_workspace(root):
    assert "root (0:0) cannot own a workspace" in prepare(root, [{"name": "a", "user": "root"}]).failures["a"]


def test_workspaces_of_one_uid_are_warned_of_unless_that_is_meant(root):
    items = [own("alpha"), own("beta")]
    (warning,) = prepare_all.prepare_all(request(root, items)).warnings
    assert f"UID {UID}: alpha, beta" in warning
    assert not prepare_all.prepare_all(request(root, items, shared_uids=True)).warnings


@pytest.fixture
def ansible(root, tmp_path):
    """The module as a play calls it; the result."""

    def call(*arguments: str, **options) -> dict:
        task = {"alive.codex.codex_workspaces": {"root": str(root), "shared_uids": True, **options}}
        keep = {"dest": str(tmp_path / "result.json"), "content": "{{ result | ansible.builtin.to_json }}"}
        tasks = [
            {"name": "Prepare", "register": "result", "ignore_errors": True, **task},
            {"name": "Keep", "check_mode": False, "ansible.builtin.copy": keep},
        ]
        play = tmp_path / "play.yml"
        play.write_text(json.dumps([{"name": "Play", "hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
        command = [
            Path(sys.executable).with_name("ansible-playbook"),
            "-e",
            f"ansible_python_interpreter={TARGET_PYTHON}",
        ]
        subprocess.run([*command, *arguments, play], check=True, capture_output=True)
        return json.loads((tmp_path / "result.json").read_text())

    return call


class TestModule:
    def test_the_result_tells_what_changed(self, root, ansible):
        items = [own("alpha"), own("beta", config={"model": "o3"})]
        planned = ansible("--check", "--diff", workspaces=items)
        result = ansible("--diff", workspaces=json.dumps(items))
        assert result["changed"] and result["summary"] == {"total": 2, "changed": 2, "failed": 0}
        assert result["changes"][1] == {
            "workspaces": ["beta"],
            "paths": {
                ".": ["created"],
                ".codex": ["created"],
                ".codex/sessions": ["created"],
                ".codex/config.toml": ["created", "model set"],
            },
        }
        assert '.codex/config.toml: model set (nothing -> "o3")' in result["diff"]["prepared"]
        assert (planned["changes"], planned["diff"]) == (result["changes"], result["diff"])
        assert not ansible(workspaces=items)["changed"]

    def test_thousands_of_workspaces_reach_the_module_whole(self, root, ansible):
        result = ansible("--check", workspaces=[own(f"größe {number}") for number in range(2000)])
        assert result["summary"] == {"total": 2000, "changed": 2000, "failed": 0}
        assert len(result["changes"]) == 1 and len(result["changes"][0]["workspaces"]) == 2000
        assert result["changes"][0]["workspaces"][-1] == "größe 1999"
        assert "diff" not in result and len(json.dumps(result)) < 60_000

    def test_bad_input_touches_nothing(self, root, ansible):
        result = ansible(workspaces=[own("alpha"), own("../x")])
        assert result["failed"] and result["msg"].startswith(
            "nothing was touched: the workspace name '../x' has a slash"
        )
        assert not root.exists()

    def test_failures_are_listed_after_everything_else_was_done(self, root, ansible):
        result = ansible(workspaces=[{"name": "alpha", "user": "no-such-user"}, own("beta")])
        assert result["failed"] and result["changed"]
        assert result["msg"].startswith("1 of 2 workspaces failed, and stopped no other: 1 changed. alpha: ")
        assert result["failures"][0]["workspaces"] == ["alpha"]
        assert (root / "beta/.codex").is_dir()


def test_identities_of_this_process_are_as_before():
    """Preparing acts with tenants' rights in between; none of it may stick to the process."""
    assert os.getresuid() == (os.getuid(),) * 3 and os.getresgid() == (os.getgid(),) * 3
    assert identity.current_identity().uid == os.getuid()
