"""The local Responses stub as a child process, and what it recorded. Its own head describes its directives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAM = Path(__file__).resolve().parents[2] / "playbooks" / "files" / "responses_stub.py"
FAKE_KEY = "sk-fake-0123456789abcdef"


class ResponsesStub:
    """Serves while its ``with`` block runs, on ``base_url``. It dies with this process, whatever happens.

    ``arguments`` go to the program as they are, such as ``--bind 10.0.0.1`` for hosts in other network namespaces.
    """

    def __init__(self, *arguments: str, python: str = sys.executable) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="responses-stub-")
        self.directory = Path(self._directory.name)
        self._log = self.directory / "requests.jsonl"
        argv = [python, str(PROGRAM), "--parent", str(os.getpid()), "--requests", str(self._log), *arguments]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdout is not None and self.process.stderr is not None
        announced = self.process.stdout.readline()
        if not announced:
            message = self.process.stderr.read().decode()
            self.stop()
            self._directory.cleanup()
            raise RuntimeError(message)
        self.port: int = json.loads(announced)["port"]
        bind = arguments[arguments.index("--bind") + 1] if "--bind" in arguments else "127.0.0.1"
        self.base_url = f"http://{bind}:{self.port}/v1"

    def requests(self, path: str = "/v1/responses") -> list[dict[str, Any]]:
        """The POST requests to ``path`` so far: ``time``, ``headers`` (lower case), ``body``; the key is redacted."""
        if not self._log.exists():
            return []
        entries = [json.loads(line) for line in self._log.read_text().splitlines()]
        return [entry for entry in entries if entry["method"] == "POST" and entry["path"] == path]

    def recorded(self) -> str:
        """Everything recorded, as it stands in the file."""
        return self._log.read_text()

    def stop(self) -> None:
        """Ends the server: from then on connections to it are refused."""
        if self.process.returncode is None:
            self.process.terminate()
            self.process.wait(10)
            for stream in (self.process.stdout, self.process.stderr):
                assert stream is not None
                stream.close()

    def __enter__(self) -> ResponsesStub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._directory.cleanup()
