"""A power broker made of lies, many a second, in the same process: for each connection it is told how to behave.

It notes whether it sent the whole of a true and proven reply to the very request that it was asked, and what that said.
Nothing else may make a success of the agent.
"""

import json
import random
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from stonith import wire

KEY = secrets.token_hex(32).encode()
OTHER_KEY = secrets.token_hex(32).encode()
STATES = ("on", "off", "unknown")
KEPT = 64


@dataclass(frozen=True)
class Asked:
    nonce: str
    mac: bytes
    body: dict[str, Any]

    @property
    def do(self) -> str:
        return str(self.body["do"])


@dataclass(frozen=True)
class Plan:
    """greeting: what to send first. reply: what to send then. slow: a byte at a time. stays: and hangs up never."""

    greeting: Callable[[str], bytes]
    reply: Callable[[Asked, bytes], bytes]
    truth: dict[str, dict[str, Any]]
    """What a true reply to each verb says."""
    slow: bool = False
    stays: bool = False


@dataclass
class Liar:
    """plans: for the connections to come, the last one for all that follow it. said, lines: the true replies sent."""

    port: int
    plans: list[Plan] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    kept: list[socket.socket] = field(default_factory=list)

    def expect(self, plans: Sequence[Plan]) -> None:
        self.plans, self.said, self.lines = list(plans), [], []
        self.over = threading.Event()
        for connection in self.kept:
            connection.close()
        self.kept = []


def true_reply(asked: Asked, truth: dict[str, Any]) -> bytes:
    body = json.dumps({"ok": True, "do": asked.do, "plug": asked.body["plug"], **truth}).encode()
    return wire.reply_line(wire.reply_mac(KEY, asked.mac, body), body)


def _serve(liar: Liar, connection: socket.socket) -> None:
    plan = liar.plans.pop(0) if len(liar.plans) > 1 else liar.plans[0]
    over, nonce = liar.over, secrets.token_hex(wire.NONCE_BYTES)
    connection.settimeout(20)
    greeting = plan.greeting(nonce)
    _send(connection, greeting, plan.slow, over)
    if greeting != wire.challenge(nonce):  # nothing worth waiting for will come
        if plan.stays:
            liar.kept.append(connection.dup())
        return
    parts = wire.split_request(connection.makefile("rb").readline(wire.LINE_MAX))
    if parts is None:
        return
    asked = Asked(nonce, parts[1], json.loads(parts[2]))
    truth = plan.truth.get(asked.do, {})
    true = true_reply(asked, truth)
    line = plan.reply(asked, true)
    if line == true:  # noted before it is sent: whoever has read it may look
        liar.said.append({"do": asked.do, **truth})
        liar.lines.append(line)
    _send(connection, line, plan.slow, over)
    if plan.stays:
        liar.kept.append(connection.dup())


def _send(connection: socket.socket, line: bytes, slow: bool, over: threading.Event) -> None:
    if not slow:
        connection.sendall(line)
        return
    for at in range(len(line)):
        if over.wait(0.002):
            return
        connection.sendall(line[at : at + 1])


@contextmanager
def lying() -> Iterator[Liar]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=16)
    liar = Liar(listener.getsockname()[1])

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # shut down
                return
            with connection:
                try:
                    _serve(liar, connection)
                except (OSError, ValueError):
                    continue  # the agent hung up, as it should on most of this

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield liar
    finally:
        liar.over.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        listener.close()


# -- lies

Reply = Callable[[Asked, bytes], bytes]


