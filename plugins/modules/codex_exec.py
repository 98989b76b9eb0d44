#!/usr/bin/python
# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one turn of the Codex CLI."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codex_exec
short_description: Runs one turn of the Codex CLI and returns its parsed events
version_added: "0.1.0"
description:
  - Runs C(codex exec --experimental-json) exactly as the official TypeScript SDK (C(@openai/codex-sdk)) does, with
    the same argument vector, standard input and environment, and returns what the turn produced.
  - While the turn runs, a short line for each event appears on the operator's terminal (standard error).
  - The task has changed something exactly when a turn ran, not where the CLI could not be started or said at once why
    it would not.
  - When the turn ends, for whatever reason, every process that it started on the target is gone. A limit of time,
    Ctrl-C, SIGTERM and the task keyword C(timeout) end it at once; if the control node is killed or the connection is
    lost, it ends after O(grace_period).
author:
  - Alive maintainers (@alive)
extends_documentation_fragment:
  - alive.codex.attributes
  - alive.codex.workspaces
attributes:
  check_mode:
    support: full
    details: Returns the argument vector and touches nothing.
  diff_mode:
    support: none
    details: What a turn changes is not known before it has run.
  async:
    description: Can run as an asynchronous task.
    support: full
    details: Events are not shown while it runs.
