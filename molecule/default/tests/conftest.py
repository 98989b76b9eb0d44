"""What the tests of workers share with the scenario matrix, whose inventory has more bases than a mirror may have."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from testinfra.host import Host

HOSTS = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"], ".cache/hosts")
INVENTORY = HOSTS / f"molecule-{os.environ['MOLECULE_SCENARIO_NAME']}" / "inventory.json"
RUNNING = json.loads(INVENTORY.read_text())["workers"]["hosts"]


@pytest.fixture(autouse=True)
def _running(host: Host) -> None:
    name = host.backend.get_hostname()
    if name not in RUNNING:
        pytest.skip(f"NOT RUN on {name}: no mirror of this machine has it")
