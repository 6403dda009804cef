"""getUpdates over HTTP, as a bot meets it: offsets, the one long poll, conflicts, clients that vanish."""

import asyncio
import json
import time
from typing import Any

import pytest
import telegram

from kappa_lab.telegram import polling
from tests.unit.telegram_lab.labserver import TOKEN, Server, until

OTHER_POLL = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
WEBHOOK_ACTIVE = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)


async def filled(server: Server, count: int) -> list[int]:
    return [await server.say(1, f"message {number}") for number in range(count)]


async def poll(server: Server, offset: int = 0, timeout: int = 0, **more: object) -> list[int]:
    updates = await server.result("getUpdates", offset=offset, timeout=timeout, **more)
    return [update["update_id"] for update in updates]


async def test_python_telegram_bot_understands_the_updates(server: Server) -> None:
    async with telegram.Bot(TOKEN, base_url=server.base_url) as bot:
        first = await server.say(7, "/start now")
        await server.control("POST", "/people/7", latitude=10.5, longitude=-66.9)
        updates = await bot.get_updates(timeout=5)
        assert [update.update_id for update in updates] == [first, first + 1]
        message, place = updates[0].message, updates[1].message
        assert message is not None and message.from_user is not None and place is not None
        assert message.text == "/start now" and message.chat.type == "private" and message.from_user.id == 7
        assert [entity.type for entity in message.entities] == ["bot_command"]
        assert message.parse_entity(message.entities[0]) == "/start"
        assert place.location is not None and (place.location.latitude, place.location.longitude) == (10.5, -66.9)


async def test_an_update_is_kept_until_a_higher_offset_confirms_it(server: Server) -> None:
    first, second, third = await filled(server, 3)
    assert await poll(server) == [first, second, third]
    assert await poll(server, offset=first) == [first, second, third]
    assert await poll(server, offset=second) == [second, third]
    assert await poll(server) == [second, third]
    assert await poll(server, offset=third + 1) == []
    assert server.events("confirm", node="node1", offset=second)[0]["update_ids"] == [first]
    assert server.events("confirm", offset=third + 1)[0]["update_ids"] == [second, third]


async def test_what_was_handed_to_a_dead_poller_is_handed_again(server: Server) -> None:
    first = await server.say(1, "hello")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.lab.bind.port)
    writer.write(f"GET /bot{TOKEN}/getUpdates HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readuntil(b"}]}")
    writer.transport.abort()
    assert await poll(server, offset=first) == [first]


async def test_a_negative_offset_keeps_the_last(server: Server) -> None:
    updates = await filled(server, 4)
    assert await poll(server, offset=-1) == updates[-1:]
    assert await poll(server) == updates[-1:]


@pytest.mark.parametrize(("limit", "handed"), [(2, 2), (0, 1), (-5, 1), (1000, 100), ("three", 1), (None, 100)])
async def test_the_limit_is_clamped(server: Server, limit: object, handed: int) -> None:
    await filled(server, 103)
    assert len(await poll(server, limit=limit)) == handed


async def test_a_long_poll_is_answered_when_something_comes(server: Server) -> None:
    waiting = asyncio.create_task(poll(server, timeout=30))
    await server.poll_waits()
    said = await server.say(1, "hello")
    assert await asyncio.wait_for(waiting, 5) == [said]


async def test_a_long_poll_ends_empty_when_its_time_is_over(server: Server) -> None:
    began = time.monotonic()
    assert await poll(server, offset=5, timeout=1) == []
    assert 0.9 < time.monotonic() - began < 5


async def test_a_long_poll_waits_no_longer_than_telegram_lets_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "MAX_TIMEOUT_S", 0.1)
    assert await asyncio.wait_for(poll(server, timeout=3600), 5) == []


async def test_a_second_poll_ends_the_first(server: Server) -> None:
    first = asyncio.create_task(server.call("getUpdates", timeout=30))
    await server.poll_waits()
    second = asyncio.create_task(server.call("getUpdates", timeout=30, offset=1))
    await until(lambda: len(server.events("begin", method="getUpdates")) == 2)
    said = await server.say(1, "for the second")
    status, body = await asyncio.wait_for(second, 5)
    assert [update["update_id"] for update in body["result"]] == [said]
    # The first was over before the second waited; one second is for its answer to arrive.
    status, body = await asyncio.wait_for(first, 1)
    assert (status, body) == (409, {"ok": False, "error_code": 409, "description": OTHER_POLL})


async def test_python_telegram_bot_sees_the_conflict(server: Server) -> None:
    async with telegram.Bot(TOKEN, base_url=server.base_url) as bot:
        first = asyncio.create_task(bot.get_updates(timeout=30))
        await server.poll_waits()
        second = asyncio.create_task(server.call("getUpdates", timeout=30, offset=1))
        with pytest.raises(telegram.error.Conflict, match="terminated by other getUpdates request"):
            await first
        second.cancel()


async def test_a_poll_that_need_not_wait_disturbs_nobody(server: Server) -> None:
    first = asyncio.create_task(server.call("getUpdates", timeout=30))
    await server.poll_waits()
    assert await poll(server, offset=1, timeout=0) == []
    assert server.lab.polling.is_waiting and not first.done()
    first.cancel()


