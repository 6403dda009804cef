"""Addresses, links and routes, asked of the kernel itself (rtnetlink): no `ip` program, no parsing, no fork.

`_socket`, the C half of `socket`, is used directly: the Python half costs as much again as a whole bare interpreter.
Formats are those of <linux/netlink.h>, <linux/rtnetlink.h>, <linux/if_addr.h> and <linux/if_link.h>.
"""

import errno
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as _socket
    from collections.abc import Iterator
    from struct import Struct

    from resource_agents.ocf.operation import Deadline
else:
    import _socket
    from _struct import Struct

IPV4 = int(_socket.AF_INET)
IPV6 = int(_socket.AF_INET6)

# Message types and flags.
ERROR, DONE = 2, 3
NEW_ADDRESS, DELETE_ADDRESS, GET_ADDRESS = 20, 21, 22
GET_LINK, GET_ROUTE = 18, 26
REQUEST, ACK, EXCLUSIVE, CREATE, DUMP = 0x1, 0x4, 0x200, 0x400, 0x300
INTERRUPTED = 0x10  # of a dump: it changed meanwhile, ask again
# Attributes.
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFLA_ADDRESS, IFLA_NAME = 1, 3
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_VIA = 1, 4, 5, 18
FIB_MATCH = 0x2000  # answer with the route itself, not with what it would do for this one destination
UNICAST = 1
# States.
IFA_SECONDARY, IFA_NODAD, IFA_DADFAILED, IFA_TENTATIVE = 0x01, 0x02, 0x08, 0x40
LINK_UP, LINK_LOOPBACK, LINK_NOARP, LINK_LOWER_UP = 0x1, 0x8, 0x80, 0x10000

_FILE_NAMES = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())

HEADER = Struct("=IHHII")  # length, type, flags, sequence, port
ADDRESS = Struct("=BBBBI")  # family, prefix length, flags, scope, interface index
LINK = Struct("=BxHiII")  # family, hardware type, index, flags, change
ROUTE = Struct("=BBBBBBBBI")  # family, destination length, source length, tos, table, protocol, scope, type, flags
ATTRIBUTE = Struct("=HH")  # length, type
NUMBER = Struct("=I")
ERRNO = Struct("=i")


class Address:
    """An address on an interface; `ip` is packed (4 or 16 bytes)."""

    __slots__ = ("family", "flags", "index", "ip", "prefix")

    def __init__(self, family: int, ip: bytes, prefix: int, index: int, flags: int) -> None:
        self.family = family
        self.ip = ip
        self.prefix = prefix
        self.index = index
        self.flags = flags


class Link:
    """An interface. `mac` is b"" where it has none."""

    __slots__ = ("flags", "index", "mac", "name")

    def __init__(self, index: int, name: str, flags: int, mac: bytes) -> None:
        self.index = index
        self.name = name
        self.flags = flags
        self.mac = mac

    def fault(self) -> str:
        """Why it carries nothing ("" when it does)."""
        if not self.flags & LINK_UP:
            return f"interface {self.name} is down"
        if not self.flags & LINK_LOWER_UP:
            return f"interface {self.name} has no link (cable, port or bridge)"
        return ""


class Route:
    """A route as the kernel chose it: through which interface, for which prefix, and whether through a gateway."""

    __slots__ = ("gateway", "index", "prefix")

    def __init__(self, index: int, prefix: int, gateway: bool) -> None:
        self.index = index
        self.prefix = prefix
        self.gateway = gateway


class Netlink:
    """A conversation with one part of the kernel. Raises OSError with the kernel's own reason."""

    def __init__(self, deadline: "Deadline", protocol: int) -> None:
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        self._sequence = 0
        self._deadline = deadline

    def ask(self, kind: int, flags: int, body: bytes) -> "list[tuple[int, bytes]]":
        """The kernel's answers to one request; a dump that changed under way is asked for again."""
        for _ in range(10):
            try:
                return list(self._answers(kind, flags, body))
            except _ChangedError:
                continue
        raise OSError(errno.EAGAIN, "the kernel's list kept changing")

    def _answers(self, kind: int, flags: int, body: bytes) -> "Iterator[tuple[int, bytes]]":
        self._sequence += 1
        self._socket.settimeout(max(0.05, self._deadline.left()))
        self._socket.send(HEADER.pack(HEADER.size + len(body), kind, flags | REQUEST, self._sequence, 0) + body)
        changed = False
        while True:
            data = self._socket.recv(1 << 18)
            while len(data) >= HEADER.size:
                length, got, got_flags, sequence, _ = HEADER.unpack_from(data)
                message, data = data[HEADER.size : length], data[(length + 3) & ~3 :]
                if sequence != self._sequence:
                    continue
                changed = changed or bool(got_flags & INTERRUPTED)
                if got == ERROR:
                    number = -ERRNO.unpack_from(message)[0]
                    if number:
                        raise OSError(number, posix.strerror(number))
                    return
                if got == DONE:
                    if changed:
                        raise _ChangedError
                    return
                yield got, message
                if not flags & (DUMP | ACK):
                    return


