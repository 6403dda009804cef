"""The router stand-in as pymongo sees it, before a real replica set of three whose members are made to fail."""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo import AsyncMongoClient, MongoClient, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.errors import AutoReconnect, ConfigurationError, OperationFailure, PyMongoError

from tests.mongod import ADMIN_USER, ReplicaSet, until
from tests.unit.mongodb_lab.peers import StandIn

pytestmark = pytest.mark.mongod

Document = dict[str, Any]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path_factory.mktemp("three"), members=3) as mongo:
        yield mongo


@pytest.fixture
def mongo(standing: ReplicaSet) -> Iterator[ReplicaSet]:
    """Three members, all of them well: whatever the test before did to them is mended first."""
    for index, member in enumerate(standing.members):
        if member.process is None or member.process.poll() is not None:
            standing.start_member(index)
        standing.signal_member(index, signal.SIGCONT)

    def well() -> bool:
        with standing.direct(standing.primary(), username=ADMIN_USER, password=standing.password) as client:
            states = [m["stateStr"] for m in client.admin.command("replSetGetStatus")["members"]]
        return sorted(states) == ["PRIMARY", "SECONDARY", "SECONDARY"]

    until(well, "all members are well", within=60)
    yield standing


@pytest.fixture
def router(mongo: ReplicaSet, tmp_path: Path) -> Iterator[StandIn]:
    patient = ("--setParameter", "defaultFindReplicaSetHostTimeoutMS=15000")
    with StandIn(tmp_path, mongo.configdb, "--keyFile", str(mongo.keyfile), *patient) as stand_in:
        yield stand_in
        assert not stand_in.ended()
        assert "Traceback" not in stand_in.said()
        assert "Unexpected" not in stand_in.said()


@pytest.fixture
def client(mongo: ReplicaSet, router: StandIn) -> Iterator[MongoClient[Document]]:
    with through(router, mongo) as one:
        one.drop_database("t")
        yield one


def through(router: StandIn, mongo: ReplicaSet, **more: Any) -> MongoClient[Document]:
    login = {"username": ADMIN_USER, "password": mongo.password, "authSource": "admin", **more}
    return MongoClient("127.0.0.1", router.port, w="majority", serverSelectionTimeoutMS=20_000, **login)


# -- a driver's view


def test_the_driver_sees_a_sharded_cluster(client: MongoClient[Document]) -> None:
    client.admin.command("ping")
    assert client.topology_description.topology_type_name == "Sharded"
    assert client.is_mongos
    hello = client.admin.command("hello")
    assert hello["msg"] == "isdbgrid"
    assert not {"setName", "hosts", "primary"} & set(hello)


def test_writes_reads_cursors_and_indexes(client: MongoClient[Document]) -> None:
    data = client.t.data
    data.create_index("updateId", unique=True)
    assert len(data.insert_many([{"updateId": n, "pad": "x" * 100} for n in range(3000)]).inserted_ids) == 3000
    assert sum(1 for _ in data.find({}, batch_size=100)) == 3000
    with pytest.raises(pymongo.errors.DuplicateKeyError):
        data.insert_one({"updateId": 7})
    assert data.update_many({"updateId": {"$lt": 10}}, {"$set": {"a": 1}}).modified_count == 10
    assert data.bulk_write([pymongo.DeleteOne({"updateId": 1}), pymongo.InsertOne({"updateId": -1})]).deleted_count == 1
    assert list(data.aggregate([{"$count": "n"}])) == [{"n": 3000}]
    data.with_options(write_concern=WriteConcern(w=0)).insert_one({"updateId": -2})
    until(lambda: data.find_one({"updateId": -2}) is not None, "the unacknowledged write is there")


def test_large_documents_pass_and_too_large_ones_are_refused(client: MongoClient[Document]) -> None:
    client.t.data.insert_one({"_id": 1, "b": b"x" * (16 * 1024 * 1024 - 100)})
    found = client.t.data.find_one({"_id": 1})
    assert found
    assert len(found["b"]) == 16 * 1024 * 1024 - 100
    with pytest.raises(pymongo.errors.DocumentTooLarge):
        client.t.data.insert_one({"_id": 2, "b": b"x" * (17 * 1024 * 1024)})
    assert client.t.data.count_documents({}) == 1


def test_a_transaction_is_whole_or_nothing_and_sees_a_stale_epoch(client: MongoClient[Document]) -> None:
    client.t.Lease.insert_one({"_id": "poller", "epoch": 7})
    client.t.create_collection("data")

    def work(session: ClientSession, epoch: int, row: int) -> None:
        held = client.t.Lease.update_one({"_id": "poller", "epoch": epoch}, {"$set": {"seen": row}}, session=session)
        client.t.data.insert_many([{"_id": row}, {"_id": -row}], session=session)
        if held.matched_count != 1:
            raise RuntimeError("the lease is another's")

    with client.start_session() as session:
        session.with_transaction(lambda s: work(s, 7, 1))
        with pytest.raises(RuntimeError):
            session.with_transaction(lambda s: work(s, 6, 2))
    assert sorted(row["_id"] for row in client.t.data.find()) == [-1, 1]


