"""Whether a server elsewhere can be reached, and how quickly; bounded in every step, the name's resolution included.

A measurement, made every few seconds: what TLS needs is imported only where TLS is asked for.
"""

import time

from resource_agents.host.sockets import Unanswered, connect, in_words, receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as _socket

    from resource_agents.ocf.operation import Deadline


def reach(scheme: str, host: str, port: int, check: str, deadline: "Deadline") -> float:
    """Seconds that it took. Raises Unanswered.

    check: "connect" is content with a TCP connection, "tls" wants a certificate for `host` that this machine trusts
    (where the scheme is https), "http" wants an answer to a HEAD request, whatever its status below 500.
    """
    began = time.monotonic()
    link: _socket.socket = connect((host, port), deadline)
    try:
        if check != "connect" and scheme == "https":
            link = _secured(link, host, deadline)
        if check == "http":
            _answers(link, host, deadline)
        return time.monotonic() - began
    except OSError as error:
        raise Unanswered(in_words(error)) from None
    finally:
        link.close()


def _secured(link: "_socket.socket", host: str, deadline: "Deadline") -> "_socket.socket":
    import ssl

    link.settimeout(max(0.01, deadline.left()))
    return ssl.create_default_context().wrap_socket(link, server_hostname=host)


def _answers(link: "_socket.socket", host: str, deadline: "Deadline") -> None:
    shown = f"[{host}]" if ":" in host else host
    request = f"HEAD / HTTP/1.1\r\nHost: {shown}\r\nUser-Agent: kappa-ha\r\nConnection: close\r\n\r\n"
    send(link, request.encode("ascii"), deadline)
    said = b""
    while b"\r\n" not in said and len(said) < 4096:
        more = receive(link, deadline, 4096)
        if not more:
            break
        said += more
    words = said.split(b"\r\n", 1)[0].split(b" ")
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise Unanswered("does not answer in HTTP" if said else "closes the connection without an answer")
    if int(words[1]) >= 500:
        raise Unanswered(f"answers {int(words[1])}")