async def test_two_pollers_displace_each_other_slowly(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "CONFLICT_PAUSE_S", 0.4)
    conflicts: list[float] = []

    async def fight(own_offset: int) -> None:
        while len(conflicts) < 3:
            status, _ = await server.call("getUpdates", timeout=30, offset=own_offset)
            assert status == 409
            conflicts.append(time.monotonic())

    fighters = [asyncio.create_task(fight(1)), asyncio.create_task(fight(2))]
    await until(lambda: len(conflicts) >= 3)
    # The first 409 comes at once; the second belongs to the pause after it and is held back.
    assert conflicts[1] - conflicts[0] >= 0.35
    for fighter in fighters:
        fighter.cancel()
    decided = [event for event in server.events("end", status=409) if event["t"] - event["decided"] > 0.35]
    assert decided, "the journal tells when a poll was over, not only when it was told so"


async def test_repeating_an_offset_at_once_gets_one_update_and_has_to_wait(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "REPEAT_WINDOW_S", 0.5)
    updates = await filled(server, 3)
    assert await poll(server, offset=updates[0]) == updates
    assert await poll(server, offset=updates[0]) == updates[:1]
    assert await poll(server, offset=updates[-1] + 1) == []
    began = time.monotonic()
    assert await poll(server, offset=updates[-1] + 1, timeout=0) == []
    assert time.monotonic() - began >= 0.45


async def test_the_repeated_offset_also_waits_in_the_place_of_another(server: Server) -> None:
    first = asyncio.create_task(server.call("getUpdates", offset=9, timeout=30))
    await server.poll_waits()
    second = asyncio.create_task(server.call("getUpdates", offset=9, timeout=0))
    status, _ = await asyncio.wait_for(first, 2)
    assert status == 409
    second.cancel()


async def test_getupdates_is_refused_while_a_webhook_is_set(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "CONFLICT_PAUSE_S", 0.05)
    waiting = asyncio.create_task(server.call("getUpdates", timeout=30))
    await server.poll_waits()
    await server.result("setWebhook", url="http://127.0.0.1:1/hook")
    status, body = await asyncio.wait_for(waiting, 5)
    assert (status, body["description"]) == (409, "Conflict: terminated by setWebhook request")
    status, body = await server.call("getUpdates", offset=1)
    assert (status, body["description"]) == (409, WEBHOOK_ACTIVE)
    await server.result("deleteWebhook")
    said = await server.say(1, "hello")
    assert await poll(server, offset=2) == [said]


async def test_allowed_updates_count_from_then_on(server: Server) -> None:
    first = await server.say(1, "before")
    await poll(server, allowed_updates=["callback_query"])
    assert (await server.control("POST", "/people/1", text="unwanted"))["update_id"] is None
    tapped = (await server.control("POST", "/people/1", tap="x", message_id=1))["update_id"]
    assert await poll(server, offset=first, allowed_updates=json.dumps([])) == [first, tapped]
    assert await server.say(1, "wanted again") == tapped + 1
    # Absent, and unreadable, change nothing.
    await poll(server, offset=1, allowed_updates="no json")
    await poll(server, offset=2)
    assert await server.say(1, "still wanted") == tapped + 2


async def test_a_client_that_vanishes_is_journaled_and_its_poll_keeps_the_place(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.lab.bind.port)
    writer.write(f"GET /bot{TOKEN}/getUpdates?timeout=30 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await server.poll_waits()
    writer.transport.abort()
    (end,) = await until(lambda: server.events("end", method="getUpdates"))
    assert (end["gone"], end["status"], end["handed"]) == (True, None, [])
    assert server.lab.polling.is_waiting
    said = await server.say(1, "for whoever comes next")
    await until(lambda: not server.lab.polling.is_waiting)
    assert await poll(server, offset=said) == [said]
    del reader


async def test_a_silent_client_is_displaced_and_loses_nothing(server: Server) -> None:
    """Power cut: no FIN arrives, the connection stays open, nobody reads it."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.lab.bind.port)
    writer.write(f"GET /bot{TOKEN}/getUpdates?timeout=30 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await server.poll_waits()
    successor = asyncio.create_task(poll(server, offset=1, timeout=30))
    (end,) = await until(lambda: server.events("end", status=409))
    assert end["gone"] is False
    said = await server.say(1, "hello")
    assert await asyncio.wait_for(successor, 5) == [said]
    writer.close()


@pytest.mark.parametrize(
    "request_as",
    [
        lambda url: ("GET", f"{url}?limit=1&offset=0", {}),
        lambda url: ("POST", f"{url}?limit=1", {}),
        lambda url: ("POST", url, {"json": {"limit": 1}}),
        lambda url: ("POST", url, {"json": {"limit": "1"}}),
        lambda url: ("POST", url, {"data": {"limit": "1"}}),
        lambda url: ("GET", url.replace("getUpdates", "GETUPDATES") + "?limit=1", {}),
    ],
    ids=["query", "query of a POST", "json", "json text", "form", "any case"],
)
async def test_parameters_come_in_any_form(server: Server, request_as: Any) -> None:
    updates = await filled(server, 2)
    verb, url, more = request_as(f"{server.base_url}{TOKEN}/getUpdates")
    async with server.http.request(verb, url, **more) as answer:
        body = await answer.json()
    assert [update["update_id"] for update in body["result"]] == updates[:1]
