"""Both neighbours of the router stand-in, for tests that need no mongod: a raw client, and a member with knobs.

They read and write the wire by themselves: a fault of the stand-in's own framing would not be seen by its own framing.
"""

import contextlib
import datetime
import os
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bson

from tests.mongod import free_port

ROOT = Path(__file__).resolve().parents[3]
OP_MSG, OP_QUERY, OP_REPLY = 2013, 2004, 1
MORE_TO_COME, EXHAUST_ALLOWED = 2, 1 << 16

Document = dict[str, Any]


def until(condition: Callable[[], bool], what: str, within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"not within {within:.0f} s: {what}")


# -- the wire


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def receive(sock: socket.socket) -> tuple[int, int, int, bytes]:
    """One frame: request id, response to, kind, payload. Raises EOFError, or OSError (reset)."""
    length, request, response, kind = struct.unpack("<iiii", exactly(sock, 16))
    return request, response, kind, exactly(sock, length - 16)


def send(sock: socket.socket, kind: int, payload: bytes, request: int = 0, response: int = 0) -> None:
    sock.sendall(struct.pack("<iiii", 16 + len(payload), request, response, kind) + payload)


def message(document: Document, flags: int = 0) -> bytes:
    return struct.pack("<IB", flags, 0) + bson.encode(document)


# -- the client


