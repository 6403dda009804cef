"""The stand-in's parts by themselves: frames, SCRAM, keyfile, addresses, records."""

import contextlib
import datetime
import struct

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kappa_lab.mongodb import address, records, wire
from kappa_lab.mongodb.scram import Conversation, ScramError
from tests.unit.mongodb_lab.peers import OP_MSG, OP_QUERY


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack("<iiii", 16 + len(payload), 1, 0, kind) + payload


@given(kind=st.sampled_from([OP_MSG, OP_QUERY, 1]), payload=st.binary(max_size=120))
def test_no_bytes_do_worse_than_be_malformed(kind: int, payload: bytes) -> None:
    data = frame(kind, payload)
    for look in (wire.command_name, wire.document, wire.without_exhaust):
        if look is wire.without_exhaust and kind != OP_MSG:
            continue
        try:
            look(data)
        except wire.MalformedError as error:
            assert "\n" not in str(error)


@given(st.binary(min_size=5, max_size=60))
def test_no_document_does_worse_than_be_malformed(tail: bytes) -> None:
    body = struct.pack("<i", len(tail) + 4) + tail
    data = frame(OP_MSG, struct.pack("<IB", 0, 0) + body)
    for look in (wire.command_name, wire.document):
        with contextlib.suppress(wire.MalformedError):
            look(data)


def test_a_message_is_read_as_it_was_written() -> None:
    written = {"insert": "places", "$db": "kappa", "n": [1, {"a": b"x"}]}
    data = wire.message(written, request=5, response_to=9)
    assert struct.unpack_from("<iiii", data) == (len(data), 5, 9, OP_MSG)
    assert wire.document(data) == written
    assert wire.command_name(data) == "insert"
    assert bson.decode(data[21:]) == written


def test_a_checksum_goes_with_the_flag_that_it_covered() -> None:
    body = bson.encode({"getMore": 1})
    data = frame(OP_MSG, struct.pack("<IB", wire.EXHAUST_ALLOWED | wire.CHECKSUM, 0) + body + b"cccc")
    kept = wire.without_exhaust(data)
    assert struct.unpack_from("<i", kept)[0] == len(kept) == len(data) - 4
    assert wire.flags(kept) == 0
    assert wire.document(kept) == {"getMore": 1}


@pytest.mark.parametrize("length", [-1, 0, 15, wire.MAX_FRAME + 1, 2**31 - 1])
def test_impossible_lengths_are_malformed(length: int) -> None:
    with pytest.raises(wire.MalformedError):
        wire.frame_length(struct.pack("<i", length))


def test_scram_follows_the_rfcs_example() -> None:
    """RFC 7677, section 3."""
    talk = Conversation("user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    assert talk.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    server = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    assert talk.final(server) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    talk.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    with pytest.raises(ScramError):
        talk.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95F4=")


@pytest.mark.parametrize(
    "server", [b"", b"r=x,s=AAAA,i=4096", b"r=abc,s=AAAA,i=4096", b"r=abcd,s=!,i=4096", b"r=abcd,s=AAAA,i=1", b"e=x"]
)
def test_a_server_that_is_not_in_the_conversation_is_refused(server: bytes) -> None:
    with pytest.raises(ScramError):
        Conversation("user", "pencil", nonce="abc").final(server)


def test_a_server_that_proves_nothing_is_refused() -> None:
    talk = Conversation("user", "pencil", nonce="abc")
    for final in (b"", b"v=", b"e=other-error"):
        with pytest.raises(ScramError):
            talk.verify(final)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", ("a", 27019)), ("a:1", ("a", 1)), ("[::1]", ("::1", 27019)), ("[::1]:5", ("::1", 5)), (" a:2 ", ("a", 2))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert address.parse(text, 27019) == expected


@pytest.mark.parametrize("text", ["", ":1", "a:", "a:0", "a:65536", "a:-1", "a:x", "a:1²", "[]:1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        address.parse(text)


def test_a_place_as_the_judge_wants_it() -> None:
    when = datetime.datetime(2026, 11, 23, 12, 0, 0, 500000, tzinfo=datetime.UTC)
    stored = {"_id": bson.ObjectId("0" * 24), "updateId": 7, "properties": {"Popup_en": "hole"}, "creationDate": when}
    assert records.place(stored) == {"_id": "0" * 24, "updateId": 7, "text": "hole", "creationDate": when.timestamp()}
    spanish = {
        "_id": 1,
        "properties": {"Popup_es": "bache", "Popup_en": "hole"},
        "creationDate": when.replace(tzinfo=None),
    }
    assert records.place(spanish) == {"_id": "1", "updateId": None, "text": "bache", "creationDate": when.timestamp()}
    assert records.place({"_id": 1, "creationDate": 5}) == {
        "_id": "1",
        "updateId": None,
        "text": "",
        "creationDate": 5.0,
    }
