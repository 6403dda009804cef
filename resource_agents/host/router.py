"""MongoDB's wire protocol, as much of it as a monitor needs: OP_MSG with one document there and one back.

A router (mongos) answers `hello` with `msg: "isdbgrid"`; a mongod does not. No driver is imported, and no byte of the
answer is trusted: lengths are checked before they are followed.
"""

import struct

from resource_agents.host.sockets import Unanswered, connect, exactly, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from resource_agents.host.tls import Files
    from resource_agents.ocf.operation import Deadline

    Words = Sequence[tuple[str, object]]

OP_MSG = 2013
HEADER = struct.Struct("<iiii")  # length, request id, answered id, operation
LONGEST = 1 << 20
# Bytes of the value, for BSON types of fixed length.
FIXED = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}


def hello(host: str, port: int, deadline: "Deadline", tls: "Files | None" = None) -> "dict[str, object]":
    """The server's answer to `hello`, top level only. Raises Unanswered."""
    with Link(host, port, deadline, tls) as link:
        return link.ask([("hello", 1), ("$db", "admin")])


class Link:
    """A connection to a MongoDB server; everything asked over it is bounded by the one deadline."""

    def __init__(self, host: str, port: int, deadline: "Deadline", tls: "Files | None" = None) -> None:
        """Raises Unanswered."""
        self.deadline = deadline
        self.asked = 0
        self.link: socket.socket = connect((host, port), deadline)
        if tls:
            self.link = tls.over(self.link, deadline)

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *error: object) -> None:
        self.link.close()

    def ask(self, words: "Words") -> "dict[str, object]":
        """The answer to a command, top level only, whatever its "ok". Raises Unanswered."""
        self.asked += 1
        body = struct.pack("<I", 0) + b"\0" + encode(words)
        send(self.link, HEADER.pack(HEADER.size + len(body), self.asked, 0, OP_MSG) + body, self.deadline)
        length, _, answered, operation = HEADER.unpack(exactly(self.link, HEADER.size, self.deadline))
        if operation != OP_MSG or answered != self.asked or not HEADER.size + 10 <= length <= LONGEST:
            raise Unanswered("does not speak MongoDB's protocol")
        reply = exactly(self.link, length - HEADER.size, self.deadline)
        if reply[4] != 0:
            raise Unanswered("answers with a kind of section that is not a document")
        try:
            return decode(reply[5:])
        except (ValueError, struct.error, IndexError):
            raise Unanswered("answers with a broken document") from None


def encode(words: "Words") -> bytes:
    """A BSON document of strings, booleans, 32-bit integers, bytes and lists of such words (documents)."""
    body = b""
    for name, value in words:
        if isinstance(value, str):
            text = value.encode() + b"\0"
            kind, data = b"\x02", struct.pack("<i", len(text)) + text
        elif isinstance(value, bool):
            kind, data = b"\x08", b"\x01" if value else b"\0"
        elif isinstance(value, int):
            kind, data = b"\x10", struct.pack("<i", value)
        elif isinstance(value, bytes):
            kind, data = b"\x05", struct.pack("<iB", len(value), 0) + value
        elif isinstance(value, list):
            kind, data = b"\x03", encode(value)
        else:
            raise TypeError(type(value).__name__)
        body += kind + name.encode() + b"\0" + data
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def decode(data: bytes) -> "dict[str, object]":
    """Top level of a BSON document: strings, numbers, booleans and bytes by value, the rest as None. Raises
    ValueError."""
    (length,) = struct.unpack_from("<i", data)
    if not 5 <= length <= len(data) or data[length - 1] != 0:
        raise ValueError("length")
    found: dict[str, object] = {}
    at, end = 4, length - 1
    while at < end:
        kind = data[at]
        stop = data.index(0, at + 1, end)
        name, at = data[at + 1 : stop].decode("utf-8", "replace"), stop + 1
        size = _size(kind, data, at, end)
        if at + size > end:
            raise ValueError("a value longer than its document")
        found[name] = _value(kind, data[at : at + size])
        at += size
    return found


def _size(kind: int, data: bytes, at: int, end: int) -> int:
    if kind in FIXED:
        return FIXED[kind]
    if kind == 0x0B:  # a regular expression: two strings that end in zero
        return data.index(0, data.index(0, at, end) + 1, end) + 1 - at
    (length,) = struct.unpack_from("<i", data, at)
    if length < 0:
        raise ValueError("a negative length")
    if kind in (0x02, 0x0D, 0x0E):  # string, code, symbol
        return int(length) + 4
    if kind in (0x03, 0x04, 0x0F):  # document, array, code with scope: the length counts itself
        return max(4, int(length))
    if kind == 0x05:  # binary: and a subtype
        return int(length) + 5
    if kind == 0x0C:  # a reference: and an id
        return int(length) + 16
    raise ValueError("an unknown type")


def _value(kind: int, raw: bytes) -> object:
    if kind == 0x02:
        return raw[4:-1].decode("utf-8", "replace")
    if kind == 0x01:
        return struct.unpack("<d", raw)[0]
    if kind == 0x08:
        return raw != b"\0"
    if kind == 0x05:
        return raw[5:]
    if kind in (0x10, 0x12):
        return int.from_bytes(raw, "little", signed=True)
    return None
