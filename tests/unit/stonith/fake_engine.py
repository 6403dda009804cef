"""A Docker engine as its API shows it, on a Unix socket: the few calls the broker makes, and an engine's bad days.

Statuses, messages and states are those of engine 20.10 (API 1.41): a kill of what does not run is 409, a start of what
runs is 304, an unknown name 404, too new a version 400; a paused container is Running too, and a kill thaws it.
"""

import hashlib
import json
import re
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

NEVER = "0001-01-01T00:00:00Z"


@dataclass
class Container:
    name: str
    status: str = "running"
    pid: int = 4321
    started: str = "2026-01-01T00:00:00.000000001Z"
    starts: int = 1
    kill_takes: bool = True
    """False: the engine says 204 and the process lives on, as one in uninterruptible sleep does."""
    kill_thaws: bool = True
    """False: an engine that does not thaw what it kills."""
    killed: bool = False
    overrides: dict[str, Any] = field(default_factory=dict)
    """Put over the State of an inspection."""
    host: dict[str, Any] = field(default_factory=dict)
    """The HostConfig of an inspection."""
    id: str = ""

    def __post_init__(self) -> None:
        self.id = self.id or hashlib.sha256(self.name.encode()).hexdigest()

    def running(self) -> bool:
        return self.status in ("running", "paused", "restarting")

    def end(self) -> None:
        self.status, self.pid, self.killed = "exited", 0, False

    def start(self) -> None:
        self.starts += 1
        self.started = f"2026-01-01T00:00:{self.starts:02}.000000001Z"
        self.status, self.pid = "running", 4321 + self.starts

    def inspect(self) -> dict[str, Any]:
        state = {
            "Status": self.status,
            "Running": self.running(),
            "Paused": self.status == "paused",
            "Restarting": self.status == "restarting",
            "OOMKilled": False,
            "Dead": self.status == "dead",
            "Pid": 0 if self.status == "restarting" else self.pid,
            "ExitCode": 0 if self.running() else 137,
            "Error": "",
            "StartedAt": NEVER if self.status == "created" else self.started,
            "FinishedAt": NEVER,
        }
        return {
            "Id": self.id,
            "Name": "/" + self.name,
            "State": {**state, **self.overrides},
            "Config": {},
            "HostConfig": self.host,
        }


class Engine:
    """The engine's state, and what goes wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reset()

    def reset(self) -> None:
        self.containers: dict[str, Container] = {}
        self.api = ("1.41", "1.12")
        self.hang_s = 0.0
        self.hang_on: str = ""
        """A regular expression; calls that match it hang. Empty: all of them, when hang_s is set."""
        self.raw: dict[str, bytes] = {}
        """What is answered to calls that match, byte by byte as it is."""
        self.calls: list[str] = []

    def add(self, name: str, **about: Any) -> Container:
        self.containers[name] = Container(name, **about)
        return self.containers[name]

    def find(self, name: str) -> Container | None:
        """By id, by name, or by what an id begins with: in that order, as the engine does."""
        for one in self.containers.values():
            if name in (one.id, one.name):
                return one
        return next((one for one in self.containers.values() if one.id.startswith(name)), None)

    def switching(self) -> list[str]:
        """The calls that change something."""
        return [call for call in self.calls if call.startswith("POST")]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Engine

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def address_string(self) -> str:
        return "unix"

    def _answer(self, status: int, body: object = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Api-Version", self.engine.api[0])
        self.send_header("Content-Type", "application/json")
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _handle(self) -> None:
        engine, call = self.engine, f"{self.command} {self.path}"
        parts = urlsplit(self.path)
        versioned = re.fullmatch(r"/v(\d+)\.(\d+)(/.*)", parts.path)
        path = versioned[3] if versioned else parts.path
        engine.calls.append(f"{self.command} {path}" + (f"?{parts.query}" if parts.query else ""))
        for pattern, raw in engine.raw.items():
            if re.search(pattern, call):
                self.wfile.write(raw)
                self.close_connection = True
                return
        if engine.hang_s and re.search(engine.hang_on, call):
            end = time.monotonic() + engine.hang_s
            while time.monotonic() < end and engine.hang_s:
                time.sleep(0.01)
        if path == "/version":
            self._answer(200, {"Version": "20.10.24", "ApiVersion": engine.api[0], "MinAPIVersion": engine.api[1]})
            return
        if versioned and tuple(map(int, versioned.groups()[:2])) > _number(engine.api[0]):
            told = f"client version {versioned[1]}.{versioned[2]} is too new. Maximum supported API version is"
            self._answer(400, {"message": f"{told} {engine.api[0]}"})
            return
        if versioned and tuple(map(int, versioned.groups()[:2])) < _number(engine.api[1]):
            told = f"client version {versioned[1]}.{versioned[2]} is too old. Minimum supported API version is"
            self._answer(400, {"message": f"{told} {engine.api[1]}"})
            return
        if path == "/containers/json":
            shown = [one for one in engine.containers.values() if "all=1" in parts.query or one.running()]
            self._answer(200, [{"Id": one.id, "Names": ["/" + one.name], "State": one.status} for one in shown])
            return
        found = re.fullmatch(r"/containers/([^/]+)/(json|kill|start|unpause)", path)
        container = engine.find(found[1]) if found else None
        if found is None or container is None:
            self._answer(404, {"message": f"No such container: {found[1] if found else path}"})
        elif found[2] == "json" and self.command == "GET":
            self._answer(200, container.inspect())
        else:
            getattr(self, "_" + found[2])(container, parse_qs(parts.query))

    def _kill(self, container: Container, query: dict[str, list[str]]) -> None:
        if query.get("signal") != ["SIGKILL"]:
            self._answer(400, {"message": f"this is not a power cut: {query}"})
        elif not container.running():
            told = f"Cannot kill container: {container.name}: Container {container.id} is not running"
            self._answer(409, {"message": told})
        else:
            container.killed = True
            if container.kill_takes and (container.status != "paused" or container.kill_thaws):
                container.end()
            self._answer(204)

    def _unpause(self, container: Container, _: dict[str, list[str]]) -> None:
        if container.status != "paused":
            self._answer(409, {"message": f"Container {container.id} is not paused"})
            return
        container.status = "running"
        if container.killed and container.kill_takes:
            container.end()
        self._answer(204)

    def _start(self, container: Container, _: dict[str, list[str]]) -> None:
        if container.running():
            self._answer(304)
            return
        container.start()
        self._answer(204)

    do_GET = do_POST = _handle  # noqa: N815


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the broker may hang up on an engine that hangs


def _number(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


@contextmanager
def running(path: Path) -> Iterator[Engine]:
    engine = Engine(path)
    server = _Server(str(path), type("Handler", (_Handler,), {"engine": engine}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        engine.hang_s = 0.0
        server.shutdown()
        server.server_close()
        thread.join(5)
        path.unlink(missing_ok=True)
