"""The steps of receiving, storing, confirming and replying by name, and how a bot is stopped dead at any one of them.

The bot knows nothing of this. `install` wraps what its steps go through (its own classes, the driver's connection, the
stream to Telegram) in a process that runs it for a test; `Plan` says at which step, and at which passing of it, that
process is to send itself a real SIGKILL or SIGSTOP.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from pymongo import DeleteOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.pool import AsyncConnection

from kappa_bot import guarded_http, processor
from kappa_bot.database import LEASE, UPDATES
from kappa_bot.lease import Lease
from kappa_bot.telegram_api import TelegramApi
from kappa_bot.writer import Work, Writer

STORE, PROCESS, REMOVE = "store", "process", "remove"
"""What a transaction is for: updates received, updates answered, replies sent. One may serve several."""

_OF_A_REQUEST = ("before it is sent", "sent, answer not read", "answered")
_OF_A_COMMIT = (
    "before the transaction",
    "guard written",
    "all written, before the commit",
    "commit sent, answer not read",
    "committed, told to nobody",
    "known to be committed",
)

RECEIVING = tuple(f"{request}: {at}" for request in ("poll", "confirm") for at in _OF_A_REQUEST)
WRITING = tuple(f"{kind}: {at}" for kind in (STORE, PROCESS, REMOVE) for at in _OF_A_COMMIT)
PROCESSING = ("process: inbox read", "process: a turn computed", "process: marked done")
REPLYING = tuple(f"reply: {at}" for at in _OF_A_REQUEST)
LEASE_TAKING = tuple(f"take the lease: {at}" for at in _OF_A_REQUEST)
LEASE_RENEWING = tuple(f"renew the lease: {at}" for at in _OF_A_REQUEST)
STOPPING = (
    "last confirm: before it is sent",
    "last confirm: sent, answer not read",
    *(f"release the lease: {at}" for at in _OF_A_REQUEST),
)

IN_A_TENURE = RECEIVING + WRITING + PROCESSING + REPLYING + LEASE_RENEWING
STEPS = IN_A_TENURE + LEASE_TAKING + STOPPING


@dataclass
class Plan:
    """One life's end: at the `nth` passing of `step` it sends itself `signal`; with an empty step nothing happens.

    `hits` is a file that takes a line "LIFE STEP" just before.
    """

    life: int
    hits: int
    step: str = ""
    nth: int = 1
    signal: int = signal.SIGKILL
    passed: "Counter[str]" = field(default_factory=Counter)

    @property
    def address(self) -> str:
        return address(self.life)

    def at(self, step: str) -> None:
        self.passed[step] += 1
        # An end that begins with the order to stop: given once something has been stored.
        if self.step in STOPPING and step == f"{STORE}: known to be committed" and self.passed[step] == self.nth:
            os.kill(os.getpid(), signal.SIGTERM)
        if step != self.step or (self.passed[step] < self.nth and step not in STOPPING + LEASE_TAKING):
            return
        self.step = ""
        os.write(self.hits, f"{self.life} {step}\n".encode())
        os.kill(os.getpid(), self.signal)


def address(life: int) -> str:
    """Each life comes to Telegram from an address of its own: the journal calls it so, and shows who did what."""
    return f"127.77.{life // 250}.{life % 250 + 1}"


def life_of(node: str) -> int | None:
    """The life whose address that is."""
    if not node.startswith("127.77."):
        return None
    _, _, high, low = node.split(".")
    return int(high) * 250 + int(low) - 1


_request: ContextVar[str] = ContextVar("request", default="")
"""What the request to Telegram under way is for."""
_kinds: ContextVar["tuple[str, ...]"] = ContextVar("kinds", default=())
"""What the transaction under way is for."""
_asking: ContextVar["tuple[str, ...]"] = ContextVar("asking", default=())
"""The steps that MongoDB's next answer belongs to."""

Async = Callable[..., Awaitable[Any]]


def _wrap(owner: Any, name: str, around: Callable[[Async], Async]) -> None:
    setattr(owner, name, around(getattr(owner, name)))