async def test_the_asynchronous_client_as_well(mongo: ReplicaSet, router: StandIn) -> None:
    login: dict[str, Any] = {"username": ADMIN_USER, "password": mongo.password, "authSource": "admin"}
    async with AsyncMongoClient[Document]("127.0.0.1", router.port, w="majority", **login) as client:
        await client.drop_database("a")
        await client.a.create_collection("data")
        async with client.start_session() as session, await session.start_transaction():
            await client.a.data.insert_one({"_id": 1}, session=session)
        assert await client.a.data.count_documents({}) == 1
        assert client.topology_description.topology_type_name == "Sharded"


# -- who may do what


def test_a_user_has_its_own_rights_and_no_more(
    mongo: ReplicaSet, router: StandIn, client: MongoClient[Document]
) -> None:
    client.t.data.insert_one({"_id": 1})
    with contextlib.suppress(OperationFailure):
        client.t.command("createUser", "reader", pwd="secret", roles=["read"], writeConcern={"w": "majority"})
    with through(router, mongo, username="reader", password="secret", authSource="t") as reader:
        assert reader.t.data.find_one() == {"_id": 1}
        with pytest.raises(OperationFailure) as caught:
            reader.t.data.insert_one({"_id": 2})
        assert caught.value.code == 13
    with through(router, mongo, password="wrong") as stranger, pytest.raises(OperationFailure) as refused:
        stranger.t.data.find_one()
    assert refused.value.code == 18
    with MongoClient[Document]("127.0.0.1", router.port) as nobody, pytest.raises(OperationFailure) as unknown:
        nobody.t.data.find_one()
    assert unknown.value.code == 13


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_both_mechanisms_log_in(mongo: ReplicaSet, router: StandIn, mechanism: str) -> None:
    with through(router, mongo, authMechanism=mechanism) as client:
        assert client.t.data.count_documents({}) >= 0


