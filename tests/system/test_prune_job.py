"""The cron job's files as the module installs and removes them, with the real pruner. What cron does with them:
test_prune_cron.py."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.alive.codex.plugins.plugin_utils import _zipapp
from support.modules import run_module

pytestmark = pytest.mark.root
SOURCE = Path(__file__).resolve().parents[2] / "roles/codex_prune/files/alive_codex_prune.py"
NAMES = ("log_dir", "script", "config", "crontab")


@pytest.fixture(scope="module")
def pruner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pruner") / "pruner.pyz"
    path.write_bytes(_zipapp.pack(SOURCE.read_text()))
    return path


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """A host's directories, in one whose name has a blank and a percent sign."""
    host = tmp_path / "a host of 100%"
    (host / "cron.d").mkdir(parents=True)
    for directory in (tmp_path, host, host / "cron.d"):
        directory.chmod(0o755)
    return dict(zip(NAMES, (host / "log", host / "script", host / "prune.json", host / "cron.d/prune"), strict=True))


def job(places: dict[str, Path], pruner: Path | None = None, check: bool = False, **options: Any) -> dict[str, Any]:
    """The module, to which the pruner has been sent where one is given."""
    params: dict[str, Any] = {name: str(path) for name, path in places.items()}
    if pruner:
        params["_checksum"] = hashlib.sha256(pruner.read_bytes()).hexdigest()
        params |= {"src": str(pruner), "_incoming": str(pruner), "minute": "5", "hour": "3", "python": sys.executable}
    return run_module("codex_prune_job", {**params, **options}, check=check)


def there(places: dict[str, Path]) -> dict[str, tuple[int, int, str]]:
    """The owner and the mode of what is there."""
    found = {}
    for name, path in places.items():
        if os.path.lexists(path):
            info = path.lstat()
            found[name] = info.st_uid, info.st_gid, f"{info.st_mode & 0o7777:04o}"
    return found


MODES = {"log_dir": "0750", "script": "0755", "config": "0644", "crontab": "0644"}
ALL = {name: (0, 0, mode) for name, mode in MODES.items()}


def test_it_comes_stays_and_goes(places: dict[str, Path], pruner: Path) -> None:
    paths = [str(places[name]) for name in NAMES]
    foreseen = job(places, pruner, check=True)
    assert (foreseen["changed"], foreseen["files"], there(places)) == (True, paths, {})

    done = job(places, pruner)
    assert (done["files"], done["diff"]) == (foreseen["files"], foreseen["diff"])
    assert there(places) == ALL
    assert places["script"].read_bytes() == pruner.read_bytes()
    config = json.loads(places["config"].read_text())
    assert (config["log_dir"], config["max_age"], config["archive"]) == (paths[0], "30d", None)
    *_head, line = places["crontab"].read_text().splitlines()
    script, config_path = (f"'{places[name]}'".replace("%", r"\%") for name in ("script", "config"))
    run = f"{sys.executable} -I {script} --cron --config {config_path}"
    assert line == f"5 3 * * * root nice -n 19 ionice -c 3 {run}"

    # Nothing is asked for that is not there any more.
    again = job(places, pruner, _incoming=str(pruner.with_name("gone")), max_age="30d", keep_last="0")
    assert (again["changed"], again["files"], again["diff"]) == (False, [], [])
    assert job(places, pruner, stores="codex")["files"] == [paths[2]]

    (places["log_dir"] / "runs.log").write_text("{}\n")
    expected = [paths[3], paths[1], paths[2], paths[0]]
    assert job(places, check=True, state="absent")["files"] == expected
    assert there(places) == ALL
    assert job(places, state="absent")["files"] == expected
    assert there(places) == {}
    assert job(places, state="absent")["changed"] is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"python": "/usr/bin/false"}, "python: /usr/bin/false cannot run the pruner"),
        ({"python": "bin/python3"}, "python must be an absolute path, or a name on PATH"),
        ({"python": "/no/python"}, "python: /no/python cannot be run: No such file"),
        ({"max_age": "0d"}, "max_age: "),
        ({"hour": None}, "hour must be one field of a crontab"),
        ({"minute": "5 4"}, "minute must be one field of a crontab"),
        ({"hour": "3\n* * * * * root sh"}, "hour must hold no control characters"),
        ({"mailto": 'a" X="b'}, "mailto must be a user or an address"),
        ({"_checksum": "0" * 64}, "the script that arrived is not the one that was sent"),
        ({"crontab": "/no/cron.d/prune"}, "/no/cron.d is not there: install cron"),
    ],
)
def test_what_is_wrong_leaves_all_as_it_is(
    places: dict[str, Path], pruner: Path, options: dict[str, str], said: str
) -> None:
    job(places, pruner)
    before = {name: places[name].read_bytes() for name in NAMES[1:]}
    result = job(places, pruner, **options)
    assert result["failed"], result
    assert result["msg"].startswith("nothing was changed: ") and said in result["msg"]
    assert {name: places[name].read_bytes() for name in NAMES[1:]} == before


def test_what_has_drifted_is_mended(places: dict[str, Path], pruner: Path, tmp_path: Path) -> None:
    job(places, pruner)
    (tmp_path / "elsewhere").write_text("elsewhere")
    places["config"].unlink()
    places["config"].symlink_to(tmp_path / "elsewhere")
    places["script"].chmod(0o700)
    places["log_dir"].chmod(0o755)
    os.chown(places["crontab"], 20_001, 0)
    result = job(places, pruner, _incoming=None)
    assert result["files"] == [str(places[name]) for name in NAMES]
    assert [(each["before"], each["after"]) for each in result["diff"] if each["after_header"].endswith("log")] == [
        ("0:0 0755\n", "0:0 0750\n")
    ]
    assert there(places) == ALL
    assert (tmp_path / "elsewhere").read_text() == "elsewhere"


def test_a_directory_in_the_way_is_told_of(places: dict[str, Path], pruner: Path) -> None:
    places["config"].mkdir()
    result = job(places, pruner)
    assert result["failed"] and str(places["config"]) in result["msg"]
