"""What the router stand-in adds to a command: the same commands through it and direct, in turns, on a real replica set.

    python -m tests.bench.router_overhead [--members 3] [--count 400]

Prints milliseconds. Both ways share one machine with the members, so only their difference says something.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymongo import MongoClient, WriteConcern

from tests.mongod import ADMIN_USER, ReplicaSet
from tests.unit.mongodb_lab.peers import StandIn

Document = dict[str, Any]


def timed(work: Callable[[], object], count: int) -> list[float]:
    """Milliseconds of each of `count` runs, after some that do not count."""
    for _ in range(20):
        work()
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def line(name: str, way: str, taken: list[float]) -> str:
    quantiles = statistics.quantiles(taken, n=100)
    return (
        f"{name:28} {way:8} median {statistics.median(taken):6.3f}  p95 {quantiles[94]:6.3f}  p99 {quantiles[98]:6.3f}"
    )


def transaction(client: MongoClient[Document]) -> None:
    with client.start_session() as session, session.start_transaction():
        client.bench.lease.update_one({"_id": 1}, {"$inc": {"seen": 1}}, session=session)
        client.bench.data.insert_one({}, session=session)
        client.bench.data.insert_one({}, session=session)


def main() -> int:
    parser = argparse.ArgumentParser(description="What the router stand-in adds to a command.")
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--count", type=int, default=400)
    given = parser.parse_args()
    login: dict[str, Any] = {"username": ADMIN_USER, "authSource": "admin", "w": "majority"}
    with tempfile.TemporaryDirectory() as folder, ReplicaSet(Path(folder), members=given.members) as mongo:
        login["password"] = mongo.password
        began = time.perf_counter()
        with StandIn(Path(folder), mongo.configdb, "--keyFile", str(mongo.keyfile)) as router:
            print(f"listens {time.perf_counter() - began:.3f} s after it was started")
            ways: dict[str, MongoClient[Document]] = {
                "direct": MongoClient(mongo.uri, **login),
                "through": MongoClient("127.0.0.1", router.port, **login),
            }
            ways["direct"].bench.lease.insert_one({"_id": 1})
            ways["direct"].bench.data.insert_one({"_id": 1})
            for name, work in (
                ("find by _id", lambda c: c.bench.lease.find_one({"_id": 1})),
                ("insert, majority", lambda c: c.bench.data.insert_one({})),
                ("insert, w=1", lambda c: c.bench.get_collection("data", write_concern=WriteConcern(1)).insert_one({})),
                ("transaction of three writes", transaction),
                ("1 MB read", lambda c: list(c.bench.large.find())),
            ):
                if name == "1 MB read":
                    ways["direct"].bench.large.insert_one({"b": b"x" * 1_000_000})
                taken: dict[str, list[float]] = {way: [] for way in ways}
                for _ in range(4):
                    for way, client in ways.items():
                        taken[way] += timed(lambda w=work, c=client: w(c), given.count // 4)  # type: ignore[misc]
                for way in ways:
                    print(line(name, way, taken[way]))
            used = Path(f"/proc/{router.process.pid}/status").read_text() if router.process else ""
            print(next((row for row in used.splitlines() if row.startswith("VmRSS")), ""))
            for client in ways.values():
                client.close()
    return 0


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())  # noqa: PTH109
    sys.exit(main())
