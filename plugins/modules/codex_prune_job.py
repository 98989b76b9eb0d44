#!/usr/bin/python
# Copyright: (c) 2026, Alive maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: codex_prune_job
short_description: Installs the cron job that prunes sessions, or removes it
version_added: "0.1.0"
description:
  - Installs a self-contained script, its configuration, a directory for its logs, and a file in C(/etc/cron.d) that
    starts it, all of them root's. Where nothing differs, that costs a host one short module and no transfer.
  - The script reads the configuration, with the Python that cron will run, before anything is replaced.
  - The role P(alive.codex.codex_prune#role) gives it all that it needs.
options:
  state:
    description: With V(absent), the job goes with its script, configuration and logs. Archives stay.
    type: str
    choices: [present, absent]
    default: present
  src:
    description:
      - The script on the control node, as P(alive.codex.codex_prune_script#lookup) packs it. It is sent where the host
        has another one, or none.
      - Required with O(state=present).
    type: path
  minute:
    description: The minute field of the cron job. Required with O(state=present).
    type: str
  hour:
    description: The hour field of the cron job. Required with O(state=present).
    type: str
  weekday:
    description: The day-of-week field of the cron job.
    type: str
    default: "*"
  mailto:
    description: Whom cron mails what went wrong; empty for nobody.
    type: str
    default: root
  python:
    description: The Python (3.8 or newer) that runs the script.
    type: path
    default: /usr/bin/python3
  script:
    description: Where the script is installed.
    type: path
    default: /usr/local/sbin/alive-codex-prune
  config:
    description: Where its configuration is.
    type: path
    default: /etc/alive-codex-prune.json
  crontab:
    description: The file that has cron start it, in a directory of which cron reads every file.
    type: path
    default: /etc/cron.d/alive-codex-prune
  log_dir:
    description: Where it keeps its logs.
    type: path
    default: /var/log/alive-codex-prune
  _checksum:
    description: Set by the action alone, the SHA-256 of O(src).
    type: str
  _incoming:
    description: Set by the action alone, where on the host O(src) has been sent to.
    type: path
extends_documentation_fragment:
  - alive.codex.attributes
  - alive.codex.workspaces
  - alive.codex.sessions.stores
  - alive.codex.sessions.rules
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Of the script, which is long, it shows the checksum.
seealso:
  - module: alive.codex.codex_prune
  - ref: alive.codex.codex_prune <ansible_collections.alive.codex.codex_prune_role>
    description: The role that runs this module.
author:
  - Alive maintainers (@alive)
"""

EXAMPLES = r"""
- name: Remove the cron job with its script, configuration and logs
  alive.codex.codex_prune_job:
    state: absent
  become: true
"""

RETURN = r"""
files:
  description: What was installed or removed, or would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/alive-codex-prune.json]
"""

import hashlib
import os
from typing import NamedTuple

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alive.codex.plugins.module_utils._formats.text import MESSAGE_LENGTH, one_line
from ansible_collections.alive.codex.plugins.module_utils._formats.values import check_path
from ansible_collections.alive.codex.plugins.module_utils._host import installed
from ansible_collections.alive.codex.plugins.module_utils._host.access import private_directory
from ansible_collections.alive.codex.plugins.module_utils._host.identity import current_identity
from ansible_collections.alive.codex.plugins.module_utils._host.new_files import write_file
from ansible_collections.alive.codex.plugins.module_utils._host.process import bare_environment, run
from ansible_collections.alive.codex.plugins.module_utils._sessions.job import Schedule, config_text, crontab
from ansible_collections.alive.codex.plugins.module_utils._sessions.options import OPTIONS

RULES = {name: spec for name, spec in OPTIONS.items() if name not in ("workspaces", "now")}
SCRIPT_MODE = 0o755
FILE_MODE = 0o644
LOG_MODE = 0o750
TRIAL = 60.0  # seconds for a Python to start and read the configuration


class Change(NamedTuple):
    """What is at a path, and what is to be there."""

    path: str
    found: installed.State
    wanted: installed.State

    def diff(self) -> dict[str, str]:
        before, after = self.found.content.decode(errors="replace"), self.wanted.content.decode()
        if before == after:
            before, after = (f"{state.rights}\n" if state.rights else "" for state in (self.found, self.wanted))
        return {"before_header": self.path, "after_header": self.path, "before": before, "after": after}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **RULES,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "src": {"type": "path"},
            "minute": {"type": "str"},
            "hour": {"type": "str"},
            "weekday": {"type": "str", "default": "*"},
            "mailto": {"type": "str", "default": "root"},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "script": {"type": "path", "default": "/usr/local/sbin/alive-codex-prune"},
            "config": {"type": "path", "default": "/etc/alive-codex-prune.json"},
            "crontab": {"type": "path", "default": "/etc/cron.d/alive-codex-prune"},
            "log_dir": {"type": "path", "default": "/var/log/alive-codex-prune"},
            "_checksum": {"type": "str"},
            "_incoming": {"type": "path"},
        },
        required_if=[("state", "present", ("src", "minute", "hour"))],
        supports_check_mode=True,
    )
    params = module.params
    try:
        if os.geteuid() != 0:
            raise ValueError(f"this runs as UID {os.geteuid()}, not as root: set become")
        for option in ("script", "config", "crontab", "log_dir"):
            check_path(option, params[option])
        if params["state"] == "absent":
            remove(module)
        else:
            install(module)
    except ValueError as error:
        module.fail_json(msg=f"nothing was changed: {error}")
    except OSError as error:
        module.fail_json(msg=f"{error.filename or params['script']}: {error.strerror or error}")


def install(module: AnsibleModule) -> None:
    """Ends the module. Raises ValueError before anything is changed, or OSError."""
    params = module.params
    schedule = Schedule(*(params[name] or "" for name in Schedule._fields))  # Ansible takes a null for given
    config = config_text({name: params[name] for name in (*RULES, "log_dir")})
    cron = crontab(schedule, params["python"], params["script"], params["config"])
    cron_directory = os.path.dirname(params["crontab"])
    if not os.path.isdir(cron_directory):
        raise ValueError(f"{cron_directory} is not there: install cron on this host first")
    places = {name: params[name] for name in ("log_dir", "script", "config", "crontab")}
    script = installed.file_at(places["script"])
    content = {"config": config.encode(), "crontab": cron.encode()}
    changes = {
        "log_dir": Change(
            places["log_dir"], installed.directory_at(places["log_dir"]), installed.wanted(b"", LOG_MODE)
        ),
        "script": Change(
            places["script"],
            script._replace(content=named(digest(script.content)) if script.rights else b""),
            installed.wanted(named(params["_checksum"]), SCRIPT_MODE),
        ),
        **{
            name: Change(places[name], installed.file_at(places[name]), installed.wanted(text, FILE_MODE))
            for name, text in content.items()
        },
    }
    changes = {name: change for name, change in changes.items() if change.found != change.wanted}
    if changes and not module.check_mode:
        content["script"] = script_of(module, script)
        try_out(params["python"], content["script"], content["config"])
        for name, change in changes.items():
            if name == "log_dir":
                installed.put_directory(change.path, LOG_MODE)
            else:
                installed.put_file(change.path, content[name], SCRIPT_MODE if name == "script" else FILE_MODE)
    exit_with(module, list(changes.values()))


def script_of(module: AnsibleModule, found: installed.State) -> bytes:
    """What the script is to be: what is there, or what the action has sent. Where it has sent nothing yet, the module
    ends, and is run again."""
    wanted, incoming = module.params["_checksum"], module.params["_incoming"]
    if digest(found.content) == wanted:
        return found.content
    if incoming is None:
        module.exit_json(changed=False, files=[], _lacks_script=True)
    with open(incoming, "rb") as stream:
        content = stream.read()
    if digest(content) != wanted:
        raise ValueError("the script that arrived is not the one that was sent")
    return content


def try_out(python: str, script: bytes, config: bytes) -> None:
    """Raises ValueError where this Python, running this script, refuses the configuration."""
    with private_directory() as directory:
        paths = [os.path.join(directory, name) for name in ("script", "config")]
        for path, content in zip(paths, (script, config)):
            write_file(path, content, 0o600)
        argv = [python, "-I", paths[0], "--test-config", "--config", paths[1]]
        try:
            done = run(argv, bare_environment(current_identity(), "/"), TRIAL)
        except OSError as error:
            raise ValueError(f"python: {python} cannot be run: {error.strerror}") from None
    if done.timed_out or done.rc != 0:
        said = one_line(done.stderr.decode(errors="replace").strip(), MESSAGE_LENGTH)
        raise ValueError(f"python: {python} cannot run the pruner: {said or f'it ended with {done.rc}'}")


def remove(module: AnsibleModule) -> None:
    """Ends the module: first what starts the script, then all that it has. Raises OSError."""
    paths = [module.params[name] for name in ("crontab", "script", "config", "log_dir")]
    there = [path for path in paths if os.path.lexists(path)]
    if not module.check_mode:
        for path in there:
            installed.take_away(path)
    exit_with(module, [Change(path, installed.wanted(b"present\n", 0), installed.NOTHING) for path in there])


def exit_with(module: AnsibleModule, changes: list[Change]) -> None:
    paths = [change.path for change in changes]
    module.exit_json(changed=bool(changes), files=paths, diff=[change.diff() for change in changes])


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def named(checksum: str) -> bytes:
    """The script, which is long, in a diff."""
    return f"SHA-256 {checksum}\n".encode()


if __name__ == "__main__":
    main()
