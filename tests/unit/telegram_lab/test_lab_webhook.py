"""Delivery to a webhook: the secret header, retries until 2xx, order within a chat, the limit on connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import telegram
from aiohttp import web

from kappa_lab.telegram import webhook
from tests.unit.telegram_lab.labserver import TOKEN, Server, until

SECRET = "a-secret_42"


@dataclass
class Receiver:
    """A webhook: notes what it gets, answers as `answer` says."""

    answer: Callable[[dict[str, Any]], Awaitable[web.Response]] | None = None
    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    secrets: list[str | None] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        update = await request.json()
        self.got.append(update)
        self.secrets.append(request.headers.get("X-Telegram-Bot-Api-Secret-Token"))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            return await self.answer(update) if self.answer else web.Response()
        finally:
            self.running -= 1

    @property
    def texts(self) -> list[str]:
        return [update["message"]["text"] for update in self.got]


@contextlib.asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[Receiver]:
    app = web.Application()
    app.router.add_post("/hook/secret-path", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook/secret-path"
    try:
        yield receiver
    finally:
        await runner.cleanup()


async def test_python_telegram_bot_sets_a_webhook_and_gets_updates(server: Server) -> None:
    async with receiving(Receiver()) as receiver, telegram.Bot(TOKEN, base_url=server.base_url) as bot:
        assert await bot.set_webhook(receiver.url, secret_token=SECRET, max_connections=7)
        said = await server.say(1, "hello")
        await until(lambda: receiver.got)
        update = telegram.Update.de_json(receiver.got[0], bot)
        assert update.update_id == said and update.message is not None and update.message.text == "hello"
        assert receiver.secrets == [SECRET]
        await until(lambda: len(server.lab.queue) == 0)
        info = await bot.get_webhook_info()
        assert (info.url, info.max_connections, info.pending_update_count) == (receiver.url, 7, 0)
        assert await bot.delete_webhook()
        assert (await bot.get_webhook_info()).url == ""


async def test_an_update_is_delivered_again_until_it_is_answered_2xx(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "MAX_RESEND_S", 0.05)
    failures = [500, 302, 403]

    async def answer(update: dict[str, Any]) -> web.Response:
        return web.Response(status=failures.pop(0) if failures else 204)

    async with receiving(Receiver(answer)) as receiver:
        await server.result("setWebhook", url=receiver.url)
        first, second = await server.say(1, "one"), await server.say(1, "two")
        await until(lambda: "two" in receiver.texts)
        # The second waits its turn: order is kept within a chat.
        assert receiver.texts == ["one", "one", "one", "one", "two"]
        await until(lambda: len(server.lab.queue) == 0)
        deliveries = server.events("webhook", what="delivery")
        assert [event["status"] for event in deliveries] == [500, 302, 403, 204, 204]
        assert [event["attempt"] for event in deliveries] == [1, 2, 3, 4, 1]
        assert [event["update_ids"] for event in server.events("confirm")] == [[first], [second]]
        info = await server.result("getWebhookInfo")
        assert info["last_error_message"] == "Wrong response from the webhook: 403 Forbidden"


async def test_a_webhook_that_is_not_there_gets_its_updates_when_it_comes(server: Server) -> None:
    async with receiving(Receiver()) as receiver:
        url = receiver.url
    await server.result("setWebhook", url=url)
    await server.say(1, "early")
    await until(lambda: server.events("webhook", what="delivery", status=None))
    app, late = web.Application(), Receiver()
    app.router.add_post("/hook/secret-path", late.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(url.split(":")[2].split("/")[0])).start()
    await until(lambda: late.texts == ["early"])
    await runner.cleanup()


async def test_a_connection_that_breaks_is_no_answer(server: Server) -> None:
    breaks = [True]

    async def answer(update: dict[str, Any]) -> web.Response:
        if breaks.pop(0) if breaks else False:
            raise asyncio.CancelledError
        return web.Response()

    async with receiving(Receiver(answer)) as receiver:
        await server.result("setWebhook", url=receiver.url)
        await server.say(1, "hello")
        await until(lambda: len(receiver.got) == 2)
        await until(lambda: len(server.lab.queue) == 0)


@pytest.mark.parametrize("limit", [1, 3])
async def test_chats_go_in_parallel_up_to_max_connections(server: Server, limit: int) -> None:
    go_on = asyncio.Event()

    async def answer(update: dict[str, Any]) -> web.Response:
        await go_on.wait()
        return web.Response()

    async with receiving(Receiver(answer)) as receiver:
        await server.result("setWebhook", url=receiver.url, max_connections=limit)
        for chat in range(1, 6):
            await server.say(chat, f"chat {chat}")
        await until(lambda: len(receiver.got) == limit)
        go_on.set()
        await until(lambda: len(receiver.got) == 5)
        assert receiver.most_running == limit


async def test_updates_held_for_polling_are_delivered_when_a_webhook_is_set(server: Server) -> None:
    await server.say(1, "before")
    async with receiving(Receiver()) as receiver:
        await server.result("setWebhook", url=receiver.url)
        await until(lambda: receiver.texts == ["before"])


async def test_pending_updates_are_dropped_on_demand(server: Server) -> None:
    await server.say(1, "before")
    await server.result("deleteWebhook", drop_pending_updates=True)
    assert await server.result("getUpdates") == []


async def test_a_webhook_may_answer_with_a_method(server: Server) -> None:
    async def answer(update: dict[str, Any]) -> web.Response:
        return web.json_response({"method": "sendMessage", "chat_id": 1, "text": "from the answer"})

    async with receiving(Receiver(answer)) as receiver:
        await server.result("setWebhook", url=receiver.url)
        await server.say(1, "hello")
        await until(lambda: server.events("reply", chat_id=1, method="sendMessage"))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"url": "ftp://x/"}, "Bad Request: invalid webhook URL specified"),
        ({"url": "http://x/", "secret_token": "no spaces"}, "Bad Request: secret token contains unallowed characters"),
        ({"url": "http://x/", "secret_token": "x" * 257}, "Bad Request: secret token is too long"),
    ],
)
async def test_webhooks_that_telegram_refuses(server: Server, parameters: dict[str, object], words: str) -> None:
    status, body = await server.call("setWebhook", **parameters)
    assert (status, body["description"]) == (400, words)
    assert not server.lab.polling.webhook_active


async def test_setting_webhooks_in_a_row_is_too_much(server: Server) -> None:
    await server.result("setWebhook", url="http://127.0.0.1:1/a")
    status, body = await server.call("setWebhook", url="http://127.0.0.1:1/b")
    assert (status, body["parameters"]) == (429, {"retry_after": 1})


async def test_the_journal_has_no_path_of_a_webhook(server: Server) -> None:
    async with receiving(Receiver()) as receiver:
        await server.result("setWebhook", url=receiver.url, secret_token=SECRET)
        await server.say(1, "hello")
        await until(lambda: server.events("webhook", what="delivery"))
    text = server.journal.read_text()
    assert "secret-path" not in text and SECRET not in text
