"""Turns of the real CLI against the stub, and of stand-ins for what the real CLI does not do on request.

Without Ansible around them; test_exec_tasks.py has that.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.module_utils._host import access, proc
from support.packages import CODEX_VERSION, native_codex
from support.stub import FAKE_KEY, ResponsesStub
from support.turns import (
    PNG,
    SCHEMA,
    TENANT,
    command_line,
    command_lines,
    isolated,
    make_home,
    real,
    stand_in,
    turn,
    wait_until,
)

Turn = Callable[..., dict[str, Any]]


@pytest.fixture
def home(open_dir: Path) -> Path:
    return make_home(open_dir, "acme")


@pytest.fixture
def run(stub: ResponsesStub, home: Path) -> Turn:
    def run(prompt: str | None, **options: Any) -> dict[str, Any]:
        given = {**real(stub), "prompt": prompt, "root": str(home.parent), "workspace": home.name, **options}
        result: dict[str, Any] = isolated(lambda: turn(**given))
        return result

    return run


class TestWhoRuns:
    def test_the_tenant_in_its_home_with_a_clean_environment(self, run: Turn, home: Path) -> None:
        os.environ["LEAKS"] = "from the caller"
        try:
            result = run("[[run:id -u; id -G; umask; pwd; env]] [[output]]")
        finally:
            del os.environ["LEAKS"]
        uid, groups, umask, cwd, *environment = result["thread_items"][0]["aggregated_output"].splitlines()
        owner = str(home.stat().st_uid)
        assert result["status"] == "completed", result
        assert (uid, umask, cwd) == (owner, "0077", str(home))
        assert os.geteuid() != 0 or groups == str(home.stat().st_gid)
        assert {f"HOME={home}", "TMPDIR=/tmp", "LANG=C.UTF-8"} <= set(environment)
        assert not [line for line in environment if line.startswith("LEAKS")]
        assert stat.S_IMODE((home / ".codex").stat().st_mode) == 0o700

    def test_with_the_signals_of_a_new_process(self, home: Path) -> None:
        def from_the_background() -> dict[str, Any]:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            script = "grep -E '^Sig(Blk|Ign):' /proc/self/status >&2; exit 3"
            return turn(prompt="x", root=str(home.parent), workspace=home.name, **stand_in(home.parent, script))

        result = isolated(from_the_background)
        _blocked, blocked, _ignored, ignored = result["stderr"].split()
        ours = sum(1 << (number - 1) for number in signal.valid_signals())  # the C library keeps two to itself
        assert (int(blocked, 16) & ours, int(ignored, 16) & ours) == (0, 0)

    @pytest.mark.root
    def test_what_it_reads_of_ours_is_never_in_a_private_directory(
        self, open_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for given, taken in ((str(open_dir), str(open_dir)), (str(tmp_path), "/tmp")):  # pytest's own are private
            monkeypatch.setattr(tempfile, "tempdir", given)
            assert access.temporary_directory() == taken

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "a\0b"])
    def test_a_name_that_is_no_plain_component_is_refused(self, run: Turn, name: str) -> None:
        assert "not the name of a directory" in run("x", workspace=name)["msg"]

    def test_what_is_no_directory_is_refused(self, run: Turn, home: Path) -> None:
        (home.parent / "link").symlink_to(home)
        assert "is not a directory" in run("x", workspace="link")["msg"]
        assert "codex_workspaces" in run("x", workspace="missing")["msg"]

    @pytest.mark.root
    def test_roots_home_is_refused(self, run: Turn, home: Path) -> None:
        os.chown(home, 0, 0)
        assert "no turn is run with root's" in run("x")["msg"]
        os.chown(home, TENANT, 0)
        assert "no turn is run with root's" in run("x")["msg"]

    @pytest.mark.root
    def test_a_turn_of_roots_own_trusts_no_tenant(self, home: Path, open_dir: Path) -> None:
        def in_home(**options: Any) -> dict[str, Any]:
            os.chdir(home)
            return turn(prompt="x", **options)

        ours = stand_in(open_dir, "pwd >&2; exit 3")
        assert f"root's turn would work in {home}" in isolated(lambda: in_home(**ours))["msg"]
        chosen = isolated(lambda: in_home(**ours, working_directory=str(home)))
        assert (chosen["status"], chosen["stderr"]) == ("exited", f"{home}\n"), chosen
        theirs = stand_in(home, f"touch {open_dir}/ran")
        told = isolated(lambda: in_home(**theirs, working_directory="/"))["msg"]
        assert f"root does not run what another user could change: {home} belongs to" in told
        assert not (open_dir / "ran").exists()

    def test_limits_apply(self, run: Turn) -> None:
        result = run("[[run:ulimit -n; ulimit -t]] [[output]]", limits={"nofile": 300, "cpu": 99})
        assert result["final_response"].split() == ["300", "99"]

    @pytest.mark.root
    def test_events_are_never_written_where_the_tenant_could_not(self, run: Turn, home: Path) -> None:
        victim = home.parent / "victim"
        victim.write_text("mine")
        for name, target in (("link", victim), ("passwd", Path("/etc/passwd"))):
            (home / name).symlink_to(target)
            assert "cannot be written" in run("x", events_path=str(home / name))["msg"]
        os.mkfifo(home / "fifo")
        assert "events_path" in run("x", events_path=str(home / "fifo"))["msg"]
        assert victim.read_text() == "mine"
        result = run("[[say:hi]]", events_path=str(home / "events.jsonl"), events="none")
        assert (home / "events.jsonl").stat().st_uid == TENANT
        lines = (home / "events.jsonl").read_text().splitlines()
        assert len(lines) == result["event_count"] and result["events"] == []

    @pytest.mark.parametrize("mode", ["read-only", "workspace-write"])
    def test_the_sandbox_of_the_cli_works_in_our_own(self, run: Turn, home: Path, mode: str) -> None:
        result = run("[[run:touch made; readlink /proc/self/exe]] [[output]]", sandbox_mode=mode)
        command = next(item for item in result["thread_items"] if item["type"] == "command_execution")
        assert result["status"] == "completed" and command["exit_code"] == 0, result
        assert "readlink" in result["final_response"] and result["containment"]["pid_namespace"] == (os.geteuid() == 0)
        assert (home / "made").exists() == (mode == "workspace-write")


class TestTheSdksOwnCases:
    """A twin of each of the SDK's own test cases."""

    def test_a_second_turn_goes_on_in_the_thread(self, run: Turn, stub: ResponsesStub) -> None:
        first = run("[[say:one]]")
        second = run("[[say:two]]", thread_id=first["thread_id"])
        assert second["status"] == "completed" and second["resumed"] and not first["resumed"]
        assert second["thread_id"] == first["thread_id"]
        assert "one" in json.dumps(stub.requests()[-1]["body"]["input"])

    def test_a_thread_option_wins_over_the_same_key_in_config(self, run: Turn, stub: ResponsesStub) -> None:
        config = {"features": {"plugins": False}, "model_reasoning_effort": "high"}
        run("[[say:x]]", config=config, model_reasoning_effort="low")
        assert stub.requests()[-1]["body"]["reasoning"]["effort"] == "low"

    def test_env_replaces_everything(self, run: Turn, home: Path) -> None:
        env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "ONLY": "this"}
        result = run("[[run:env]] [[output]]", env=env)
        assert "ONLY=this" in result["final_response"] and "LOGNAME=" not in result["final_response"]

    def test_texts_are_joined_and_images_sent(self, run: Turn, stub: ResponsesStub, home: Path) -> None:
        image = home / "a.png"
        image.write_bytes(PNG)
        image.chmod(0o644)
        parts = [
            {"type": "text", "text": "[[say:seen]]"},
            {"type": "local_image", "path": str(image)},
            {"type": "text", "text": "both"},
        ]
        result = run(None, input=parts)
        sent = json.dumps(stub.requests()[-1]["body"]["input"])
        assert result["final_response"] == "seen", result
        assert "[[say:seen]]\\n\\nboth" in sent and "data:image/png;base64," in sent

    def test_the_schema_is_used_and_its_file_deleted(self, run: Turn, stub: ResponsesStub) -> None:
        result = run('[[json:{"ok": true}]]', output_schema=SCHEMA)
        assert result["structured_response"] == {"ok": True}, result
        assert stub.requests()[-1]["body"]["text"]["format"]["schema"] == SCHEMA
        assert not Path(result["argv"][result["argv"].index("--output-schema") + 1]).exists()

    def test_a_directory_without_git_is_refused(self, run: Turn) -> None:
        result = run("[[say:x]]", skip_git_repo_check=False)
        assert result["status"] == "exited" and "trusted directory" in result["msg"] + result["stderr"]

    def test_the_base_url_and_key_reach_the_api(self, run: Turn, stub: ResponsesStub) -> None:
        run("[[say:x]]")
        assert stub.requests()[-1]["headers"]["originator"] == "codex_sdk_ts"

    def test_a_long_command_is_aborted_at_once(self, run: Turn) -> None:
        result = run("[[run:sleep 4714]]", timeout=2)
        assert result["status"] == "timed_out" and result["duration"] < 7  # 0.5 s after the limit, on an idle machine
        assert "sleep 4714" not in command_lines()

    def test_a_turn_that_fails_fails(self, run: Turn) -> None:
        result = run("[[say:before]] [[run:true]] [[fail:rate_limit_exceeded]]", idle_timeout=60)
        assert result["status"] == "failed" and result["thread_id"], result
        assert [item["type"] for item in result["thread_items"]].count("command_execution") == 1


