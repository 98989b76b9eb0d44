"""Test hosts from the command line: real ones where the machine can have them, else containers of an engine.

python3 tests/support/fleet.py up worker1:node worker2
python3 tests/support/fleet.py list
python3 tests/support/fleet.py cut worker1      # and heal
python3 tests/support/fleet.py run worker1 ps -ef
python3 tests/support/fleet.py down
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import containers
from support.containers import ContainerFleet
from support.hosts import Fleet, Spec, why_not


def ancestor(words: list[str]) -> int:
    """The PID of the nearest process above this one whose command line has all these words, 0 where there is none."""
    pid = os.getppid() if words else 0
    while pid > 1:
        argv = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
        if set(words) <= {argument.rpartition("/")[2] for argument in argv}:
            return pid
        pid = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    return 0


def had(fleet: Fleet, spec: Spec) -> bool:
    reason = fleet.can_have(spec.suite)
    if reason:
        print(f"NOT RUN on {spec.name}: {reason}", flush=True)
    return not reason


def main() -> None:
    parser = argparse.ArgumentParser(description="Starts and stops real Debian hosts, reached over SSH.")
    parser.add_argument("--fleet", default="manual", help="which of this checkout's fleets; default: %(default)s")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start fresh hosts in place of those of before")
    up.add_argument("--suite", default="", help="release of Debian or Ubuntu; default: this machine's own")
    up.add_argument(
        "--within",
        default="",
        metavar="COMMAND",
        help="stop them when the process above this one ends whose command line has these words",
    )
    up.add_argument("--available", action="store_true", help="leave out, and say so, what no mirror has a release for")
    up.add_argument("names", nargs="+", metavar="NAME[:node][@SUITE]")
    commands.add_parser("check", help="say why this machine cannot have hosts (and fail), or nothing")
    commands.add_parser("down", help="stop them and remove whatever they left")
    commands.add_parser("list", help="name, address, PID 1 and root directory of each that runs")
    for command, text in (("cut", "pull a host's network cable"), ("heal", "put it back")):
        commands.add_parser(command, help=text).add_argument("name")
    run = commands.add_parser("run", help="run a command in a host as root, without SSH")
    run.add_argument("name")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run a program on this machine that ends with the hosts")
    serve.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    commands.add_parser("keep", help="stop the hosts when a process ends").add_argument("owner", type=int)
    options = parser.parse_args()

    reason = why_not()
    fleet = ContainerFleet(options.fleet) if reason and not containers.why_not() else Fleet(options.fleet)
    if options.command == "up":
        names = [name for name in options.names if not options.available or had(fleet, Spec.parse(name, options.suite))]
        fleet.up(names, options.suite, ancestor(options.within.split()))
    elif options.command == "check":
        sys.exit(f"{reason}; {containers.why_not()}" if reason and containers.why_not() else None)
    elif options.command == "down":
        fleet.down()
    elif options.command == "serve":
        fleet.serve(options.argv)
    elif options.command == "keep":
        fleet.keep(options.owner)
    elif options.command == "list":
        for host in fleet.hosts.values():
            print(host.name, host.address, host.pid, host.root)
    elif options.name not in fleet.hosts:
        sys.exit(f"no host {options.name!r} runs; there are: {', '.join(fleet.hosts) or 'none'}")
    elif options.command == "run":
        argv = fleet.hosts[options.name].command(*options.argv)
        os.execv(argv[0], argv)
    else:
        getattr(fleet.hosts[options.name], options.command)()


if __name__ == "__main__":
    main()
