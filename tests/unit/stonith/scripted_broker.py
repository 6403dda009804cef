"""Something at a power broker's address that does what it is told to: an impostor, a liar, one that dies half way."""

import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from stonith import wire


@dataclass
class Asked:
    client: str
    mac: bytes
    body: dict[str, Any]
    nonce: str
    line: bytes


@dataclass
class Scripted:
    port: int
    asked: list[Asked] = field(default_factory=list)


Reply = Callable[[Asked], bytes | None]


def proven(key: bytes, asked: Asked, **told: object) -> bytes:
    """A reply as the holder of the key gives it."""
    body = json.dumps({"ok": True, "do": asked.body["do"], "plug": asked.body["plug"], **told}).encode()
    return wire.reply_line(wire.reply_mac(key, asked.mac, body), body)


@contextmanager
def running(reply: Reply, challenge: Callable[[str], bytes] = wire.challenge) -> Iterator[Scripted]:
    """Answer every request with what `reply` returns; None: say nothing more, and keep the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    scripted = Scripted(listener.getsockname()[1])
    kept: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # shut down
                return
            connection.settimeout(5)
            try:
                nonce = secrets.token_hex(wire.NONCE_BYTES)
                connection.sendall(challenge(nonce))
                line = connection.makefile("rb").readline()
                parts = wire.split_request(line)
                if parts is None:
                    connection.close()
                    continue
                asked = Asked(parts[0], parts[1], json.loads(parts[2]), nonce, line)
                scripted.asked.append(asked)
                answer = reply(asked)
                if answer is None:
                    kept.append(connection)
                    continue
                connection.sendall(answer)
                connection.close()
            except OSError:
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for connection in kept:
            connection.close()
        listener.close()
