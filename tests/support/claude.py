"""The real Claude Code, without an account: what answers it runs here."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support.packages import npm_install
from support.sessions import Workspace
from support.turns import wait_until

VERSION = "2.1.332"
KEY = "sk-fake-0123456789ab"


class Messages(ThreadingHTTPServer):
    """Stands in for the API, and answers ``hi``: a prompt with ``wait`` in it when ``answer`` is set; ``asked`` says
    that there was one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked, self.answer = threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Messages:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.answer.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Messages

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if "wait" in json.dumps(asked.get("messages")):
            self.server.asked.set()
            self.server.answer.wait(600)
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "usage": usage, "content": []}
        text = {"type": "text", "text": "hi"}
        if not asked.get("stream"):
            self._send("application/json", json.dumps({**message, "content": [text], "stop_reason": "end_turn"}))
            return
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": {**message, "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": {**text, "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
            {"type": "message_stop"},
        ]
        self._send("text/event-stream", "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events))

    def _send(self, kind: str, body: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # of one that was killed
            self.wfile.write(body.encode())

    def log_message(self, *_arguments: Any) -> None:
        """Nothing."""


def claude_binary() -> Path:
    return next(
        path
        for path in npm_install("@anthropic-ai/claude-code", VERSION).rglob("claude")
        if path.stat().st_size > 2**20
    )


@contextmanager
def claude(workspace: Workspace, messages: Messages, *arguments: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs it in a workspace that it trusts. Whatever processes of the workspace's user are left are killed."""
    place = workspace.home / more.get("CLAUDE_CONFIG_DIR", ".")
    trust = {"projects": {str(workspace.home): {"hasTrustDialogAccepted": True}}, "hasCompletedOnboarding": True}
    trust["customApiKeyResponses"] = {"approved": [KEY[-20:]], "rejected": []}
    config = place / ".claude.json"
    if not config.exists():
        config.write_text(json.dumps(trust))
        os.chown(config, workspace.uid, workspace.uid)
    environment = {
        **{"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": messages.url},
        **{"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", **more},
    }
    command = workspace.command(claude_binary(), *arguments, **environment)
    try:
        with subprocess.Popen(**command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            yield process
    finally:
        of_user = ["--uid", str(workspace.uid)]
        subprocess.run(["pkill", "--signal", "KILL", *of_user], check=False)
        # They die some time after the signal. Zombies write nothing any more.
        alive = ["pgrep", "--runstates", "D,R,S,T", *of_user]
        wait_until(lambda: subprocess.run(alive, stdout=subprocess.DEVNULL, check=False).returncode == 1, 30)