class TestHowItEnds:
    def test_a_stall_runs_into_the_idle_limit(self, run: Turn) -> None:
        result = run("[[say:x]] [[run:true]] [[stall]]", idle_timeout=5)
        assert (result["status"], result["reason"]) == ("timed_out", "idle_timeout"), result
        assert result["signal"] == "SIGTERM" and len(result["thread_items"]) >= 1

    @pytest.mark.parametrize(
        ("script", "status", "reason"),
        [
            ("exit 3", "exited", None),
            ('echo \'{"type":"turn.started"}\'', "incomplete", None),
            ("echo oops; sleep 60", "bad_stream", None),
            ("kill -9 $$", "killed", None),
            ("sleep 60", "timed_out", "timeout"),
            ("trap '' TERM; sleep 60 & wait; wait", "timed_out", "timeout"),
            ("echo \"error: unexpected argument '--add-dir' found\" >&2; exit 2", "unsupported_option", None),
        ],
    )
    def test_each_ending_has_its_status(
        self, run: Turn, home: Path, script: str, status: str, reason: str | None
    ) -> None:
        result = run("x", **stand_in(home.parent, script), timeout=2 if reason == "timeout" else 60)
        if status == "unsupported_option":
            assert (result["status"], result["reason"]) == ("exited", status)
            assert "--add-dir" in result["msg"] and "0.44.0" in result["msg"]
        else:
            assert (result["status"], result["reason"]) == (status, reason), result
        assert result["failed"] and result["msg"]
        assert result["changed"] == (result["status"] != "exited")
        assert result["duration"] < 15

    def test_a_cli_that_cannot_start_is_told_from_one_that_failed(self, run: Turn, home: Path) -> None:
        missing = run("x", codex_path="/nonexistent/codex", base_url=None)
        assert missing["status"] == "spawn_failed" and "/nonexistent/codex" in missing["msg"] and not missing["changed"]
        assert run("x", extra_args=["a\0b"])["status"] == "spawn_failed"

    def test_a_response_that_does_not_fit_is_kept(self, run: Turn) -> None:
        result = run("[[say:not json]]", output_schema=SCHEMA)
        assert (result["status"], result["final_response"]) == ("invalid_response", "not json")
        assert result["structured_response"] is None and "output_schema" in result["msg"]

    def test_an_unknown_flag_is_named_with_the_version(self, run: Turn) -> None:
        result = run("x", extra_args=["--from-the-future"])
        assert result["reason"] == "unsupported_option"
        assert "--from-the-future" in result["msg"] and CODEX_VERSION in result["msg"]

    def test_the_old_cli_gets_its_base_url_in_the_environment(self, run: Turn, home: Path) -> None:
        script = 'echo "{\\"type\\":\\"error\\",\\"message\\":\\"$OPENAI_BASE_URL\\"}"'
        assert run("x", **stand_in(home.parent, script))["errors"][0].startswith("http://127.0.0.1:")

    def test_background_processes_end_with_the_turn(self, run: Turn) -> None:
        result = run("[[run:(setsid sleep 4711 >/dev/null 2>&1 &) ; setsid -f sleep 4712]] [[say:done]]")
        assert result["status"] == "completed"
        assert not [line for line in command_lines() if line in ("sleep 4711", "sleep 4712")]


