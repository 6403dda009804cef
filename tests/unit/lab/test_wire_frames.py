"""The watcher's frames: what it asks by ARP, and whose word it takes for an answer."""

import json
import signal
import socket
import struct
from pathlib import Path

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


def test_a_segment_ends_whole_and_the_next_begins_as_the_first_did(tmp_path: Path) -> None:
    out = tmp_path / "wire.jsonl"
    witness = wire.Witness(out, period=0.1, vip="10.77.0.100")
    witness.note(e="probe", t=1.0, round=1)
    witness.ask(signal.SIGHUP, None)
    assert witness.due and not (tmp_path / "wire-0001.jsonl").exists()
    witness.rotate()
    witness.note(e="probe", t=2.0, round=2)
    assert not witness.due
    witness.rotate()
    witness.close()
    witness.close()

    def shown(name: str) -> list[tuple[object, object]]:
        lines = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        assert lines[0]["period"] == 0.1 and lines[0]["vip"] == "10.77.0.100"
        return [(line["e"], line.get("round")) for line in lines]

    assert shown("wire-0001.jsonl") == [("start", None), ("probe", 1), ("finish", None)]
    assert shown("wire-0002.jsonl") == [("start", None), ("probe", 2), ("finish", None)]
    assert shown("wire.jsonl") == [("start", None), ("finish", None)]
