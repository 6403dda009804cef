"""All writes of the active bot, a group at a time, each in one transaction that carries the lease's epoch.

What the receiver, the processor and the sender want written at about the same time is committed together: one round of
journaling for all of it. The first statement raises a counter in the lease document *if its epoch is still ours*:
a stale epoch matches nothing and the transaction is abandoned; and since it is a write, a take-over at the same moment
conflicts with it and one of the two has to wait. The commit is acknowledged by a majority, journaled.

`Work.once` names updates that must still be pending, which are marked done: the key by which an effect happens once. If
one of them is done already, a commit whose answer was lost had succeeded after all, and that work is left out.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pymongo
from bson.errors import InvalidDocument
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from kappa_bot.database import LEASE, OPERATION_LIMIT_S, POLLER, UPDATES, Database, one_line, passing
from kappa_bot.health import Way
from kappa_bot.lease import Lease

Op = InsertOne[Any] | UpdateOne | UpdateMany | ReplaceOne[Any] | DeleteOne | DeleteMany

GROUP_OPS = 1000
"""The most operations in one transaction; whoever comes after waits for the next."""

ABORT_LIMIT_S = 0.5
"""How long giving up a transaction may take: a stop waits for it."""

MAJORITY = WriteConcern("majority", j=True)


class RefusedError(Exception):
    """The database will never take this work (a validator, a unique index): trying again is of no use."""


class _DoneAlreadyError(Exception):
    """An update of the group is no longer pending."""


@dataclass(frozen=True)
class Work:
    """What has to be written together or not at all."""

    ops: Sequence[tuple[str, Op]] = ()
    """(collection, operation); of one collection they are done in order."""
    once: Sequence[int] = ()
    """Updates that this work answers: pending before it, done after it."""
    failed: str | None = None
    """Why the updates in `once` could not be answered as they should; None when they were."""


@dataclass
class _Waiting:
    work: Work
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Writer:
    """Takes work from many, commits it in groups. One runs while the lease is held."""

    def __init__(self, database: Database, lease: Lease, session: AsyncClientSession, router: Way) -> None:
        self._router = router
        self._database = database
        self._lease = lease
        self._session = session
        self._queue: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._ended = False

    async def commit(self, work: Work) -> None:
        """Return once `work` is durable. RefusedError if it never can be; LeaseLostError if another bot took over."""
        if self._ended:
            raise asyncio.CancelledError
        waiting = _Waiting(work)
        self._queue.append(waiting)
        self._settled.clear()
        self._wake.set()
        await waiting.done

    async def settled(self) -> None:
        """Wait until nothing is left to commit, wanted by anybody or not: no transaction is open then."""
        await self._settled.wait()

    async def run(self) -> None:
        try:
            await self._run()
        finally:
            # Nobody commits any more: whoever waits for it ends too.
            self._ended = True
            for waiting in self._queue:
                waiting.done.cancel()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                group = self._next_group()
                try:
                    await self._commit_group(group)
                except Exception as error:
                    _resolve(group, error)
                    raise
            self._settled.set()

    def _next_group(self) -> list[_Waiting]:
        count = size = 0
        for waiting in self._queue:
            size += len(waiting.work.ops) + 1
            if count and size > GROUP_OPS:
                break
            count += 1
        group, self._queue = self._queue[:count], self._queue[count:]
        return group

    async def _commit_group(self, group: list[_Waiting]) -> None:
        try:
            await self._transact([waiting.work for waiting in group])
        except (RefusedError, _DoneAlreadyError) as error:
            if len(group) > 1:
                # One of them spoils the rest: each by itself.
                for waiting in group:
                    await self._commit_group([waiting])
            else:
                _resolve(group, error if isinstance(error, RefusedError) else None)
        else:
            _resolve(group)

    async def _transact(self, works: Sequence[Work]) -> None:
        """Commit, however often the way to MongoDB breaks, for as long as the lease is ours."""
        pause = 0.01
        while True:
            await self._lease.held()
            try:
                with pymongo.timeout(OPERATION_LIMIT_S):
                    await self._attempt(works)
                self._router.works()
                return
            except (RefusedError, _DoneAlreadyError):
                self._router.works()
                raise
            except PyMongoError as error:
                if not passing(error):
                    raise RefusedError(one_line(error)) from error
                self._router.fails(one_line(error))
            except InvalidDocument as error:
                raise RefusedError(one_line(error)) from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    async def _attempt(self, works: Sequence[Work]) -> None:
        session = self._session
        if session.in_transaction:
            await _abandon(session)
        await session.start_transaction(write_concern=MAJORITY)
        try:
            await self._write(works, session)
        except BaseException:
            await _abandon(session)
            raise
        # Where the answer is lost the driver asks once more; after that the whole of it is tried again: what had been
        # committed after all is found done.
        await session.commit_transaction()

    async def _write(self, works: Sequence[Work], session: AsyncClientSession) -> None:
        database = self._database
        guard = await database[LEASE].update_one(
            {"_id": POLLER, "epoch": self._lease.epoch}, {"$inc": {"writes": 1}}, session=session
        )
        if guard.matched_count != 1:
            raise self._lease.lose()
        once = [op for work in works for op in _done(work, self._lease.epoch)]
        if once:
            marked = await database[UPDATES].bulk_write(once, session=session)
            if marked.matched_count != len(once):
                raise _DoneAlreadyError
        by_collection: dict[str, list[Op]] = {}
        for work in works:
            for collection, op in work.ops:
                by_collection.setdefault(collection, []).append(op)
        for collection, ops in by_collection.items():
            await database[collection].bulk_write(ops, session=session)


def _done(work: Work, epoch: int | None) -> Iterable[UpdateOne]:
    """Mark updates done. What the user wrote, and who, goes; that it was done stays while it may come again."""
    for update_id in work.once:
        note: dict[str, Any] = {"doneAt": datetime.now(UTC), "doneEpoch": epoch}
        if work.failed is not None:
            note["failed"] = work.failed
        yield UpdateOne({"_id": update_id, "pending": True}, {"$set": note, "$unset": {"pending": "", "update": ""}})


def _resolve(group: Iterable[_Waiting], error: Exception | None = None) -> None:
    for waiting in group:
        if waiting.done.done():
            continue  # whoever waited was cancelled
        if error is None:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(error)
            waiting.done.exception()  # whoever waits may be cancelled before they look


async def _abandon(session: AsyncClientSession) -> None:
    """End the open transaction, with its lock on the lease, however often the writer is cancelled meanwhile."""
    # A context of its own: an attempt that has used up its time leaves none for this.
    aborting = asyncio.create_task(_abort(session), context=Context())
    cancelled: asyncio.CancelledError | None = None
    while not aborting.done():
        try:
            await asyncio.wait({aborting})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def _abort(session: AsyncClientSession) -> None:
    try:
        if session.in_transaction:
            with pymongo.timeout(ABORT_LIMIT_S):
                await session.abort_transaction()
    except PyMongoError:
        pass  # the server ends it by itself, and the next one of this session ends it too