class TestVariables:
    def test_an_env_does_not_move_home_out_of_the_workspace_by_omission(self, run: Turn, home: Path) -> None:
        result = run("[[run:echo $HOME]] [[output]]", env={"PATH": "/usr/bin:/bin"})
        assert result["status"] == "completed" and str(home) in result["final_response"]
        assert list(home.glob(".codex/sessions/*/*/*/*.jsonl"))

    @pytest.mark.parametrize("env", [None, {"PATH": "/usr/bin:/bin", "HTTPS_PROXY": "http://of.env"}])
    def test_variables_come_on_top(self, run: Turn, home: Path, env: dict[str, str] | None) -> None:
        extra = {"HTTPS_PROXY": "http://on.top:3128", "MY_TOKEN": "not-to-be-seen"}
        result = run("[[run:env]] [[output]]", env=env, extra_env=extra)
        assert "HTTPS_PROXY=http://on.top:3128" in result["final_response"]
        assert f"HOME={home}" in result["final_response"] and "PATH=" in result["final_response"]
        assert "not-to-be-seen" not in json.dumps(result)


class TestWhatTheSdkHasNoOptionFor:
    def test_a_fork_knows_what_was_said_and_leaves_its_parent_alone(self, run: Turn, stub: ResponsesStub) -> None:
        parent = run("[[say:one]]")["thread_id"]
        child = run("[[say:two]]", thread_id=parent, fork=True)
        assert (child["status"], child["resumed"]) == ("completed", False)
        assert child["thread_id"] not in (None, parent)
        assert "say:one" in json.dumps(stub.requests()[-1]["body"]["input"])
        assert run("[[say:three]]", thread_id=parent)["resumed"]
        assert "say:two" not in json.dumps(stub.requests()[-1]["body"]["input"])

    def test_a_thread_that_is_gone_cannot_be_forked(self, run: Turn) -> None:
        result = run("[[say:x]]", thread_id=TestResuming.GONE, fork=True)
        assert (result["status"], result["reason"]) == ("exited", "thread_gone") and "to fork" in result["msg"]
        afresh = run("[[say:x]]", thread_id=TestResuming.GONE, fork=True, thread_missing="start")
        assert (afresh["status"], afresh["resumed"]) == ("completed", False)

    @pytest.mark.parametrize("fork", [False, True])
    def test_an_ephemeral_turn_leaves_no_file_that_names_its_thread(self, run: Turn, home: Path, fork: bool) -> None:
        options = {"thread_id": run("[[say:one]]")["thread_id"], "fork": True} if fork else {}
        result = run("[[say:two]]", ephemeral=True, **options)
        assert (result["status"], result["final_response"]) == ("completed", "two")
        # The CLI may end while it writes down its shell's environment, beside the turn.
        files = [path for path in home.rglob("*") if path.parent.name != "shell_snapshots"]
        named = [path for path in files if result["thread_id"] in path.name]
        assert named == [] and run("[[say:x]]", thread_id=result["thread_id"])["reason"] == "thread_gone"

    @pytest.mark.parametrize("target", ["uncommitted", "base", "commit", "instructions"])
    def test_a_review(self, run: Turn, stub: ResponsesStub, home: Path, target: str) -> None:
        git = "git -c user.name=a -c user.email=a@example.org"
        repository = home / "app"
        run(f"[[run:mkdir app; cd app; git init -qb main; echo old >a; git add a; {git} commit -qm one; echo new >a]]")
        given = {"uncommitted": True, "base": "main", "commit": "HEAD"}
        review = {target: given[target]} if target in given else {}
        prompt = None if review else "[[say:reviewed as told]]"
        result = run(prompt, review=review, working_directory=str(repository))
        assert result["status"] == "completed" and result["final_response"]
        asked = json.dumps(stub.requests()[-1]["body"])
        words = {"uncommitted": "staged, unstaged", "base": "'main'", "commit": "commit", "instructions": "as told"}
        assert words[target] in asked

    @pytest.mark.parametrize(
        ("options", "what"),
        [
            ({"thread_id": "01999999-1111-7222-8333-444455556666", "fork": True}, "exec fork"),
            ({"ephemeral": True}, "--ephemeral"),
            ({"prompt": None, "review": {"uncommitted": True}}, "exec review"),
            ({"prompt": None, "review": {"base": "main"}}, "exec review"),
            ({"review": {}}, "exec review"),
        ],
    )
    def test_an_older_cli_is_told_to_lack_it(self, run: Turn, options: dict[str, Any], what: str) -> None:
        result = run(**{"prompt": "[[say:x]]", "codex_path": str(native_codex("0.44.0")), **options})
        assert (result["status"], result["reason"]) == ("exited", "unsupported_option")
        assert f"(0.44.0) does not accept {what}:" in result["msg"] and result["changed"] is False


