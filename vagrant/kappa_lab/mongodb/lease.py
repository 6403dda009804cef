"""`python -m kappa_lab.mongodb.lease`: follow who holds the writer's lease and which epoch writes, for a drill's judge.

It asks MongoDB alone: a change stream of the bot's database, which is the order in which a majority took what was
written. One JSON object a line:

- `start`, `finish`: the stream was open and the file begun; the file was ended in good order, with nothing unread
- `lease`: the lease as it stands from then on: `epoch`, `holder`, `expires`, and `how`: `read` (as the file begins),
  `taken`, `renewed` or `released`
- `wrote`: one transaction: the `epochs` that its documents carry, whether it was `guarded` by raising the lease's
  counter, and the collections it went `into`
- `blind`: from now on MongoDB cannot be asked
- `hole`: from `t` `until` then MongoDB could not be asked; `resumed` when all that was written meanwhile was read after

`t` is the writing member's clock, epoch seconds; `at` is MongoDB's own time, in its order. SIGHUP ends the file in good
order, sets it aside under a number, and begins the next.
"""

import argparse
import datetime
import json
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final, TextIO

from bson import Timestamp
from pymongo import MongoClient
from pymongo.change_stream import ChangeStream
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from kappa_lab.errors import LabError
from kappa_lab.mongodb.initiate import DATABASE, password
from kappa_lab.segments import aside

POLLER: Final = "poller"
AWAIT_MS: Final = 200
RETRY_S: Final = 0.2
HISTORY_LOST: Final = 286

Document = dict[str, Any]

# No words of users: only what tells who wrote, where and when.
SEEN: Final[list[Document]] = [
    {
        "$project": {
            "operationType": 1,
            "clusterTime": 1,
            "wallTime": 1,
            "ns": 1,
            "lsid": 1,
            "txnNumber": 1,
            **{f"fullDocument.{key}": 1 for key in ("epoch", "holder", "expires")},
            **{f"updateDescription.updatedFields.{key}": 1 for key in ("epoch", "doneEpoch", "holder", "expires")},
            "updateDescription.updatedFields.writes": 1,
        }
    }
]


@dataclass
class Transaction:
    """What was written together: all that has the same time, session and number."""

    key: object
    t: float
    at: list[int]
    guarded: bool = False
    epochs: set[int] = field(default_factory=set)
    into: set[str] = field(default_factory=set)


class Witness:
    """The file, and what has to be known to write it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._lease: Document = {}
        self._at = [0, 0]
        self._open: Transaction | None = None

    @property
    def begun(self) -> bool:
        return self._file is not None

    def note(self, event: str, t: float, **fields: object) -> None:
        assert self._file is not None
        self._file.write(json.dumps({"e": event, "t": round(t, 6), **fields}) + "\n")
        self._file.flush()

    def begin(self, lease: Mapping[str, Any] | None = None) -> None:
        """Begin a file; `lease` is the document as it is, where that is not known from before."""
        self._file = self._path.open("a")
        now = time.time()
        self.note("start", now)
        if lease is not None:
            self._lease = dict(lease)
        if self._lease:
            self._held(now, "read")

    def end(self, t: float) -> None:
        if self._file is not None:
            self.settle()
            self.note("finish", t)
            self._file.close()
            self._file = None

    def turn(self, t: float) -> None:
        """End the file, and begin the next."""
        ended = aside(self._path)
        self.end(t)
        self._path.rename(ended)
        self.begin()

    def take(self, change: Mapping[str, Any]) -> None:
        """One change, in MongoDB's order."""
        kind = change["operationType"]
        if kind not in ("insert", "update", "replace", "delete"):
            return
        stamp = change["clusterTime"]
        t = wall(change)
        key = (stamp, str(change.get("lsid")), change.get("txnNumber"))
        if self._open is None or self._open.key != key:
            self.settle()
            self._open = Transaction(key, t, at(stamp))
        self._at = at(stamp)
        document = change.get("fullDocument") or {}
        changed = (change.get("updateDescription") or {}).get("updatedFields") or {}
        if change["ns"]["coll"] == "Lease":
            self._of_the_lease(t, {**document, **changed})
            return
        self._open.into.add(change["ns"]["coll"])
        self._open.epochs.update(
            int(value) for value in (document.get("epoch"), changed.get("doneEpoch")) if value is not None
        )

    def _of_the_lease(self, t: float, new: Document) -> None:
        assert self._open is not None
        if "writes" in new and "epoch" not in new:
            self._open.guarded = True
        before = dict(self._lease)
        self._lease.update({key: new[key] for key in ("epoch", "holder", "expires") if key in new})
        if "epoch" in new and new["epoch"] != before.get("epoch"):
            self._held(t, "taken" if self._lease.get("holder") else "read")
        elif "holder" in new:
            self._held(t, "taken" if self._lease.get("holder") else "released")
        elif "expires" in new:
            self._held(t, "renewed")

    def _held(self, t: float, how: str) -> None:
        lease = self._lease
        self.note(
            "lease", t, at=self._at, epoch=lease.get("epoch"), holder=lease.get("holder"), how=how,
            expires=seconds(lease.get("expires")),
        )  # fmt: skip

    def settle(self) -> None:
        """The transaction that is open is whole: write it."""
        done, self._open = self._open, None
        if done and (done.into or done.guarded):
            self.note(
                "wrote", done.t, at=done.at, guarded=done.guarded, epochs=sorted(done.epochs), into=sorted(done.into)
            )  # fmt: skip


