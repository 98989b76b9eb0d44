"""An /etc of a test's own, so that users can be made without touching this machine's."""

from __future__ import annotations

import ctypes
import multiprocessing
import subprocess
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

CLONE_NEWNS = 0x20000
fork = multiprocessing.get_context("fork")


def in_own_etc(work: Callable[[], Any]) -> Any:
    """Does ``work`` in a process that sees a copy of /etc, without ordinary users, and returns what it returns, which
    must be picklable. What it raises becomes an AssertionError. Needs root."""
    with tempfile.TemporaryDirectory(prefix="alive-etc-") as copy:
        receiving, sending = fork.Pipe(duplex=False)
        child = fork.Process(target=_work, args=(work, copy, sending))
        child.start()
        sending.close()
        try:
            result, failure = receiving.recv()
        except EOFError:
            result, failure = None, "the process ended before its work did"
        child.join()
    assert not failure, failure
    return result


def _work(work: Callable[[], Any], copy: str, sending: Any) -> None:
    try:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "unshare")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["cp", "--archive", "/etc/.", copy], check=True)
        subprocess.run(["mount", "--bind", copy, "/etc"], check=True)
        sending.send((work(), ""))
    except BaseException:
        sending.send((None, traceback.format_exc()))
