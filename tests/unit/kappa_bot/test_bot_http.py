"""The HTTP transport: nothing leaves the process once the guard refuses, and errors are the library's own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from telegram.error import NetworkError, TimedOut

from kappa_bot.guarded_http import _Backend
from kappa_bot.telegram_api import GuardedRequest, TelegramApi
from kappa_bot.turn import Reply

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n{"ok": true, "result": []}'


class Server:
    """Takes bytes and answers every request that is whole."""

    def __init__(self) -> None:
        self.heard = b""
        self.connections = 0
        self.answer = ANSWER
        self.silent = False
        self.url = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writer = writer
        while data := await reader.read(65536):
            self.heard += data
            if b"\r\n\r\n" in data and not self.silent:
                writer.write(self.answer)
        writer.close()

    def hang_up(self) -> None:
        self._writer.close()


@asynccontextmanager
async def listening() -> AsyncIterator[Server]:
    found = Server()
    server = await asyncio.start_server(found, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()


def api(server: Server, guard: Callable[[], None]) -> TelegramApi:
    return TelegramApi("123456:token-token", server.url + "/bot", guard)


async def test_a_request_goes_through_and_the_connection_is_kept() -> None:
    async with listening() as server:
        telegram = api(server, lambda: None)
        assert await telegram.poll(5, 0) == []
        assert await telegram.poll(6, 0) == []
        assert server.connections == 1
        assert b"POST /bot123456:token-token/getUpdates" in server.heard
        assert b"callback_query" in server.heard, "allowed_updates are said with every poll"
        await telegram.close()


@pytest.mark.parametrize("refuse_at", [1, 2])
async def test_whenever_the_guard_refuses_nothing_leaves(refuse_at: int) -> None:
    """It is asked when connecting, and before the write."""
    asked = 0

    def guard() -> None:
        nonlocal asked
        asked += 1
        if asked >= refuse_at:
            raise RuntimeError("the lease has lapsed")

    async with listening() as server:
        telegram = api(server, guard)
        with pytest.raises(NetworkError, match="lapsed"):
            await telegram.send(1, Reply("sendMessage", "hello"))
        await asyncio.sleep(0.05)
        assert server.heard == b""
        await telegram.close()


async def test_the_loop_does_not_turn_between_the_guard_and_the_write(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0
    at_guard = -1
    stopped = False

    def turn() -> None:
        nonlocal turns
        turns += 1
        if not stopped:
            loop.call_soon(turn)

    def guard() -> None:
        nonlocal at_guard
        at_guard = turns

    def write(self: asyncio.StreamWriter, data: bytes) -> None:
        assert data.startswith(b"HTTP") or turns == at_guard
        written.append(data)
        original(self, data)

    original = asyncio.StreamWriter.write
    written: list[bytes] = []
    loop = asyncio.get_running_loop()
    async with listening() as server:
        telegram = api(server, guard)
        loop.call_soon(turn)
        monkeypatch.setattr(asyncio.StreamWriter, "write", write)
        assert await telegram.poll(None, 0) == []
        assert len([data for data in written if not data.startswith(b"HTTP")]) == 1, "a request leaves in one piece"
        await telegram.close()
        stopped = True


async def test_a_server_that_says_nothing_is_a_time_out() -> None:
    async with listening() as server:
        server.silent = True
        request = GuardedRequest(lambda: None, connections=1, read_timeout=0.1, tls=False)
        with pytest.raises(TimedOut):
            await request.post(server.url)
        await request.shutdown()


async def test_a_server_that_is_not_there_or_hangs_up_is_a_network_error() -> None:
    async with listening() as server:
        server.answer = b"nonsense\r\n\r\n"
        request = GuardedRequest(lambda: None, connections=1, read_timeout=1.0, tls=False)
        with pytest.raises(NetworkError, match="RemoteProtocolError"):
            await request.post(server.url)
        await request.shutdown()
    request = GuardedRequest(lambda: None, connections=1, read_timeout=1.0, tls=False)
    with pytest.raises(NetworkError, match="ConnectError"):
        await request.post("http://127.0.0.1:9")
    await request.shutdown()


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again() -> None:
    async with listening() as server:
        telegram = api(server, lambda: None)
        await telegram.poll(5, 0)
        server.hang_up()
        await asyncio.sleep(0.05)
        assert await telegram.poll(6, 0) == []
        assert server.connections == 2
        await telegram.close()


async def test_a_batch_that_the_library_cannot_read_is_handed_on_as_it_came() -> None:
    body = b'{"ok": true, "result": [{"update_id": 7, "message": {"chat": 5}}]}'
    async with listening() as server:
        server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        telegram = api(server, lambda: None)
        assert await telegram.poll(None, 0) == [{"update_id": 7, "message": {"chat": 5}}]
        await telegram.close()


async def test_what_the_kernel_could_not_send_goes_with_its_connection() -> None:
    """A request that a cut path held back must not arrive when another bot has long taken over."""
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        telegram = TelegramApi("123456:token-token", f"http://127.0.0.1:{deaf.getsockname()[1]}/bot", lambda: None)
        sending = asyncio.create_task(telegram.send(1, Reply("sendMessage", "x" * 8_000_000)))
        taken, _ = await asyncio.to_thread(deaf.accept)
        with taken:
            await asyncio.to_thread(taken.recv, 1)
            assert not sending.done(), "all of it was sent: nothing is held back"
            sending.cancel()
            await asyncio.wait([sending])
            await telegram.close()
            with pytest.raises(ConnectionResetError):
                while await asyncio.to_thread(taken.recv, 65536):
                    pass


async def test_nobody_is_sent_to_for_longer_than_a_lease_lasts_who_acknowledges_nothing() -> None:
    async with listening() as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        stream = await _Backend(lambda: None).connect_tcp(host, int(port))
        connection = stream.get_extra_info("socket")
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3000
        await stream.aclose()