@contextmanager
def _set(variable: "ContextVar[Any]", value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _kind(work: Work) -> str:
    if work.once:
        return PROCESS
    if any(collection == UPDATES for collection, _ in work.ops):
        return STORE
    return REMOVE if all(isinstance(op, DeleteOne) for _, op in work.ops) else PROCESS


def install(plan: Plan) -> None:
    """Let this process pass `plan` by at every step."""
    _telegram(plan)
    _writer(plan)
    _mongodb(plan)
    _lease(plan)
    _processor(plan)


def _telegram(plan: Plan) -> None:
    handed: list[int] = []

    def around_poll(poll: Async) -> Async:
        async def named(self: TelegramApi, offset: int | None, timeout: int, limit: int = 100) -> Any:
            confirms = bool(handed) and offset == handed[-1] + 1
            name = ("last confirm" if limit == 1 else "confirm") if confirms else "poll"
            with _set(_request, name):
                found = await poll(self, offset, timeout, limit)
            handed[:] = [update["update_id"] for update in found] or handed
            plan.at(f"{name}: answered")
            return found

        return named

    def around_send(send: Async) -> Async:
        async def named(*args: Any, **more: Any) -> Any:
            with _set(_request, "reply"):
                found = await send(*args, **more)
            plan.at("reply: answered")
            return found

        return named

    def around_bytes(send: Async) -> Async:
        async def named(self: Any) -> None:
            request = _request.get() if self._held else ""
            if request:
                plan.at(f"{request}: before it is sent")
            await send(self)
            if request:
                plan.at(f"{request}: sent, answer not read")

        return named

    def around_connection(connect: Async) -> Async:
        async def from_own_address(*args: Any, **more: Any) -> Any:
            return await connect(*args, local_addr=(plan.address, 0), **more)

        return from_own_address

    _wrap(TelegramApi, "poll", around_poll)
    _wrap(TelegramApi, "send", around_send)
    _wrap(guarded_http._Stream, "_send", around_bytes)
    _wrap(asyncio, "open_connection", around_connection)


def _writer(plan: Plan) -> None:
    def around_commit(commit: Async) -> Async:
        async def named(self: Writer, work: Work) -> None:
            plan.at(f"{_kind(work)}: before the transaction")
            await commit(self, work)
            plan.at(f"{_kind(work)}: known to be committed")

        return named

    def around_attempt(attempt: Async) -> Async:
        async def named(self: Writer, works: Sequence[Work]) -> None:
            with _set(_kinds, tuple(sorted({_kind(work) for work in works}))):
                await attempt(self, works)

        return named

    _wrap(Writer, "commit", around_commit)
    _wrap(Writer, "_attempt", around_attempt)


def _mongodb(plan: Plan) -> None:
    def at(what: str) -> None:
        for kind in _kinds.get():
            plan.at(f"{kind}: {what}")

    def around_update(update: Async) -> Async:
        async def named(self: Any, *args: Any, **more: Any) -> Any:
            done = await update(self, *args, **more)
            if self.name == LEASE and more.get("session") is not None:
                at("guard written")
            return done

        return named

    def around_bulk(bulk: Async) -> Async:
        async def named(self: Any, *args: Any, **more: Any) -> Any:
            done = await bulk(self, *args, **more)
            if self.name == UPDATES and PROCESS in _kinds.get():
                plan.at("process: marked done")
            return done

        return named

    def around_commit(commit: Async) -> Async:
        async def named(self: AsyncClientSession) -> None:
            at("all written, before the commit")
            with _set(_asking, tuple(f"{kind}: commit sent, answer not read" for kind in _kinds.get())):
                await commit(self)
            at("committed, told to nobody")

        return named

    def around_answer(receive: Async) -> Async:
        async def named(self: AsyncConnection, *args: Any, **more: Any) -> Any:
            for step in _asking.get() if self.ready else ():  # a new connection shakes hands first
                plan.at(step)
            return await receive(self, *args, **more)

        return named

    _wrap(AsyncCollection, "update_one", around_update)
    _wrap(AsyncCollection, "bulk_write", around_bulk)
    _wrap(AsyncClientSession, "commit_transaction", around_commit)
    _wrap(AsyncConnection, "receive_message", around_answer)


def _lease(plan: Plan) -> None:
    def around(what: str) -> Callable[[Async], Async]:
        def named(do: Async) -> Async:
            async def stepped(self: Lease, *args: Any, **more: Any) -> Any:
                plan.at(f"{what}: before it is sent")
                with _set(_asking, (f"{what}: sent, answer not read",)):
                    done = await do(self, *args, **more)
                plan.at(f"{what}: answered")
                return done

            return stepped

        return named

    _wrap(Lease, "_take", around("take the lease"))
    _wrap(Lease, "_renew", around("renew the lease"))
    _wrap(Lease, "release", around("release the lease"))


def _processor(plan: Plan) -> None:
    def around(what: str) -> Callable[[Async], Async]:
        def named(do: Async) -> Async:
            async def stepped(*args: Any, **more: Any) -> Any:
                done = await do(*args, **more)
                plan.at(what)
                return done

            return stepped

        return named

    _wrap(processor.Processor, "_read_inbox", around("process: inbox read"))
    _wrap(processor, "take_turn", around("process: a turn computed"))
