"""The Bot API through python-telegram-bot's `Bot`: what the bot asks of Telegram, and how it waits."""

import json
from typing import Any

from telegram import (
    Bot,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
    WebhookInfo,
)
from telegram._utils.types import ODVInput
from telegram.request import BaseRequest, HTTPXRequest, RequestData

from kappa_bot.guarded_http import Guard, GuardedTransport
from kappa_bot.handlers import ALLOWED_UPDATES
from kappa_bot.texts import say
from kappa_bot.turn import Reply

SEND_AT_ONCE = 16
"""Replies on their way at a time, in different chats. Telegram allows a bot about thirty messages a second."""

BATCH = 100
"""Updates asked for at a time; the Bot API's most."""

LATE_S = 5.0
"""How much longer than its own timeout a long poll may take before it counts as dead."""

KEEP_S = 60.0
"""Idle connections are kept longer than users take to think: a new one costs a handshake, which an answer waits for."""


class GuardedRequest(HTTPXRequest):
    """The library's requests, on a transport that sends nothing unless `guard` lets it."""

    def __init__(self, guard: Guard, connections: int, read_timeout: float, tls: bool) -> None:
        super().__init__(
            connection_pool_size=connections,
            connect_timeout=3.0,
            read_timeout=read_timeout,
            write_timeout=5.0,
            pool_timeout=5.0,
            httpx_kwargs={"transport": GuardedTransport(guard, connections, KEEP_S, tls), "trust_env": False},
        )


class PollRequest(GuardedRequest):
    """Keeps the answer as Telegram sent it: that is what is stored, whatever the library makes of it."""

    def __init__(self, guard: Guard, tls: bool) -> None:
        super().__init__(guard, connections=1, read_timeout=LATE_S, tls=tls)
        self.payload = b""

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        write_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        connect_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        pool_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        self.payload = b""
        code, self.payload = await super().do_request(
            url, method, request_data, read_timeout, write_timeout, connect_timeout, pool_timeout
        )
        return code, self.payload


class TelegramApi:
    """What the bot asks of Telegram."""

    def __init__(self, token: str, base_url: str, guard: Guard) -> None:
        tls = base_url.startswith("https:")
        self._polls = PollRequest(guard, tls)
        self.bot = Bot(
            token,
            base_url=base_url,
            get_updates_request=self._polls,
            request=GuardedRequest(guard, connections=SEND_AT_ONCE + 2, read_timeout=15.0, tls=tls),
        )

    async def poll(self, offset: int | None, timeout: int, limit: int = BATCH) -> list[dict[str, Any]]:
        """One getUpdates; the updates as Telegram sent them. `timeout` in seconds, 0 answers at once.

        Raises TelegramError.
        """
        try:
            await self.bot.get_updates(
                offset=offset, limit=limit, timeout=timeout, allowed_updates=ALLOWED_UPDATES, read_timeout=LATE_S
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            # The library could not make its objects of one of them. The batch is stored all the same, and the one is
            # judged when its turn comes: otherwise it would be handed out, and refused, for ever.
            if not self._polls.payload:
                raise
        updates: list[dict[str, Any]] = json.loads(self._polls.payload)["result"]
        return updates

    async def send(self, chat: int, reply: Reply, document: bytes | None = None) -> None:
        """Send one reply; `document` is what a sendDocument sends. Raises TelegramError."""
        if reply.method == "sendMessage":
            await self.bot.send_message(chat, reply.text, reply_markup=_markup(reply))
        elif reply.method == "editMessageText":
            inline = InlineKeyboardMarkup(_inline(reply)) if reply.buttons else None
            await self.bot.edit_message_text(reply.text, chat, reply.message_id, reply_markup=inline)
        elif reply.method == "sendDocument":
            assert document is not None and reply.map is not None
            language = reply.map.language
            await self.bot.send_document(chat, document, reply.text, filename=say(language, "map_file"))
        elif reply.method == "answerCallbackQuery":
            assert reply.query_id is not None
            await self.bot.answer_callback_query(reply.query_id, reply.text or None)
        else:
            raise ValueError(f"no such reply: {reply.method}")

    async def set_webhook(self, url: str, secret: str, connections: int, certificate: bytes | None) -> None:
        """Have updates brought to `url`; those that wait are kept. Raises TelegramError."""
        await self.bot.set_webhook(
            url,
            certificate=certificate,
            max_connections=connections,
            allowed_updates=ALLOWED_UPDATES,
            drop_pending_updates=False,
            secret_token=secret,
        )

    async def webhook(self) -> WebhookInfo:
        """Where updates are brought to, and how that goes. Raises TelegramError."""
        return await self.bot.get_webhook_info()

    async def close(self) -> None:
        await self._polls.shutdown()
        await self.bot.request.shutdown()


def _inline(reply: Reply) -> list[list[InlineKeyboardButton]]:
    return [[InlineKeyboardButton(label, callback_data=data) for label, data in row] for row in reply.buttons]


def _markup(reply: Reply) -> InlineKeyboardMarkup | ReplyKeyboardMarkup | ReplyKeyboardRemove | None:
    if reply.buttons:
        return InlineKeyboardMarkup(_inline(reply))
    if reply.keyboard == "hide":
        return ReplyKeyboardRemove()
    if reply.keyboard is not None:
        share = KeyboardButton(reply.keyboard, request_location=True)
        return ReplyKeyboardMarkup([[share]], resize_keyboard=True, one_time_keyboard=True)
    return None
