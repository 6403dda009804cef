"""Small conversations with local services, each bounded by a deadline. `Unanswered` says in words what went wrong.

Not on any level-0 path: `socket` costs as much as a bare interpreter.
"""

import socket

from resource_agents.host.url import http_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.ocf.operation import Deadline

LONGEST_REPLY = 1 << 20


class Unanswered(Exception):  # noqa: N818 - it is an answer, of a kind
    """No usable answer; the text says what was seen, without naming the service."""


def connect(address: "tuple[str, int] | str", deadline: "Deadline") -> socket.socket:
    """A connection to host and port, or to a Unix socket's path. Raises Unanswered."""
    if deadline.left() <= 0:
        raise Unanswered("no time is left to ask")
    try:
        if isinstance(address, tuple):
            return socket.create_connection(address, timeout=deadline.left())
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(deadline.left())
        link.connect(address)
        return link
    except BlockingIOError:
        raise Unanswered("does not take connections (its queue is full)") from None
    except OSError as error:
        raise Unanswered(in_words(error)) from None


def in_words(error: OSError) -> str:
    if isinstance(error, socket.timeout):  # until python 3.10 not the same as TimeoutError
        return "does not answer in time"
    return (error.strerror or str(error)).lower()


def receive(link: socket.socket, deadline: "Deadline", at_most: int) -> bytes:
    """Some bytes, b"" at the end of the stream. The deadline is for the whole conversation: a trickle does not extend
    it."""
    left = deadline.left()
    if left <= 0:
        raise Unanswered("does not answer in time")
    link.settimeout(left)
    try:
        return link.recv(at_most)
    except OSError as error:
        raise Unanswered(in_words(error)) from None


def send(link: socket.socket, data: bytes, deadline: "Deadline") -> None:
    link.settimeout(max(0.01, deadline.left()))
    try:
        link.sendall(data)
    except OSError as error:
        raise Unanswered(in_words(error)) from None


def exactly(link: socket.socket, count: int, deadline: "Deadline") -> bytes:
    data = b""
    while len(data) < count:
        more = receive(link, deadline, count - len(data))
        if not more:
            raise Unanswered(
                "closes the connection in the middle of its answer" if data else "closes the connection at once"
            )
        data += more
    return data


def line(link: socket.socket, deadline: "Deadline") -> bytes:
    """What comes before the first newline, or before the end of the stream."""
    data = b""
    while b"\n" not in data:
        more = receive(link, deadline, 65536)
        if not more:
            break
        data += more
        if len(data) > LONGEST_REPLY:
            raise Unanswered("answers with more than a megabyte in one line")
    if not data:
        raise Unanswered("closes the connection without an answer")
    return data.split(b"\n", 1)[0]


def http_get(url: str, deadline: "Deadline") -> "tuple[int, bytes]":
    """Status code and the first part of the body. Raises Unanswered."""
    host, port, path = http_address(url)
    shown = f"[{host}]" if ":" in host else host
    with connect((host, port), deadline) as link:
        request = f"GET {path} HTTP/1.0\r\nHost: {shown}:{port}\r\nUser-Agent: kappa-ha\r\nConnection: close\r\n\r\n"
        send(link, request.encode("ascii"), deadline)
        data = b""
        while len(data) < 65536:
            more = receive(link, deadline, 65536)
            if not more:
                break
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit() or len(words[1]) != 3:
        raise Unanswered("does not answer in HTTP" if data else "closes the connection without an answer")
    return int(words[1]), body
