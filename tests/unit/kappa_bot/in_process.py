"""The bot's parts inside the test, before a real MongoDB: Telegram is a script, and every step can be repeated."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from telegram import Bot
from telegram.request import BaseRequest, RequestData

from kappa_bot.config import Config, load
from kappa_bot.database import Client, Database, connect
from kappa_bot.handlers import build_application
from kappa_bot.health import Way
from kappa_bot.lease import Lease
from kappa_bot.processor import Processor
from kappa_bot.turn import Reply
from kappa_bot.writer import Writer

Json = dict[str, Any]


class OfflineRequest(BaseRequest):
    """Knows the bot's own name, and nothing else."""

    @property
    def read_timeout(self) -> float | None:
        return 1.0

    async def initialize(self) -> None: ...

    async def shutdown(self) -> None: ...

    async def do_request(
        self, url: str, method: str, request_data: RequestData | None = None, *timeouts: Any, **more: Any
    ) -> tuple[int, bytes]:
        assert url.endswith("/getMe"), f"nothing but the name is to be asked for: {url}"
        me = {"id": 123456, "is_bot": True, "first_name": "Kappa", "username": "kappa_lab_bot"}
        return 200, json.dumps({"ok": True, "result": me}).encode()


def offline_bot() -> Bot:
    return Bot("123456:offline-offline", request=OfflineRequest(), get_updates_request=OfflineRequest())


class ScriptedTelegram:
    """Stands for TelegramApi: hands out what the test says, and remembers what was sent."""

    def __init__(self) -> None:
        self.bot = offline_bot()
        self.batches: list[list[Json] | Exception] = []
        self.polls: list[tuple[int | None, int]] = []
        self.sent: list[tuple[int, Reply]] = []
        self.documents: list[bytes | None] = []
        self.refusals: list[Exception] = []

    async def poll(self, offset: int | None, timeout: int, limit: int = 100) -> list[Json]:
        self.polls.append((offset, timeout))
        batch = self.batches.pop(0) if self.batches else []
        if isinstance(batch, Exception):
            raise batch
        return batch

    async def send(self, chat: int, reply: Reply, document: bytes | None = None) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.sent.append((chat, reply))
        self.documents.append(document)


def text_update(update_id: int, chat: int, text: str, language: str = "en") -> Json:
    command = {"entities": [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]}
    return {
        "update_id": update_id,
        "message": {
            "message_id": update_id % 1000,
            "date": 1_700_000_000,
            "chat": {"id": chat, "type": "private"},
            "from": {"id": chat, "is_bot": False, "first_name": "X", "language_code": language},
            "text": text,
            **(command if text.startswith("/") else {}),
        },
    }


def location_update(update_id: int, chat: int, latitude: float, longitude: float) -> Json:
    update = text_update(update_id, chat, "x")
    del update["message"]["text"]
    update["message"]["location"] = {"latitude": latitude, "longitude": longitude}
    return update


def tap_update(update_id: int, chat: int, data: str) -> Json:
    message = text_update(update_id, chat, "buttons")["message"]
    user = message["from"]
    message["from"] = {"id": 123456, "is_bot": True, "first_name": "Kappa"}
    return {
        "update_id": update_id,
        "callback_query": {"id": f"q{update_id}", "from": user, "chat_instance": "1", "data": data, "message": message},
    }


class Parts:
    """A connection as the bot's own user, and parts of the bot made on it."""

    def __init__(self, client: Client, config: Config) -> None:
        self.client = client
        self.config = config
        self.database: Database = client[config.mongodb.database]
        self.session = client.start_session()
        self.telegram = ScriptedTelegram()
        self.router = Way("the router")

    def lease(self, ttl: float = 5.0, **more: Any) -> Lease:
        return Lease(self.database, ttl, self.router, session=self.session.session_id["id"], **more)

    def writer(self, lease: Lease) -> Writer:
        return Writer(self.database, lease, self.session, self.router)

    def processor(self, writer: Writer) -> Processor:
        return Processor(self.database, writer, build_application(self.telegram.bot), b"k" * 32, self.router)


@asynccontextmanager
async def parts(config_file: Path) -> AsyncIterator[Parts]:
    config = load(str(config_file))
    client = connect(config)
    assert isinstance(client, AsyncMongoClient)
    try:
        made = Parts(client, config)
        async with made.session:
            yield made
    finally:
        await client.close()
