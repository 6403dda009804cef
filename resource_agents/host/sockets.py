"""Small conversations with services, each bounded by a deadline. `Unanswered` says in words what went wrong.

`_socket`, the C half of `socket`, does all that is needed: the Python half costs as much again as a bare interpreter.
"""

from resource_agents.host.url import http_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as _socket
    from typing import Any

    from resource_agents.ocf.operation import Deadline

    Found = tuple[int, Any]
else:
    import _socket

LONGEST_REPLY = 1 << 20


class Unanswered(Exception):  # noqa: N818 - it is an answer, of a kind
    """No usable answer; the text says what was seen, without naming the service."""


class Link(_socket.socket):
    """A connection that is closed at the end of its `with`."""

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *how: object) -> None:
        self.close()


def connect(address: "tuple[str, int] | str", deadline: "Deadline") -> Link:
    """A connection to host and port, or to a Unix socket's path. Raises Unanswered."""
    if deadline.left() <= 0:
        raise Unanswered("no time is left to ask")
    if isinstance(address, str):
        found: list[Found] = [(int(_socket.AF_UNIX), address)]
    else:
        found = _resolve(address[0], address[1], deadline)
    why = ""
    for number, (family, where) in enumerate(found):
        # Each address gets its share of what is left.
        left = deadline.left() / (len(found) - number)
        if left <= 0:
            break
        link = Link(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            link.settimeout(left)
            link.connect(where)
            return link
        except BlockingIOError:
            link.close()
            why = "does not take connections (its queue is full)"
        except OSError as error:
            link.close()
            why = in_words(error)
        except BaseException:
            link.close()
            raise
    raise Unanswered(why or "does not answer in time")


def _resolve(host: str, port: int, deadline: "Deadline") -> "list[Found]":
    """Family and address of each."""
    for family in (_socket.AF_INET, _socket.AF_INET6) if host.isascii() else ():
        try:
            _socket.inet_pton(family, host)
            return [(int(family), (host, port))]
        except OSError:
            continue
    # The resolver knows no deadline and no signal ends it: it works aside, and is left alone when it takes too long.
    import _thread

    found: list[Found] = []
    wrong: list[str] = []
    done = _thread.allocate_lock()
    done.acquire()

    def ask() -> None:
        try:
            # Given as bytes: text would import the codec for international names. What is no text is no name.
            name = host.encode("utf-8", "backslashreplace")
            for family, _, _, _, address in _socket.getaddrinfo(name, port, 0, _socket.SOCK_STREAM):
                found.append((int(family), address))
        except OSError as error:
            wrong.append(error.strerror or str(error))
        finally:
            done.release()

    _thread.start_new_thread(ask, ())
    if not done.acquire(timeout=deadline.left()):
        raise Unanswered("its name is not resolved in time")
    if not found:
        raise Unanswered(f"its name cannot be resolved: {wrong[0] if wrong else 'no address'}".lower())
    return found


def in_words(error: OSError) -> str:
    # Until python 3.10 a time-out of a socket was not a TimeoutError.
    if isinstance(error, (_socket.timeout, TimeoutError)):
        return "does not answer in time"
    return (getattr(error, "verify_message", "") or error.strerror or str(error)).lower()


def receive(link: _socket.socket, deadline: "Deadline", at_most: int) -> bytes:
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


def send(link: _socket.socket, data: bytes, deadline: "Deadline") -> None:
    link.settimeout(max(0.01, deadline.left()))
    try:
        link.sendall(data)
    except OSError as error:
        raise Unanswered(in_words(error)) from None


def exactly(link: _socket.socket, count: int, deadline: "Deadline") -> bytes:
    data = b""
    while len(data) < count:
        more = receive(link, deadline, count - len(data))
        if not more:
            raise Unanswered(
                "closes the connection in the middle of its answer" if data else "closes the connection at once"
            )
        data += more
    return data


def line(link: _socket.socket, deadline: "Deadline") -> bytes:
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
