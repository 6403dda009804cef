"""Receiving by webhook: Telegram brings every update, and holds it until 200 says that it is durable.

The webhook is set by whoever takes the lease, and left set at its end: the next one sets the same, and meanwhile
Telegram holds what it cannot bring, and tries again. That deliveries would arrive can be seen while there are none:
Telegram is asked every `poll_timeout_s` where it brings updates to, and how that goes (getWebhookInfo).
"""

import asyncio
from typing import Any
from urllib.parse import urlsplit

from telegram import WebhookInfo
from telegram.error import TelegramError

from kappa_bot.clock import boottime
from kappa_bot.config import Config
from kappa_bot.lease import LapsedError, Lease, LeaseLostError
from kappa_bot.listener import Listener
from kappa_bot.logs import log
from kappa_bot.receiving import Receiver
from kappa_bot.telegram_api import TelegramApi
from kappa_bot.writer import RefusedError, Writer

STORE_S = 20.0
"""How long a delivery waits to become durable. Well below what Nginx and Telegram wait for an answer."""

SET_AGAIN_S = 30.0
SET_AGAIN_MOST_S = 900.0
"""A webhook that somebody else has changed is set back once. Whoever changes it again is given so much time, twice as
much each time, up to the most: two that set it back at once would keep it from each other for ever."""


class WebhookReceiver(Receiver):
    """Listens while it runs."""

    by_webhook = True
    serves_once = "webhook set"

    def __init__(self, api: TelegramApi, lease: Lease, writer: Writer, config: Config) -> None:
        super().__init__("the webhook", api, lease, writer, config.telegram.token_file)
        assert config.webhook is not None
        self._settings = config.webhook
        self._look_every_s = config.telegram.poll_timeout_s
        self._secret = config.webhook_secret()
        self._certificate = config.webhook_certificate()
        self.listener = Listener(self._settings, self._secret, self._take, config.names("webhook", "listen"))
        self._is_set = False
        self._brought = 0
        """Updates stored up to the last look."""
        self._waiting: int | None = None
        """Updates that waited at Telegram at the last look; None: it was the first since the webhook was set."""
        self._last_error: Any = None
        self._elsewhere = ""
        self._set_again_at = 0.0
        self._set_again_pause = 0.0

    async def run(self) -> None:
        await self._lease.held()
        await self.listener.open()
        try:
            while True:
                try:
                    await self._lease.held()
                    pause = await self._turn()
                except LapsedError:
                    continue
                except TelegramError as error:
                    pause = self._failed(error) if self._lease.valid else 0.0
                await asyncio.sleep(pause)
        finally:
            self.listener.close()

    async def finish(self) -> None:
        await self.listener.finish()

    async def ask_now(self) -> str | None:
        found = await self._api.webhook()
        return None if same_place(found.url, self._settings.url) else self._where(found)

    @property
    def stranger(self) -> str:
        return f"{self._elsewhere}: another program uses this bot's token" if self.conflicts else ""

    async def _take(self, update: dict[str, Any]) -> bool:
        """One delivery. False where it may not be durable: Telegram brings it again, and that changes nothing."""
        try:
            async with asyncio.timeout(STORE_S):
                self._lease.check()
                await self._lease.during(self._store([update]))
        except (LapsedError, LeaseLostError, TimeoutError):
            return False
        except RefusedError as error:
            log.error("an update cannot be stored: %s", error)
            return False
        if self.conflicts == 0:
            self._served()
        self.on_received(1)
        return True

    async def _turn(self) -> float:
        """Set the webhook where that is to be done, and look how it stands; returns the seconds to the next look."""
        if not self._is_set:
            settings = self._settings
            await self._lease.during(
                self._api.set_webhook(settings.url, self._secret, settings.max_connections, self._certificate)
            )
            self._is_set, self._waiting = True, None
        found = await self._lease.during(self._api.webhook())
        self._failures = 0
        if not same_place(found.url, self._settings.url):
            return self._changed(found)
        self._look(found)
        return self._look_every_s

    def _look(self, found: WebhookInfo) -> None:
        """It is set to this bot: does it work? Not if it failed since the last look, or if what waited then still does,
        and nothing was brought all the while."""
        now = boottime()
        if self.conflicts:
            log.info("the webhook is this bot's again")
        if now > self._set_again_at + self._set_again_pause:
            self._set_again_pause = 0.0
        self.conflicts = 0
        brought, first = self.received > self._brought, self._waiting is None
        failed = found.last_error_date is not None and found.last_error_date != self._last_error
        waiting = found.pending_update_count
        stuck = bool(self._waiting) and waiting >= (self._waiting or 0)
        self._brought, self._waiting, self._last_error = self.received, waiting, found.last_error_date
        if first or brought or not (failed or stuck):
            self._served()
        elif failed:
            said = " ".join((found.last_error_message or "").split())[:120]
            self.telegram.fails(f"deliveries fail, {waiting} updates wait: {said}")
        else:
            self.telegram.fails(f"deliveries have stopped, {waiting} updates wait")

    def _changed(self, found: WebhookInfo) -> float:
        """It is set to another place, or deleted: somebody else uses the token, or did so once."""
        self._conflicted()
        self._elsewhere = self._where(found)
        self.telegram.fails(f"Conflict: {self._elsewhere}")
        now = boottime()
        if now < self._set_again_at:
            return min(self._look_every_s, self._set_again_at - now)
        self._set_again_pause = min(max(SET_AGAIN_S, self._set_again_pause * 2), SET_AGAIN_MOST_S)
        self._set_again_at = now + self._set_again_pause
        self._is_set = False
        log.warning("%s: set back, and not again within %g s", self._elsewhere, self._set_again_pause)
        return 0.0

    def _where(self, found: WebhookInfo) -> str:
        """Host and port alone: people put secrets in paths."""
        if not found.url:
            return "the webhook was deleted"
        host = urlsplit(found.url).netloc.rpartition("@")[2]
        if host == urlsplit(self._settings.url).netloc:
            return f"the webhook is set to another path at {host}"
        return f"the webhook is set to {host}, not to this bot"


def same_place(one: str, other: str) -> bool:
    """Whether two URLs lead to the same place, however a server may have written one of them down."""

    def parts(url: str) -> tuple[str, str | None, int | None, str]:
        found = urlsplit(url)
        return found.scheme, found.hostname, found.port or (443 if found.scheme == "https" else 80), found.path

    try:
        return parts(one) == parts(other)
    except ValueError:
        return False
