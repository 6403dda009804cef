"""The Bot API over HTTP: routing, the token, faults, and the journal of every request."""

import asyncio
import hmac
import itertools
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from kappa_lab.telegram import methods
from kappa_lab.telegram.errors import ApiError, too_many_requests
from kappa_lab.telegram.faults import DESCRIPTIONS, Fault, Faults
from kappa_lab.telegram.journal import Journal
from kappa_lab.telegram.methods import Bot, Call
from kappa_lab.telegram.parameters import Parameters, read_parameters
from kappa_lab.telegram.polling import ConflictError

JOURNALED = ("offset", "limit", "timeout", "chat_id")


class _ResetError(Exception):
    """The connection is to be reset instead of answered."""


@dataclass
class BotApi:
    """`names` maps a client's address to the name of its node."""

    bot: Bot
    token: str
    journal: Journal
    faults: Faults
    names: Mapping[str, str] = field(default_factory=dict)
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/bot{token}/{method}", self.handle)
        app.router.add_route("*", "/{rest:.*}", self._not_found)
        return app

    async def _not_found(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(ApiError(404, "Not Found").body(), status=404)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request: journaled when it was read and when it is over, however it ends."""
        found = methods.find(request.match_info["method"])
        address = request.remote or "unknown"
        call = Call(
            request_id=next(self._ids),
            node=self.names.get(address, address),
            method=found[0] if found else "unknown",
            parameters=Parameters(),
            on_confirm=lambda offset, ids: self.journal.write(
                "confirm", node=call.node, id=call.request_id, offset=offset, update_ids=ids
            ),
        )
        refusal: ApiError | None = None
        try:
            call.parameters = await read_parameters(request)
        except ApiError as error:
            refusal = error
        shown = {name: call.parameters.integer(name) for name in JOURNALED if call.parameters.text(name)}
        self.journal.write("begin", id=call.request_id, node=call.node, method=call.method, **shown)
        try:
            status, body, headers = await self._answer(request, call, found, refusal)
            response = web.Response(
                status=status, body=json.dumps(body).encode(), content_type="application/json", headers=headers
            )
            await response.prepare(request)
            await response.write_eof()
        except asyncio.CancelledError:
            self._end(call, None, None, gone=True)
            raise
        except ConnectionError:
            self._end(call, None, None, gone=True)
            return web.Response()
        except _ResetError:
            self._end(call, None, "connection reset on demand")
            _reset(request)
            return web.Response()
        error_text = None if status == 200 else str(body.get("description"))
        self._end(call, status, error_text)
        return response

    def _end(self, call: Call, status: int | None, error: str | None, gone: bool = False) -> None:
        handed = call.handed if status == 200 or gone else []
        self.journal.write(
            "end",
            id=call.request_id,
            node=call.node,
            method=call.method,
            status=status,
            handed=handed,
            error=error,
            gone=gone,
            **({} if call.decided_at is None else {"decided": round(call.decided_at, 6)}),
        )

    async def _answer(
        self,
        request: web.Request,
        call: Call,
        found: "tuple[str, methods.Method] | None",
        refusal: ApiError | None,
    ) -> tuple[int, dict[str, object], dict[str, str]]:
        """Status, body and headers of the answer. Raises _ResetError where there is to be none."""
        try:
            self._authorize(request.match_info["token"])
            if refusal is not None:
                raise refusal
            await self._misbehave(self.faults.meet(call.method, call.node, "before"))
            if found is None:
                raise ApiError(404, "Not Found: method not found")
            result = await found[1](self.bot, call)
            await self._misbehave(self.faults.meet(call.method, call.node, "after"))
        except ApiError as error:
            if isinstance(error, ConflictError):
                call.decided_at = error.decided_at
            headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
            return error.status, error.body(), headers
        return 200, {"ok": True, "result": result}, {}

    def _authorize(self, token: str) -> None:
        if hmac.compare_digest(token.encode(), self.token.encode()):
            return
        # What does not even look like a token never reaches a bot: Telegram's front end knows no such page.
        if ":" not in token:
            raise ApiError(404, "Not Found")
        raise ApiError(401, "Unauthorized")

    @staticmethod
    async def _misbehave(fault: Fault | None) -> None:
        if fault is None:
            return
        if fault.kind == "reset":
            raise _ResetError
        if fault.kind == "flood":
            raise too_many_requests(fault.retry_after or 1)
        if fault.kind == "error":
            if fault.status == 429:
                raise too_many_requests(fault.retry_after or 1)
            raise ApiError(fault.status, DESCRIPTIONS.get(fault.status, "Internal Server Error"), fault.retry_after)
        try:
            await asyncio.wait_for(fault.cleared.wait(), fault.seconds)
        except TimeoutError:
            if fault.kind == "hang":
                raise _ResetError from None

    async def from_webhook(self, body: dict[str, object]) -> None:
        """Carry out the one method that a webhook answered with; its outcome is nobody's."""
        found = methods.find(str(body.get("method", "")))
        if found is None:
            return
        call = Call(next(self._ids), "webhook", found[0], Parameters(dict(body)), lambda offset, ids: None)
        self.journal.write("begin", id=call.request_id, node=call.node, method=call.method)
        try:
            await found[1](self.bot, call)
        except ApiError as error:
            self._end(call, error.status, error.description)
        else:
            self._end(call, 200, None)


def _reset(request: web.Request) -> None:
    """End the connection with a TCP reset, not with the orderly end that closing a socket gives it."""
    if request.transport is None:
        return
    connection = request.transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
