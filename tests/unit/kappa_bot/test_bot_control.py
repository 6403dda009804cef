"""The control socket as a client meets it (PROTOCOL.md)."""

import asyncio
import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from kappa_bot import control
from kappa_bot.exits import Exit, FatalError


async def _answer(do: str, wait_s: float) -> dict[str, Any]:
    if do == "status":
        return {"ok": True, "role": "standby", "wait": wait_s}
    raise ValueError(f"unknown request {do!r}")


async def _say(path: str, line: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    found: dict[str, Any] = json.loads(await reader.readline())
    assert await reader.read() == b"", "one line, and it is closed"
    writer.close()
    return found


async def test_one_line_in_one_line_out(tmp_path: Path) -> None:
    path = str(tmp_path / "run" / "bot.sock")
    async with control.serve(path, _answer):
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
        assert await _say(path, b'{"v":1,"do":"status"}\n') == {"v": 1, "ok": True, "role": "standby", "wait": 0}
        assert (await asyncio.to_thread(control.ask, path, "status", 3.0, 1.5))["wait"] == 1.5
    assert not Path(path).exists()


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"v":1,"do":"dance"}\n', "unknown request 'dance'"),
        (b'{"v":1}\n', "unknown request 'None'"),
        (b'{"v":2,"do":"status"}\n', "unknown version 2: this bot speaks version 1"),
        (b'{"do":"status"}\n', "unknown version None"),
        (b'"status"\n', "the request is not an object"),
        (b"status\n", "the request is not one line of JSON"),
        (b"\xff\xfe\n", "the request is not"),
        (b'{"v":1,"do":"status","wait_s":-1}\n', "wait_s must be"),
        (b'{"v":1,"do":"status","wait_s":"1"}\n', "wait_s must be"),
        (b'{"v":1,"do":"' + b"x" * 5000 + b'"}\n', "the request is too long"),
    ],
)
async def test_what_is_not_understood_is_answered_with_one_sentence(tmp_path: Path, line: bytes, error: str) -> None:
    path = str(tmp_path / "bot.sock")
    async with control.serve(path, _answer):
        reply = await _say(path, line)
    assert reply["ok"] is False and reply["v"] == 1
    assert reply["error"].startswith(error)


async def test_a_client_that_says_nothing_or_goes_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "PATIENCE_S", 0.2)
    path = str(tmp_path / "bot.sock")
    async with control.serve(path, _answer):
        silent, silent_writer = await asyncio.open_unix_connection(path)
        _, gone = await asyncio.open_unix_connection(path)
        gone.close()
        assert (await _say(path, b'{"v":1,"do":"status"}\n'))["ok"] is True
        assert json.loads(await silent.readline())["error"] == "no request within 0.2 s"
        silent_writer.close()


async def test_a_socket_left_by_a_killed_bot_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "bot.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    async with control.serve(path, _answer):
        assert (await _say(path, b'{"v":1,"do":"status"}\n'))["ok"] is True


async def test_a_second_bot_is_refused_and_the_first_stays_reachable(tmp_path: Path) -> None:
    path = str(tmp_path / "bot.sock")
    async with control.serve(path, _answer):
        with pytest.raises(FatalError, match=f"a bot is running already: it answers at {path}") as caught:
            async with control.serve(path, _answer):
                pass
        assert caught.value.code == Exit.CONTROL
        assert (await _say(path, b'{"v":1,"do":"status"}\n'))["ok"] is True


async def test_an_impossible_path_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "bot.sock", tmp_path / "file", tmp_path / ("x" * 120)):
        with pytest.raises(FatalError, match=str(path)) as caught:
            async with control.serve(str(path), _answer):
                pass
        assert caught.value.code == Exit.CONTROL


def test_the_client_tells_nonsense_from_silence(tmp_path: Path) -> None:
    path = str(tmp_path / "bot.sock")
    with pytest.raises(OSError, match="No such file"):
        control.ask(path, "status")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        if os.fork() == 0:
            peer, _ = server.accept()
            peer.recv(100)
            peer.sendall(b"3\n")
            os._exit(0)
        with pytest.raises(ValueError, match="not an object"):
            control.ask(path, "status")
        os.wait()
