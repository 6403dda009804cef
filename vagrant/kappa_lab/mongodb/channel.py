"""One TCP connection that carries whole frames, for both sides of the router.

Streams would do the same with three more layers on a path that every request takes four times.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable

from kappa_lab.mongodb.wire import MalformedError, frame_length

QUEUE = 16
"""Frames that may wait to be read before the peer is made to wait."""


class LostError(Exception):
    """The connection is gone; its reason in one line."""


class Channel(asyncio.Protocol):
    """Read and write whole frames; learn at once when the other side goes."""

    def __init__(self, on_made: "Callable[[Channel], None] | None" = None) -> None:
        self.on_lost: Callable[[], None] | None = None
        self.lost: str = ""
        self.peer: str = "?"
        self._on_made = on_made
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._frames: deque[bytes] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._paused = False
        self._writable: asyncio.Future[None] | None = None

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and len(peer) > 1 else str(peer)
        if self._on_made:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        try:
            while len(buffer) >= 4 and len(buffer) >= (length := frame_length(buffer)):
                self._frames.append(bytes(memoryview(buffer)[:length]))
                del buffer[:length]
        except MalformedError as why:
            self.abort(str(why))
            return
        if self._frames:
            self._wake()
            if len(self._frames) > QUEUE and not self._paused and self._transport:
                self._transport.pause_reading()
                self._paused = True

    def eof_received(self) -> bool:
        # Half a connection is none: who can no longer be asked need not be answered.
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._end(str(error) if error else "the other side closed the connection")

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # what the router calls

    async def read(self) -> bytes:
        """The next frame. Raises LostError when there will be none."""
        while not self._frames:
            if self.lost:
                raise LostError(self.lost)
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        frame = self._frames.popleft()
        if self._paused and self._transport and not self.lost:
            self._transport.resume_reading()
            self._paused = False
        return frame

    async def write(self, frame: bytes) -> None:
        """Send a frame; returns when it is gone or buffered within bounds. Raises LostError."""
        if self.lost or self._transport is None:
            raise LostError(self.lost or "not connected")
        self._transport.write(frame)
        if self._writable:
            await self._writable
            if self.lost:
                raise LostError(self.lost)

    def close(self, why: str) -> None:
        """End the connection once what was written is sent."""
        if self._transport and not self.lost:
            self._transport.close()
            self._end(why)

    def abort(self, why: str) -> None:
        """End the connection now, unsent bytes and all."""
        if self._transport and not self.lost:
            self._transport.abort()
            self._end(why)

    def _end(self, why: str) -> None:
        if self.lost:
            return
        self.lost = why or "the connection was lost"
        self._frames.clear()
        self.resume_writing()
        self._wake()
        if self.on_lost:
            self.on_lost()

    def _wake(self) -> None:
        if self._reader and not self._reader.done():
            self._reader.set_result(None)


async def connect(host: str, port: int, timeout: float) -> Channel:
    """Connect within `timeout` seconds. Raises LostError."""
    try:
        async with asyncio.timeout(timeout):
            _, channel = await asyncio.get_running_loop().create_connection(Channel, host, port)
    except TimeoutError:
        raise LostError(f"no connection to {host}:{port} within {timeout:.1f} s") from None
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise LostError(f"no connection to {host}:{port}: {why}") from None
    return channel
