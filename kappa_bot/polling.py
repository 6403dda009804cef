"""Receiving by long polls.

getUpdates with a higher offset is what acknowledges. So the batch of one poll is committed before the next poll is sent
with the offset after it.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
from pymongo.errors import PyMongoError
from telegram.error import Conflict, TelegramError

from kappa_bot.clock import boottime
from kappa_bot.database import OPERATION_LIMIT_S, UPDATES, Database, one_line
from kappa_bot.health import Way
from kappa_bot.lease import LapsedError, Lease
from kappa_bot.logs import log
from kappa_bot.receiving import Receiver
from kappa_bot.telegram_api import TelegramApi
from kappa_bot.writer import Writer

FORGET_OFFSET_S = 24 * 3600.0
"""After a week without updates Telegram goes on with a random, perhaps lower, update_id: an offset this old is dropped.
Everything that was to be confirmed has long been."""

PROBE_BACK = 1000
"""Telegram makes a getUpdates with the offset of the one before it wait three seconds, even with timeout 0, and that
one may have been the predecessor's. So a poll that is to be answered at once names an offset further back, by this much
to twice this much, another one each time. All updates there have been stored for long: it acknowledges nothing that it
should not, and what it brings once more changes nothing."""

TAKEOVER_S = 5.0
"""For how long a Conflict is put down to the predecessor's last poll, which is dying."""

STRANGER_CONFLICTS = 3
"""After a takeover, more than these are no chance. They need not come in a row: between two of them a poll that does
not wait is served, and so are users."""

STRANGER_QUIET_S = 90.0
"""Without a further conflict for so long, whoever it was is gone. The usual libraries try again after 30 s at most."""


class Polling(Receiver):
    """Polls while the lease is held."""

    serves_once = "first getUpdates answered"

    def __init__(
        self,
        api: TelegramApi,
        database: Database,
        lease: Lease,
        writer: Writer,
        router: Way,
        poll_timeout: int,
        token_file: str,
    ) -> None:
        super().__init__("getUpdates", api, lease, writer, token_file)
        self._database = database
        self._poll_timeout = poll_timeout
        self._router = router
        self._offset: int | None = None
        self._offset_set = 0.0
        self._confirmed = True
        self._probes = 0
        self._began = boottime()
        self._signs = 0
        """Conflicts that no predecessor can have made, none of them STRANGER_QUIET_S after the one before."""
        self._last_sign = 0.0

    async def run(self) -> None:
        await self._lease.held()
        self._began = boottime()
        self._offset = await self._stored_offset()
        self._offset_set = boottime()
        while True:
            try:
                updates = await self._poll()
            except LapsedError:
                await self._lease.held()
                continue
            except TelegramError as error:
                await asyncio.sleep(await self._trouble(error))
                continue
            self._served()
            if updates:
                await self._store_batch(updates)
            self.on_received(len(updates))

    async def _poll(self) -> list[dict[str, Any]]:
        if boottime() - self._offset_set > FORGET_OFFSET_S and self._confirmed:
            self._offset = None
        if self.last_receive is None or self._failures:
            # An answer at once is what shows that this bot is served (again).
            self._probes += 1
            return await self._lease.during(self._api.poll(self._probe_offset(), 0))
        updates = await self._lease.during(self._api.poll(self._offset, self._poll_timeout))
        self._confirmed = True
        return updates

    def _probe_offset(self) -> int:
        if self._offset is None:
            # Below every update_id: acknowledges nothing, and is not what the predecessor's last poll named.
            return 1
        return max(1, self._offset - PROBE_BACK - ((self._lease.epoch or 0) * 7 + self._probes) % PROBE_BACK)

    async def _store_batch(self, updates: list[dict[str, Any]]) -> None:
        await self._store(updates)
        # The last of the batch, not the highest that was ever seen: see FORGET_OFFSET_S.
        self._offset = updates[-1]["update_id"] + 1
        self._offset_set = boottime()
        self._confirmed = False

    async def confirm(self) -> None:
        if self._confirmed or self._offset is None:
            return
        try:
            # What it may hand out is not acknowledged by this, and comes again to the next bot.
            await self._lease.during(self._api.poll(self._offset, 0, limit=1))
            self._confirmed = True
        except (TelegramError, LapsedError):
            pass  # the next bot receives them again, and finds them stored

    async def ask_now(self) -> str | None:
        # Not a poll: it would end the one that waits.
        await self._api.bot.get_me()
        return None

    @property
    def stranger(self) -> str:
        quiet = boottime() - self._last_sign
        if self._signs <= STRANGER_CONFLICTS or quiet > STRANGER_QUIET_S:
            return ""
        return f"another program polls with this bot's token ({self._signs} conflicts, the last {quiet:.0f} s ago)"

    async def _stored_offset(self) -> int | None:
        """The offset after the last update stored. None if that was long ago (see FORGET_OFFSET_S), or if that one came
        by webhook: those are acknowledged one by one, and one with a lower update_id may still wait for its turn. An
        offset above it would acknowledge it unseen; without any, Telegram hands out whatever waits."""
        since = datetime.now(UTC) - timedelta(seconds=FORGET_OFFSET_S)
        while True:
            try:
                with pymongo.timeout(OPERATION_LIMIT_S):
                    last = await self._database[UPDATES].find_one(
                        {"receivedAt": {"$gte": since}}, projection=["webhook"], sort=[("_id", -1)]
                    )
                return None if last is None or "webhook" in last else int(last["_id"]) + 1
            except PyMongoError as error:
                self._router.fails(one_line(error))
                await asyncio.sleep(0.2)

    async def _trouble(self, error: TelegramError) -> float:
        """Note a failed poll; returns the seconds to wait before the next."""
        if not self._lease.valid:
            return 0.0
        pause = self._failed(error)
        if isinstance(error, Conflict):
            self._conflicted()
            pause = await self._conflict(one_line(error))
        return pause

    async def _conflict(self, seen: str) -> float:
        """Who else polls? The predecessor, for a moment; a webhook that was left set; or somebody with our token."""
        if "webhook" in seen and self.conflicts == 1:
            # Updates that wait for the webhook are kept.
            try:
                await self._lease.during(self._api.bot.delete_webhook(drop_pending_updates=False))
                log.warning("a webhook was set for this bot: deleted, this bot polls")
            except (TelegramError, LapsedError) as error:
                log.warning("a webhook is set for this bot and cannot be deleted: %s", one_line(error))
            return 0.0
        if boottime() - self._began < TAKEOVER_S:
            return 0.1
        self._signs = 1 if boottime() - self._last_sign > STRANGER_QUIET_S else self._signs + 1
        self._last_sign = boottime()
        if self._signs == STRANGER_CONFLICTS + 1:
            log.warning("%s: find and end it, or revoke the token", self.stranger)
        # Each poll of ours would end the other's, and the other's ours: leave it room, and report it.
        return min(0.5 * float(1 << min(self.conflicts, 6)), 15.0)
