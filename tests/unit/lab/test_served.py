"""Who serves on an address, by HTTP: what an answer says, what none says, and that nobody has to wait for it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kappa_lab import served
from kappa_lab.served import Asker


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """A server on loopback that says this to whoever comes, and closes; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.recv(2048)
                    client.sendall(reply)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def http(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("reply", "status", "node"),
    [
        (http("serving on node2\n"), 200, "node2"),
        (http("welcome to nginx"), 200, None),
        (http("serving on node2\n", "502 Bad Gateway"), 502, "node2"),
        (http("serving on " + "n" * 900), 200, None),
        (b"not HTTP at all\r\n\r\n", None, None),
        (b"", None, None),
    ],
)
def test_what_is_answered_is_told(reply: bytes, status: int | None, node: str | None) -> None:
    before = time.time()
    with answering(reply) as port:
        seen = Asker("127.0.0.1", port).ask()
    assert (seen["e"], seen["status"], seen["node"]) == ("served", status, node)
    assert before <= float(str(seen["t"])) <= time.time()
    assert 0 < float(str(seen["ms"])) < 1000 * (time.time() - before) + 1


def test_nobody_is_told_as_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    seen = Asker("127.0.0.1", port).ask()
    assert (seen["status"], seen["node"]) == (None, None)


def test_whoever_does_not_answer_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "WITHIN_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        asker = Asker("127.0.0.1", server.getsockname()[1], every_s=0.01).start()
        began = time.monotonic()
        assert list(asker.answers()) == []
        assert time.monotonic() - began < 0.2
        seen: list[dict[str, object]] = []
        while not seen and time.monotonic() < began + 20:
            seen += asker.answers()
            time.sleep(0.01)
    assert seen[0]["status"] is None
    assert float(str(seen[0]["ms"])) >= 300