class TestResuming:
    GONE = "01999999-1111-7222-8333-444455556666"

    def test_a_pruned_thread_is_told(self, run: Turn) -> None:
        result = run("[[say:x]]", thread_id=self.GONE)
        assert (result["status"], result["reason"]) == ("exited", "thread_gone") and self.GONE in result["msg"]

    def test_a_pruned_thread_is_started_afresh_on_request(self, run: Turn) -> None:
        result = run("[[say:fresh]]", thread_id=self.GONE, thread_missing="start", thread_source="cli")
        assert (result["status"], result["resumed"], result["final_response"]) == ("completed", False, "fresh")
        assert result["thread_id"] not in (None, self.GONE)

    def test_a_thread_in_use_is_told_from_one_that_is_gone(self, run: Turn, stub: ResponsesStub) -> None:
        thread_id = run("[[say:x]]")["thread_id"]
        before = len(stub.requests())
        first: list[dict[str, Any]] = []
        writer = threading.Thread(target=lambda: first.append(run("[[stall]]", thread_id=thread_id, timeout=120)))
        writer.start()
        wait_until(lambda: len(stub.requests()) > before)
        (cli,) = (pid for pid in proc.pids() if f" resume {thread_id}" in command_line(pid))
        second = run("[[say:y]]", thread_id=thread_id)
        os.kill(cli, signal.SIGTERM)
        writer.join()
        assert second["reason"] == "thread_busy", second
        assert (first[0]["status"], first[0]["signal"]) == ("killed", "SIGTERM")


class TestSecrets:
    def test_the_key_is_redacted_wherever_it_appears(self, run: Turn, home: Path) -> None:
        env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "MY_TOKEN": "hush-hush-hush", "PLAIN": "visible"}
        result = run(
            "[[run:echo $CODEX_API_KEY $MY_TOKEN $PLAIN]] [[output]]", env=env, events_path=str(home / "raw.jsonl")
        )
        everything = json.dumps(result) + (home / "raw.jsonl").read_text()
        assert FAKE_KEY not in everything and "hush-hush-hush" not in everything
        assert "******** ******** visible" in result["final_response"]
        assert [warning for warning in result["warnings"] if "protect_api_key" in warning]

    def test_the_key_can_be_kept_from_the_models_commands(self, run: Turn) -> None:
        result = run("[[run:env]] [[output]]", protect_api_key=True)
        assert "CODEX_API_KEY" not in result["final_response"] and result["warnings"] == []

    def test_an_env_without_path_earns_a_warning(self, run: Turn, home: Path) -> None:
        result = run("[[say:x]]", env={"HOME": str(home)}, api_key=None)
        assert [warning for warning in result["warnings"] if "PATH" in warning]
