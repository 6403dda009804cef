"""The control socket, both ends of it. PROTOCOL.md is the agreement; this is nothing but the wire.

The client's end is what `kappa-bot status` uses, and imports nothing beyond the standard library.
"""

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from kappa_bot.exits import Exit, FatalError

VERSION = 1
LINE_BYTES = 4096
"""The longest request."""
PATIENCE_S = 2.0
"""How long a client may take to say what it wants."""

Message = dict[str, Any]
Answer = Callable[[str, float], Awaitable[Message]]
"""(what to do, seconds to wait for it) -> the reply. ValueError for something unknown."""


def ask(path: str, do: str, timeout: float = 3.0, wait_s: float = 0.0) -> Message:
    """Put one request to the bot behind `path`. OSError if there is none; ValueError if it answers nonsense."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout + wait_s)
        sock.connect(path)
        request: Message = {"v": VERSION, "do": do}
        if wait_s:
            request["wait_s"] = wait_s
        sock.sendall(json.dumps(request).encode() + b"\n")
        received = b""
        while not received.endswith(b"\n"):
            chunk = sock.recv(65536)
            if not chunk:
                break
            received += chunk
    reply = json.loads(received)
    if not isinstance(reply, dict):
        raise ValueError("the reply is not an object")
    return reply


@contextlib.asynccontextmanager
async def serve(path: str, answer: Answer) -> Any:
    """Answer requests at `path` for as long as the context lasts. FatalError if it cannot be had."""
    _make_way(path)
    mask = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(lambda reader, writer: _converse(reader, writer, answer), path)
    except OSError as error:
        raise FatalError(Exit.CONTROL, f"the control socket {path} cannot be opened: {error.strerror}") from None
    finally:
        os.umask(mask)
    own = Path(path).stat().st_ino
    try:
        yield server
    finally:
        server.close()
        # asyncio leaves the file; another bot may have put its own there by now.
        with contextlib.suppress(OSError):
            if Path(path).stat().st_ino == own:
                Path(path).unlink()


def _make_way(path: str) -> None:
    """Remove what a killed bot left at `path`; refuse if a bot answers there, or if it is no socket."""
    place = Path(path)
    try:
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not stat.S_ISSOCK(place.lstat().st_mode):
            raise FatalError(Exit.CONTROL, f"{path} is not a socket: set bot.socket to another path, or remove it")
    except FileNotFoundError:
        return
    except OSError as error:
        raise FatalError(Exit.CONTROL, f"the control socket {path} cannot be made: {error.strerror}") from None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(path)
    except ConnectionRefusedError:
        place.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise FatalError(
            Exit.CONTROL, f"the control socket {path} cannot be asked: {error.strerror or error}"
        ) from None
    else:
        raise FatalError(Exit.CONTROL, f"a bot is running already: it answers at {path}")


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    try:
        reply = await _reply(reader, answer)
        writer.write(json.dumps({"v": VERSION, **reply}, ensure_ascii=False).encode() + b"\n")
        await writer.drain()
    except OSError:
        pass  # the client has gone
    finally:
        writer.close()


async def _reply(reader: asyncio.StreamReader, answer: Answer) -> Message:
    try:
        line = await asyncio.wait_for(reader.readline(), PATIENCE_S)
        if len(line) > LINE_BYTES:
            raise ValueError("the request is too long")
        request = json.loads(line.decode())
        if not isinstance(request, dict):
            raise ValueError("the request is not an object")
        if request.get("v") != VERSION:
            raise ValueError(f"unknown version {request.get('v')!r}: this bot speaks version {VERSION}")
        wait = request.get("wait_s", 0)
        if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait <= 600:
            raise ValueError("wait_s must be seconds from 0 to 600")
        return await answer(str(request.get("do")), float(wait))
    except TimeoutError:
        return {"ok": False, "error": f"no request within {PATIENCE_S:g} s"}
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return {"ok": False, "error": "the request is not one line of JSON"}
    except ValueError as error:
        return {"ok": False, "error": str(error)}
