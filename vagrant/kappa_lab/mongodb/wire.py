"""Frames of MongoDB's wire protocol: as much of it as a router must understand to hand the rest on untouched.

A frame is one whole message, header included, as `bytes`. Source: MongoDB's published wire protocol specification.
"""

import struct
from collections.abc import Mapping
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError

OP_REPLY = 1
OP_QUERY = 2004
OP_MSG = 2013

HEADER = 16
MAX_FRAME = 48_000_000
"""Bytes; MongoDB's `maxMessageSizeBytes`. A longer frame ends the connection, as it does there."""

CHECKSUM = 1 << 0
MORE_TO_COME = 1 << 1
EXHAUST_ALLOWED = 1 << 16
AWAIT_CAPABLE = 8

Document = dict[str, Any]

_header = struct.Struct("<iiii")
_int = struct.Struct("<i")
_uint = struct.Struct("<I")
_options: CodecOptions[Document] = CodecOptions(document_class=dict)


class MalformedError(Exception):
    """These bytes are no message that a router can answer; the connection they came on is of no more use."""


def frame_length(head: bytes | bytearray) -> int:
    """The length in bytes that a frame's first four bytes announce. Raises MalformedError for an impossible one."""
    length: int = _int.unpack_from(head)[0]
    if not HEADER <= length <= MAX_FRAME:
        raise MalformedError(f"a message of {length} bytes is announced; {HEADER} to {MAX_FRAME} are allowed")
    return length


def opcode(frame: bytes) -> int:
    code: int = _int.unpack_from(frame, 12)[0]
    return code


def request_id(frame: bytes) -> int:
    number: int = _int.unpack_from(frame, 4)[0]
    return number


def flags(frame: bytes) -> int:
    """The flag bits of an OP_MSG."""
    if len(frame) < HEADER + 4:
        raise MalformedError("a message without flag bits")
    bits: int = _uint.unpack_from(frame, HEADER)[0]
    return bits


def _document_at(frame: bytes, at: int) -> bytes:
    if at + 5 > len(frame):
        raise MalformedError("a message that ends before its document")
    length: int = _int.unpack_from(frame, at)[0]
    if length < 5 or at + length > len(frame):
        raise MalformedError("a document longer than the message that carries it")
    return frame[at : at + length]


def _end_of_name(frame: bytes, start: int) -> int:
    end = frame.find(b"\0", start)
    if end < 0:
        raise MalformedError("a name without an end")
    return end


def _message_document_at(frame: bytes) -> int:
    """Where the body of an OP_MSG starts: its section of kind 0, wherever among the sections it stands."""
    at = HEADER + 4
    end = len(frame) - (4 if flags(frame) & CHECKSUM else 0)
    while at + 5 <= end:
        kind = frame[at]
        if kind == 0:
            return at + 1
        size: int = _int.unpack_from(frame, at + 1)[0]
        if kind != 1 or size < 5:
            raise MalformedError(f"a section of kind {kind} and {size} bytes")
        at += 1 + size
    raise MalformedError("a message without a command")


def _document_start(frame: bytes) -> int:
    code = opcode(frame)
    if code == OP_MSG:
        return _message_document_at(frame)
    if code == OP_QUERY:
        return _end_of_name(frame, HEADER + 4) + 1 + 8
    if code == OP_REPLY:
        return HEADER + 20
    raise MalformedError(f"a message of the unknown kind {code}")


def command_name(frame: bytes) -> str:
    """The command that a request asks for: the name of its document's first element ("" when it has none).

    Reads a few bytes and decodes nothing, as every request passes through here. Old clients may wrap the command of an
    OP_QUERY in `$query`; then the wrapped one is meant.
    """
    at = _document_start(frame)
    _document_at(frame, at)
    if frame[at + 4] == 0:
        return ""
    end = _end_of_name(frame, at + 5)
    name = frame[at + 5 : end].decode("utf-8", "replace")
    if name in ("$query", "query") and opcode(frame) == OP_QUERY and frame[at + 4] == 3:
        inner = end + 1
        _document_at(frame, inner)
        if frame[inner + 4] == 0:
            return ""
        name = frame[inner + 5 : _end_of_name(frame, inner + 5)].decode("utf-8", "replace")
    return name


def document(frame: bytes) -> Document:
    """The command or reply that a frame carries, decoded; `$query` unwrapped. Raises MalformedError for any other."""
    try:
        found = bson.decode(_document_at(frame, _document_start(frame)), _options)
    except (BSONError, ValueError, OverflowError, RecursionError) as error:
        raise MalformedError(f"a document that cannot be read: {error}") from None
    wrapped = found.get("$query", found.get("query")) if opcode(frame) == OP_QUERY else None
    return wrapped if isinstance(wrapped, dict) and next(iter(found)) in ("$query", "query") else found


def without_exhaust(frame: bytes) -> bytes:
    """The same OP_MSG with its leave to answer in many replies taken back: a router then gets one reply a request.

    A checksum would no longer fit, so it goes as well (it is optional).
    """
    bits = flags(frame)
    if not bits & EXHAUST_ALLOWED:
        return frame
    payload = frame[HEADER + 4 : -4] if bits & CHECKSUM else frame[HEADER + 4 :]
    head = _header.pack(HEADER + 4 + len(payload), request_id(frame), 0, OP_MSG)
    return head + _uint.pack(bits & ~(EXHAUST_ALLOWED | CHECKSUM)) + payload


def message(doc: Mapping[str, Any], request: int = 0, response_to: int = 0) -> bytes:
    """An OP_MSG that carries one document."""
    body = bson.encode(doc)
    return _header.pack(HEADER + 5 + len(body), request, response_to, OP_MSG) + bytes(5) + body


def reply(doc: Mapping[str, Any], to: bytes) -> bytes:
    """The answer to the request `to`, in the form in which it was asked: OP_MSG, or OP_REPLY for an OP_QUERY."""
    if opcode(to) != OP_QUERY:
        return message(doc, response_to=request_id(to))
    body = bson.encode(doc)
    head = _header.pack(HEADER + 20 + len(body), 0, request_id(to), OP_REPLY)
    return head + struct.pack("<iqii", AWAIT_CAPABLE, 0, 0, 1) + body


def error(code: int, name: str, why: str, labels: tuple[str, ...] = ()) -> Document:
    """A failed command's reply, as MongoDB words it."""
    doc: Document = {"ok": 0.0, "errmsg": why, "code": code, "codeName": name}
    if labels:
        doc["errorLabels"] = list(labels)
    return doc
