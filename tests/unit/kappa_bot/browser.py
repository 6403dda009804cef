"""A real Chromium without a screen, driven through its DevTools protocol, and a tile server on loopback."""

import asyncio
import itertools
import os
import shutil
import signal
import subprocess
import threading
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp

Json = dict[str, Any]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


TILE = b"".join(
    (
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", (1).to_bytes(4) + (1).to_bytes(4) + bytes([8, 2, 0, 0, 0])),
        _chunk(b"IDAT", zlib.compress(b"\0\xdd\xdd\xdd")),
        _chunk(b"IEND", b""),
    )
)
"""A PNG of one grey pixel; Leaflet stretches it."""


@contextmanager
def tile_server() -> Iterator[tuple[str, list[str]]]:
    """(tile URL as Leaflet takes it, the paths that were asked for)."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Content-Length", str(len(TILE)))
            self.end_headers()
            self.wfile.write(TILE)

        def log_message(self, *words: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tiles/{{z}}/{{x}}/{{y}}.png", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@dataclass
class Page:
    """One open page."""

    socket: aiohttp.ClientWebSocketResponse
    complaints: list[str] = field(default_factory=list)
    """What the browser complained of: errors of scripts, breaches of the page's policy, dialogs that opened."""
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def call(self, method: str, **parameters: Any) -> Json:
        number = next(self._ids)
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message: Json = await self.socket.receive_json(timeout=60)
            if message.get("id") == number:
                assert "error" not in message, message
                found: Json = message["result"]
                return found
            if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Page.javascriptDialogOpening"):
                self.complaints.append(str(message["params"]))

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str, within: float = 60.0) -> Any:
        """Wait until an expression is true in the page, and return it."""
        async with asyncio.timeout(within):
            while not (value := await self.evaluate(expression)):
                await asyncio.sleep(0.05)
        return value


@asynccontextmanager
async def opened(file: Path, directory: Path) -> AsyncIterator[Page]:
    """A file, opened as a user opens one that was downloaded. `directory`: the browser's own."""
    assert CHROMIUM is not None
    words = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
        # Nothing but loopback is to be found.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        *("--disable-dev-shm-usage", "--window-size=400,800", "--remote-debugging-port=0"),
        *(f"--user-data-dir={directory}", "about:blank"),
    ]
    with (directory.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=directory.parent
        )
    try:
        port = await _port(process, directory, directory.parent / "chromium.log")
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (target,) = [each for each in await answer.json() if each["type"] == "page"]
            async with http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=1 << 26) as socket:
                page = Page(socket)
                for domain in ("Page", "Log", "Runtime"):
                    await page.call(f"{domain}.enable")
                await page.call("Page.navigate", url=file.as_uri())
                await page.until(f"location.href === {file.as_uri()!r} && document.readyState === 'complete'")
                yield page
    finally:
        # Its helpers are of its process group.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


async def _port(process: "subprocess.Popen[bytes]", directory: Path, log: Path) -> int:
    said = directory / "DevToolsActivePort"
    async with asyncio.timeout(90):
        while True:
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            lines = said.read_text().splitlines() if said.exists() else []
            if lines and lines[0].isdigit():
                return int(lines[0])
            await asyncio.sleep(0.05)