class RawClient:
    """One connection to the router; what a driver would hide is seen here."""

    def __init__(self, port: int, timeout: float = 5.0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._request = 100

    def tell(self, document: Document, flags: int = 0) -> int:
        self._request += 1
        send(self.sock, OP_MSG, message({**document, "$db": "admin"}, flags), self._request)
        return self._request

    def hear(self) -> Document:
        _, response, kind, payload = receive(self.sock)
        assert kind == OP_MSG, kind
        assert response == self._request, (response, self._request)
        assert struct.unpack_from("<I", payload)[0] & MORE_TO_COME == 0
        return bson.decode(payload[5:])

    def ask(self, document: Document, flags: int = 0) -> Document:
        self.tell(document, flags)
        return self.hear()

    def ask_legacy(self, document: Document) -> Document:
        """By OP_QUERY, as an old client greets."""
        self._request += 1
        payload = struct.pack("<i", 4) + b"admin.$cmd\0" + struct.pack("<ii", 0, -1) + bson.encode(document)
        send(self.sock, OP_QUERY, payload, self._request)
        _, response, kind, answer = receive(self.sock)
        assert (kind, response) == (OP_REPLY, self._request)
        flags, cursor, start, count = struct.unpack_from("<iqii", answer)
        assert (flags & 2, cursor, start, count) == (0, 0, 0, 1)
        return bson.decode(answer[20:])

    def closed(self) -> bool:
        """Whether the router has ended this connection, and said nothing first."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# -- the member

SET = "kappa0"


@dataclass
class FakeMember:
    """Answers as a replica set's member does, and is primary, secondary or mute as a test says."""

    primary: bool = True
    set_name: str = SET
    mute: bool = False
    """Accepts connections and answers nothing."""
    replies: dict[str, Document | str] = field(default_factory=dict)
    """A command's answer: a document, `hang` (none until `release`), or `drop` (the connection ends)."""
    hosts: list[str] = field(default_factory=list)
    """Whom it calls members of the set; itself alone when nobody is named."""
    election: int = 1
    asked: list[Document] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    connections: int = 0
    greeted: int = 0
    open: set[socket.socket] = field(default_factory=set)
    port: int = 0

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._counter = 0
        self._released = threading.Event()
        self._server: socketserver.ThreadingTCPServer | None = None

    def start(self) -> "FakeMember":
        member = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                member.connections += 1
                member.open.add(self.request)
                try:
                    while True:
                        request, _, kind, payload = receive(self.request)
                        document = member._answer(kind, payload)
                        if document is not None:
                            send(self.request, OP_MSG, message(document), 7, request)
                except (EOFError, OSError, bson.errors.InvalidBSON):
                    pass
                finally:
                    member.open.discard(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 512

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def _answer(self, kind: int, payload: bytes) -> Document | None:
        assert kind == OP_MSG, kind
        document = bson.decode(payload[5:])
        name = next(iter(document))
        if self.mute:
            self._released.wait(30)
            raise EOFError
        if name in ("hello", "isMaster", "ismaster"):
            return self._hello(document)
        self.asked.append(document)
        self.flags.append(struct.unpack_from("<I", payload)[0])
        said = self.replies.get(name, {"ok": 1.0, "echo": name})
        if said == "hang":
            self._released.wait(30)
            said = {"ok": 1.0, "late": True}
        if said == "drop":
            raise EOFError
        assert isinstance(said, dict)
        return None if self.flags[-1] & MORE_TO_COME else said

    def _hello(self, asked: Document) -> Document:
        with self._changed:
            self.greeted += 1
            version = asked.get("topologyVersion")
            if version and version["counter"] == self._counter:
                self._changed.wait(asked["maxAwaitTimeMS"] / 1000)
            me = f"127.0.0.1:{self.port}"
            said: Document = {
                "topologyVersion": {"processId": bson.ObjectId(), "counter": self._counter},
                "hosts": self.hosts or [me], "setName": self.set_name, "setVersion": 1, "me": me,
                "isWritablePrimary": self.primary, "secondary": not self.primary,
                "lastWrite": {"opTime": {"ts": bson.Timestamp(1, 1), "t": 1}}, "readOnly": False,
                "maxBsonObjectSize": 16777216, "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000,
                "localTime": datetime.datetime.now(datetime.UTC),
                "logicalSessionTimeoutMinutes": 30, "connectionId": 99,
                "minWireVersion": 0, "maxWireVersion": 17, "ok": 1.0,
            }  # fmt: skip
            if self.primary:
                said |= {"primary": me, "electionId": bson.ObjectId(f"{0x7FFFFFFF:08x}{self.election:016x}")}
            if "saslSupportedMechs" in asked:
                said["saslSupportedMechs"] = ["SCRAM-SHA-256"]
            if "speculativeAuthenticate" in asked:
                said["speculativeAuthenticate"] = {"conversationId": 1, "payload": b"r=", "done": False}
            if "helloOk" in asked or "compression" in asked:
                said["compression"] = ["zlib"]
            return said

    def become(self, primary: bool) -> None:
        with self._changed:
            self.primary = primary
            self._counter += 1
            self.election += primary
            self._changed.notify_all()

    def release(self) -> None:
        self._released.set()

    def abandoned(self) -> int:
        """How many of its connections the other side has ended, whatever this member is busy with."""
        return sum(_ended(sock) for sock in list(self.open))

    def stop(self) -> None:
        """As a SIGKILL: nobody listens, and all connections end."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        self._released.set()
        for sock in list(self.open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        with self._changed:
            self._counter += 1
            self._changed.notify_all()

    def __enter__(self) -> "FakeMember":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


# -- the stand-in


class StandIn:
    """The router stand-in as a process of its own, as it is used."""

    def __init__(self, folder: Path, configdb: str, *options: str, port: int = 0, quick: bool = True) -> None:
        self.port = port or free_port()
        self.output = folder / f"mongos-{self.port}.out"
        # the defaults of MongoDB are for clusters; a test that is about them says so
        quickly = (
            *("--setParameter", "mongosShutdownTimeoutMillisForSignaledShutdown=0"),
            *("--setParameter", "defaultFindReplicaSetHostTimeoutMS=500"),
        )
        self.arguments = ("--configdb", configdb, "--port", str(self.port), *(quickly if quick else ()), *options)
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> "StandIn":
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(
                mongos(*self.arguments), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment()
            )
        return self

    def listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False

    def start(self) -> "StandIn":
        self.spawn()
        until(lambda: self.ended() or self.listens(), "the stand-in listens")
        assert not self.ended(), self.said()
        return self

    def ended(self) -> bool:
        assert self.process
        return self.process.poll() is not None

    def said(self) -> str:
        return self.output.read_text()

    def client(self, timeout: float = 5.0) -> RawClient:
        return RawClient(self.port, timeout)

    def terminate(self, within: float = 10.0) -> int:
        assert self.process
        self.process.terminate()
        return self.process.wait(within)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def __enter__(self) -> "StandIn":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "vagrant"), "PYTHONUNBUFFERED": "1"}


def mongos(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "kappa_lab.mongodb.mongos", *arguments]


def run_mongos(*arguments: str, within: float = 20.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        mongos(*arguments), env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within
    )


@contextlib.contextmanager
def lab(folder: Path, *options: str, **member: Any) -> Iterator[tuple[FakeMember, StandIn]]:
    """A member, and a stand-in before it."""
    with FakeMember(**member) as one, StandIn(folder, f"{one.set_name}/127.0.0.1:{one.port}", *options) as router:
        yield one, router
