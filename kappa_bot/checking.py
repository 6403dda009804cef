"""A look at Telegram and the router *now*, for whoever does not want to go by what the last use of either met."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pymongo
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from telegram.error import InvalidToken, RetryAfter, TelegramError

from kappa_bot.database import LEASE, POLLER, Database, one_line
from kappa_bot.health import OK
from kappa_bot.lease import LapsedError, Lease

DEFAULT_S = 5.0
"""How long either side may take where the request does not say."""

NOT_ASKED = "not asked"
"""What a side's state begins with where nothing was asked of it."""

Ask = Callable[[], Awaitable[str]]
"""Asks one side once; "ok", or one line on what is wrong."""


async def look(telegram: Ask | str, router: Ask, wait_s: float) -> dict[str, Any]:
    """Ask both side by side, each for `wait_s` at the most; as PROTOCOL.md has it under `checked`. `telegram` is a
    sentence instead where Telegram must not be asked."""

    async def not_asked(why: str) -> tuple[str, float | None]:
        return f"{NOT_ASKED}: {why}", None

    seconds = wait_s or DEFAULT_S
    asked = not_asked(telegram) if isinstance(telegram, str) else _timed(telegram, seconds)
    (by_telegram, telegram_ms), (by_router, router_ms) = await asyncio.gather(asked, _timed(router, seconds))
    return {"telegram": by_telegram, "telegram_ms": telegram_ms, "router": by_router, "router_ms": router_ms}


async def _timed(ask: Ask, seconds: float) -> tuple[str, float | None]:
    began = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            found = await ask()
    except TimeoutError:
        found = f"no answer within {seconds:g} s"
    return found, round((time.monotonic() - began) * 1000, 1)


async def telegram_now(lease: Lease, request: Callable[[], Coroutine[Any, Any, str | None]]) -> str:
    """One request, under the lease like any other; it returns what is not as it should be."""
    try:
        return await lease.during(request()) or OK
    except LapsedError:
        return f"{NOT_ASKED}: the lease is not good at this moment"
    except RetryAfter as error:
        return f"429 Too Many Requests: {one_line(error)}"
    except InvalidToken:
        return "401 Unauthorized: Telegram does not know the token"
    except TelegramError as error:
        return one_line(error)


async def router_now(database: Database, seconds: float) -> str:
    """A read of the lease that is only answered once a majority has confirmed that the primary still is one."""
    lease = database[LEASE].with_options(read_concern=ReadConcern("linearizable"))
    try:
        with pymongo.timeout(seconds or DEFAULT_S):
            found = await lease.find_one({"_id": POLLER})
    except PyMongoError as error:
        return one_line(error)
    return OK if found is not None else "the database has no lease document: run kappa-bot prepare-database"
