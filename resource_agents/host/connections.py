"""Established TCP connections of one local address, listed and ended through the kernel's sock_diag (sock_diag(7)).

Formats are those of <linux/sock_diag.h> and <linux/inet_diag.h>. Ending one is what `ss -K` does: the owner sees
ECONNABORTED, the peer a reset.
"""

import errno
from struct import Struct

from resource_agents.host.netlink import ACK, DUMP, IPV4, IPV6, Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as _socket

    from resource_agents.ocf.operation import Deadline
else:
    import _socket

NETLINK_SOCK_DIAG = 4
BY_FAMILY, DESTROY = 20, 21
# TIME_WAIT (6) and CLOSE (7) have nothing to end, and a LISTEN socket (10) is the service's own business.
STATES = sum(1 << state for state in (1, 2, 3, 4, 5, 8, 9, 11))
REQUEST = Struct("=BBBxI")  # family, protocol, extensions, states
ID = Struct("=HH16s16sI8s")  # ports (network order), local and remote address, interface, the kernel's own cookie
FOUND = Struct("=BBBB")  # family, state, timer, retransmissions; the id follows
MAPPED = b"\0" * 10 + b"\xff\xff"  # before an IPv4 address on a socket that takes both families
NOWHERE = ID.pack(0, 0, b"", b"", 0, b"\xff" * 8)


class NotSupported(Exception):  # noqa: N818 - an answer, not a defect
    """This kernel cannot do it; the text says what it lacks."""


def reset(ip: bytes, deadline: "Deadline") -> int:
    """End every established connection whose local address is `ip` (packed) and return how many there were.

    Raises NotSupported, or OSError with the kernel's own reason.
    """
    try:
        kernel = Netlink(deadline, NETLINK_SOCK_DIAG)
        found = [one for family in ((IPV4, IPV6) if len(ip) == 4 else (IPV6,)) for one in _of(kernel, family, ip)]
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EPROTONOSUPPORT):
            raise NotSupported("this kernel cannot list connections (CONFIG_INET_DIAG is not set)") from None
        raise
    ended = 0
    for family, identity in found:
        try:
            kernel.ask(DESTROY, ACK, REQUEST.pack(family, _socket.IPPROTO_TCP, 0, STATES) + identity)
            ended += 1
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                raise NotSupported("this kernel cannot end connections (CONFIG_INET_DIAG_DESTROY is not set)") from None
            if error.errno != errno.ENOENT:  # it ended by itself
                raise
    return ended


def _of(kernel: Netlink, family: int, ip: bytes) -> "list[tuple[int, bytes]]":
    """Family and id of each; the id goes back to the kernel as it came."""
    wanted = ip.ljust(16, b"\0") if len(ip) == 16 or family == IPV4 else MAPPED + ip
    request = REQUEST.pack(family, _socket.IPPROTO_TCP, 0, STATES) + NOWHERE
    found = []
    for kind, body in kernel.ask(BY_FAMILY, DUMP, request):
        if kind == BY_FAMILY and len(body) >= FOUND.size + ID.size:
            identity = body[FOUND.size : FOUND.size + ID.size]
            if identity[4:20] == wanted:
                found.append((FOUND.unpack_from(body)[0], identity))
    return found