def test_another_keyfile_and_none_are_refused_by_the_members(mongo: ReplicaSet, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("b3RoZXJvdGhlcg==")
    other.chmod(0o600)
    for options, why in ((("--keyFile", str(other)), "AuthenticationFailed"), ((), "Unauthorized")):
        router = StandIn(tmp_path, mongo.configdb, *options).spawn()
        try:
            until(lambda said=why, r=router: said in r.said(), "it says why it waits")  # type: ignore[misc]
            assert not router.listens()
            assert router.terminate() == 0
        finally:
            router.stop()


# -- bad days


class Writer:
    """Writes one document after the other, as a program that has retries of its own beside the driver's."""

    def __init__(self, client: MongoClient[Document]) -> None:
        self._data = client.t.data
        self._stop = threading.Event()
        self.acknowledged: list[int] = []
        self.errors: list[str] = []
        self.gap = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Writer":
        self._thread.start()
        self.more(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        number, last = 0, time.monotonic()
        while not self._stop.is_set():
            try:
                self._data.insert_one({"_id": number})
            except pymongo.errors.DuplicateKeyError:
                pass  # the write before the error had been done after all
            except PyMongoError as error:
                self.errors.append(f"{type(error).__name__} {getattr(error, 'code', '')}: {error}"[:200])
                continue
            self.acknowledged.append(number)
            number += 1
            self.gap, last = max(self.gap, time.monotonic() - last), time.monotonic()

    def more(self, count: int) -> None:
        """Wait until this many more are acknowledged."""
        wanted = len(self.acknowledged) + count
        until(lambda: len(self.acknowledged) >= wanted, f"{count} more writes; errors: {self.errors[-3:]}", within=45)


def step_down(mongo: ReplicaSet) -> None:
    with mongo.direct(mongo.primary(), username=ADMIN_USER, password=mongo.password) as primary:
        primary.admin.command("replSetStepDown", 8, secondaryCatchUpPeriodSecs=5)


@pytest.mark.parametrize("fault", ["step-down", "SIGKILL", "SIGTERM"])
def test_no_write_is_lost_when_the_primary_changes(
    mongo: ReplicaSet, client: MongoClient[Document], fault: str
) -> None:
    before = mongo.primary()
    with Writer(client) as writer:
        if fault == "step-down":
            step_down(mongo)
        else:
            process = mongo.members[before].process
            assert process
            process.send_signal(getattr(signal, fault))
        writer.more(20)
    mongo.signal_member(before, signal.SIGKILL)
    held = {row["_id"] for row in client.t.data.find()}
    assert set(writer.acknowledged) <= held
    assert mongo.primary() != before
    assert writer.gap < 20
    assert all("Authentication" not in error for error in writer.errors), "an election is no wrong password"


def test_a_frozen_primary_is_left_for_the_one_elected(
    mongo: ReplicaSet, router: StandIn, client: MongoClient[Document]
) -> None:
    """A power cut without a reset: the sockets stay, nobody answers. The new primary's election is what tells."""
    frozen = mongo.primary()
    client.t.data.insert_one({"_id": 1})
    mongo.signal_member(frozen, signal.SIGSTOP)
    try:
        until(lambda: _other_primary(mongo, frozen), "another is elected")
        # It may first find that there is none any more.
        until(lambda: len(_primaries(router)) >= 2 and _primaries(router)[-1] is not None, "the stand-in knows")
        client.t.data.insert_one({"_id": 2})
    finally:
        mongo.signal_member(frozen, signal.SIGCONT)
    # it still believes to be primary when it wakes: nothing may be sent there
    client.t.data.insert_one({"_id": 3})
    assert {row["_id"] for row in client.t.data.find()} == {1, 2, 3}


def _primaries(router: StandIn) -> list[str | None]:
    """What it has taken for the primary so far, None where it knew of none, each change of it."""
    lines = [json.loads(line) for line in router.said().split("\n")[:-1] if '"msg": "Primary changed"' in line]
    return [line["attr"]["primary"] for line in lines]


def _other_primary(mongo: ReplicaSet, than: int) -> bool:
    for index in range(len(mongo.members)):
        if index != than:
            with contextlib.suppress(PyMongoError), mongo.direct(index) as client:
                if client.admin.command("hello")["isWritablePrimary"]:
                    return True
    return False


def test_a_step_down_costs_one_writer_no_error(mongo: ReplicaSet, client: MongoClient[Document]) -> None:
    """The driver's own retry is enough: what it is told makes it try again, on a connection to the new primary."""
    with Writer(client) as writer:
        step_down(mongo)
        writer.more(50)
    assert writer.errors == []


def test_a_transaction_that_meets_a_step_down_is_run_again(mongo: ReplicaSet, client: MongoClient[Document]) -> None:
    client.t.create_collection("data")
    runs = 0

    def work(session: ClientSession) -> None:
        nonlocal runs
        runs += 1
        client.t.data.insert_one({"run": runs}, session=session)
        if runs == 1:
            step_down(mongo)
        client.t.data.insert_one({"run": runs}, session=session)

    with client.start_session() as session:
        session.with_transaction(work)
    assert runs > 1
    assert [row["run"] for row in client.t.data.find()] == [runs, runs]


def test_without_a_majority_nothing_hangs_and_it_heals(mongo: ReplicaSet, tmp_path: Path) -> None:
    short = ("--setParameter", "defaultFindReplicaSetHostTimeoutMS=700")
    with (
        StandIn(tmp_path, mongo.configdb, "--keyFile", str(mongo.keyfile), *short) as router,
        through(router, mongo, retryReads=False, retryWrites=False) as client,
    ):
        client.drop_database("t")
        primary = mongo.primary()
        others = [index for index in range(3) if index != primary]
        for index in others:
            mongo.signal_member(index, signal.SIGKILL)
        until(lambda: '"primary": null' in router.said(), "the primary steps down for want of a majority", within=40)
        began = time.monotonic()
        with pytest.raises(PyMongoError) as caught:
            client.t.data.insert_one({"_id": 1})
        if not isinstance(
            caught.value, OperationFailure
        ):  # the connections of before were ended: once more, on a new one
            with pytest.raises(OperationFailure) as caught:
                client.t.data.insert_one({"_id": 1})
        assert caught.value.code == 133, caught.value  # type: ignore[attr-defined]
        assert time.monotonic() - began < 10
        with router.client() as raw:
            assert raw.ask({"hello": 1})["msg"] == "isdbgrid"
            assert raw.ask({"ping": 1})["ok"] == 1
        mongo.start_member(others[0])
        until(lambda: _inserts(client), "writes go on once there is a majority again", within=40)


def _inserts(client: MongoClient[Document]) -> bool:
    client.t.data.insert_one({})
    return True


def test_the_driver_survives_a_restart_of_the_router(
    mongo: ReplicaSet, router: StandIn, client: MongoClient[Document], tmp_path: Path
) -> None:
    with Writer(client) as writer:
        router.stop()
        router.start()
        writer.more(20)
    assert {row["_id"] for row in client.t.data.find()} >= set(writer.acknowledged)
    assert all("Authentication" not in error for error in writer.errors)


def test_many_clients_at_once(mongo: ReplicaSet, router: StandIn) -> None:
    failures: list[str] = []

    def work(number: int) -> None:
        try:
            with through(router, mongo) as client:
                for turn in range(5):
                    client.t.many.insert_one({"_id": f"{number}-{turn}"})
        except (PyMongoError, ConfigurationError, AutoReconnect) as error:
            failures.append(str(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    with through(router, mongo) as client:
        assert client.t.many.count_documents({}) == 100
        client.drop_database("t")
