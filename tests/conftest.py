"""Makes ``ansible_collections.alive.codex`` importable from this checkout, wherever it lies.

``ansible-test units`` loads it too, with every Python of targets, and has made the collection importable itself.
"""

from __future__ import annotations

import importlib
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.ansible_release import __version__ as core_version
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from support.stub import ResponsesStub

CHECKOUT = Path(__file__).resolve().parent.parent
# Where it lies at the place that Ansible looks for, as ansible-test wants it, no link leads there.
IN_PLACE = CHECKOUT.parts[-3:] == ("ansible_collections", "alive", "codex")
COLLECTIONS = CHECKOUT.parents[2] if IN_PLACE else CHECKOUT / ".cache" / "checkout"


def _link_checkout() -> None:
    link = COLLECTIONS / "ansible_collections" / "alive" / "codex"
    if link.resolve() != CHECKOUT:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(CHECKOUT)


_link_checkout()
if sys.version_info < (3, 11):  # the reader that the standard library took over
    sys.modules["tomllib"] = importlib.import_module("tomli")
sys.path.insert(0, str(COLLECTIONS))
sys.path.insert(0, str(CHECKOUT / "tests"))
os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(COLLECTIONS)
# The ansible-core that is tested is the one beside this Python, whoever calls it.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))

from support.packages import CODEX_VERSION  # noqa: E402
from support.settings import TARGET_PYTHON, UMASK  # noqa: E402

os.umask(UMASK)

# Another SQLite than this Python has, as CPython's module of that name on top of it.
if "ALIVE_SQLITE" in os.environ:
    sys.path.insert(0, os.environ["ALIVE_SQLITE"])
    sys.modules["sqlite3"] = importlib.import_module("pysqlite3")

# Here, so that processes of pytest-xdist share it, and that each run prints it.
os.environ.setdefault("ALIVE_SEED", str(random.SystemRandom().randrange(2**32)))


def pytest_report_header() -> list[str]:
    surroundings = {
        "ansible-core": core_version,
        "umask": f"{UMASK:03o}",
        "CLI": CODEX_VERSION,
        "Python of targets": TARGET_PYTHON,
    }
    return [", ".join(map(" ".join, surroundings.items())), f"ALIVE_SEED={os.environ['ALIVE_SEED']}"]


# Properties are tried with the same examples each time, however busy the machine is.
settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=20 if IN_PLACE else 100,  # make test-unit tries more, with one Python
)
settings.load_profile("tests")


def _left_by_the_cli() -> set[Path]:
    """The directories that the real CLI makes for each UID, whatever TMPDIR says, and never removes."""
    return {*Path("/tmp").glob("codex-daemon-*"), *Path("/tmp").glob("codex-bwrap-*")}


LEFT_BEFORE = _left_by_the_cli()


# What the modules returned in this run, which its processes share: see support/returned.py.
# A run of pytest within a test has that of the outer one.
OUTERMOST = "ALIVE_RETURNED" not in os.environ
RETURNED = Path(os.environ.setdefault("ALIVE_RETURNED", str(CHECKOUT / ".cache" / "returned" / str(os.getpid()))))
RETURNED.mkdir(parents=True, exist_ok=True)


def _whole(config: pytest.Config) -> bool:
    """Whether all system tests run, those that need root too."""
    asked = any(
        config.getoption(name, None) for name in ("keyword", "markexpr", "ignore", "deselect", "lf", "collectonly")
    )
    return os.geteuid() == 0 and not asked and [Path(each).name for each in config.args] == ["system"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):  # the last to end, where several processes run the tests
        for path in _left_by_the_cli() - LEFT_BEFORE:
            shutil.rmtree(path, ignore_errors=True)
        if session.exitstatus == pytest.ExitCode.OK and _whole(session.config):
            from support.returned import never_returned

            if missing := never_returned(RETURNED):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
                print("", *(f"RETURN documents {each}, which no module returned" for each in missing), sep="\n")
        if OUTERMOST:
            shutil.rmtree(RETURNED, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What of ``make test`` could not run here, for its last words."""
    part = Path(config.args[0]).name
    if part in ("unit", "system"):
        skipped = terminalreporter.getreports("skipped")
        reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
        where = os.environ.get("ALIVE_SURROUNDINGS", "here")
        path = CHECKOUT / ".cache" / "summary" / f"{where}-{part}"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{where}: {reason} ({count} of tests/{part})\n" for reason, count in sorted(reasons.items())]
        path.write_text("".join(lines))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Where root's tests run side by side, each process of pytest-xdist sees, of all that the machine runs, what it has
    started itself. Another's npm, or a tenant of the same UID, is not there for the tests and for what they try."""
    alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() == 0 and subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0:
        for spec in specs:
            # The shell stays: as the first process there it reaps what others leave to it.
            spec.python = shlex.join([*alone, "sh", "-c", '"$@"; exit', "sh", sys.executable])


# Files of the system tests that take longest. They begin first: one that began last would leave the other processes of
# pytest-xdist with nothing to do.
LONGEST = (
    "documented_commands",
    "release",
    "exec_tasks",
    "prune_cli",
    "modes",
    "fleet",
    "make",
    "role_cli",
    "quickstart",
    "exec_ssh",
    "release_resolution",
    "examples",
    "release_record",
    "exec_hostile",
    "policy",
    "playbook_reports",
    "prune_cron",
    "prune_whole",
    "stub",
    "release_live",
    "deploy",
    "exec_mitogen",
)


def _place(item: pytest.Item) -> int:
    name = item.nodeid.partition(".py")[0].rpartition("/test_")[2]
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="NOT RUN: needs root, to drop privileges to other users"))


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A temporary directory that every user can traverse; pytest's own lies below one that is 0700."""
    path = Path(tempfile.mkdtemp(prefix="alive-codex-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def stub() -> Iterator[ResponsesStub]:
    """A Responses stub of this test's own."""
    from support.stub import ResponsesStub

    with ResponsesStub() as running:
        yield running


@pytest.fixture
def root() -> Iterator[Path]:
    """An empty directory for workspaces, as a worker has it."""
    from support.sessions import workspaces_root

    with workspaces_root() as path:
        yield path
