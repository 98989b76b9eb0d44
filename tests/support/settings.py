"""What the suite's surroundings are, from environment variables; tests/README.md says which there are."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

# Of the tests, and of all that they start.
UMASK = int(os.environ.get("ALIVE_UMASK") or "022", 8)
# Which of the two surroundings of ``make test`` these are, if one.
SURROUNDINGS = os.environ.get("ALIVE_SURROUNDINGS", "")
# Modules run with it, where the target is this machine.
TARGET_PYTHON = os.environ.get("ALIVE_TARGET_PYTHON") or sys.executable


@contextlib.contextmanager
def usual_umask() -> Iterator[None]:
    """For what tests lay out themselves: it is for all users to read, where the product is not what makes it."""
    umask = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(umask)
