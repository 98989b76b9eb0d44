"""Tries a release of the CLI: ``python -m canary COMMAND VERSION``, where the version may be a tag such as ``latest``.

run      every test that depends on the CLI, and the SDK's newest, then the drift report; exit code 1 where a test
         fails or something drifted
report   the drift report alone; exit code 1 where something drifted
record   writes the description of the release, to be reviewed and committed
compare  how one recorded release differs from the recorded one before it: ``compare 0.171.0``, or from another:
         ``compare 0.171.0 0.160.0``
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.alive.codex.plugins.module_utils._formats import version as cli_versions

from canary import drift, recorder

TESTS = Path(__file__).resolve().parents[1]
VERSIONS = TESTS / "canary" / "versions"
# Turns, parity with the SDK, validation, releases, policy, configuration, and pruning that `codex doctor` judges.
TRIED = (
    "test_exec", "test_exec_manners", "test_exec_tasks", "test_sdk_parity", "test_stub", "test_validate",
    "test_release_live", "test_policy", "test_workspaces_cli", "test_prune", "test_prune_cli", "test_prune_lineage",
)  # fmt: skip


def exact(package: str, version: str) -> str:
    """The version that npm means."""
    argv = ["npm", "view", f"{package}@{version}", "version", "--json"]
    printed = json.loads(subprocess.run(argv, check=True, capture_output=True, cwd="/").stdout)
    return str(printed[-1] if isinstance(printed, list) else printed)


def path_of(version: str) -> Path:
    return VERSIONS / f"{version}.json"


def known() -> dict[str, drift.Description]:
    """The descriptions that are committed, the oldest release first."""
    versions = sorted((path.stem for path in VERSIONS.glob("*.json")), key=cli_versions.parse_version)
    return {version: json.loads(path_of(version).read_text()) for version in versions}


def before(version: str, versions: list[str]) -> str:
    """The newest of ``versions`` that is older; of none, the oldest."""
    return max(
        (other for other in versions if cli_versions.parse_version(other) < cli_versions.parse_version(version)),
        key=cli_versions.parse_version,
        default=versions[0],
    )


def report(version: str, found: drift.Description) -> bool:
    """Prints how a release differs from its own description or, where it has none, from all that are known; whether it
    does."""
    described = known()
    if version in described:
        differences = drift.compare(described[version], found)
        title = f"{version} against its own description"
    else:
        nearest = before(version, list(described))
        differences = drift.against(described, nearest, found)
        title = f"{version} is not known. New is what none of {', '.join(described)} has, gone what {nearest} had."
    print(drift.report(title, differences))
    if cli_versions.parse_version(version) > cli_versions.parse_version(cli_versions.NEWEST_PROVEN):
        print(
            f"{version} is newer than {cli_versions.NEWEST_PROVEN}, the newest that is proven. If it does well: make"
            f" canary-record CLI={version}, review the diff, then set NEWEST_PROVEN in {cli_versions.__file__}."
        )
    return bool(differences)


def run(version: str) -> int:
    sdk = exact("@openai/codex-sdk", "latest")
    print(f"Codex CLI {version}, SDK {sdk}", flush=True)
    argv = [sys.executable, "-m", "pytest", *(f"system/{name}.py" for name in TRIED)]
    argv += ["--numprocesses", "2", "--dist", "loadfile"]
    tests = subprocess.run(argv, cwd=TESTS, env={**os.environ, "ALIVE_CLI": version, "ALIVE_SDK": sdk}, check=False)
    drifted = report(version, recorder.describe(version))
    return int(tests.returncode != 0 or drifted)


def main(command: str, wanted: str, *others: str) -> int:
    version = exact("@openai/codex", wanted)
    if command == "run":
        return run(version)
    if command == "report":
        return int(report(version, recorder.describe(version)))
    if command == "record":
        path_of(version).write_text(json.dumps(recorder.describe(version), indent=1) + "\n")
        print(f"Review and commit the diff of {path_of(version)}")
        return main("compare", version)
    if command == "compare":
        described = known()
        [other] = others or [before(version, list(described))]
        print(drift.report(f"{version} against {other}", drift.compare(described[other], described[version])))
        return 0
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