class Kernel(Netlink):
    """A conversation with the kernel's routing tables."""

    def __init__(self, deadline: "Deadline") -> None:
        super().__init__(deadline, _socket.NETLINK_ROUTE)

    def addresses(self, family: int) -> "list[Address]":
        found = []
        for kind, body in self.ask(GET_ADDRESS, DUMP, ADDRESS.pack(family, 0, 0, 0, 0)):
            got, prefix, flags, _, index = ADDRESS.unpack_from(body)
            if kind != NEW_ADDRESS or got != family:
                continue
            attributes = _attributes(body, ADDRESS.size)
            # IFA_ADDRESS is the peer's on a point-to-point interface; what is ours is IFA_LOCAL, which IPv6 leaves out.
            ip = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS) or b""
            more = attributes.get(IFA_FLAGS)
            found.append(Address(family, ip, prefix, index, _number(more) if more else flags))
        return found

    def link(self, index: int = 0, name: str = "") -> "Link | None":
        """The interface with this index, or else with this name; None when there is none."""
        extra = _attribute(IFLA_NAME, name.encode(*_FILE_NAMES) + b"\0") if not index else b""
        try:
            for _, body in self.ask(GET_LINK, 0, LINK.pack(0, 0, index, 0, 0) + extra):
                _, _, got, flags, _ = LINK.unpack_from(body)
                attributes = _attributes(body, LINK.size)
                return Link(
                    got,
                    attributes[IFLA_NAME].rstrip(b"\0").decode(*_FILE_NAMES),
                    flags,
                    attributes.get(IFLA_ADDRESS, b""),
                )
        except OSError as error:
            if error.errno not in (errno.ENODEV, errno.ERANGE, errno.EINVAL):
                raise
        return None

    def route(self, family: int, ip: bytes) -> "Route | None":
        """The route the kernel would take to `ip`, None when there is none."""
        request = ROUTE.pack(family, len(ip) * 8, 0, 0, 0, 0, 0, 0, FIB_MATCH) + _attribute(RTA_DST, ip)
        try:
            for _, body in self.ask(GET_ROUTE, 0, request):
                _, prefix, _, _, _, _, _, kind, _ = ROUTE.unpack_from(body)
                attributes = _attributes(body, ROUTE.size)
                if kind != UNICAST or RTA_OIF not in attributes:
                    return None
                return Route(_number(attributes[RTA_OIF]), prefix, RTA_GATEWAY in attributes or RTA_VIA in attributes)
        except OSError as error:
            if error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL):
                raise
        return None

    def add(self, address: Address) -> None:
        """Raises FileExistsError when it is there already."""
        self._change(NEW_ADDRESS, CREATE | EXCLUSIVE, address)

    def delete(self, address: Address) -> None:
        """That it is not there (any more) is no failure."""
        try:
            self._change(DELETE_ADDRESS, 0, address)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                raise

    def _change(self, kind: int, flags: int, address: Address) -> None:
        head = ADDRESS.pack(address.family, address.prefix, address.flags & 0xFF, 0, address.index)
        body = head + _attribute(IFA_LOCAL, address.ip) + _attribute(IFA_ADDRESS, address.ip)
        for _ in self.ask(kind, flags | ACK, body):
            pass


class _ChangedError(Exception):
    """A dump was interrupted by a change."""


def pack(ip: str) -> "tuple[int, bytes]":
    """Family and packed form of an address in text. Raises ValueError."""
    family = IPV6 if ":" in ip else IPV4
    try:
        return family, _socket.inet_pton(family, ip)
    except (OSError, ValueError):
        raise ValueError("is not an IPv4 or IPv6 address") from None


def _number(value: bytes) -> int:
    return int(NUMBER.unpack_from(value)[0])


def _attribute(kind: int, value: bytes) -> bytes:
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(length, kind) + value + b"\0" * (-length % 4)


def _attributes(body: bytes, offset: int) -> "dict[int, bytes]":
    found = {}
    while offset + ATTRIBUTE.size <= len(body):
        length, kind = ATTRIBUTE.unpack_from(body, offset)
        if length < ATTRIBUTE.size:
            break
        # The two highest bits of the type are flags (nested, network byte order).
        found[kind & 0x3FFF] = body[offset + ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found
