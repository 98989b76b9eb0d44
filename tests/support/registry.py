"""A stand-in for an npm registry, which serves real packages and fails on demand.

In a test: ``with Registry(["@openai/codex@0.160.0"]) as registry: npm install --registry registry.url ...``. From the
command line, for hosts in network namespaces of their own::

    python3 tests/support/registry.py --bind 10.0.0.1 --port 4873 @openai/codex@0.160.0

The packages come from the caller's npm, once, into the cache of the tests; with a release of Codex comes the package
of this machine's platform. Tarballs that a test builds itself can be added. It needs the standard library and npm.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import hashlib
import json
import platform
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.packages import CODEX_VERSION, cache_dir

CHUNK = 1 << 16


def platform_suffix() -> str:
    """How the versions of Codex's platform package for this machine end: ``linux-x64`` or ``linux-arm64``."""
    return {"x86_64": "linux-x64", "aarch64": "linux-arm64"}[platform.machine()]


def pack(spec: str) -> Path:
    """The tarball of ``name@version``, downloaded by npm at the first call."""
    folder = cache_dir() / "tarballs"
    folder.mkdir(exist_ok=True)
    tarball = folder / f"{spec.replace('/', '+')}.tgz"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tarball.exists():
            staging = folder / ".staging"
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            # npm's own directory: in a checkout it would look for workspaces and a project's settings.
            npm = ["npm", "pack", "--ignore-scripts", "--pack-destination", str(staging), spec]
            subprocess.run(npm, check=True, cwd=staging, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            next(staging.glob("*.tgz")).rename(tarball)
            staging.rmdir()
    return tarball


def pack_codex(version: str = CODEX_VERSION) -> list[Path]:
    """The two tarballs of a release of Codex: the package, and its native binary for this machine's platform."""
    return [pack(f"@openai/codex@{version}"), pack(f"@openai/codex@{version}-{platform_suffix()}")]


class Fault(NamedTuple):
    """What goes wrong, for tarballs whose file name holds ``match``; by default those of platform packages."""

    status: int = 0  # answers with this HTTP status
    rate: int = 0  # sends so many bytes a second
    cut: int = 0  # breaks the connection after so many bytes
    corrupt: bool = False  # sends the right number of bytes, the last of them wrong
    silent: bool = False  # answers only once ``Registry.answer`` is called
    match: str = "-linux-"


class Request(NamedTuple):
    """One request as it came in. ``authorization`` is the header's value, or empty."""

    method: str
    path: str
    authorization: str


class _Package(NamedTuple):
    manifest: dict[str, Any]
    tarball: Path


def _read_package(tarball: Path) -> _Package:
    with tarfile.open(tarball) as archive:
        member = next(m for m in archive if m.name.count("/") == 1 and m.name.endswith("/package.json"))
        stream = archive.extractfile(member)
        assert stream is not None
        manifest = json.load(stream)
    sha512, sha1 = hashlib.sha512(), hashlib.sha1()
    with tarball.open("rb") as file:
        while data := file.read(1 << 20):
            sha512.update(data)
            sha1.update(data)
    integrity = "sha512-" + base64.b64encode(sha512.digest()).decode()
    manifest["dist"] = {"integrity": integrity, "shasum": sha1.hexdigest()}
    return _Package(manifest, tarball)


class Registry:
    """Serves while its ``with`` block runs. ``fault``, ``tags``, ``times`` and ``token`` may be set at any time;
    ``times`` are those that versions were published at, in ISO 8601.

    ``specs`` are releases of Codex (``@openai/codex@VERSION``) or paths of tarballs. ``requests`` records what was
    asked. ``stop()`` makes it unreachable; ``url`` stays. ``certificate`` (certificate and key) makes it HTTPS.
    """

    def __init__(
        self,
        specs: list[str | Path],
        bind: str = "127.0.0.1",
        port: int = 0,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.fault = Fault()
        self.tags: dict[str, str] = {}
        self.times: dict[str, str] = {}
        self.token = ""
        self.requests: list[Request] = []
        self.stopping = threading.Event()
        self.speaking = threading.Event()
        self._packages: dict[str, dict[str, _Package]] = {}
        for spec in specs:
            self.add(spec)
        self._server = _Server((bind, port), _Handler)
        self._server.registry = self
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.port = self._server.server_port
        self.url = f"{scheme}://{bind}:{self.port}/"

    def __enter__(self) -> Registry:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Closes the socket and every answer under way."""
        if not self.stopping.is_set():
            self.stopping.set()
            self.answer()
            self._server.shutdown()
            self._server.server_close()

    def answer(self) -> None:
        """Answers what a fault keeps silent, from now on."""
        self.speaking.set()

    def add(self, spec: str | Path) -> None:
        """Serves one more tarball, or release of Codex. The newest added is ``latest``."""
        if isinstance(spec, Path):
            tarballs = [spec]
        elif spec.startswith("@openai/codex@"):
            tarballs = pack_codex(spec.rpartition("@")[2])
        else:
            tarballs = [pack(spec)]
        for package in map(_read_package, tarballs):
            name, version = package.manifest["name"], package.manifest["version"]
            self._packages.setdefault(name, {})[version] = package
        versions = [version for version in self._packages[name] if not version.endswith(platform_suffix())]
        if versions:  # a platform package may come before its package
            self.tags["latest"] = versions[-1]

    def packument(self, name: str) -> dict[str, Any]:
        """All that the registry says of a package. Raises KeyError for one that it does not have."""
        versions = {}
        for version, package in self._packages[name].items():
            file = f"{name.rpartition('/')[2]}-{version}.tgz"
            dist = {**package.manifest["dist"], "tarball": f"{self.url}{name}/-/{file}"}
            versions[version] = {**package.manifest, "_id": f"{name}@{version}", "dist": dist}
        return {"_id": name, "name": name, "dist-tags": self.tags, "versions": versions, "time": self.times}

    def tarball(self, name: str, file: str) -> Path:
        """The file behind a tarball's address. Raises KeyError where there is none."""
        prefix = f"{name.rpartition('/')[2]}-"
        return self._packages[name][file[len(prefix) :].removesuffix(".tgz")].tarball


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    registry: Registry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        registry, path = self.server.registry, unquote(self.path).lstrip("/")
        authorization = self.headers.get("Authorization", "")
        registry.requests.append(Request(self.command, path, authorization))
        if registry.token and authorization != f"Bearer {registry.token}":
            return self._answer(HTTPStatus.UNAUTHORIZED, {"error": "a token is needed"})
        name, separator, file = path.partition("/-/")
        try:
            if separator:
                return self._send_tarball(registry.tarball(name, file), registry.fault, file)
            return self._answer(HTTPStatus.OK, registry.packument(name))
        except KeyError:
            return self._answer(HTTPStatus.NOT_FOUND, {"error": "Not found"})

    do_HEAD = do_GET

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_tarball(self, tarball: Path, fault: Fault, file: str) -> None:
        if fault.match not in file:
            fault = Fault()
        if fault.silent:
            self.server.registry.speaking.wait()
            if self.server.registry.stopping.is_set():
                self.close_connection = True
                return
        if fault.status:
            return self._answer(fault.status, {"error": f"fault: {fault.status}"})
        size = tarball.stat().st_size
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if self.command != "HEAD":
            self._send_file(tarball, size, fault)

    def _send_file(self, tarball: Path, size: int, fault: Fault) -> None:
        limit = min(size, fault.cut or size)
        started, sent = time.monotonic(), 0
        with tarball.open("rb") as stream:
            while sent < limit and not self.server.registry.stopping.is_set():
                data = stream.read(min(CHUNK, limit - sent))
                try:
                    self.wfile.write(data[:-8] + bytes(8) if fault.corrupt and sent + len(data) == size else data)
                except OSError:  # the client has gone: its choice
                    break
                sent += len(data)
                if fault.rate:
                    self.server.registry.stopping.wait(max(0.0, started + sent / fault.rate - time.monotonic()))
        self.close_connection = sent < size

    def log_message(self, *_: object) -> None:
        """Says nothing: ``requests`` has it all."""


def unreachable_url() -> str:
    """The address of a registry that nobody serves: the connection is refused."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return f"http://127.0.0.1:{server.server_port}/"


def main() -> None:
    parser = argparse.ArgumentParser(description="Serves real npm packages from this machine, until it is ended.")
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument(
        "specs", nargs="*", default=[f"@openai/codex@{CODEX_VERSION}"], help="releases, or tarballs, to serve"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    specs = [Path(spec) if spec.endswith(".tgz") else spec for spec in options.specs]
    with Registry(specs, options.bind, options.port) as registry:
        print(registry.url, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
