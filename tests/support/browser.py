"""A real Chromium, driven over the DevTools protocol through a pipe: no driver, no package, no port."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from support.packages import cache_dir
from support.settings import usual_umask

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What keys are to the protocol: the virtual key code, and the text they type.
KEYS = {"Tab": (9, None), "Enter": (13, "\r"), " ": (32, " ")}


def chromium() -> str:
    """The path of a Chromium; as root, Debian's package is installed where there is none.

    Raises FileNotFoundError, which says why there is none.
    """
    with usual_umask(), (cache_dir() / ".chromium-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _found()
        if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
            print("INSTALLING with apt-get, for the tests of the status page: chromium", flush=True)
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
                argv = ["apt-get", "--quiet", *arguments]
                subprocess.run(argv, check=False, env=environment, stdout=subprocess.DEVNULL)
            found = _found()
    if found is None:
        raise FileNotFoundError("there is no Chromium here; as root, on Debian: apt-get install chromium")
    return found


def _found() -> str | None:
    """Ubuntu's command of that name only says that it is a snap: what cannot say its version does not count."""
    for path in filter(None, map(shutil.which, NAMES)):
        if subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    return None


class Browser:
    """One page, on a network that leads nowhere. Raises RuntimeError for what the page or the protocol calls wrong."""

    def __init__(self, path: str) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="alive-codex-browser-", ignore_cleanup_errors=True)
        to_child, self._write = os.pipe()
        self._read, from_child = os.pipe()

        def place() -> None:
            # Chromium expects its commands on 3 and answers on 4, which either pipe may have been given already.
            one, two = (fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (to_child, from_child))
            os.dup2(one, 3)
            os.dup2(two, 4)

        self._process = subprocess.Popen(
            [
                path,
                *(
                    "--headless",
                    "--remote-debugging-pipe",
                    "--no-first-run",
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                ),
                *("--disable-background-networking", "--hide-scrollbars", f"--user-data-dir={self._profile.name}"),
                *(["--no-sandbox"] if os.geteuid() == 0 else []),
                "about:blank",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=place,
            env={**os.environ, "HOME": self._profile.name},
        )
        os.close(to_child)
        os.close(from_child)
        self._pending = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        (target,) = [each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a command of the protocol. Events that come meanwhile are kept in ``events``."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            chunk = os.read(self._read, 2**20)
            if not chunk:
                raise RuntimeError(f"Chromium ended with {self._process.wait()}")
            self._pending += chunk
        message, _end, self._pending = self._pending.partition(b"\0")
        return json.loads(message)

    def open(self, page: Path) -> None:
        """Loads a file, to the end of its scripts."""
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def run(self, script: str) -> Any:
        """The value of an expression in the page, as JSON holds it; of a promise, once it is there."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise RuntimeError(json.dumps(done["exceptionDetails"]))
        return done["result"].get("value")

    def press(self, key: str) -> None:
        code, text = KEYS[key]
        event = {"key": key, "code": {" ": "Space"}.get(key, key), "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def show(self, width: int, height: int, scheme: str = "light", medium: str = "") -> None:
        """The size of the window in pixels, light or dark, and ``print`` for paper."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=medium, features=features)

    def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def complaints(self) -> list[str]:
        """What the page did wrong since it was opened: errors, refusals of its policy, requests beyond the page."""
        found = []
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"]))
            elif method == "Log.entryAdded":
                found.append(params["entry"]["text"])
            elif method == "Network.requestWillBeSent" and params.get("type") != "Document":
                found.append(params["request"]["url"])
        return found

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._write)
        os.close(self._read)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._profile.cleanup()
