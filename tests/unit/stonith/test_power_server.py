"""The broker's bounds, from within: what a stranger costs, and who waits for whom."""

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from stonith import wire
from stonith.power import server
from stonith.power.audit import Audit
from stonith.power.server import Server
from stonith.power.switch import Switch
from tests.unit.stonith.test_power_hostile_cases import CLIENTS, KEYS, Machines


def made(folder: Path) -> Server:
    return Server(Switch(Machines(), {name: name for name in KEYS}), CLIENTS, Audit(folder / "audit"))


async def ask(port: int, client: str, key: bytes, do: str = "status", plug: str = "node2") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    nonce = wire.read_challenge(await reader.readuntil(b"\n"))
    assert nonce is not None
    content = json.dumps({"nonce": "ab" * 32, "do": do, "plug": plug, "within_ms": 3000, "wait": True}).encode()
    writer.write(wire.request_line(client, wire.request_mac(key, nonce, content), content))
    answer = await reader.read(-1)
    writer.close()
    return answer


def test_a_stranger_costs_the_same_whoever_it_says_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whole comparison, in constant time, also for a name that nobody has: no name can be guessed by the clock."""
    compared: list[tuple[int, int]] = []
    really = wire.same

    def same(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return really(one, other)

    monkeypatch.setattr(wire, "same", same)

    async def scene() -> list[bytes]:
        broker = made(tmp_path)
        _, port = await broker.listen("127.0.0.1", 0)
        try:
            return [await ask(port, name, b"a wrong key " * 3) for name in ("node1", "nobody", "")]
        finally:
            await broker.close()

    known, unknown, empty = asyncio.run(scene())
    assert known == unknown
    assert known.startswith(b"- ")
    assert empty.startswith(b"- ")
    assert compared == [(64, 64)] * 2


def test_every_connection_has_a_challenge_of_its_own(tmp_path: Path) -> None:
    async def scene() -> set[bytes]:
        broker = made(tmp_path)
        _, port = await broker.listen("127.0.0.1", 0)
        seen = set()
        try:
            for _ in range(200):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                seen.add(await reader.readuntil(b"\n"))
                writer.close()
        finally:
            await broker.close()
        return seen

    assert len(asyncio.run(scene())) == 200


def test_who_does_not_read_the_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REPLY_S", 0.2)

    class Writer:
        written = b""

        def write(self, data: bytes) -> None:
            self.written += data

        async def drain(self) -> None:
            await asyncio.sleep(3600)

    writer: Any = Writer()
    began = time.monotonic()
    asyncio.run(server._send(writer, b"mac", b"{}"))
    assert time.monotonic() - began < 60
    assert writer.written == b"mac {}\n"


def test_a_driver_that_hangs_for_one_client_leaves_the_others_their_threads(tmp_path: Path) -> None:
    """Every client may have so many requests under way, and there is a thread for each of them."""
    back, waiting = threading.Event(), list[str]()

    class Hanging(Machines):
        def status(self, machine: str, deadline: float, unit: str = "") -> Any:
            if machine == "node2":
                waiting.append(unit)
                back.wait(60)
            return super().status(machine, deadline, unit)

    async def scene() -> bytes:
        broker = Server(Switch(Hanging(), {name: name for name in KEYS}), CLIENTS, Audit(tmp_path / "audit"))
        _, port = await broker.listen("127.0.0.1", 0)
        try:
            for _ in range(server.UNDER_WAY_MAX):
                for name in ("node1", "node3"):
                    task = asyncio.ensure_future(ask(port, name, KEYS[name]))
                    tasks.append(task)
            async with asyncio.timeout(30):
                while len(waiting) < len(tasks):
                    await asyncio.sleep(0.01)
                return await ask(port, "node2", KEYS["node2"], "off", "node1")
        finally:
            back.set()
            await asyncio.gather(*tasks)
            await broker.close()

    tasks: list[asyncio.Future[bytes]] = []
    parts = wire.split_reply(asyncio.run(scene()))
    assert parts is not None
    assert json.loads(parts[1])["ok"] is True
