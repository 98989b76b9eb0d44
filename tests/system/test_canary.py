"""The recorder of the canary, with the release that is the default: it finds again what is committed."""

from __future__ import annotations

import subprocess

import pytest
from canary import drift, recorder
from canary.__main__ import known
from support.packages import CODEX_VERSION

pytestmark = pytest.mark.root


def test_the_default_release_has_not_drifted():
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("NOT RUN: needs mount namespaces, for a /tmp of its own")
    described = known()
    if CODEX_VERSION not in described:
        pytest.skip(f"NOT RUN: {CODEX_VERSION} is not recorded: make canary-record CLI={CODEX_VERSION}")
    found = recorder.describe(CODEX_VERSION)
    assert drift.report("", drift.compare(described[CODEX_VERSION], found)) == "\nno drift\n"
