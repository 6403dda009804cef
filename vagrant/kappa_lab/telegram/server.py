"""The server put together: two ports, one bot, one journal."""

import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from kappa_lab.telegram.api import BotApi
from kappa_lab.telegram.chats import Chats
from kappa_lab.telegram.control import Control
from kappa_lab.telegram.faults import Faults
from kappa_lab.telegram.journal import Journal
from kappa_lab.telegram.methods import Bot
from kappa_lab.telegram.polling import Polling
from kappa_lab.telegram.traffic import Traffic
from kappa_lab.telegram.updates import UpdateQueue
from kappa_lab.telegram.webhook import Webhook

Json = dict[str, Any]


@dataclass(frozen=True)
class Address:
    """Port 0 asks for any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """HOST:PORT. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{text!r} is not HOST:PORT")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class AddressError(Exception):
    """A port could not be bound; the message names it and says why."""


@dataclass(frozen=True)
class Settings:
    """`callback_answer_s`: how long after a tap answerCallbackQuery is taken (Telegram does not publish its own
    figure).
    """

    bind: Address
    control: Address
    token: str
    journal: Path
    names: Mapping[str, str] = field(default_factory=dict)
    callback_answer_s: float = 15.0


class TelegramLab:
    """`async with TelegramLab(settings) as lab`: serving inside, journal finished after."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.journal = Journal(settings.journal, settings.token)
        # As Telegram does, begin somewhere: a bot that counts on small ids is wrong.
        self.queue = UpdateQueue(
            secrets.randbelow(900_000_000) + 10_000_000,
            on_expiry=lambda ids: self.journal.write("expire", update_ids=ids),
        )
        self.polling = Polling(self.queue)
        self.webhook = Webhook(self.queue, self.journal)
        me = {
            "id": int(settings.token.partition(":")[0]),
            "is_bot": True,
            "first_name": "Kappa",
            "username": "kappa_lab_bot",
        }
        self.chats = Chats(me, settings.callback_answer_s)
        self.bot = Bot(me, self.queue, self.polling, self.chats, self.webhook)
        self.faults = Faults()
        self.traffic = Traffic(self.chats, self.journal, self.submit)
        self.api = BotApi(self.bot, settings.token, self.journal, self.faults, settings.names)
        self.webhook.on_answer = self.api.from_webhook
        self._control = Control(self.bot, self.traffic, self.faults, self.journal)
        self._runners: list[web.AppRunner] = []
        self.bind = settings.bind
        self.control = settings.control

    def submit(self, kind: str, body: Json, lane: str) -> int | None:
        """A user did something: hold it for the bot. Its update_id; None where the bot does not want this kind."""
        if kind not in self.bot.allowed_updates:
            return None
        update = self.queue.push(kind, body, lane)
        self.polling.wake()
        self.webhook.wake()
        return update.update_id

    async def __aenter__(self) -> "TelegramLab":
        try:
            self.bind = await self._serve(self.api.application(), self.settings.bind)
            self.control = await self._serve(self._control.application(), self.settings.control)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.traffic.close()
        self.faults.clear()
        self.polling.close()
        await self.webhook.close()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        self.journal.close()

    async def _serve(self, app: web.Application, at: Address) -> Address:
        # The access log would show the token: it is part of every path.
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, handler_cancellation=True, shutdown_timeout=0.5
        )
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, at.host, at.port)
        try:
            await site.start()
        except OSError as error:
            raise AddressError(f"cannot listen on {at}: {os.strerror(error.errno) if error.errno else error}") from None
        port = runner.addresses[0][1]
        logging.getLogger(__name__).info("listening on %s:%s", at.host, port)
        return Address(at.host, int(port))
