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
  - With O(workspace) or O(home), and as root, the turn is in a PID namespace of its own. The kernel ends that as a
    whole, however fast its processes fork, even where what watches the turn is killed. The turn sees no other processes
    than its own, and what it mounts is seen by it alone. Where the host lets root make no namespaces, the task warns,
    and the processes are killed one by one.
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
      - The Codex CLI. On a host of the inventory P(alive.codex.workspaces#inventory), the default is C(codex_cli_bin)
        of its worker, where that has one.
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
  fork:
    description:
      - Whether to start a new thread from what was said in the thread O(thread_id), which stays as it is.
      - For a CLI that has C(exec fork), as 0.160 and newer do.
    type: bool
    default: false
  ephemeral:
    description:
      - Whether to keep no session of the turn. Its thread cannot be resumed, and there is nothing to prune.
      - For a CLI that has C(exec --ephemeral), as 0.120 and newer do.
    type: bool
    default: false
  review:
    description:
      - Has the model review code in O(working_directory), a Git repository, in place of an answer to a prompt. What is
        reviewed is one of its options, or what O(prompt) says.
      - For a CLI that has C(exec review), as 0.98 and newer do.
    type: dict
    suboptions:
      uncommitted:
        description: Reviews what is staged, not staged, or not tracked.
        type: bool
      base:
        description: Reviews the changes against this branch.
        type: str
      commit:
        description: Reviews the changes of this commit.
        type: str
      title:
        description: The commit's title, to be shown in the review.
        type: str
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
      - The whole environment of the CLI, in place of the inherited one or of the workspace's clean one. For variables
        that come on top, see O(extra_env).
      - With O(workspace) or O(home), HOME is that directory where O(env) does not name another.
      - No value is ever repeated among the arguments of the task, at any verbosity. Values whose names contain KEY,
        TOKEN, SECRET, PASSWORD or PASSPHRASE, and passwords in URLs, are redacted wherever they appear in the result,
        from 8 characters on. A shorter one, or another, is there where the model or the CLI writes it.
    type: dict
  extra_env:
    description:
      - Variables that come on top of the environment, whichever it is, such as a proxy or E(SSL_CERT_FILE). They are
        redacted as those of O(env) are.
    type: dict
  max_processes:
    description:
      - With O(workspace) or O(home), how many processes and threads the user who runs the turn may have on the host.
        V(0) is no limit. It is C(nproc) of O(limits), which wins.
    type: int
    default: 2048
  max_memory:
    description:
      - With O(workspace) or O(home), and as root, how much memory the turn may have, all its processes together, as a
        size such as V(4G) or a share of the host's such as V(50%). V(0) is no limit. None of it is swap.
      - Past it, the kernel kills a process of the turn, and a warning says so; RV(reason=max_memory) where that was the
        CLI itself.
      - It needs the memory controller of the host's cgroups, of version 1 or 2. Without that the task warns, and
        RV(containment.max_memory) is null.
    type: str
    default: 50%
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
      - How many bytes RV(events) and RV(thread_items) may take together. Past that, long strings in them are cut, with
        a mark that gives their full length; past a quarter more, further events are only counted, in
        RV(events_dropped). The final response is never cut.
      - Whatever it is, an event of more than 250,000 values, nested more than 100 deep, or of more than 8 MiB with
        other characters than ASCII, is left out, and told of in a warning; O(events_path) keeps it. A message of the
        agent of that kind, or a line of more than 64 MiB, ends the turn.
    type: int
    default: 1048576
  events_path:
    description:
      - A file on the target that the whole stream is written to, as JSON lines. Its path is absolute. It is opened as
        the user who runs the turn, emptied, and can then be read by that user alone (0600). A file that belongs to
        another user is refused.
      - No more is written than that user could write, by its quota, the space that is not reserved for root, and
        C(fsize) of O(limits). A warning says what is missing.
    type: path
  live_path:
    description:
      - A file on the control node that each event is appended to as it comes, as one JSON line, for a program that
        follows the turn, such as a panel above C(ansible-runner). Relative to the playbook, if it is not absolute.
      - A line has C(time) (ISO 8601 in UTC, by the control node's clock), C(host), C(workspace), C(thread_id), C(at)
        (seconds since the turn began, by the target's), the event's C(type), and where there are some its C(item) and
        C(text), the line for a person. In items, strings are cut at 2000 characters; one that takes more than 8 KiB is
        left out. C(dropped) says how many events before this line came too fast to be told of.
      - The last line of a turn, however it ends, is of the type C(result), with RV(status), RV(reason), C(msg),
        RV(usage) and RV(duration).
      - Many turns, of one run or of several, may append to one file, on a local file system. It is made for its user
        alone (0600); one that belongs to another user is refused. With C(no_log), it is written all the same.
      - Not for tasks with C(async), which nobody watches.
    type: path
  show:
    description:
      - Whether the operator's terminal shows V(events) while the turn runs, more of them with C(-v), or V(none).
      - With V(ends), a line when the turn has ended that says how many of the play's hosts are done.
    type: str
    choices: [events, ends, none]
    default: events
  _detach:
    description:
      - Set by the action alone, which watches the turn in place of the module.
    type: bool
  _secrets:
    description:
      - Set by the action alone, which passes O(api_key), O(env) and O(extra_env) in memory where the arguments would
        be written to a file.
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

- name: Try something else from the same point, and keep nothing of it
  alive.codex.codex_exec:
    workspace: acme
    thread_id: "{{ turn.thread_id }}"
    fork: true
    ephemeral: true
    prompt: Now in Latin.
    skip_git_repo_check: true

- name: Have the changes of a branch reviewed
  alive.codex.codex_exec:
    workspace: acme
    working_directory: /var/lib/claude-sessions/acme/app
    review:
      base: main

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
      no JSON or too long, V(spawn_failed) a CLI that could not be started, V(incomplete) an exit status 0
      without C(turn.completed) or with processes that could not be killed, V(invalid_response) a final response that
      does not satisfy O(output_schema), and V(not_run) check mode.
  type: str
  returned: always
  sample: completed
reason:
  description:
    - More about the status where it is known, one of V(timeout), V(idle_timeout), V(cancelled), V(lease_expired),
      V(supervisor_killed), V(result_lost), V(internal_error), V(thread_gone), V(thread_busy), V(unsupported_option),
      V(max_memory) and V(survivors).
    - With V(supervisor_killed), what watched the turn on the target was killed, and with V(internal_error), it failed
      by a fault of this collection. V(result_lost) is a result that could not be written, as a disk is full, say. None
      of them is a lost connection. RV(thread_id) is there as soon as the CLI has told of it.
    - With V(lease_expired), the target heard nothing from the control node for O(grace_period). The result never came,
      so it has only RV(thread_id), RV(thread_items) and RV(final_response), as far as they had reached the control
      node by then, with strings of more than 2000 characters cut. All of it is in O(events_path) where that was given,
      and in the thread. Where the connection is still lost, the host is unreachable.
  type: str
  returned: always
  sample: lease_expired
thread_id:
  description: The thread, to resume it. Null where none was started.
  type: str
  returned: always
  sample: 01a1fcc5-f3e8-71e3-916e-ce6f2d0a0ffb
resumed:
  description: Whether the turn went on in the thread O(thread_id).
  type: bool
  returned: when the turn ran
  sample: false
final_response:
  description: The text of the last message of the agent. Never cut.
  type: str
  returned: when the turn ran
  sample: README.md describes a parser for TOML.
structured_response:
  description: The final response, parsed, where it satisfies O(output_schema).
  type: raw
  returned: when the turn ran
  sample: {files: [.env]}
thread_items:
  description: The completed items, C(ThreadItem) in the SDK.
  type: list
  elements: dict
  returned: when the turn ran
  sample: [{id: item_0, type: agent_message, text: README.md describes a parser for TOML.}]
usage:
  description: The tokens that the turn used.
  type: dict
  returned: when the turn ran
  sample: {input_tokens: 33694, cached_input_tokens: 16768, cache_write_input_tokens: 0, output_tokens: 177}
events:
  description: The events, parsed.
  type: list
  elements: dict
  returned: when the turn ran
  sample: [{type: thread.started, thread_id: 01a1fcc5-f3e8-71e3-916e-ce6f2d0a0ffb}, {type: turn.started}]
event_count:
  description: How many events there were.
  type: int
  returned: when the turn ran
  sample: 5
events_cut:
  description: How many of the events in the result have strings cut.
  type: int
  returned: when the turn ran
  sample: 0
events_dropped:
  description: How many events the result leaves out because of O(max_bytes).
  type: int
  returned: when the turn ran
  sample: 0
errors:
  description: Messages of errors that were not fatal, such as reconnects. The first hundred.
  type: list
  elements: str
  returned: when the turn ran
  sample: ["Reconnecting... 2/5"]
stderr:
  description: What the CLI wrote to standard error; beyond 64 KiB, its beginning and end.
  type: str
  returned: when the turn ran
  sample: "Reading prompt from stdin..."
rc:
  description: The exit status, null where a signal ended the CLI.
  type: int
  returned: when the turn ran
  sample: 0
signal:
  description: The name of the signal that ended the CLI.
  type: str
  returned: when the turn ran
  sample: SIGKILL
duration:
  description: The seconds that the turn took.
  type: float
  returned: when the turn ran
  sample: 5.25
argv:
  description: The argument vector.
  type: list
  elements: str
  returned: when the turn ran, and in check mode
  sample: [/usr/local/bin/codex, exec, --experimental-json, --skip-git-repo-check]
containment:
  description: What holds the turn.
  type: dict
  returned: when the turn ran
  contains:
    pid_namespace:
      description: Whether it was in a PID namespace, which the kernel ended as a whole.
      type: bool
    max_processes:
      description: How many processes its user might have, null for no limit.
      type: int
    max_memory:
      description: How many bytes of memory it might have, null for no limit.
      type: int
  sample: {max_memory: 8589934592, max_processes: 2048, pid_namespace: true}
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._formats.text import clean
from ansible_collections.alive.codex.plugins.module_utils._turn import lease, options, prepare, supervisor


def main() -> None:
    module = AnsibleModule(
        {**options.SPEC, **options.PRIVATE_SPEC},
        supports_check_mode=True,
        mutually_exclusive=options.MUTUALLY_EXCLUSIVE,
        required_one_of=options.REQUIRED_ONE_OF,
    )
    params = dict(module.params)
    # Results repeat the module's arguments.
    module.params.update(options.without_secrets(params))
    if params["_secrets"] is not None and not module.check_mode:
        params.update(json.loads(lease.read_secrets(params["_secrets"])))
    for warning in [] if params["_detach"] else supervisor.keep_job_private():
        module.warn(warning)
    # Ansible would blot out each value of a variable wherever it stands in the result, a PATH or a "1" as well.
    secrets = options.secrets_of(params["api_key"], params["env"], params["extra_env"])
    module.no_log_values = {secret.decode() for secret in secrets}
    try:
        wanted = options.read(params)
        if module.check_mode:
            module.exit_json(**prepare.preview(wanted))
        result, warnings = supervisor.start_turn(wanted, bool(params["_detach"]), verbose=module._verbosity > 0)
    except options.CannotRun as error:
        thread_id = params["thread_id"]
        module.fail_json(msg=clean(str(error)), status="spawn_failed", reason=None, thread_id=thread_id)
    for warning in warnings:
        module.warn(clean(warning))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
