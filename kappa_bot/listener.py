"""The HTTP side of the webhook: who may deliver, what a delivery must look like, and what it is answered with.

Nginx ends TLS and stands before it (crm_configs/nginx/kappa-webhook.conf); this listens on loopback. 200 is said once
the update is durable, and at no other time. 503 says "not now": Telegram keeps the update and brings it again after the
second that Retry-After names, instead of after a pause that doubles up to a minute.
"""

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from kappa_bot.clock import boottime
from kappa_bot.config import Named
from kappa_bot.counts import counts
from kappa_bot.exits import Exit, FatalError
from kappa_bot.logs import log, whereabouts
from kappa_bot.settings import Webhook

Take = Callable[[dict[str, Any]], Awaitable[bool]]
"""Makes an update durable. False where it cannot be taken now."""

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 (its name, not its value)
SOURCE_HEADER = "X-Real-IP"
BODY_BYTES = 1 << 20
"""The longest body; Telegram's updates are a fraction of it."""
BODY_S = 10.0
"""How long a body may take to arrive."""
REPORT_EVERY_S = 60.0
HIGHEST_ID = (1 << 63) - 1


class _RefusedError(Exception):
    """The answer to a request that brings nothing."""

    def __init__(self, status: int, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Listener:
    """Takes deliveries from `open` until `finish` or `close`."""

    def __init__(self, settings: Webhook, secret: str, take: Take, named_by: Named) -> None:
        self._settings = settings
        self._path = urlsplit(settings.url).path
        self._secret = secret.encode()
        self._networks = [ipaddress.ip_network(each) for each in settings.networks]
        self._take = take
        self._named_by = named_by
        self._http = web.Server(self._handle, access_log=None)
        self._server: asyncio.Server | None = None
        self._closing = False
        self._taking = 0
        self._none_taken = asyncio.Event()
        self._none_taken.set()
        self._reported: dict[str, float] = {}

    async def open(self) -> None:
        """Raises FatalError where the address cannot be had."""
        host, port = self._settings.address
        try:
            self._server = await asyncio.get_running_loop().create_server(self._http, host, port, backlog=256)
        except OSError as error:
            raise FatalError(
                Exit.CONFIG,
                f"{self._named_by}: cannot listen on {self._settings.listen}: "
                f"{error.strerror or error}; free it, or name another here and in Nginx",
            ) from None

    async def finish(self) -> None:
        """Take no more; return once what is half-way in is stored and answered."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        await self._none_taken.wait()

    def close(self) -> None:
        """At once, with whatever connections there are."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._http.connections):
            connection.force_close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            self._admit(request)
            update = await self._read(request)
            if self._closing:
                raise _not_now()
            await self._keep(update)
        except _RefusedError as refusal:
            self._note(refusal)
            response = web.Response(status=refusal.status, text=f"{refusal}\n", headers=refusal.headers)
        except Exception as error:
            log.error("unforeseen in a delivery: %s", whereabouts(error))
            response = web.Response(status=500)
        else:
            response = web.Response()
        if self._closing:
            response.force_close()
        return response

    def _admit(self, request: web.BaseRequest) -> None:
        """Whether this may be Telegram, by what is known before the body is read."""
        if request.path != self._path:
            raise _RefusedError(404, "there is nothing here")
        if request.method != "POST":
            raise _RefusedError(405, "deliveries are POSTs", Allow="POST")
        if self._networks and not self._from_telegram(request.headers.get(SOURCE_HEADER, "")):
            raise _RefusedError(403, "not from a network of webhook.networks")
        if not hmac.compare_digest(_bytes(request, SECRET_HEADER), self._secret):
            raise _RefusedError(403, "no secret token, or a wrong one")
        if request.content_type != "application/json":
            raise _RefusedError(400, "not application/json")
        if (request.content_length or 0) > BODY_BYTES:
            raise _RefusedError(413, "too long for an update", Connection="close")

    def _from_telegram(self, source: str) -> bool:
        # Nginx names its peer in this header; only it, on loopback, can speak to this port at all.
        try:
            address = ipaddress.ip_address(source)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    @staticmethod
    async def _read(request: web.BaseRequest) -> dict[str, Any]:
        body = b""
        try:
            async with asyncio.timeout(BODY_S):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > BODY_BYTES:
                        raise _RefusedError(413, "too long for an update", Connection="close")
            update = json.loads(body.decode())
        except TimeoutError:
            raise _RefusedError(408, "the body did not come in time", Connection="close") from None
        except (ValueError, RecursionError, web.HTTPException, web.PayloadAccessError):
            raise _RefusedError(400, "the body is not JSON") from None
        id_ = update.get("update_id") if isinstance(update, dict) else None
        if not isinstance(id_, int) or isinstance(id_, bool) or not 0 <= id_ <= HIGHEST_ID:
            raise _RefusedError(400, "the body is not an update")
        return dict(update)

    async def _keep(self, update: dict[str, Any]) -> None:
        self._taking += 1
        self._none_taken.clear()
        try:
            if not await self._take(update):
                raise _not_now()
        finally:
            self._taking -= 1
            if not self._taking:
                self._none_taken.set()

    def _note(self, refusal: _RefusedError) -> None:
        """One line at the first of a kind, and one a minute at the most: whoever scans may not fill the disk."""
        counts.refused[refusal.status] += 1
        why, now = str(refusal), boottime()
        if refusal.status != 503 and now - self._reported.get(why, -REPORT_EVERY_S) >= REPORT_EVERY_S:
            self._reported[why] = now
            log.warning(
                "a delivery was refused: %d, %s (%d of them so far)", refusal.status, why, counts.refused.total()
            )


def _bytes(request: web.BaseRequest, header: str) -> bytes:
    """As it came: what is not UTF-8 in it is carried as half of a surrogate pair."""
    return request.headers.get(header, "").encode("utf-8", "surrogateescape")


def _not_now() -> _RefusedError:
    return _RefusedError(503, "not now: bring it again", Retry_After="1")
