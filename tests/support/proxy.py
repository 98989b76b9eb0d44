"""A forward proxy on loopback, as a site may have one: tunnels (CONNECT) and plain HTTP. It records what is asked."""

from __future__ import annotations

import select
import socket
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Proxy:
    """Serves while its ``with`` block runs, at ``url``. ``asked`` holds the hosts that were asked for, with port.

    It leads to this machine alone. Whoever asks for another host is told that there is no way.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def environment(self) -> dict[str, str]:
        """What makes programs use it, for every host."""
        names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        return {**dict.fromkeys(names, self.url), "no_proxy": "", "NO_PROXY": ""}

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_CONNECT(self) -> None:
        self.close_connection = True
        host, _colon, port = self.path.rpartition(":")
        if not self._may_pass(self.path, host):
            return
        with socket.create_connection((host, int(port))) as far:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: far, far: self.connection}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(1 << 16)
                    if not data:
                        return
                    ends[end].sendall(data)

    def do_GET(self) -> None:
        self.close_connection = True
        parts = urlsplit(self.path)
        if not self._may_pass(parts.netloc, parts.hostname or ""):
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() == "authorization"}
        try:
            answer = _DIRECT.open(urllib.request.Request(self.path, headers=headers))
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Length"):
                self.send_header(name, answer.headers[name])
            self.end_headers()
            while data := answer.read(1 << 16):
                self.wfile.write(data)

    def _may_pass(self, where: str, host: str) -> bool:
        self.server.proxy.asked.append(where)
        if host == "127.0.0.1":
            return True
        self.send_error(502, "there is no way to that host")
        return False

    def log_message(self, *_: object) -> None:
        """Says nothing: ``asked`` has it all."""
