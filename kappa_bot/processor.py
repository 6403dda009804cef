"""Processing: the inbox turned into effects and replies, each update once, each chat in order.

The inbox in MongoDB is the only queue. A round reads the oldest pending updates and their users' dialogues, computes
every turn (chats side by side, within a chat one after the other), and commits, chat by chat, all that comes of it: the
update done, the dialogue, the place, the replies to send. Nothing of a dialogue stays in memory from round to round.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pymongo
from pymongo.errors import PyMongoError
from telegram import Update
from telegram.constants import ChatType
from telegram.error import TelegramError

from kappa_bot.catalogue import Catalogue
from kappa_bot.clock import boottime
from kappa_bot.counts import counts
from kappa_bot.database import (
    CATEGORIES,
    DIALOGUES,
    OPERATION_LIMIT_S,
    SUBCATEGORIES,
    UPDATES,
    Database,
    one_line,
    passing,
)
from kappa_bot.dialogue import resolve
from kappa_bot.effects import effects, kept_dialogue, outbox
from kappa_bot.handlers import App, take_turn
from kappa_bot.health import Way
from kappa_bot.ids import user_key
from kappa_bot.logs import log, whereabouts
from kappa_bot.places import find, read_catalogue
from kappa_bot.queries import Query
from kappa_bot.turn import Dialogue, Document, Turn
from kappa_bot.wordlist import WordList
from kappa_bot.writer import Op, RefusedError, Work, Writer

ROUND = 200
"""Updates read at a time."""

CHATS_AT_ONCE = 16
"""Chats whose turns are computed at a time."""

CATALOGUE_S = 30.0
"""For how long the categories are remembered."""


@dataclass(frozen=True)
class Pending:
    """One update of the inbox. `update` is None when it is none of a private chat, or cannot be read."""

    id: int
    update: Update | None
    chat: int
    user: str
    """Keyed hash."""
    unreadable: str | None = None


class Processor:
    """Empties the inbox. One runs while the lease is held."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        application: App,
        id_key: bytes,
        router: Way,
        words: WordList | None = None,
    ) -> None:
        self.backlog = 0
        """Updates stored but not processed, as far as is known."""
        self.on_replies: Callable[[], None] = lambda: None
        """Told when there are new replies to send."""
        self._database = database
        self._writer = writer
        self._application = application
        self._id_key = id_key
        self._router = router
        self._words = words or WordList()
        self._wake = asyncio.Event()
        self._wake.set()
        self._idle = asyncio.Event()
        self._catalogue = Catalogue()
        self._catalogue_read: float | None = None

    def wake(self, received: int) -> None:
        """There are new updates in the inbox."""
        if received:
            self.backlog += received
            self._idle.clear()
            self._wake.set()

    async def drained(self) -> None:
        """Wait until nothing is pending."""
        await self._idle.wait()

    async def run(self) -> None:
        await self._introduce()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while await self._round():
                pass
            if not self._wake.is_set():
                self._idle.set()

    async def _introduce(self) -> None:
        """Let the library learn the bot's name, which it needs to read `/start@name`; the receiver polls meanwhile."""
        pause = 0.1
        while True:
            try:
                await self._application.initialize()
                return
            except TelegramError:
                # Whatever it is, the receiver meets it too, and says so.
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)

    async def _round(self) -> bool:
        """Process the oldest pending updates; False when there are none."""
        try:
            with pymongo.timeout(OPERATION_LIMIT_S):
                pending = await self._read_inbox()
                if not pending:
                    return False
                dialogues = await self._read_dialogues({each.user for each in pending})
                await self._read_catalogue()
        except PyMongoError as error:
            self._router.fails(one_line(error))
            await asyncio.sleep(0.2)
            return True
        self._words.refresh()
        chats: dict[str, list[Pending]] = {}
        for each in pending:
            chats.setdefault(each.user or f"update {each.id}", []).append(each)
        room = asyncio.Semaphore(CHATS_AT_ONCE)

        async def chat(user: str, updates: Sequence[Pending]) -> None:
            async with room:
                work = await self._take_turns(user, updates, dialogues.get(user, Dialogue()))
            await self._commit(user, updates, work, dialogues.get(user, Dialogue()))

        async with asyncio.TaskGroup() as group:
            for user, updates in chats.items():
                group.create_task(chat(user, updates))
        self.on_replies()
        return True

    async def _read_inbox(self) -> list[Pending]:
        inbox = self._database[UPDATES]
        found = await inbox.find({"pending": True}, projection=["update"]).sort("_id").limit(ROUND).to_list()
        self.backlog = len(found) if len(found) < ROUND else await inbox.count_documents({"pending": True})
        return [self._open(document) for document in found]

    def _open(self, document: Document) -> Pending:
        id_ = int(document["_id"])
        try:
            update = Update.de_json(json.loads(document["update"]), self._application.bot)
            chat, user = update.effective_chat, update.effective_user
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return Pending(id_, None, 0, "", f"cannot be read: {whereabouts(error)}")
        if chat is None or user is None or chat.type != ChatType.PRIVATE:
            return Pending(id_, None, 0, "")
        return Pending(id_, update, chat.id, user_key(self._id_key, user.id))

    async def _read_dialogues(self, users: set[str]) -> dict[str, Dialogue]:
        found = await self._database[DIALOGUES].find({"_id": {"$in": list(users)}}).to_list()
        return {str(document["_id"]): Dialogue.from_document(document) for document in found}

    async def _read_catalogue(self) -> None:
        if self._catalogue_read is not None and boottime() - self._catalogue_read < CATALOGUE_S:
            return
        self._catalogue = await read_catalogue(self._database)
        self._catalogue_read = boottime()

    async def _take_turns(self, user: str, updates: Sequence[Pending], dialogue: Dialogue) -> Work:
        """The turns of one chat, one after the other, as one piece of work."""
        ops: list[tuple[str, Op]] = []
        before = dialogue
        for n, each in enumerate(updates):
            if each.update is None:
                continue
            turn = await take_turn(
                self._application, each.update, dialogue, self._catalogue, improper=self._words.improper
            )
            if n > 0 and (turn.error is not None or turn.query is not None):
                # It waits for the next round: its turn comes after those before it, and it has to read what they wrote.
                updates = updates[:n]
                break
            if turn.query is not None:
                await self._resolve(turn, turn.query, user)
            if turn.error is not None:
                reason = _reason(turn.error)
                log.error("update %d cannot be answered: %s", each.id, reason)
                return _apology(each, turn, reason)
            ops += effects(turn, each.chat, user)
            dialogue = turn.dialogue
            if turn.new is not None:
                # What was chosen from is out of date.
                updates = updates[: n + 1]
                break
        if dialogue != before:
            ops.append(kept_dialogue(user, dialogue))
        unreadable = next((each.unreadable for each in updates if each.unreadable), None)
        return Work(ops, [each.id for each in updates], unreadable)

    async def _resolve(self, turn: Turn, query: Query, user: str) -> None:
        """Finish a turn with the places that it asks for; its error is in `turn.error`."""
        while True:
            try:
                with pymongo.timeout(OPERATION_LIMIT_S):
                    places, more = await find(self._database, query, user, turn.language)
                resolve(turn, places, more)
                return
            except PyMongoError as error:
                if not passing(error):
                    turn.error = error
                    return
                self._router.fails(one_line(error))
                await asyncio.sleep(0.2)
            except Exception as error:
                turn.error = error
                return

    async def _commit(
        self, user: str, updates: Sequence[Pending], work: Work, before: Dialogue, again: bool = False
    ) -> None:
        adds = any(collection in (CATEGORIES, SUBCATEGORIES) for collection, _ in work.ops)
        try:
            await self._writer.commit(work)
            counts.processed += len(work.once)
            counts.failed += work.failed is not None
            self.backlog = max(0, self.backlog - len(work.once))
            if adds:
                self._catalogue_read = None
        except RefusedError as error:
            if len(work.once) > 1 or (adds and not again):
                # Which of them it is shows when the first goes alone; the others have their round again. And where
                # another user has just added the same category, it is there to be chosen.
                first = updates[:1]
                await self._reread_catalogue()
                work = await self._take_turns(user, first, before)
                await self._commit(user, first, work, before, again=True)
                return
            reason = f"refused by the database: {error}"
            log.error("update %d cannot be answered: %s", work.once[0], reason)
            turn = Turn(work.once[0], before, self._catalogue, greeting=before.language or "es")
            await self._writer.commit(_apology(updates[0], turn, reason))
            counts.processed += 1
            counts.failed += 1

    async def _reread_catalogue(self) -> None:
        while True:
            try:
                with pymongo.timeout(OPERATION_LIMIT_S):
                    self._catalogue_read = None
                    await self._read_catalogue()
                return
            except PyMongoError as error:
                self._router.fails(one_line(error))
                await asyncio.sleep(0.2)


def _reason(error: BaseException) -> str:
    return one_line(error) if isinstance(error, PyMongoError) else whereabouts(error)


def _apology(each: Pending, turn: Turn, reason: str) -> Work:
    """The update is done with, its effects are not; the user is told."""
    turn.replies.clear()
    if each.update is not None:
        turn.send(turn.text("failed"))
    return Work(outbox(turn, each.chat, datetime.now(UTC)), [each.id], failed=reason)