def at(stamp: Timestamp) -> list[int]:
    return [int(stamp.time), int(stamp.inc)]


def wall(change: Mapping[str, Any]) -> float:
    """When it was written, to the millisecond where the server says so."""
    return seconds(change.get("wallTime")) or float(change["clusterTime"].time)


def seconds(value: object) -> float | None:
    if not isinstance(value, datetime.datetime):
        return None
    return (value if value.tzinfo else value.replace(tzinfo=datetime.UTC)).timestamp()


@dataclass
class Asked:
    """What signals asked for."""

    end: bool = False
    turn: bool = False
    since: float = 0.0

    def on(self, number: int, _frame: FrameType | None = None) -> None:
        if number == signal.SIGHUP:
            self.turn = True
        else:
            self.end = True
        self.since = time.time()


class Follower:
    """Keeps a change stream open, whatever becomes of the members, and feeds the witness."""

    def __init__(self, client: MongoClient[Document], witness: Witness, asked: Asked) -> None:
        majority = ReadConcern("majority")
        self._database = client.get_database(
            DATABASE, read_concern=majority, read_preference=ReadPreference.PRIMARY_PREFERRED
        )
        self._witness, self._asked = witness, asked
        self._token: Mapping[str, Any] | None = None
        self._blind: float | None = None

    def run(self) -> None:
        """Until it is asked to end."""
        while not self._asked.end:
            try:
                self._follow()
            except PyMongoError as error:
                self._lost(error)
                if self._asked.turn:
                    self._unread()
                time.sleep(RETRY_S)
        self._unread()
        self._witness.end(self._asked.since)

    def _follow(self) -> None:
        with self._database.watch(SEEN, max_await_time_ms=AWAIT_MS, resume_after=self._token) as stream:
            if not self._witness.begun:
                # read after the stream was opened: what changed in between is told by the stream, once more at worst
                self._witness.begin(self._database["Lease"].find_one({"_id": POLLER}) or {})
            while self._asked_or_alive(stream):
                self._seen()

    def _asked_or_alive(self, stream: ChangeStream[Document]) -> bool:
        """Take what there is; when nothing is, do what was asked for. False when it is to end."""
        due = self._asked.turn or self._asked.end
        change = stream.try_next()
        self._token = stream.resume_token
        if change is not None:
            self._witness.take(change)
            return True
        self._witness.settle()
        if due and self._asked.end:
            return False
        if due:
            self._asked.turn = False
            self._witness.turn(self._asked.since)
        return True

    def _seen(self) -> None:
        if self._blind is not None:
            self._witness.note("hole", self._blind, until=time.time(), resumed=True)
            self._blind = None

    def _lost(self, error: PyMongoError) -> None:
        if not self._witness.begun:
            return  # nothing was promised yet
        if self._blind is None:
            self._blind = time.time()
            self._witness.note("blind", self._blind)
        if isinstance(error, OperationFailure) and error.code == HISTORY_LOST:
            self._witness.note("hole", self._blind, until=time.time(), resumed=False)
            self._blind = self._token = None

    def _unread(self) -> None:
        """The file is to end; where MongoDB cannot be asked, what was written last is not in it."""
        if self._blind is None:
            return
        self._witness.note("hole", self._blind, until=time.time(), resumed=False)
        self._blind = time.time()
        if self._asked.turn and not self._asked.end:
            self._asked.turn = False
            self._witness.turn(time.time())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m kappa_lab.mongodb.lease", description="Follow the writer's lease, for a drill's judge."
    )
    parser.add_argument("--uri", required=True, help="without a password")
    parser.add_argument("--user", default="kappa_judge")
    parser.add_argument("--password-file", required=True, type=Path)
    parser.add_argument("--auth-database", default=DATABASE)
    parser.add_argument("--out", required=True, type=Path, help="the JSON lines file to write")
    given = parser.parse_args(arguments)
    try:
        secret = password(given.password_file)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    asked = Asked()
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked.on)
    client: MongoClient[Document] = MongoClient(
        given.uri, username=given.user, password=secret, authSource=given.auth_database, appname="kappa-lab lease",
        serverSelectionTimeoutMS=1000, connectTimeoutMS=1000, socketTimeoutMS=3000, heartbeatFrequencyMS=1000,
    )  # fmt: skip
    with client:
        Follower(client, Witness(given.out), asked).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
