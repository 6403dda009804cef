"""Small conversations with local services: whatever comes back, an answer or a reason, within the deadline."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from resource_agents.host.sockets import Unanswered, connect, http_get
from resource_agents.host.url import http_address
from resource_agents.ocf.operation import Deadline


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def once() -> None:
            client, _ = listener.accept()
            with client:
                answer(client)

        thread = threading.Thread(target=once, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(10)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1/", ("127.0.0.1", 80, "/")),
        ("http://localhost:8080/status?x=1", ("localhost", 8080, "/status?x=1")),
        ("http://[::1]:81/a/b", ("::1", 81, "/a/b")),
        ("http://[::1]", ("::1", 80, "/")),
    ],
)
def test_urls(url: str, address: tuple[str, int, str]) -> None:
    assert http_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "https://x/",
        "http://x:0/",
        "http://x:70000/",
        "http://u:p@x/",
        "http://x y/",
        "http://[::1/",
        "x",
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) "):
        http_address(url)


def test_an_answer_and_its_request() -> None:
    heard = []

    def answer(client: socket.socket) -> None:
        heard.append(client.recv(4096))
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with server(answer) as port:
        assert http_get(f"http://127.0.0.1:{port}/status", Deadline(5)) == (200, b"ok")
    assert heard[0].startswith(b"GET /status HTTP/1.0\r\n")
    assert f"Host: 127.0.0.1:{port}\r\n".encode() in heard[0]


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 9999 x\r\n\r\n"]
)
def test_what_is_not_http_is_refused(said: bytes) -> None:
    def answer(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(said)

    with server(answer) as port, pytest.raises(Unanswered):
        http_get(f"http://127.0.0.1:{port}/", Deadline(5))


def test_an_endless_answer_ends() -> None:
    def answer(client: socket.socket) -> None:
        client.recv(4096)
        try:
            while True:
                client.sendall(b"HTTP/1.1 200 OK\r\n" * 1000)
        except OSError:
            return

    with server(answer) as port:
        assert http_get(f"http://127.0.0.1:{port}/", Deadline(5))[0] == 200


@pytest.mark.parametrize("name", ["\udcb8\udcff", "\ud800", "é" * 300, "x" * 5000, ".", "a..b"])
def test_a_name_that_can_be_none_is_not_resolved(name: str) -> None:
    with pytest.raises(Unanswered, match="name"):
        connect((name, 80), Deadline(20))
