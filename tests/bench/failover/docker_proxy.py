"""A filter before the container engine's API, for the stock configuration's fence agent; the bench's, nobody else's.

Debian's fence_docker speaks the engine's own API over TLS, and that API is root on the host. So the nodes are given
this in its place: it lists the lab's nodes, says whether one runs, kills one, starts one, and refuses all else. Its
certificate is its own and nobody vouches for it: the agent is told to take any (`ssl_insecure`).
"""

import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from kappa_lab import engine
from kappa_lab.run import run
from kappa_lab.topology import NODES, RINGS

HOST: Final = RINGS[0].host
PORT: Final = 7720
NAMES: Final = frozenset(node.container for node in NODES)
LIST: Final = re.compile(r"/v[\d.]+/containers/json\?all=1")
ONE: Final = re.compile(r"/v[\d.]+/containers/(?P<name>[\w.-]+)/(?P<what>json|kill|start)")
METHODS: Final = {"json": "GET", "kill": "POST", "start": "POST"}
IP_FREEBIND: Final = 15
"""Of Linux: the address may come later, with the lab's networks."""
MOST: Final = 4096
"""Bytes of a request's body; the agent sends none."""


def permitted(method: str, target: str, names: Collection[str] = NAMES) -> bool:
    """Whether a request may go on to the engine: to list, or to look at, kill or start one of `names`."""
    if LIST.fullmatch(target):
        return method == "GET"
    one = ONE.fullmatch(target)
    return one is not None and one["name"] in names and METHODS[one["what"]] == method


def cut_down(answer: Any, names: Collection[str] = NAMES) -> Any:
    """What of the engine's answer is passed on: of the list, what may be asked for; of one machine, its state."""
    if isinstance(answer, list):
        keys = ("Id", "Names", "State", "Status")
        listed = [one for one in answer if {name.lstrip("/") for name in one["Names"]} & set(names)]
        return [{key: one[key] for key in keys} for one in listed]
    if isinstance(answer, dict) and "State" in answer:
        return {key: answer[key] for key in ("Id", "Name", "State")}
    return answer


class _Engine(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(engine.SOCKET))


class _Asked(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def do_GET(self) -> None:
        self._pass_on("GET")

    def do_POST(self) -> None:
        self._pass_on("POST")

    def _pass_on(self, method: str) -> None:
        self.rfile.read(min(MOST, int(self.headers.get("Content-Length") or 0)))
        if not permitted(method, self.path):
            self._answer(403, json.dumps({"message": "not for a fence agent"}).encode())
            return
        connection = _Engine("engine", timeout=20)
        try:
            connection.request(method, self.path)
            response = connection.getresponse()
            status, body = response.status, response.read()
            if status == 200:
                body = json.dumps(cut_down(json.loads(body))).encode()
        except (OSError, ValueError, http.client.HTTPException) as error:
            status, body = 502, json.dumps({"message": f"the engine does not answer: {error}"}).encode()
        finally:
            connection.close()
        self._answer(status, body)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__((host, PORT), _Asked)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
        super().server_bind()

    def finish_request(self, request: Any, client_address: Any) -> None:
        # in the request's own thread: whoever dawdles over the handshake keeps nobody else waiting
        request.settimeout(20)
        with self._context.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a node that was killed in the middle of its request


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key, made in `folder`. Raises LabError."""
    made, key = folder / "proxy.pem", folder / "proxy.key"
    run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=kappa-bench", "-days", "2", "-out", made, "-keyout", key),
        ],
        doing="Making the proxy's certificate",
        hint="`apt-get install openssl` brings what it needs.",
    )
    return made, key


@contextmanager
def serving(folder: Path) -> Iterator[None]:
    """Serve on the host's address of the first ring while the caller works."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder))
    server = _Server(HOST, context)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="docker-proxy", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
