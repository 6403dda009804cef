"""Whether a server elsewhere can be reached, and how quickly; bounded in every step, the name's resolution included.

A measurement, made every few seconds: `_socket` serves as long as no TLS is asked for, which spares a millisecond.
"""

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as _socket

    from resource_agents.ocf.operation import Deadline
else:
    import _socket

CHECKS = ("connect", "tls", "http")


class Unreached(Exception):  # noqa: N818 - it is a result
    """Not reachable; the text says why, without naming the server."""


def reach(scheme: str, host: str, port: int, check: str, deadline: "Deadline") -> float:
    """Seconds that it took, the name's resolution not counted. Raises Unreached.

    check: "connect" is content with a TCP connection, "tls" wants a certificate for `host` that this machine trusts
    (where the scheme is https), "http" wants an answer to a HEAD request, whatever its status below 500.
    """
    addresses = _resolve(host, port, deadline)
    began = time.monotonic()
    link = _connect(addresses, deadline)
    try:
        if check != "connect" and scheme == "https":
            link = _secured(link, host, deadline)
        if check == "http":
            _answers(link, host, deadline)
        return time.monotonic() - began
    except OSError as error:
        raise Unreached(_in_words(error)) from None
    finally:
        link.close()


def _resolve(host: str, port: int, deadline: "Deadline") -> "list[tuple[int, tuple[str, int]]]":
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, host)
            return [(family, (host, port))]
        except OSError:
            continue
    # The resolver knows no deadline and no signal ends it: it works aside, and is left alone when it takes too long.
    import _thread

    found: list[tuple[int, tuple[str, int]]] = []
    wrong: list[str] = []
    done = _thread.allocate_lock()
    done.acquire()

    def ask() -> None:
        try:
            for family, _, _, _, address in _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM):
                found.append((family, (str(address[0]), port)))
        except OSError as error:
            wrong.append(error.strerror or str(error))
        finally:
            done.release()

    _thread.start_new_thread(ask, ())
    if not done.acquire(timeout=deadline.left()):
        raise Unreached("its name is not resolved in time")
    if not found:
        raise Unreached(f"its name cannot be resolved: {wrong[0] if wrong else 'no address'}".lower())
    return found


def _connect(addresses: "list[tuple[int, tuple[str, int]]]", deadline: "Deadline") -> "_socket.socket":
    """The first address that takes a connection; each gets its share of the time that is left."""
    why = "does not answer in time"
    for number, (family, address) in enumerate(addresses):
        left = deadline.left() / (len(addresses) - number)
        if left <= 0:
            break
        link = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            link.settimeout(left)
            link.connect(address)
            return link
        except OSError as error:
            link.close()
            why = _in_words(error)
    raise Unreached(why)


def _secured(link: "_socket.socket", host: str, deadline: "Deadline") -> "_socket.socket":
    import socket
    import ssl

    plain = socket.socket(fileno=link.detach())
    plain.settimeout(max(0.01, deadline.left()))
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _answers(link: "_socket.socket", host: str, deadline: "Deadline") -> None:
    shown = f"[{host}]" if ":" in host else host
    link.settimeout(max(0.01, deadline.left()))
    link.send(f"HEAD / HTTP/1.1\r\nHost: {shown}\r\nUser-Agent: kappa-ha\r\nConnection: close\r\n\r\n".encode("ascii"))
    said = b""
    while b"\r\n" not in said and len(said) < 4096:
        left = deadline.left()
        if left <= 0:
            raise Unreached("does not answer in time")
        link.settimeout(left)
        more = link.recv(4096)
        if not more:
            break
        said += more
    words = said.split(b"\r\n", 1)[0].split(b" ")
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise Unreached("does not answer in HTTP" if said else "closes the connection without an answer")
    if int(words[1]) >= 500:
        raise Unreached(f"answers {int(words[1])}")


def _in_words(error: OSError) -> str:
    # "timed out" is all there was to tell it by until python 3.10.
    if isinstance(error, TimeoutError) or str(error).endswith("timed out"):
        return "does not answer in time"
    return (getattr(error, "verify_message", "") or error.strerror or str(error)).lower()
