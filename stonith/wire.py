"""What a fence agent and `kappa-powerd` say to each other: three lines over TCP (see PROTOCOL.md).

    broker    kappa-power 1 NONCE
    agent     CLIENT MAC {"nonce":…,"do":…,…}
    broker    MAC {"ok":…,…}

A MAC is HMAC-SHA256 with the client's own key, in hexadecimal. It is taken over the very bytes of the JSON that stands
beside it: nothing has to be put in a canonical order first, and nothing is parsed before it is proven. The request's
MAC covers the nonce that the broker drew for this connection: recorded, it is of no use on another. The reply's MAC
covers the request's: nobody but the holder of the key can have given this answer, and to no other question.

Imported on every start of the agent: standard library only, Python 3.9, and `hmac` only where something is proven.
"""

from __future__ import annotations

VERSION = 1
PORT = 7710

NONCE_BYTES = 32
LINE_MAX = 4096
"""Bytes of a challenge or a request, newline included."""
REPLY_MAX = 65536
"""Bytes of a reply, newline included."""
KEY_MIN = 32
KEY_MAX = 4096

ACTIONS = ("list", "status", "off", "on")
"""All that a client may ask for. There is no other verb, so no right to any other can be given away by mistake."""

UNAUTHENTICATED = b"-"
"""Stands where a MAC would, when the broker cannot tell who asks; such a reply can only ever be a refusal."""


def challenge(nonce: str) -> bytes:
    return f"kappa-power {VERSION} {nonce}\n".encode("ascii")


def read_challenge(line: bytes) -> str | None:
    """The nonce of a challenge line, or None when this is not one that we understand."""
    words = line.split(b" ")
    if len(words) != 3 or words[0] != b"kappa-power" or words[1] != b"%d" % VERSION or not words[2].endswith(b"\n"):
        return None
    nonce = words[2][:-1]
    if len(nonce) != 2 * NONCE_BYTES or nonce.strip(b"0123456789abcdef"):
        return None
    return nonce.decode("ascii")


def request_mac(key: bytes, nonce: str, body: bytes) -> bytes:
    return _mac(key, b"kappa-power 1 request ", nonce.encode("ascii"), body)


def reply_mac(key: bytes, asked: bytes, body: bytes) -> bytes:
    """The MAC of a reply to the request whose own MAC is `asked`."""
    return _mac(key, b"kappa-power 1 reply ", asked, body)


def _mac(key: bytes, purpose: bytes, bound_to: bytes, body: bytes) -> bytes:
    import hmac

    return hmac.digest(key, purpose + bound_to + b" " + body, "sha256").hex().encode("ascii")


def request_line(client: str, mac: bytes, body: bytes) -> bytes:
    return client.encode("ascii") + b" " + mac + b" " + body + b"\n"


def split_request(line: bytes) -> tuple[str, bytes, bytes] | None:
    """Who it claims to be from, the MAC and the body of a request line, or None when it is not one."""
    words = line[:-1].split(b" ", 2)
    if len(words) != 3 or not line.endswith(b"\n") or not words[2]:
        return None
    client = words[0].decode("ascii", "replace")
    return (client, words[1], words[2]) if is_name(client) else None


def reply_line(mac: bytes, body: bytes) -> bytes:
    return mac + b" " + body + b"\n"


def split_reply(line: bytes) -> tuple[bytes, bytes] | None:
    """The MAC and the body of a reply line, or None when it is not one."""
    mac, _, body = line[:-1].partition(b" ")
    return (mac, body) if line.endswith(b"\n") and mac and body else None


def same(one: bytes, other: bytes) -> bool:
    """Compare two MACs in a time that does not tell where they differ."""
    import hmac

    return hmac.compare_digest(one, other)


def is_name(text: str) -> bool:
    """Whether this may be the name of a client, a plug or a machine: letters, digits, `.`, `_` and `-`, 128 at most.

    A name goes into JSON, into the path of a hypervisor's API and into an audit line, and needs no quoting in any.
    """
    return (
        0 < len(text) <= 128
        and text.isascii()
        and text[0].isalnum()
        and text.replace("-", "").replace("_", "").replace(".", "").isalnum()
    )


def printable(text: object, limit: int = 300) -> str:
    """Somebody else's words, made fit for one line of a log: no control characters, no line breaks, no novel."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
