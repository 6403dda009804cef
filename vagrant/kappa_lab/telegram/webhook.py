"""Delivery to a webhook, as the published server does it.

Updates of one lane (a chat, or a user who taps) go one after the other, each retried until it is answered 2xx; lanes go
in parallel, over at most `max_connections` connections. A first failure is retried at once, then after 2, 4, 8 … at
most 60 seconds, or after the `Retry-After` of the answer. Where no connection can be made at all it is tried again
every half second, and every two once nothing has worked for ten.

The published server takes `http://` addresses only in its local mode; so does this one, always.
"""

import asyncio
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from kappa_lab.telegram.errors import too_many_requests
from kappa_lab.telegram.journal import Journal
from kappa_lab.telegram.updates import Update, UpdateQueue

Json = dict[str, Any]

ANSWER_TIMEOUT_S = 60.0
MAX_RESEND_S = 60.0
SET_PACE_S = 1.0


@dataclass(frozen=True)
class WebhookSettings:
    """`certificate`: a PEM to trust for this address alone, or empty."""

    url: str
    secret_token: str = ""
    max_connections: int = 40
    ip_address: str = ""
    certificate: bytes = b""

    @property
    def place(self) -> str:
        """Host and port: all that may be journaled, for people put secrets in paths."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


class Webhook:
    """`on_answer` gets the JSON object that a webhook answered with, if it names a method to call."""

    def __init__(self, queue: UpdateQueue, journal: Journal) -> None:
        self._queue = queue
        self._journal = journal
        self._settings: WebhookSettings | None = None
        self._session: aiohttp.ClientSession | None = None
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._connections = asyncio.Semaphore(1)
        self._last_success = time.monotonic()
        self._last_error: tuple[int, str] | None = None
        self._next_set_at = 0.0
        self.on_answer: Callable[[Json], Awaitable[None]] | None = None

    def check_pace(self) -> None:
        """Raises ApiError 429 for a second setWebhook within a second."""
        now = time.monotonic()
        if now < self._next_set_at:
            raise too_many_requests(1)
        self._next_set_at = now + SET_PACE_S

    async def set(self, settings: WebhookSettings) -> None:
        await self._stop()
        trust: ssl.SSLContext | bool = True
        if settings.certificate:
            with tempfile.NamedTemporaryFile(suffix=".pem") as file:
                file.write(settings.certificate)
                file.flush()
                trust = ssl.create_default_context(cafile=file.name)
        self._settings = settings
        self._connections = asyncio.Semaphore(settings.max_connections)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust, limit=settings.max_connections),
            timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S),
        )
        self._last_success, self._last_error = time.monotonic(), None
        self._journal.write("webhook", what="set", to=settings.place, max_connections=settings.max_connections)
        self.wake()

    async def delete(self) -> None:
        if self._settings is not None:
            self._journal.write("webhook", what="deleted", to=self._settings.place)
        await self._stop()

    async def _stop(self) -> None:
        self._settings = None
        lanes, self._lanes = list(self._lanes.values()), {}
        for lane in lanes:
            lane.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    close = _stop

    def info(self, pending: int) -> Json:
        """What getWebhookInfo answers."""
        settings = self._settings
        info: Json = {
            "url": settings.url if settings else "",
            "has_custom_certificate": bool(settings and settings.certificate),
            "pending_update_count": pending,
        }
        if settings:
            info["max_connections"] = settings.max_connections
            if settings.ip_address:
                info["ip_address"] = settings.ip_address
            if self._last_error:
                info["last_error_date"], info["last_error_message"] = self._last_error
        return info

    def wake(self) -> None:
        """An update has come: see that every lane with something to deliver has its deliverer."""
        if self._settings is None:
            return
        for lane in self._queue.lanes():
            if lane not in self._lanes:
                task = asyncio.get_running_loop().create_task(self._drain(lane, self._settings))
                self._lanes[lane] = task
                task.add_done_callback(partial(self._drained, lane))

    def _drained(self, lane: str, task: "asyncio.Task[None]") -> None:
        if self._lanes.get(lane) is task:
            del self._lanes[lane]
            # Something may have come between the deliverer's last look and its end.
            self.wake()

    async def _drain(self, lane: str, settings: WebhookSettings) -> None:
        while update := self._queue.first_of(lane):
            delay, failures, attempt = 1.0, 0, 0
            while self._queue.holds(update.update_id):
                attempt += 1
                async with self._connections:
                    began = time.time()
                    status, error, retry_after, answer = await self._post(update, settings)
                self._journal.write(
                    "webhook",
                    what="delivery",
                    to=settings.place,
                    update_id=update.update_id,
                    attempt=attempt,
                    began=round(began, 6),
                    status=status,
                    error=error,
                )
                if error is None:
                    self._last_success = time.monotonic()
                    self._queue.drop(update.update_id)
                    self._journal.write("confirm", node=settings.place, offset=None, update_ids=[update.update_id])
                    if answer and self.on_answer:
                        await self.on_answer(answer)
                    break
                self._last_error = (int(time.time()), error)
                if status is None and error.startswith("Connection"):
                    await asyncio.sleep(0.5 if time.monotonic() - self._last_success < 10 else 2.0)
                    continue
                wait = min(retry_after, 3600.0)
                if wait == 0 and failures > 0:
                    delay = min(MAX_RESEND_S, delay * 2)
                    wait = delay
                failures += 1
                await asyncio.sleep(wait)

    async def _post(
        self, update: Update, settings: WebhookSettings
    ) -> tuple[int | None, str | None, float, Json | None]:
        """One attempt: the status (None: no answer), what was wrong (None: nothing), Retry-After, and its JSON."""
        assert self._session is not None
        headers = {"X-Telegram-Bot-Api-Secret-Token": settings.secret_token} if settings.secret_token else {}
        try:
            async with self._session.post(
                settings.url, json=update.json(), headers=headers, allow_redirects=False
            ) as answer:
                if 200 <= answer.status <= 299:
                    return answer.status, None, 0.0, await _method_in(answer)
                retry_after = answer.headers.get("Retry-After", "0")
                return (
                    answer.status,
                    f"Wrong response from the webhook: {answer.status} {answer.reason}",
                    float(retry_after) if retry_after.isdigit() else 0.0,
                    None,
                )
        except aiohttp.ClientConnectorCertificateError:
            return None, "Connection: SSL error {certificate verify failed}", 0.0, None
        except aiohttp.ClientConnectorError as error:
            return None, f"Connection {error.os_error.strerror or 'failed'}".rstrip(), 0.0, None
        except TimeoutError:
            return None, "Read timeout expired", 0.0, None
        except (aiohttp.ClientError, OSError):
            return None, "Webhook connection closed", 0.0, None


async def _method_in(answer: aiohttp.ClientResponse) -> Json | None:
    """A webhook may call one method by answering with it (never one about webhooks or one that gets something)."""
    if answer.content_type != "application/json":
        return None
    try:
        body = await answer.json()
    except (ValueError, aiohttp.ClientError):
        return None
    method = str(body.get("method", "")).lower() if isinstance(body, dict) else ""
    if not method or method in ("setwebhook", "deletewebhook", "close", "logout") or method.startswith("get"):
        return None
    return dict(body)
