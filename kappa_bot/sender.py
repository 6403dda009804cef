"""Sending: every reply goes out from the outbox, and leaves it only once Telegram has accepted it.

Within a chat replies go one after the other, and the next waits until the removal of the one before is durable: so a
crash repeats at most one of a chat, and loses none. Chats go side by side.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pymongo
from pymongo import DeleteOne
from pymongo.errors import PyMongoError
from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter, TelegramError

from kappa_bot import map_page
from kappa_bot.clock import boottime
from kappa_bot.config import Map
from kappa_bot.counts import counts
from kappa_bot.database import OPERATION_LIMIT_S, REPLIES, Database, one_line, passing
from kappa_bot.health import Way
from kappa_bot.lease import LapsedError, Lease
from kappa_bot.logs import log, whereabouts
from kappa_bot.places import marks
from kappa_bot.queries import MapOrder
from kappa_bot.receiving import retry_after
from kappa_bot.telegram_api import SEND_AT_ONCE, TelegramApi
from kappa_bot.turn import Document, Reply
from kappa_bot.writer import Work, Writer

READ_AT_ONCE = 500
"""Replies read at a time, and the most chats that are served at a time."""

STALE = timedelta(hours=24)
"""A reply that could not be sent for so long is dropped: its user has long gone on."""


class Sender:
    """Empties the outbox. One runs while the lease is held."""

    def __init__(
        self, api: TelegramApi, database: Database, lease: Lease, writer: Writer, router: Way, tiles: Map | None = None
    ) -> None:
        self.telegram = Way("sending replies")
        self._router = router
        self._tiles = tiles or Map()
        self._api = api
        self._database = database
        self._lease = lease
        self._writer = writer
        self._busy: set[int] = set()
        self._room = asyncio.Semaphore(SEND_AT_ONCE)
        self._wake = asyncio.Event()
        self._wake.set()
        self._idle = asyncio.Event()
        self._not_before: dict[int, float] = {}
        """By chat, CLOCK_BOOTTIME: what Telegram's 429 asked for."""
        self._all_not_before = 0.0
        self._landing = False
        self._in_the_air: set[int] = set()
        """Chats with a reply on its way, or arrived and not yet noted."""

    def wake(self) -> None:
        """There are new replies in the outbox."""
        self._idle.clear()
        self._wake.set()

    async def drained(self) -> None:
        """Wait until nothing is left to send."""
        await self._idle.wait()

    async def landed(self) -> None:
        """Begin to send nothing more, and wait until what is on its way has arrived and is noted.

        To cancel it there would have it sent again by the next tenure, though nobody crashed.
        """
        self._landing = True
        while self._in_the_air:
            await asyncio.sleep(0.005)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as chats:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for chat, replies in (await self._read()).items():
                    self._busy.add(chat)
                    chats.create_task(self._serve(chat, replies))
                if not self._busy and not self._wake.is_set():
                    self._idle.set()

    async def _read(self) -> dict[int, list[Document]]:
        """The replies waiting, by chat, of the chats that are not being served already."""
        by_chat: dict[int, list[Document]] = {}
        if len(self._busy) >= READ_AT_ONCE:
            return by_chat
        while True:
            try:
                with pymongo.timeout(OPERATION_LIMIT_S):
                    waiting = self._database[REPLIES].find({"chat": {"$nin": list(self._busy)}})
                    found = await waiting.sort([("updateId", 1), ("n", 1)]).limit(READ_AT_ONCE).to_list()
                break
            except PyMongoError as error:
                self._router.fails(one_line(error))
                await asyncio.sleep(0.2)
        for document in found:
            by_chat.setdefault(int(document["chat"]), []).append(document)
        return by_chat

    async def _serve(self, chat: int, replies: Sequence[Document]) -> None:
        try:
            for document in replies:
                if datetime.now(UTC) - document["creationDate"] < STALE:
                    await self._deliver(chat, document["_id"], Reply.from_document(document))
                    counts.reply_s.add((datetime.now(UTC) - document["creationDate"]).total_seconds())
                else:
                    counts.dropped += 1
                    log.warning("reply %s could not be sent for a day: dropped", document["_id"])
                await self._writer.commit(Work([(REPLIES, DeleteOne({"_id": document["_id"]}))]))
                self._in_the_air.discard(chat)
        finally:
            self._in_the_air.discard(chat)
            self._busy.discard(chat)
            self._not_before.pop(chat, None)
            self._wake.set()

    async def _deliver(self, chat: int, name: str, reply: Reply) -> None:
        """Return once Telegram has accepted the reply, or refused it for good."""
        pause, attempts = 0.2, 0
        while True:
            await self._lease.held()
            await self._obey(chat)
            attempts += 1
            counts.repeated += attempts > 1
            try:
                document = await self._draw(reply.map) if reply.map is not None else None
                async with self._room:
                    await self._take_off(chat)
                    await self._lease.during(self._api.send(chat, reply, document))
                self.telegram.works()
                counts.sent += 1
                return
            except LapsedError:
                self._in_the_air.discard(chat)
                continue
            except RetryAfter as error:
                self._in_the_air.discard(chat)
                self._flood(chat, retry_after(error))
                continue
            except (BadRequest, Forbidden, ChatMigrated) as error:
                self.telegram.works()
                instead = _after_refusal(name, reply, error)
                if instead is None:
                    counts.dropped += 1
                    return
                reply = instead
                continue
            except TelegramError as error:
                self._in_the_air.discard(chat)
                if not self._lease.valid:
                    continue
                self.telegram.fails(one_line(error))
            except PyMongoError as error:
                if not passing(error):
                    log.error("reply %s cannot be drawn: %s", name, one_line(error))
                    return
                self._router.fails(one_line(error))
            except map_page.MissingError as error:
                # The list in the chat has been sent; the map is lost, not the user's dialogue.
                log.error("reply %s cannot be drawn: %s", name, error)
                return
            except ValueError as error:
                log.error("reply %s cannot be sent: %s", name, whereabouts(error))
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 10.0)

    async def _take_off(self, chat: int) -> None:
        if self._landing:
            await asyncio.Event().wait()  # until the tenure's end cancels it
        self._in_the_air.add(chat)

    async def _draw(self, order: MapOrder) -> bytes:
        """The map as it is now: the outbox holds what it shows, not the file."""
        with pymongo.timeout(OPERATION_LIMIT_S):
            shown = await marks(self._database, order)
        return map_page.draw(order, shown, self._tiles)

    def _flood(self, chat: int, seconds: float) -> None:
        """Obey a 429. Two chats of which it is said at once mean that it is said of the bot: all wait."""
        now = boottime()
        others = any(until > now for other, until in self._not_before.items() if other != chat)
        self._not_before[chat] = now + seconds
        if others:
            self._all_not_before = max(self._all_not_before, now + seconds)
        self.telegram.fails(f"429 Too Many Requests: asked to wait {seconds:g} s")

    async def _obey(self, chat: int) -> None:
        while True:
            wait = max(self._not_before.get(chat, 0.0), self._all_not_before) - boottime()
            if wait <= 0:
                return
            await asyncio.sleep(wait)


def _after_refusal(name: str, reply: Reply, error: TelegramError) -> Reply | None:
    """What to send instead of a reply that Telegram will never take; None when there is nothing."""
    seen = str(error).lower()
    if "not modified" in seen or "query is too old" in seen or "query id is invalid" in seen:
        return None  # it was delivered before, or nobody waits for it any more
    if reply.method == "editMessageText" and isinstance(error, BadRequest):
        # The message is gone, or too old to be edited: what it says matters all the same.
        return replace(reply, method="sendMessage", message_id=None)
    log.warning("reply %s dropped, Telegram refuses it: %s", name, type(error).__name__)
    return None
