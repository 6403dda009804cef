"""Receiving: an update is acknowledged to Telegram only after it is durable.

Two ways, of which the configuration names one: polling.py asks for updates, webhook.py has them brought. Both store
them alike, with majority write concern, and acknowledge them after that; python-telegram-bot's own Updater does it the
other way round. Storing the same update again changes nothing.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import UpdateOne
from telegram.error import InvalidToken, RetryAfter, TelegramError

from kappa_bot.clock import boottime
from kappa_bot.counts import counts
from kappa_bot.database import UPDATES, one_line
from kappa_bot.exits import Exit, FatalError
from kappa_bot.health import Way
from kappa_bot.lease import Lease
from kappa_bot.telegram_api import TelegramApi
from kappa_bot.writer import Work, Writer

TOKEN_REFUSALS = 3
"""So many refusals before anything was received: the token is wrong. Later on it is Telegram's bad day."""


class Receiver:
    """What both ways have in common. One runs while the lease is held."""

    by_webhook = False
    serves_once = ""
    """What shows for the first time in a tenure that Telegram serves this bot, in words."""

    def __init__(self, way: str, api: TelegramApi, lease: Lease, writer: Writer, token_file: str) -> None:
        self.telegram = Way(way)
        self.conflicts = 0
        """In a row: signs that another program uses this bot's token."""
        self.last_receive: float | None = None
        """By CLOCK_BOOTTIME: when Telegram last showed that this bot is the one it serves."""
        self.received = 0
        """Updates stored in this tenure, those included that had been stored before."""
        self.on_received: Callable[[int], None] = lambda count: None
        """Told of every success, once the updates it brought (so many) are stored."""
        self._api = api
        self._lease = lease
        self._writer = writer
        self._token_file = token_file
        self._failures = 0
        self._refusals = 0

    async def run(self) -> None:
        """Receive until cancelled. FatalError if Telegram does not know the token."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Take no more, and end in good order what is half-way in. For the end of a tenure, `run` still running."""

    async def confirm(self) -> None:
        """Acknowledge what has been stored, without waiting for more. For the end of a tenure, after `run`."""

    async def ask_now(self) -> str | None:
        """Ask Telegram at this moment; one line on what is not as it should be. Raises TelegramError."""
        raise NotImplementedError

    @property
    def stranger(self) -> str:
        """One line on who else seems to use this bot's token; "" where nobody does."""
        raise NotImplementedError

    async def _store(self, updates: Sequence[dict[str, Any]]) -> None:
        """Return once all are durable."""
        now, epoch = datetime.now(UTC), self._lease.epoch
        # Whether one came by webhook counts when the bot begins to poll: see polling.py.
        how = {"webhook": True} if self.by_webhook else {}
        ops = [
            (
                UPDATES,
                UpdateOne(
                    {"_id": update["update_id"]},
                    {
                        "$setOnInsert": {
                            "update": _text(update),
                            "pending": True,
                            "receivedAt": now,
                            "epoch": epoch,
                            **how,
                        }
                    },
                    upsert=True,
                ),
            )
            for update in updates
        ]
        began = boottime()
        await self._writer.commit(Work(ops))
        self.received += len(updates)
        counts.received += len(updates)
        counts.store_s.add(boottime() - began)

    def _served(self) -> None:
        """Telegram has shown that it serves this bot."""
        self.telegram.works()
        self.conflicts = self._failures = 0
        self.last_receive = boottime()

    def _conflicted(self) -> None:
        self.conflicts += 1
        counts.conflicts += 1

    def _failed(self, error: TelegramError) -> float:
        """Note a request that failed; returns the seconds to wait before the next."""
        self._failures += 1
        seen = one_line(error)
        pause = min(0.1 * float(1 << min(self._failures, 10)), 3.0)
        if isinstance(error, RetryAfter):
            pause = retry_after(error)
            seen = f"429 Too Many Requests: asked to wait {pause:g} s"
        elif isinstance(error, InvalidToken):
            seen = "401 Unauthorized: Telegram does not know the token"
            self._refusals += 1
            if self.last_receive is None and self._refusals >= TOKEN_REFUSALS:
                raise FatalError(
                    Exit.TOKEN_REFUSED,
                    f"Telegram does not know the bot token in {self._token_file}: ask BotFather for the right one",
                )
        self.telegram.fails(seen)
        return pause


def _text(update: dict[str, Any]) -> str:
    """Half of a surrogate pair is no text: MongoDB would never take it, nor Telegram hand out the next before it."""
    return json.dumps(update, ensure_ascii=False).encode("utf-8", "replace").decode()


def retry_after(error: RetryAfter) -> float:
    """Telegram's `retry_after` in seconds, in whichever form the library gives it."""
    value = error.retry_after
    return value.total_seconds() if isinstance(value, timedelta) else float(value)
