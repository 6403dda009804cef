"""The lease: who may poll, send and write. At most one bot at a time, even where fencing fails.

One document, `Lease {_id: "poller", epoch, holder, expires, session}`. Times in it are the server's (`$$NOW`).

* Whoever takes it raises `epoch`; it can be taken when it was released, when it expired, or when the holder is a
  process of this very host that provably exists no more. Every write of the bot carries its epoch (writer.py).
* The holder renews every third of the ttl, and reckons for itself until when it may act: by CLOCK_BOOTTIME, from a
  moment *before* the renewal was sent, less a margin. So its own end always comes before the server's, and a machine
  that was frozen or suspended finds, when it wakes, that its time is over. The margin also bears clocks that run at
  rates up to a tenth apart.
* Past that moment nothing is polled, sent or written until the same epoch has been renewed: which succeeds only if
  nobody took the lease meanwhile. If somebody did, it is lost, and the bot ends.
* A holder may die between two statements of a transaction, which then keeps its write lock on the lease for as long as
  the server lets transactions live (60 s by default). So the holder notes its session here, and whoever takes an
  expired lease first ends that session: MongoDB lets a user end sessions of its own without any privilege. A holder
  that cannot renew does the same with its own session, for the lock may be its own.

What this rests on: the primary's clock is not stepped forward by more than the margin while a bot is frozen, and the
clocks of members that become primary agree as closely. Where that fails too, it is fencing that keeps two bots apart.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pymongo
from bson import Binary
from pymongo import ReturnDocument
from pymongo.errors import OperationFailure, PyMongoError

from kappa_bot.clock import boottime
from kappa_bot.counts import counts
from kappa_bot.database import LEASE, POLLER, Database, one_line
from kappa_bot.exits import Exit, FatalError
from kappa_bot.health import Way
from kappa_bot.logs import log
from kappa_bot.tasks import end

T = TypeVar("T")

LOOK_EVERY_S = 0.1
"""How often a bot that waits for the lease looks whether it was released."""

RELEASE_S = 0.4
"""How long one step of giving the lease back may take: a stop waits for it."""


class LeaseLostError(FatalError):
    """Another bot holds the lease, or it was taken away: this one has to end."""

    def __init__(self, sentence: str) -> None:
        super().__init__(Exit.LEASE_LOST, sentence)


class LapsedError(Exception):
    """The lease was not renewed in time; what was under way has been given up. It may be renewed yet."""


def identity(pid: int | None = None) -> str:
    """This process as the lease names it: node, pid, and what tells a later process of the same pid apart."""
    pid = os.getpid() if pid is None else pid
    return " ".join((socket.gethostname(), str(pid), *_incarnation(pid)))


def _incarnation(pid: int) -> tuple[str, str, str]:
    """(start time in clock ticks since boot, pid namespace, boot id) of a process. OSError where there is none."""
    # The name in field 2 may hold spaces and parentheses; the fields after its last parenthesis do not.
    start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    namespace = str(Path("/proc/self/ns/pid").stat().st_ino)
    return start, namespace, Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def is_dead(holder: str) -> bool:
    """Whether the process that `identity` named provably exists no more. False whenever that cannot be told.

    It can be told only of a process in this pid namespace of this boot of this machine.
    """
    words = holder.split(" ")
    if len(words) != 5 or not words[1].isdigit():
        return False
    _, pid, start, namespace, boot = words
    try:
        _, own_namespace, own_boot = _incarnation(os.getpid())
        if (namespace, boot) != (own_namespace, own_boot):
            return False
        return _incarnation(int(pid))[0] != start
    except FileNotFoundError:
        return True
    except (OSError, IndexError):
        return False


class Lease:
    """This process's hold on the lease: `acquire`, then `keep` until `release`."""

    def __init__(
        self,
        database: Database,
        ttl: float,
        router: Way,
        session: Binary | None = None,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self.ttl = ttl
        self.margin = ttl / 10
        self.epoch: int | None = None
        self.trouble = ""
        """Why the last renewal failed, or why the lease cannot be had yet; empty when all is well."""
        self._collection = database[LEASE]
        self._database = database
        self._holder = identity()
        self._session = session
        self._clock = clock
        self._router = router
        self._deadline = 0.0
        self._renewed = asyncio.Event()
        self._lost: LeaseLostError | None = None

    @property
    def left(self) -> float:
        """Seconds for which this bot may still act; 0 when it may not."""
        if self.epoch is None or self._lost is not None:
            return 0.0
        return max(0.0, self._deadline - self._clock())

    @property
    def valid(self) -> bool:
        return self.left > 0

    def check(self) -> None:
        """LapsedError unless the lease is good at this moment."""
        if not self.valid:
            raise LapsedError

    async def held(self) -> None:
        """Wait until the lease is good; LeaseLostError once it cannot be any more."""
        while not self.valid:
            if self._lost is not None:
                raise self._lost
            self._renewed.clear()
            await self._renewed.wait()

    async def during(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` while the lease is good; at its end cancel it and raise LapsedError.

        Work that has ended too late counts as cancelled: its result is from a time when another may have begun.
        """
        task = asyncio.ensure_future(work)
        try:
            # Looked at once a second at least: asyncio's own timers stand still while a machine is suspended.
            while not (await asyncio.wait({task}, timeout=min(self.left, 1.0)))[0] and self.valid:
                pass
            self.check()
            return task.result()
        finally:
            await end([task])

    async def acquire(self) -> None:
        """Wait until the lease can be had, and take it. Raises PyMongoError where MongoDB cannot be asked."""
        waiting = False
        while True:
            started = self._clock()
            with pymongo.timeout(max(1.0, self.ttl)):
                free, left, seen = await self._look()
                self._router.works()
                if free:
                    await self._end_session(seen.get("session"))
                    taken = await self._take(seen)
                    if taken is not None:
                        self.epoch = int(taken["epoch"])
                        self._lost = None
                        self._good_from(started)
                        log.info("lease taken, epoch %d", self.epoch)
                        return
            if not waiting:
                waiting = True
                log.info("waiting for the lease of %s, %.1f s left", str(seen.get("holder")).split(" ")[0], left)
            self.trouble = f"waiting for the lease: {left:.1f} s left of another bot's"
            await asyncio.sleep(min(max(left, 0.01), LOOK_EVERY_S))

    async def _look(self) -> tuple[bool, float, dict[str, Any]]:
        """(whether it can be taken, seconds that it has left, the document)."""
        left = {"$subtract": ["$expires", "$$NOW"]}
        cursor = await self._collection.aggregate([{"$match": {"_id": POLLER}}, {"$addFields": {"left_ms": left}}])
        found = await cursor.to_list(1)
        if not found:
            raise FatalError(Exit.DATABASE, "the database has no lease document: run kappa-bot prepare-database")
        lease = found[0]
        left_s = max(0.0, float(lease["left_ms"]) / 1000)
        holder = lease["holder"]
        free = holder is None or left_s <= 0 or holder == self._holder or is_dead(str(holder))
        return free, left_s, lease

    async def _end_session(self, session: Any) -> None:
        """End the transaction that was perhaps left open in a session, with its lock on the lease."""
        if session is None:
            return
        try:
            await self._database.client.admin.command("killSessions", [{"id": session}])
        except OperationFailure as error:
            # Not needed where none was left open; where one was, the lease is had a little later.
            log.warning("a session that may hold up the lease cannot be ended: %s", one_line(error))

    async def _take(self, seen: dict[str, Any]) -> dict[str, Any] | None:
        """Take it if it still is as it was seen; None if another bot was quicker."""
        return await self._collection.find_one_and_update(
            # `expires` is part of it: a holder that renewed since it was seen keeps the lease.
            {"_id": POLLER, "epoch": seen["epoch"], "holder": seen["holder"], "expires": seen["expires"]},
            [
                {
                    "$set": {
                        "epoch": {"$add": ["$epoch", 1]},
                        "holder": self._holder,
                        "expires": {"$add": ["$$NOW", int(self.ttl * 1000)]},
                        "session": self._session,
                    }
                }
            ],
            return_document=ReturnDocument.AFTER,
        )

    def _good_from(self, started: float) -> None:
        self._deadline = started + self.ttl - self.margin
        self.trouble = ""
        self._renewed.set()

    async def keep(self) -> None:
        """Renew until cancelled. LeaseLostError when another bot has taken the lease."""
        every = self.ttl / 3
        while True:
            await asyncio.sleep(every)
            while not await self._renew(every):
                await asyncio.sleep(0.05)
                await self._unlock(every)

    async def _renew(self, within: float) -> bool:
        started = self._clock()
        try:
            with pymongo.timeout(max(0.25, within)):
                done = await self._collection.update_one(
                    {"_id": POLLER, "epoch": self.epoch, "holder": self._holder},
                    [{"$set": {"expires": {"$add": ["$$NOW", int(self.ttl * 1000)]}}}],
                )
        except PyMongoError as error:
            counts.renewals_failed += 1
            self._router.fails(one_line(error))
            self.trouble = f"lease not renewed: {one_line(error)}"
            return False
        self._router.works()
        if done.matched_count == 0:
            raise self.lose()
        late = self._clock() - self._deadline
        if late > 0:
            counts.lapses += 1
            log.warning("the lease had lapsed for %.1f s and is renewed: nothing was received or sent meanwhile", late)
        self._good_from(started)
        return True

    async def _unlock(self, within: float) -> None:
        """End this bot's own transaction, which may be what keeps the lease from being renewed.

        When the way to MongoDB breaks in the middle of one it stays open, and the writer, which would end it with its
        next, waits for the lease. One that is not left over but under way fails by this, and is tried again.
        """
        try:
            with pymongo.timeout(max(0.25, within)):
                await self._end_session(self._session)
        except PyMongoError:
            pass  # the way is still broken

    def lose(self) -> LeaseLostError:
        """Note that the database refused this epoch; from now on `held` raises."""
        if self._lost is None:
            self._lost = LeaseLostError(
                f"lease lost: epoch {self.epoch} is no longer the poller's, another bot has taken over; "
                "this one polls, sends and writes no more"
            )
            self._renewed.set()
        return self._lost

    async def release(self) -> None:
        """Give it back, so that the next bot need not wait for its end. Harmless when it is not ours."""
        epoch, self.epoch = self.epoch, None
        if epoch is None or self._lost is not None:
            return
        if self._clock() - self._deadline > self.ttl / 2:
            # The last renewal is answered within a third of the ttl: it is over by the server's reckoning too.
            log.info("lease of epoch %d has ended by itself: there is nothing to give back", epoch)
            return
        trouble = await self._give_back(epoch)
        if trouble:
            # What locks it is most likely this bot's own last transaction, cut off in the middle.
            await self._unlock(RELEASE_S)
            trouble = await self._give_back(epoch)
        if trouble:
            log.warning("lease not released, it ends by itself within %.1f s: %s", self.ttl, trouble)
        else:
            log.info("lease released, epoch %d", epoch)

    async def _give_back(self, epoch: int) -> str:
        """Why it could not be given back; "" when it was."""
        try:
            with pymongo.timeout(RELEASE_S):
                await self._collection.update_one(
                    {"_id": POLLER, "epoch": epoch, "holder": self._holder},
                    [{"$set": {"holder": None, "session": None, "expires": "$$NOW"}}],
                )
        except PyMongoError as error:
            return one_line(error)
        return ""
