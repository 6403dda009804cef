"""HTTP for python-telegram-bot, with a guard that is asked at the very moment before bytes leave the process.

A bot may be frozen anywhere and wake up minutes later. If the lease were only looked at before a request is begun, such
a bot could still send one: between the look and the write lie building the request, waiting for a connection, and the
event loop's other work. So the look is put where the write is: between `guard()` and the system call that follows there
is nothing to wait for. Raising, the guard ends the request, unsent, and its connection.

Nor may the kernel send later what it was given in time: on a path that is cut it tries again for a quarter of an hour,
even for a process that has ended, and a request would arrive when another bot has long taken over. So a connection that
is closed, or whose process dies, takes what is unsent with it, and one whose other end is silent is given up.

It is an httpx transport on a network backend for httpcore, both by their public interfaces, on asyncio's own streams.
"""

import asyncio
import importlib.util
import socket
import ssl
import struct
import sys
import typing
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType

import httpcore
import httpx

if importlib.util.find_spec("sniffio") is None:
    # httpcore imports it at every lock it makes, and where there is none looks for it on disk each time: a sixth of
    # what a request costs. Told once that there is none, it goes by asyncio at once.
    sys.modules["sniffio"] = None  # type: ignore[assignment]

Guard = Callable[[], None]
"""Returns where sending is allowed, raises where it is not."""

Options = Iterable[httpcore.SOCKET_OPTION]


UNHEARD_S = 3.0
"""For how long the kernel may try to bring a request to its other end. No longer than a lease lasts."""

AT_ONCE_BYTES = 65536
"""What is written together at most; a request of the bot's is a fraction of it."""


class _Stream(httpcore.AsyncNetworkStream):
    """What is written is held until an answer is read, so that headers and body leave together: a request is sent whole
    or not at all."""

    def __init__(self, guard: Guard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._guard = guard
        self._reader = reader
        self._writer = writer
        self._held = b""
        self._write_timeout: float | None = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        await self._send()
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError:
            raise httpcore.ReadTimeout from None
        except OSError as error:
            raise httpcore.ReadError(error.strerror or type(error).__name__) from None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._held += buffer
        self._write_timeout = timeout
        if len(self._held) > AT_ONCE_BYTES:
            await self._send()

    async def _send(self) -> None:
        if not self._held:
            return
        held, self._held = self._held, b""
        self._guard()
        try:
            self._writer.write(held)
            async with asyncio.timeout(self._write_timeout):
                await self._writer.drain()
        except TimeoutError:
            raise httpcore.WriteTimeout from None
        except OSError as error:
            raise httpcore.WriteError(error.strerror or type(error).__name__) from None

    async def aclose(self) -> None:
        # Not waited for: whoever closes has no more use for what the other end may say.
        self._writer.transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        self._guard()
        try:
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        except OSError as error:
            raise httpcore.ConnectError(error.strerror or type(error).__name__) from None
        return self

    def get_extra_info(self, info: str) -> typing.Any:
        if info == "is_readable":
            # httpcore asks this of an idle connection: whether the server has closed it meanwhile.
            return self._reader.at_eof() or self._writer.is_closing()
        return self._writer.get_extra_info(info)


def _forgetful(connection: socket.socket) -> None:
    """Closed, it drops what it has not sent; and it keeps nothing unacknowledged for longer than UNHEARD_S."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNHEARD_S * 1000))


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Options | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self._guard()
        try:
            async with asyncio.timeout(timeout):
                # Telegram has addresses of both families; one of them may lead nowhere on this host.
                reader, writer = await asyncio.open_connection(host, port, happy_eyeballs_delay=0.25)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        except OSError as error:
            raise httpcore.ConnectError(error.strerror or type(error).__name__) from None
        _forgetful(writer.get_extra_info("socket"))
        return _Stream(self._guard, reader, writer)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.ProtocolError, httpx.RemoteProtocolError),
)


class _Mapped:
    """httpcore's errors as httpx's, which is what python-telegram-bot looks for."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for ours, theirs in _ERRORS:
            if isinstance(error, ours):
                raise theirs(str(error) or type(error).__name__) from None


class _Body(httpx.AsyncByteStream):
    def __init__(self, parts: typing.Any) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _Mapped():
            async for part in self._parts:
                yield part

    async def aclose(self) -> None:
        await self._parts.aclose()


class GuardedTransport(httpx.AsyncBaseTransport):
    """Requests that leave only while `guard` lets them. At most so many connections, kept for `keep_s` seconds."""

    def __init__(self, guard: Guard, connections: int, keep_s: float, tls: bool) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            # Reading the certificate authorities takes a while; where there is no TLS nobody waits for it.
            ssl_context=httpx.create_ssl_context(trust_env=False) if tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=keep_s,
            network_backend=_Backend(guard),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _Mapped():
            answer = await self._pool.handle_async_request(asked)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer.stream), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        await self._pool.aclose()
