"""The watcher's frames: what it asks by ARP, and whose word it takes for an answer."""

import socket
import struct

from kappa_lab import wire

OWN = bytes.fromhex("02420a4d0015")
HOLDER = bytes.fromhex("02420a4d000b")


def reply(sender: str, operation: int = 2, mac: bytes = HOLDER) -> bytes:
    arp = (
        struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
        + mac
        + socket.inet_aton(sender)
        + OWN
        + socket.inet_aton("10.77.0.21")
    )
    return OWN + mac + b"\x08\x06" + arp


def test_the_question_is_a_broadcast_arp_request() -> None:
    frame = wire.request(OWN, "10.77.0.21", "10.77.0.100")
    assert len(frame) == 42
    assert frame[:6] == b"\xff" * 6
    assert frame[12:14] == b"\x08\x06"
    assert struct.unpack("!H", frame[20:22])[0] == 1
    assert frame[38:42] == socket.inet_aton("10.77.0.100")


def test_an_answer_is_a_reply_from_the_address_itself() -> None:
    assert wire.answer_of(reply("10.77.0.100"), "10.77.0.100") == "02:42:0a:4d:00:0b"


def test_anything_else_is_no_answer() -> None:
    assert wire.answer_of(reply("10.77.0.99"), "10.77.0.100") is None
    assert wire.answer_of(reply("10.77.0.100", operation=1), "10.77.0.100") is None
    assert wire.answer_of(reply("10.77.0.100")[:30], "10.77.0.100") is None
    assert wire.answer_of(b"", "10.77.0.100") is None