class Lies:
    """A new lie at each call, all from one seed. heard: true replies of the past, to be played again."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.heard: list[bytes] = []

    def remember(self, line: bytes) -> None:
        self.heard.append(line)
        del self.heard[:-KEPT]

    def greeting(self) -> Callable[[str], bytes]:
        chance = self.chance
        noise = chance.randbytes(chance.randrange(0, 300))
        return chance.choice((
            lambda _: noise,
            lambda _: noise + b"\n",
            lambda _: b"",
            lambda _: b"\n",
            lambda nonce: wire.challenge(nonce)[:-1],
            lambda nonce: wire.challenge(nonce)[: len(noise) % 80],
            lambda nonce: wire.challenge(nonce).upper(),
            lambda nonce: wire.challenge(nonce).replace(b" 1 ", b" 2 "),
            lambda nonce: wire.challenge(nonce) + noise,
            lambda nonce: wire.challenge(nonce[:-2]),
            lambda _: wire.challenge("0" * 65),
            lambda _: b"x" * 100_000,
            lambda _: b"kappa-power 1 " + b"0" * 63 + b"\xff\n",
        ))  # fmt: skip

    def reply(self) -> Reply:
        """What is no true reply to what was asked."""
        chance = self.chance
        return chance.choice((
            self._changed, self._changed, self._changed, self._cut, self._of_another_key, self._of_another_request,
            self._replayed, self._without_proof, self._noise, self._another_plug, self._another_verb, self._endless,
            self._not_ok, self._no_object, self._said_twice, self._the_request,
        ))  # fmt: skip

    def _changed(self, asked: Asked, line: bytes) -> bytes:
        changed = bytearray(line)
        for _ in range(self.chance.choice((1, 1, 1, 2, 5))):
            at = self.chance.randrange(len(changed) - 1)
            changed[at] ^= 1 << self.chance.randrange(8)
        return bytes(changed) if changed != line else b"-" + line

    def _cut(self, _: Asked, line: bytes) -> bytes:
        return line[: self.chance.randrange(len(line))]

    def _of_another_key(self, asked: Asked, line: bytes) -> bytes:
        body = line.split(b" ", 1)[1][:-1]
        return wire.reply_line(wire.reply_mac(OTHER_KEY, asked.mac, body), body)

    def _of_another_request(self, asked: Asked, line: bytes) -> bytes:
        body = line.split(b" ", 1)[1][:-1]
        return wire.reply_line(wire.reply_mac(KEY, self.chance.randbytes(32).hex().encode(), body), body)

    def _replayed(self, _: Asked, line: bytes) -> bytes:
        return self.chance.choice(self.heard) if self.heard else line[1:]

    def _without_proof(self, _: Asked, line: bytes) -> bytes:
        return self.chance.choice((b"-", b"", b"0" * 64, b"\x00")) + b" " + line.split(b" ", 1)[1]

    def _noise(self, _: Asked, __: bytes) -> bytes:
        return self.chance.randbytes(self.chance.randrange(0, 2000)) + self.chance.choice((b"", b"\n"))

    def _endless(self, _: Asked, line: bytes) -> bytes:
        return line[:-1] + b" " * wire.REPLY_MAX

    def _said_twice(self, _: Asked, line: bytes) -> bytes:
        return b"- no\n" + line

    def _the_request(self, asked: Asked, _: bytes) -> bytes:
        body = json.dumps(asked.body).encode()
        return wire.reply_line(asked.mac, body)

    # proven, and yet no success of what was asked

    def _proven(self, asked: Asked, told: object) -> bytes:
        body = json.dumps(told).encode() if not isinstance(told, bytes) else told
        return wire.reply_line(wire.reply_mac(KEY, asked.mac, body), body)

    def _another_plug(self, asked: Asked, line: bytes) -> bytes:
        told = json.loads(line.split(b" ", 1)[1])
        return self._proven(
            asked, {**told, "plug": self.chance.choice(("node3", "NODE2", "node2 ", ["node2"], None, 2))}
        )

    def _another_verb(self, asked: Asked, line: bytes) -> bytes:
        told = json.loads(line.split(b" ", 1)[1])
        other = [do for do in (*wire.ACTIONS, "OFF", "", None, 0) if do != asked.do]
        return self._proven(asked, {**told, "do": self.chance.choice(other)})

    def _not_ok(self, asked: Asked, line: bytes) -> bytes:
        told = json.loads(line.split(b" ", 1)[1])
        no = self.chance.choice((False, None, 1, "true", [True], {"ok": True}))
        return self._proven(asked, {**told, "ok": no, "reason": "\x1b[31m\n\n" * self.chance.randrange(50)})

    def _no_object(self, asked: Asked, line: bytes) -> bytes:
        told = line.split(b" ", 1)[1][:-1]
        deep = b"[" * self.chance.randrange(1, 50_000)
        return self._proven(
            asked, self.chance.choice((deep, b"[" + told + b"]", told[:-1], b"null", b'"off"', b"\xff"))
        )
