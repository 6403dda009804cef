"""Misbehaviour on demand, as a bot meets it."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest
import telegram

from tests.unit.telegram_lab.labserver import TOKEN, Server, until


async def fault(server: Server, **body: object) -> dict[str, Any]:
    answer = await server.control("POST", "/fault", **body)
    assert answer["status_code"] == 200, answer
    return answer


@pytest.mark.parametrize(
    ("status", "words"),
    [(500, "Internal Server Error"), (502, "Bad Gateway"), (401, "Unauthorized"), (409, "Conflict: terminated by")],
)
async def test_errors_as_often_as_asked(server: Server, status: int, words: str) -> None:
    await fault(server, kind="error", status=status, count=2)
    for _ in range(2):
        got, body = await server.call("getMe")
        assert got == body["error_code"] == status and body["description"].startswith(words)
    assert (await server.call("getMe"))[0] == 200


async def test_too_many_requests_says_when_to_retry(server: Server) -> None:
    await fault(server, kind="error", status=429, retry_after=7, count=2)
    async with server.http.get(f"{server.base_url}{TOKEN}/getMe") as answer:
        assert answer.status == 429 and answer.headers["Retry-After"] == "7"
        assert await answer.json() == {
            "ok": False,
            "error_code": 429,
            "description": "Too Many Requests: retry after 7",
            "parameters": {"retry_after": 7},
        }
    with pytest.raises(telegram.error.RetryAfter, match="Retry in 7 seconds"):
        await telegram.Bot(TOKEN, base_url=server.base_url).initialize()


async def test_a_fault_hits_only_what_it_is_aimed_at(server: Server) -> None:
    await fault(server, kind="error", methods=["getUpdates"])
    await fault(server, kind="error", nodes=["node2"], methods=["getMe"])
    assert (await server.call("getMe"))[0] == 200
    assert (await server.call("getUpdates"))[0] == 500
    assert (await server.control("GET", "/fault"))["faults"][0]["hits"] == 1
    assert (await server.control("DELETE", "/fault"))["cleared"] == 2
    assert (await server.call("getUpdates"))[0] == 200


async def test_a_reset_after_the_act_leaves_the_message_sent(server: Server) -> None:
    await server.say(1, "/start")
    await fault(server, kind="reset", when="after", methods=["sendMessage"], count=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await server.call("sendMessage", chat_id=1, text="once")
    messages = (await server.control("GET", "/people/1"))["messages"]
    assert [message["text"] for message in messages] == ["/start", "once"]


async def test_a_reset_before_the_act_leaves_nothing(server: Server) -> None:
    await server.say(1, "/start")
    await fault(server, kind="reset", methods=["sendMessage"], count=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await server.call("sendMessage", chat_id=1, text="never")
    assert len((await server.control("GET", "/people/1"))["messages"]) == 1
    assert server.events("end", error="connection reset on demand", status=None)


async def test_a_reset_is_one(server: Server) -> None:
    await fault(server, kind="reset", count=1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.lab.bind.port)
    writer.write(f"GET /bot{TOKEN}/getMe HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_a_request_hangs_until_the_fault_is_cleared(server: Server) -> None:
    await fault(server, kind="hang", methods=["getMe"], count=1)
    hanging = asyncio.create_task(server.call("getMe"))
    await until(lambda: server.events("begin", method="getMe"))
    assert (await server.call("getWebhookInfo"))[0] == 200
    assert not hanging.done()
    # The fault was spent by its one hit; what it holds is let go all the same.
    await server.control("DELETE", "/fault")
    assert (await asyncio.wait_for(hanging, 5))[0] == 200


async def test_a_hang_may_end_in_a_reset(server: Server) -> None:
    await fault(server, kind="hang", seconds=0.05, methods=["getMe"], count=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await server.call("getMe")


async def test_slowness(server: Server) -> None:
    await fault(server, kind="slow", seconds=0.2, count=1)
    began = time.monotonic()
    assert (await server.call("getMe"))[0] == 200
    assert time.monotonic() - began >= 0.2


async def test_a_flood_limit_counts_messages_only(server: Server) -> None:
    await server.say(1, "/start")
    await fault(server, kind="flood", per_s=3, retry_after=2)
    assert (await server.call("getMe"))[0] == 200
    sent = [await server.call("sendMessage", chat_id=1, text=f"{n}") for n in range(5)]
    assert [status for status, _ in sent] == [200, 200, 200, 429, 429]
    assert sent[-1][1]["parameters"] == {"retry_after": 2}


async def test_updates_met_by_a_fault_are_not_lost(server: Server) -> None:
    said = await server.say(1, "hello")
    await fault(server, kind="reset", when="after", methods=["getUpdates"], count=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await server.call("getUpdates")
    assert [update["update_id"] for update in await server.result("getUpdates", offset=said)] == [said]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "earthquake"},
        {"kind": "error", "status": 200},
        {"kind": "error", "status": "500"},
        {"kind": "error", "count": 0},
        {"kind": "error", "count": "two"},
        {"kind": "error", "when": "during"},
        {"kind": "error", "methods": "getMe"},
        {"kind": "error", "colour": "red"},
        {"kind": "slow"},
        {"kind": "hang", "seconds": -1},
    ],
    ids=str,
)
async def test_a_fault_that_is_none_is_refused_in_a_sentence(server: Server, body: dict[str, object]) -> None:
    answer = await server.control("POST", "/fault", **body)
    assert answer["status_code"] == 400 and answer["error"]
    assert (await server.call("getMe"))[0] == 200