options:
  prompt:
    description:
      - What the model is asked. Exactly one of O(prompt), O(prompt_src) and O(input) is needed.
    type: str
  prompt_src:
    description:
      - A file on the control node that holds the prompt.
    type: path
  input:
    description:
      - What the model is asked, in parts. Texts are joined by a blank line.
    type: list
    elements: dict
    suboptions:
      type:
        description: What the part is.
        type: str
        choices: [text, local_image]
        required: true
      text:
        description: The text of a part of type V(text).
        type: str
      path:
        description: The path on the target of the image of a part of type V(local_image).
        type: str
  images:
    description:
      - Paths of further images, on the target.
    type: list
    elements: str
  images_src:
    description:
      - Images on the control node. They are copied to a private directory that the turn can read, and removed
        afterwards.
    type: list
    elements: path
  workspace:
    description:
      - The name of the workspace to run in; its HOME is the directory of that name below O(root).
      - On a host of the inventory P(alive.codex.workspaces#inventory), that workspace and its root if neither this nor
        O(home) is given.
      - As root, the turn runs as the user and group that own the HOME, without supplementary groups and with umask
        077. A HOME owned by root is refused. As another user, the HOME must be that user's own.
      - The turn starts in the HOME. Unless O(env) is given, its environment is a clean one for that user, with HOME,
        PATH, USER, LOGNAME, LANG and TMPDIR.
    type: str
  home:
    description:
      - The HOME of a workspace that is not below O(root). Otherwise as O(workspace).
    type: path
  codex_path:
    description:
      - The Codex CLI.
    type: path
    default: /usr/local/bin/codex
  thread_id:
    description:
      - The thread to resume. Without it, the turn starts a new one.
      - Where a task with C(until) or C(retries) is tried again, it resumes the thread of the attempt before.
    type: str
  thread_missing:
    description:
      - What to do where there is no thread O(thread_id) any more, because it was pruned.
      - V(fail) fails with RV(reason=thread_gone), V(start) runs the turn in a new thread. RV(resumed) says which of
        the two happened.
    type: str
    choices: [fail, start]
    default: fail
  thread_source:
    description:
      - A classification of the thread, recorded when it is started.
    type: str
  model:
    description:
      - The model to use.
    type: str
  model_reasoning_effort:
    description:
      - How much the model reasons, such as V(minimal), V(low), V(medium), V(high) or V(xhigh).
    type: str
  sandbox_mode:
    description:
      - What the model's commands may do.
    type: str
    choices: [read-only, workspace-write, danger-full-access]
  approval_policy:
    description:
      - When the CLI would ask before it runs a command. Nobody is there to answer.
    type: str
    choices: [never, on-request, on-failure, untrusted]
  working_directory:
    description:
      - The directory that the model works in.
      - A turn of root's own, which has neither O(workspace) nor O(home), needs it where the module starts in a
        directory that another user could put something into.
    type: str
  additional_directories:
    description:
      - Further directories that the model may write to.
    type: list
    elements: str
  skip_git_repo_check:
    description:
      - Whether to run outside of a Git repository, too.
    type: bool
    default: false
  network_access_enabled:
    description:
      - Whether the model's commands have network access under V(workspace-write).
    type: bool
  web_search_mode:
    description:
      - How the model searches the web. Wins over O(web_search_enabled).
    type: str
    choices: [disabled, cached, live]
  web_search_enabled:
    description:
      - Whether the model may search the web.
    type: bool
  output_schema:
    description:
      - A JSON schema that the final response must satisfy. The response is parsed and validated.
      - Keywords that the validation does not know are named in a warning.
    type: dict
  output_schema_src:
    description:
      - A JSON file on the control node that holds the schema.
    type: path
  cyber_access_program:
    description:
      - The programme for security work that the turn belongs to, such as V(standard).
    type: str
  config:
    description:
      - Settings for this turn, as a nested mapping. Each leaf becomes a C(--config key.path=value).
      - A mapping with a key that itself contains a dot is passed as one inline table, since the CLI splits keys at
        dots.
    type: dict
  config_overrides:
    description:
      - Settings passed as they are, each as C(key=value) with a TOML value.
    type: list
    elements: str
  extra_args:
    description:
      - Arguments passed as they are, for options of the CLI that this module does not know.
    type: list
    elements: str
  base_url:
    description:
      - The base URL of the model's API. A CLI older than 0.120 gets it as the variable E(OPENAI_BASE_URL), too.
    type: str
  api_key:
    description:
      - The API key, passed to the CLI in its environment as E(CODEX_API_KEY).
      - It appears in no argument vector, result or file. By default the CLI passes it on to the model's commands; the
        system-wide settings of the role P(alive.codex.codex_cli#role) prevent that, and where they are not in force
        the task warns.
    type: str
  protect_api_key:
    description:
      - Whether to add a setting to the argument vector that keeps the API key from the model's commands.
    type: bool
    default: false
  env:
    description:
      - The whole environment of the CLI, in place of the inherited one or of the workspace's clean one.
      - Values whose names contain KEY, TOKEN, SECRET, PASSWORD or PASSPHRASE are redacted wherever they appear in the
        result.
    type: dict
  limits:
    description:
      - Resource limits of the CLI and all that it starts, soft and hard alike, by the names of C(setrlimit) in lower
        case, such as C(nproc), C(nofile), C(fsize), C(cpu) and C(as).
    type: dict
  timeout:
    description:
      - The seconds that the whole turn may take. Without it, there is no limit.
    type: float
  idle_timeout:
    description:
      - The seconds that may pass without an event. Without it, there is no limit.
    type: float
  grace_period:
    description:
      - The seconds that the turn survives a control node that is gone, or a connection that is cut. More than 2, as a
        sign of life comes every 2 seconds.
    type: float
    default: 30
  events:
    description:
      - What of the stream the result carries, V(all) events, completed V(items) only, or V(none).
    type: str
    choices: [all, items, none]
    default: all
  max_bytes:
    description:
      - How many bytes RV(events) and RV(thread_items) may take together. Past it, long strings in them are cut, with a
        mark that gives their full length; a quarter more, and further events are only counted in RV(events_dropped).
        The final response is never cut.
    type: int
    default: 1048576
  events_path:
    description:
      - A file on the target that the whole stream is written to, as JSON lines. Its path is absolute. It is opened as
        the user who runs the turn, emptied, and can then be read by that user alone (0600). A file that belongs to
        another user is refused.
    type: path
  show:
    description:
      - Whether the operator's terminal shows V(events) while the turn runs, more of them with C(-v), or V(none).
    type: str
    choices: [events, none]
    default: events
  _detach:
    description:
      - Set by the action alone, which watches the turn in place of the module.
    type: bool
  _secrets:
    description:
      - Set by the action alone, which passes O(api_key) and O(env) in memory where the arguments would be written to
        a file.
    type: path
notes:
  - For tenants that are not trusted, use O(workspace) as root, not C(become_user). What watches the turn and ends all
    its processes then belongs to root. With C(become_user) it is a process of the tenant's own, which the model's
    commands could kill, to outlive the turn.
"""

EXAMPLES = r"""
- name: Ask in a workspace
  alive.codex.codex_exec:
    workspace: acme
    prompt: Summarise README.md in one sentence.
    sandbox_mode: read-only
    skip_git_repo_check: true
    api_key: "{{ vault_openai_api_key }}"
    timeout: 600
  register: turn

- name: Go on in the same thread, or in a new one if it was pruned
  alive.codex.codex_exec:
    workspace: acme
    thread_id: "{{ turn.thread_id }}"
    thread_missing: start
    prompt: Now in French.
    skip_git_repo_check: true

- name: Get an answer of a given form
  alive.codex.codex_exec:
    workspace: acme
    prompt: Which files contain secrets?
    skip_git_repo_check: true
    output_schema:
      type: object
      properties:
        files: {type: array, items: {type: string}}
      required: [files]
      additionalProperties: false
  register: audit
  failed_when: audit.failed or audit.structured_response.files | length > 0

- name: Come back after a lost connection, and go on in the thread
  alive.codex.codex_exec:
    workspace: acme
    prompt: Bring the tests to pass.
    skip_git_repo_check: true
    events_path: /var/lib/claude-sessions/acme/last-turn.jsonl
  register: work
  until: (work.reason | default('')) != 'lease_expired'
  retries: 3
  delay: 60

# Ad hoc: ansible workers -b -m alive.codex.codex_exec -a "workspace=acme prompt='What is here?' events=none"
"""

RETURN = r"""
status:
  description:
    - How the turn ended. Only V(completed) is success.
    - V(failed) is a C(turn.failed) event, V(exited) a non-zero exit status, V(killed) a signal, V(timed_out) one of
      the limits, V(aborted) a cancelled turn or a control node that was gone too long, V(bad_stream) a line that is
      no JSON, V(spawn_failed) a CLI that could not be started, V(incomplete) an exit status 0 without
      C(turn.completed), V(invalid_response) a final response that does not satisfy O(output_schema), and V(not_run)
      check mode.
  type: str
  returned: always
  sample: completed
reason:
  description:
    - More about the status where it is known, one of V(timeout), V(idle_timeout), V(cancelled), V(lease_expired),
      V(thread_gone), V(thread_busy) and V(unsupported_option).
    - With V(lease_expired), the target heard nothing from the control node for O(grace_period). The result never came,
      so it has only RV(thread_id), RV(thread_items) and RV(final_response), as far as they had reached the control
      node by then, with strings of more than 2000 characters cut. All of it is in O(events_path) where that was given,
      and in the thread. Where the connection is still lost, the host is unreachable.
  type: str
  returned: always
thread_id:
  description: The thread, to resume it. Null where none was started.
  type: str
  returned: always
resumed:
  description: Whether the turn went on in the thread O(thread_id).
  type: bool
  returned: when the turn ran
final_response:
  description: The text of the last message of the agent. Never cut.
  type: str
  returned: when the turn ran
structured_response:
  description: The final response, parsed, where it satisfies O(output_schema).
  type: raw
  returned: when the turn ran
thread_items:
  description: The completed items, C(ThreadItem) in the SDK.
  type: list
  elements: dict
  returned: when the turn ran
usage:
  description: The tokens that the turn used.
  type: dict
  returned: when the turn ran
events:
  description: The events, parsed.
  type: list
  elements: dict
  returned: when the turn ran
event_count:
  description: How many events there were.
  type: int
  returned: when the turn ran
events_cut:
  description: How many of the events in the result have strings cut.
  type: int
  returned: when the turn ran
events_dropped:
  description: How many events the result leaves out because of O(max_bytes).
  type: int
  returned: when the turn ran
errors:
  description: Messages of errors that were not fatal, such as reconnects. The first hundred.
  type: list
  elements: str
  returned: when the turn ran
stderr:
  description: What the CLI wrote to standard error; beyond 64 KiB, its beginning and end.
  type: str
  returned: when the turn ran
rc:
  description: The exit status, null where a signal ended the CLI.
  type: int
  returned: when the turn ran
signal:
  description: The name of the signal that ended the CLI.
  type: str
  returned: when the turn ran
duration:
  description: The seconds that the turn took.
  type: float
  returned: when the turn ran
argv:
  description: The argument vector.
  type: list
  elements: str
  returned: when the turn ran, and in check mode
"""

import contextlib
import json
import os
import resource
import select
import signal
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._host import access
from ansible_collections.alive.codex.plugins.module_utils._turn import argv as argv_
from ansible_collections.alive.codex.plugins.module_utils._turn import lease, prepare, run

SPEC: dict[str, Any] = {
    "prompt": {"type": "str"},
    "prompt_src": {"type": "path"},
    "input": {
        "type": "list",
        "elements": "dict",
        "options": {
            "type": {"type": "str", "choices": ["text", "local_image"], "required": True},
            "text": {"type": "str"},
            "path": {"type": "str"},
        },
        "required_if": [("type", "text", ["text"]), ("type", "local_image", ["path"])],
    },
    "images": {"type": "list", "elements": "str"},
    "images_src": {"type": "list", "elements": "path"},
    "workspace": {"type": "str"},
    "root": {"type": "path", "default": "/var/lib/claude-sessions"},
    "home": {"type": "path"},
    "codex_path": {"type": "path", "default": "/usr/local/bin/codex"},
    "thread_id": {"type": "str"},
    "thread_missing": {"type": "str", "choices": ["fail", "start"], "default": "fail"},
    "thread_source": {"type": "str"},
    "model": {"type": "str"},
    "model_reasoning_effort": {"type": "str"},
    "sandbox_mode": {"type": "str", "choices": ["read-only", "workspace-write", "danger-full-access"]},
    "approval_policy": {"type": "str", "choices": ["never", "on-request", "on-failure", "untrusted"]},
    "working_directory": {"type": "str"},
    "additional_directories": {"type": "list", "elements": "str"},
    "skip_git_repo_check": {"type": "bool", "default": False},
    "network_access_enabled": {"type": "bool"},
    "web_search_mode": {"type": "str", "choices": ["disabled", "cached", "live"]},
    "web_search_enabled": {"type": "bool"},
    "output_schema": {"type": "dict"},
    "output_schema_src": {"type": "path"},
    "cyber_access_program": {"type": "str"},
    "config": {"type": "dict"},
    "config_overrides": {"type": "list", "elements": "str"},
    "extra_args": {"type": "list", "elements": "str"},
    "base_url": {"type": "str"},
    "api_key": {"type": "str", "no_log": True},
    "protect_api_key": {"type": "bool", "default": False, "no_log": False},
    "env": {"type": "dict", "no_log": True},
    "limits": {"type": "dict"},
    "timeout": {"type": "float"},
    "idle_timeout": {"type": "float"},
    "grace_period": {"type": "float", "default": 30},
    "events": {"type": "str", "choices": ["all", "items", "none"], "default": "all"},
    "max_bytes": {"type": "int", "default": 1048576},
    "events_path": {"type": "path"},
    "show": {"type": "str", "choices": ["events", "none"], "default": "events"},
    # Set by the action, which polls the supervisor instead of having this process wait, and offers api_key and env on a
    # FIFO where Ansible would write these arguments to a file.
    "_detach": {"type": "bool"},
    "_secrets": {"type": "path", "no_log": False},
}


def main() -> None:
    module = AnsibleModule(
        SPEC,
        supports_check_mode=True,
        mutually_exclusive=[("workspace", "home"), ("output_schema", "output_schema_src")],
        required_one_of=[("prompt", "prompt_src", "input")],
    )
    if module.params["_secrets"] is not None and not module.check_mode:
        module.params.update(json.loads(lease.read_secrets(module.params["_secrets"])))
    _keep_job_private(module)
    # Ansible would blot out each value of env wherever it stands in the result, a PATH or a "1" as well.
    module.no_log_values = {secret.decode() for secret in run.secrets_of(module.params)}
    try:
        _check(module.params)
        if module.check_mode:
            module.exit_json(**_preview(module.params))
        _run(module)
    except prepare.CannotRun as error:
        options = module.params
        module.fail_json(msg=str(error), status="spawn_failed", reason=None, thread_id=options["thread_id"])


def _keep_job_private(module: AnsibleModule) -> None:
    """Ansible writes the result of an async task with the umask. Its own directory for that becomes its user's alone;
    another one, which may hold other things, is not changed, but told of."""
    directory = os.path.expanduser(os.environ.get("ANSIBLE_ASYNC_DIR", ""))
    if module.params["_detach"] or not os.path.isdir(directory):
        return  # it is no async task
    if access.open_to_others(directory):
        if os.path.basename(directory) == ".ansible_async" and os.stat(directory).st_uid == os.geteuid():
            os.chmod(directory, 0o700)
        else:
            module.warn(f"other users may read the result of this task in {directory}: chmod 700 {directory}")


def _check(options: dict[str, Any]) -> None:
    if sum(options[name] is not None for name in ("prompt", "prompt_src", "input")) > 1:
        raise prepare.CannotRun("give one of prompt, prompt_src and input, not several")
    for name in ("prompt_src", "output_schema_src"):
        if options[name] is not None:
            raise prepare.CannotRun(f"{name} is read on the control node: run this as a task, not the module by itself")
    for name in ("timeout", "idle_timeout", "grace_period", "max_bytes"):
        if options[name] is not None and options[name] <= 0:
            raise prepare.CannotRun(f"{name} must be more than 0")
    if options["grace_period"] <= lease.POLL_SECONDS:
        raise prepare.CannotRun(f"grace_period must be more than the {lease.POLL_SECONDS} s between two signs of life")
    if options["events_path"] is not None and not os.path.isabs(options["events_path"]):
        raise prepare.CannotRun(f"events_path must be an absolute path, not {options['events_path']}")
    for name, value in (options["limits"] or {}).items():
        if not hasattr(resource, f"RLIMIT_{name.upper()}"):
            raise prepare.CannotRun(f"limits: this system has no limit {name!r}")
        if not str(value).isdecimal():
            raise prepare.CannotRun(f"limits: {name} must be a whole number, not {value!r}")
        options["limits"][name] = int(value)
    for name, value in (options["env"] or {}).items():
        if isinstance(value, (bool, dict, list, type(None))):
            raise prepare.CannotRun(f"env: {name} must be a string, not {type(value).__name__}; quote it")
        options["env"][name] = str(value)


def _preview(options: dict[str, Any]) -> dict[str, Any]:
    schema = None if options["output_schema"] is None else "schema.json"
    given = argv_.read_input(options)
    try:
        argv = argv_.build_argv(options["codex_path"], options, (*given.images, *(options["images_src"] or ())), schema)
    except ValueError as error:
        raise prepare.CannotRun(str(error)) from error
    return {
        "changed": False,
        "status": "not_run",
        "reason": None,
        "thread_id": options["thread_id"],
        "argv": argv,
    }


def _run(module: AnsibleModule) -> None:
    """Starts the supervisor, and returns where it can be polled, or waits for its result."""
    options = module.params
    verbose = module._verbosity > 0
    directory = lease.make_directory(access.temporary_directory())
    try:
        turn, warnings = prepare.prepare(options, directory)
    except BaseException:
        lease.remove_directory(directory)
        raise
    for warning in warnings:
        module.warn(warning)
    if options["_detach"]:
        pid = os.fork()
        if pid == 0:
            _supervise(turn, directory, verbose, [], lambda: lease.Detached(directory, options["grace_period"]))
        with open(os.path.join(directory, "pid"), "w", encoding="ascii") as file:
            file.write(str(pid))
        # What the action goes by is as it is read here: the task's own arguments may be strings, or left to a default.
        watch = {name: options[name] for name in ("grace_period", "max_bytes", "show", "thread_id", "workspace")}
        module.exit_json(changed=True, watch={"directory": directory, **watch})
    # What is written to the lifeline does not matter: that it closes, when this process ends, does.
    lifeline_read, lifeline_write = os.pipe()
    result_read, result_write = os.pipe()
    if os.fork() == 0:
        keep = [lifeline_read, result_write]
        _supervise(turn, directory, verbose, keep, lambda: lease.Attached(lifeline_read, result_write))
    os.close(lifeline_read)
    os.close(result_write)
    result = json.loads(_wait(result_read, lifeline_write) or b"{}")
    if not result:
        module.fail_json(
            msg="the turn's supervisor died; look for the out-of-memory killer", status="aborted", reason=None
        )
    module.exit_json(**result)


def _supervise(turn: run.Turn, directory: str, verbose: bool, keep: list[int], make_link: Any) -> None:
    """The rest of the supervisor's life. It holds nothing of the module's, whose connection would stay open."""
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) not in keep and int(name) != turn.events_fd:
                with contextlib.suppress(OSError):
                    os.close(int(name))
        link = make_link()
        link.deliver(run.run_turn(turn, link, verbose))
        code = 0
    finally:
        lease.remove_directory(directory)
        os._exit(code)


def _wait(result: int, lifeline: int) -> bytes:
    """Reads the result to its end. Where this process is to end, or nobody can take its output any more, the lifeline
    is closed; the supervisor then ends the turn, and its result still comes."""

    def let_go(*_unused: Any) -> None:
        nonlocal lifeline
        if lifeline >= 0:
            os.close(lifeline)
            lifeline = -1

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, let_go)
    poller = select.poll()
    poller.register(result, select.POLLIN)
    poller.register(1, 0)  # errors and hang-ups are always told
    chunks: list[bytes] = []
    while True:
        ready = dict(poller.poll())
        if 1 in ready:
            poller.unregister(1)
            let_go()
        if result in ready:
            chunk = os.read(result, 1024 * 1024)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)


if __name__ == "__main__":
    main()
