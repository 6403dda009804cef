"""The lease against a real mongod: one holder, a growing epoch, and a holder that stops itself in time."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator

import pytest
from pymongo import AsyncMongoClient

from kappa_bot.database import LEASE
from kappa_bot.exits import Exit, FatalError
from kappa_bot.lease import LapsedError, Lease, LeaseLostError, identity, is_dead
from tests.unit.kappa_bot.bot_lab import BotLab
from tests.unit.kappa_bot.in_process import Parts, parts

pytestmark = pytest.mark.mongod

SOMEBODY_ELSE = "node9 1 2 3 another-boot"


@pytest.fixture
async def made(silent_lab: BotLab) -> AsyncIterator[Parts]:
    async with parts(silent_lab.config("parts")) as found:
        yield found


class Clock:
    """A CLOCK_BOOTTIME that a test can let run on, as it does while a process is frozen."""

    def __init__(self) -> None:
        self.frozen = 0.0

    def __call__(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) + self.frozen


def foreign(made: Parts, ttl: float = 1.0) -> Lease:
    """A lease as a bot on another machine would hold it."""
    lease = made.lease(ttl)
    lease._holder = SOMEBODY_ELSE
    return lease


async def test_each_tenure_has_an_epoch_of_its_own(made: Parts) -> None:
    for epoch in (1, 2, 3):
        lease = made.lease()
        await lease.acquire()
        assert lease.epoch == epoch and lease.valid
        await lease.release()
        assert not lease.valid


async def test_it_is_not_had_before_it_ends_unless_it_is_released(made: Parts) -> None:
    other = foreign(made, ttl=1.0)
    await other.acquire()
    began = time.monotonic()
    mine = made.lease()
    await mine.acquire()
    assert time.monotonic() - began >= 0.9
    assert not other.valid, "the old holder's own end comes before the server's"
    await mine.release()
    again = foreign(made, ttl=30.0)
    await again.acquire()
    asyncio.get_running_loop().call_later(0.3, lambda: asyncio.ensure_future(again.release()))
    began = time.monotonic()
    await made.lease().acquire()
    assert time.monotonic() - began < 5


async def test_of_many_that_want_it_one_has_it(made: Parts) -> None:
    leases = [foreign(made, ttl=5.0) for _ in range(8)]
    for number, lease in enumerate(leases):
        lease._holder = f"node{number} 1 2 3 another-boot"
    tries = [asyncio.create_task(lease.acquire()) for lease in leases]
    done, waiting = await asyncio.wait(tries, timeout=1.0)
    for task in waiting:
        task.cancel()
    await asyncio.wait(tries)
    assert len(done) == 1
    assert [lease.valid for lease in leases].count(True) == 1


async def test_a_holder_that_renews_keeps_it(made: Parts) -> None:
    mine = made.lease(ttl=1.0)
    await mine.acquire()
    keeping = asyncio.create_task(mine.keep())
    other = asyncio.create_task(foreign(made).acquire())
    done, _ = await asyncio.wait({keeping, other}, timeout=2.5)
    assert not done and mine.valid
    for task in (keeping, other):
        task.cancel()


async def test_the_deadline_counts_from_before_the_renewal_was_sent(made: Parts) -> None:
    clock = Clock()
    lease = made.lease(ttl=2.0, clock=clock)
    await lease.acquire()
    assert lease.left <= 2.0 - lease.margin
    # Frozen between sending a renewal and reading its answer: the answer is worth nothing.
    before = clock()
    lease._good_from(before - 3.0)
    assert not lease.valid


async def test_a_frozen_holder_that_wakes_may_do_nothing(made: Parts) -> None:
    clock = Clock()
    lease = made.lease(ttl=2.0, clock=clock)
    await lease.acquire()
    polled = asyncio.Event()

    async def poll() -> str:
        polled.set()
        await asyncio.sleep(0.05)
        clock.frozen = 60.0  # here the machine sleeps for a minute, and the answer comes after it
        return "updates"

    with pytest.raises(LapsedError):
        await lease.during(poll())
    assert polled.is_set()
    with pytest.raises(LapsedError):
        lease.check()


async def test_work_under_way_is_cancelled_when_the_time_is_over(made: Parts) -> None:
    lease = made.lease(ttl=1.0)
    await lease.acquire()
    cancelled = asyncio.Event()

    async def poll() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    began = time.monotonic()
    with pytest.raises(LapsedError):
        await lease.during(poll())
    assert cancelled.is_set() and time.monotonic() - began < 1.0


async def test_a_lapsed_lease_that_nobody_took_is_renewed_with_the_same_epoch(made: Parts) -> None:
    clock = Clock()
    lease = made.lease(ttl=1.0, clock=clock)
    await lease.acquire()
    clock.frozen += 2.0
    assert not lease.valid
    keeping = asyncio.create_task(lease.keep())
    await asyncio.wait_for(lease.held(), 5)
    assert lease.valid and lease.epoch == 1
    keeping.cancel()


async def test_a_lease_that_was_taken_is_lost_for_good(made: Parts) -> None:
    mine = made.lease(ttl=1.0)
    await mine.acquire()
    await asyncio.sleep(1.0)
    await foreign(made, ttl=30.0).acquire()
    with pytest.raises(LeaseLostError, match="epoch 1 is no longer"):
        await asyncio.wait_for(mine.keep(), 5)
    with pytest.raises(LeaseLostError):
        await mine.held()
    assert not mine.valid
    await mine.release()
    found = await made.database[LEASE].find_one()
    assert found is not None and found["holder"] == SOMEBODY_ELSE, "releasing what is not ours touches nothing"


async def test_an_open_transaction_of_a_dead_holder_does_not_hold_up_the_next(made: Parts, silent_lab: BotLab) -> None:
    """A bot that dies between two statements leaves its lock on the lease behind, for a minute by default."""
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(
        silent_lab.mongo.uri, username="kappa_bot", password=made.config.password(), authSource=silent_lab.database
    )
    async with client, client.start_session() as session:
        dead = Lease(client[silent_lab.database], 1.0, made.router, session=session.session_id["id"])
        dead._holder = SOMEBODY_ELSE
        await dead.acquire()
        await session.start_transaction()
        await client[silent_lab.database][LEASE].update_one(
            {"epoch": dead.epoch}, {"$inc": {"writes": 1}}, session=session
        )
        began = time.monotonic()
        mine = made.lease()
        await asyncio.wait_for(mine.acquire(), 20)
        assert time.monotonic() - began < 3.0
        assert mine.epoch == 2
        await session.abort_transaction()


async def test_a_holders_own_broken_transaction_does_not_keep_it_from_renewing(made: Parts) -> None:
    """The way to MongoDB breaks in the middle of a transaction, which stays open on the server."""
    lease = made.lease(ttl=1.0)
    await lease.acquire()
    await made.session.start_transaction()
    await made.database[LEASE].update_one({"epoch": 1}, {"$inc": {"writes": 1}}, session=made.session)
    keeping = asyncio.create_task(lease.keep())
    began = time.monotonic()
    while time.monotonic() - began < 3.0:
        await asyncio.sleep(0.05)
        assert not keeping.done()
    assert lease.valid, "renewed, though its own transaction held the lock"
    keeping.cancel()


async def test_a_holders_own_broken_transaction_does_not_keep_it_from_being_given_back(made: Parts) -> None:
    """A stop cuts the writer off in the middle, and not even its abort gets through."""
    lease = made.lease(ttl=30.0)
    await lease.acquire()
    await made.session.start_transaction()
    await made.database[LEASE].update_one({"epoch": 1}, {"$inc": {"writes": 1}}, session=made.session)
    await lease.release()
    found = await made.database[LEASE].find_one()
    assert found is not None and found["holder"] is None, "the next bot need not wait for its end"


async def test_a_lease_that_lapsed_a_moment_ago_is_given_back_and_one_that_is_over_is_left(made: Parts) -> None:
    for lapsed, holder in ((0.1, None), (1.1, SOMEBODY_ELSE)):
        clock = Clock()
        lease = made.lease(ttl=2.0, clock=clock)
        await lease.acquire()
        lease._holder = SOMEBODY_ELSE
        await made.database[LEASE].update_one({}, {"$set": {"holder": SOMEBODY_ELSE}})
        clock.frozen = lease.left + lapsed
        await lease.release()
        found = await made.database[LEASE].find_one()
        assert found is not None and found["holder"] == holder
        assert not lease.valid


async def test_a_process_of_this_host_that_is_gone_need_not_be_waited_for(made: Parts) -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        lease = foreign(made, ttl=30.0)
        lease._holder = identity(child.pid)
        await lease.acquire()
        waiting = asyncio.create_task(made.lease().acquire())
        done, _ = await asyncio.wait({waiting}, timeout=0.5)
        assert not done, "it is alive"
    finally:
        child.kill()
        child.wait()
    await asyncio.wait_for(waiting, 2)


def test_death_is_told_only_where_it_can_be_told() -> None:
    own = identity()
    node, pid, start, namespace, boot = own.split(" ")
    assert not is_dead(own)
    assert is_dead(f"{node} {pid} {int(start) - 1} {namespace} {boot}"), "another process had this pid"
    assert is_dead(f"{node} {2**22 + 1} {start} {namespace} {boot}"), "no such process"
    assert not is_dead(f"{node} {2**22 + 1} {start} {namespace} another-boot")
    assert not is_dead(f"{node} {2**22 + 1} {start} 1 {boot}"), "another container's process"
    for nonsense in ("", "node1", f"node1 {os.getpid()}", "a b c d e"):
        assert not is_dead(nonsense)


async def test_an_unprepared_database_is_one_sentence(made: Parts, silent_lab: BotLab) -> None:
    with silent_lab.db() as db:
        db[LEASE].delete_many({})
    with pytest.raises(FatalError, match="run kappa-bot prepare-database") as caught:
        await made.lease().acquire()
    assert caught.value.code == Exit.DATABASE
