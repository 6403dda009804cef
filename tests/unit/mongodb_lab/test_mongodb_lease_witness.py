"""The witness of the lease, with a real mongod: what it writes of who held the lease and which epoch wrote."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from kappa_lab.judge.evidence import of
from kappa_lab.judge.history import LEASE_EVENTS, Held, Hole, Wrote
from kappa_lab.judge.reading import read_lines
from tests.mongod import ReplicaSet, until
from tests.unit.mongodb_lab.peers import environment

Document = dict[str, Any]
Lines = list[Document]

pytestmark = pytest.mark.mongod


@pytest.fixture
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path_factory.mktemp("set")) as found:
        with found.client() as client:
            client.kappa.command("createUser", "kappa_judge", pwd="its own", roles=[{"role": "read", "db": "kappa"}])
        yield found


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "lease.jsonl"


@pytest.fixture
def witness(mongo: ReplicaSet, out: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    secret = tmp_path / "judge.password"
    secret.write_text("its own\n")
    secret.chmod(0o600)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "kappa_lab.mongodb.lease", "--uri", mongo.uri),
            *("--password-file", str(secret), "--out", str(out)),
        ],
        env=environment(),
        stdin=subprocess.DEVNULL,
    )
    try:
        until(lambda: bool(lines(out)), "the witness begins")
        yield process
    finally:
        process.kill()
        process.wait(30)


def lines(path: Path) -> Lines:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def told(path: Path, event: str) -> Lines:
    return [line for line in lines(path) if line["e"] == event]


def take(client: MongoClient[Document], holder: str | None, epoch: int) -> None:
    client.kappa.Lease.update_one(
        {"_id": "poller"},
        [{"$set": {"epoch": epoch, "holder": holder, "expires": {"$add": ["$$NOW", 3000]}}}],
        upsert=True,
    )


def write(client: MongoClient[Document], number: int, epoch: int, *, guarded: bool = True) -> None:
    with client.start_session() as session, session.start_transaction():
        if guarded:
            client.kappa.Lease.update_one({"_id": "poller", "epoch": epoch}, {"$inc": {"writes": 1}}, session=session)
        client.kappa.Updates.insert_one({"_id": number, "epoch": epoch, "update": "words of a user"}, session=session)
        client.kappa.Updates.update_one({"_id": number}, {"$set": {"doneEpoch": epoch}}, session=session)
        client.kappa.Data.insert_one({"updateId": number}, session=session)


def test_takes_renewals_writes_and_releases_are_told_in_order(
    mongo: ReplicaSet, witness: subprocess.Popen[bytes], out: Path
) -> None:
    before = time.time()
    with mongo.client() as client:
        take(client, "node1 7 1 2 3", 1)
        write(client, 5, 1)
        client.kappa.Lease.update_one({"_id": "poller"}, [{"$set": {"expires": {"$add": ["$$NOW", 3000]}}}])
        client.kappa.Lease.update_one({"_id": "poller"}, [{"$set": {"holder": None, "expires": "$$NOW"}}])
        take(client, "node2 8 1 2 3", 2)
        write(client, 6, 1, guarded=False)
        client.kappa.Categories.insert_one({"Name_en": "x"})
        until(lambda: len(told(out, "wrote")) == 3, "three writes are told")
    witness.send_signal(signal.SIGTERM)
    assert witness.wait(10) == 0
    held = [(line["how"], line["epoch"], line["holder"]) for line in told(out, "lease")]
    assert held == [
        ("taken", 1, "node1 7 1 2 3"), ("renewed", 1, "node1 7 1 2 3"), ("released", 1, None),
        ("taken", 2, "node2 8 1 2 3"),
    ]  # fmt: skip
    assert [(line["guarded"], line["epochs"], line["into"]) for line in told(out, "wrote")] == [
        (True, [1], ["Data", "Updates"]), (False, [1], ["Data", "Updates"]), (False, [], ["Categories"]),
    ]  # fmt: skip
    assert [line["e"] for line in lines(out)][0 :: len(lines(out)) - 1] == ["start", "finish"]
    order = [line["at"] for line in lines(out) if "at" in line]
    assert order == sorted(order)
    assert all(before - 0.01 <= line["t"] <= time.time() for line in lines(out)[1:])
    assert "words of a user" not in out.read_text()
    problems: list[str] = []
    read = read_lines(out, LEASE_EVENTS, problems)
    assert read is not None and problems == []
    assert (len(of(read, Held)), len(of(read, Wrote))) == (4, 3)


def test_a_new_segment_begins_with_the_lease_as_it_stands(
    mongo: ReplicaSet, witness: subprocess.Popen[bytes], out: Path
) -> None:
    with mongo.client() as client:
        take(client, "node1 7 1 2 3", 1)
        until(lambda: len(told(out, "lease")) == 1, "the take is told")
        witness.send_signal(signal.SIGHUP)
        ended = out.with_name("lease-0001.jsonl")
        until(lambda: ended.exists() and bool(told(out, "lease")), "the next segment begins")
        assert lines(ended)[-1]["e"] == "finish"
        first = told(out, "lease")[0]
        assert (first["how"], first["epoch"], first["holder"]) == ("read", 1, "node1 7 1 2 3")
        write(client, 9, 1)
        until(lambda: len(told(out, "wrote")) == 1, "the write is told in the next segment")
    assert told(ended, "wrote") == []


def test_what_was_written_while_it_was_blind_is_read_after(
    mongo: ReplicaSet, witness: subprocess.Popen[bytes], out: Path
) -> None:
    with mongo.client() as client:
        take(client, "node1 7 1 2 3", 1)
        until(lambda: len(told(out, "lease")) == 1, "the take is told")
    os.kill(witness.pid, signal.SIGSTOP)
    with mongo.client() as client:
        write(client, 1, 1)
    process = mongo.members[0].process
    assert process is not None
    process.kill()
    process.wait(30)
    os.kill(witness.pid, signal.SIGCONT)
    until(lambda: bool(told(out, "blind")), "the witness finds nobody to ask")
    mongo.start_member(0)
    until(lambda: bool(told(out, "hole")) and bool(told(out, "wrote")), "the write is told, and the hole", within=60)
    hole = told(out, "hole")[0]
    assert hole["resumed"] is True
    assert hole["t"] < hole["until"]
    assert told(out, "wrote")[0]["epochs"] == [1]
    problems: list[str] = []
    read = read_lines(out, LEASE_EVENTS, problems)
    assert read is not None and problems == [] and len(of(read, Hole)) == 1


def test_a_segment_that_ends_while_it_is_blind_says_so(
    mongo: ReplicaSet, witness: subprocess.Popen[bytes], out: Path
) -> None:
    process = mongo.members[0].process
    assert process is not None
    process.kill()
    process.wait(30)
    until(lambda: bool(told(out, "blind")), "the witness finds nobody to ask")
    witness.send_signal(signal.SIGTERM)
    assert witness.wait(30) == 0
    assert [(line["e"], line.get("resumed")) for line in lines(out)][-2:] == [("hole", False), ("finish", None)]
