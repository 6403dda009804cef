"""Lives of the bot killed by a seeded schedule, and the judge of what became of the users' updates.

The judge believes two witnesses only: MongoDB's own change stream (what was committed, in which order) and the journal
of the Telegram lab server (who asked what, and what reached whom). It is asked after every death.
"""

import json
import marshal
import random
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from pymongo.database import Database

from tests.unit.kappa_bot.bot_lab import BotLab, Json
from tests.unit.kappa_bot.steps import life_of

WITH_WORDS = ("sendMessage", "editMessageText")
NOT_MODIFIED = "message is not modified"


class Lives:
    """The process that bots are forked from."""

    def __init__(self, lab: BotLab) -> None:
        self._lab = lab
        self.hits_file = lab.directory / "hits"
        self.log = lab.directory / "lives.log"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.kappa_bot.lives", str(self.hits_file)],
            cwd=lab.root,
            env=lab.env(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> "Lives":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate(timeout=30)

    def _ask(self, *request: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        marshal.dump(request, self._process.stdin)
        self._process.stdin.flush()
        return marshal.load(self._process.stdout)

    def start(self, life: int, config: Path, step: str = "", nth: int = 1, signal: int = 9) -> int:
        """The pid of a new bot."""
        return int(self._ask("start", life, ["run", "--config", str(config)], str(self.log), step, nth, int(signal)))

    def wait(self, pid: int, limit_s: float) -> int | None:
        """How it ended, as subprocess has it; None if it is still there."""
        code = self._ask("wait", pid, limit_s)
        return None if code is None else int(code)

    def hits(self) -> list[tuple[int, str]]:
        """(life, step) of every bot that stopped itself at a step."""
        if not self.hits_file.exists():
            return []
        lines = (line.split(" ", 1) for line in self.hits_file.read_text().splitlines())
        return [(int(life), step) for life, step in lines]


@dataclass(frozen=True)
class Death:
    """What becomes of one life: killed at the `nth` passing of `step`, or, without a step, from outside after so many
    seconds."""

    step: str
    nth: int
    after_s: float


def schedule(seed: int, steps: tuple[str, ...], each: int, outside: int) -> list[Death]:
    """Every step `each` times and `outside` kills from outside, in an order that the seed decides."""
    dice = random.Random(seed)
    deaths = [
        # While there is traffic only a life's first poll confirms nothing.
        Death(step, 1 if step.startswith("poll") else dice.choice((1, 1, 2, 3)), 0.0)
        for step in steps
        for _ in range(each)
    ]
    deaths += [Death("", 0, dice.uniform(0.0, 0.3)) for _ in range(outside)]
    dice.shuffle(deaths)
    return deaths


@dataclass
class _Chat:
    """The replies of one chat: as they were put into the outbox, and how those that arrived can be matched to them."""

    outbox: list[tuple[str, str, int | None]] = field(default_factory=list)
    """(reply, method, checksum of its words; None where the journal has none)."""
    last: tuple[int, int] = (0, -1)
    """(update, number) of the last one put there."""
    read: set[int] = field(default_factory=lambda: {0})
    """How far the arrivals seen reach into the outbox; more than one where neighbours look alike."""
    life: int | None = None
    repeats: int = 0


class Judge:
    """Reads on in both witnesses whenever it is asked, and raises AssertionError at the first thing that is wrong."""

    def __init__(self, lab: BotLab, db: "Database[Json]") -> None:
        # What a user wrote, and how an update looked before: neither is judged, both are long.
        self._stream = db.watch([{"$project": {"fullDocument.update": 0, "updateDescription": 0}}], max_await_time_ms=1)
        self._journal = lab.journal_file.open()
        self._half = ""
        self._begun: dict[int, Json] = {}
        self._chats: dict[int, _Chat] = {}
        self._place: dict[str, tuple[_Chat, int]] = {}
        self._removed: list[str] = []
        self.stored: Counter[int] = Counter()
        self.places: Counter[int] = Counter()
        self.confirmed: set[int] = set()
        self.sent: set[int] = set()
        self.writes: Counter[bytes] = Counter()
        """By session: what was committed in its transactions."""
        self._silenced: set[int | bytes] = set()
        self.replies = 0

    @property
    def repeats(self) -> int:
        return sum(chat.repeats for chat in self._chats.values())

    def close(self) -> None:
        self._stream.close()
        self._journal.close()

    def silence(self, life: int, session: bytes) -> None:
        """From now on that life and its session are to do nothing any more."""
        self.look()
        self._silenced |= {life, session}

    def look(self) -> None:
        """Everything that has happened so far: nothing lost, nothing twice, nothing out of order."""
        # The journal first: what it shows must have been committed before.
        lines, removed = list(self._lines()), self._removed
        self._removed = []
        self._read_database()
        for line in lines:
            self._judge(line)
        # What had been removed when it was looked at last is in the journal by now.
        unsent = [name for name in removed if self._place[name][1] > max(self._place[name][0].read)]
        assert not unsent, f"replies removed from the outbox but never sent: {unsent}"
        lost = self.confirmed - set(self.stored)
        assert not lost, f"confirmed to Telegram but never stored: {sorted(lost)}"

    def the_end(self) -> None:
        """Once nothing is under way any more: nothing is missing either."""
        self.look()
        self.look()
        assert set(self.stored) == self.sent, f"never stored: {self.sent - set(self.stored)}"
        for number, chat in self._chats.items():
            assert len(chat.outbox) in chat.read, (
                f"chat {number}: replies never sent: {chat.outbox[max(chat.read, default=0) :]}"
            )

    def _lines(self) -> Iterator[Json]:
        *whole, self._half = (self._half + self._journal.read()).split("\n")
        for line in whole:
            yield json.loads(line)

    def _read_database(self) -> None:
        while (event := self._stream.try_next()) is not None:
            if "lsid" in event:
                session = bytes(event["lsid"]["id"])
                assert session not in self._silenced, f"it wrote after another had taken over: {event['ns']}"
                self.writes[session] += 1
            collection = event["ns"]["coll"]
            if event["operationType"] == "delete" and collection == "Replies":
                self._removed.append(event["documentKey"]["_id"])
            if event["operationType"] != "insert":
                continue
            document = event["fullDocument"]
            if collection == "Updates":
                self.stored[document["_id"]] += 1
                assert self.stored[document["_id"]] == 1, f"update {document['_id']} stored twice"
            elif collection == "Data":
                self.places[document["updateId"]] += 1
                assert self.places[document["updateId"]] == 1, f"update {document['updateId']}: its place stored twice"
            elif collection == "Replies":
                self._outbox(document)

    def _outbox(self, document: Json) -> None:
        chat = self._chats.setdefault(document["chat"], _Chat())
        number = (document["updateId"], document["n"])
        assert number > chat.last, f"chat {document['chat']}: reply {number} put into the outbox after {chat.last}"
        words = zlib.crc32(document["text"].encode()) if document["method"] in WITH_WORDS else None
        chat.outbox.append((document["_id"], document["method"], words))
        chat.last = number
        self._place[document["_id"]] = (chat, len(chat.outbox))

    def _judge(self, line: Json) -> None:
        event = line["e"]
        if event == "update":
            self.sent.add(line["update_id"])
        elif event == "confirm":
            self.confirmed.update(line["update_ids"])
        elif event == "begin":
            life = life_of(line["node"])
            assert life is not None, f"a request from elsewhere: {line}"
            assert life not in self._silenced, f"it asked Telegram after another had taken over: {line['method']}"
            self._begun[line["id"]] = line
        elif event == "reply":
            self._arrived(line, line["method"], line["text"])
        elif event == "end":
            begun = self._begun.pop(line["id"])
            if line["status"] == 400 and NOT_MODIFIED in line["error"]:
                self._arrived({**line, "chat_id": begun["chat_id"]}, line["method"], None)

    def _arrived(self, line: Json, method: str, text: int | None) -> None:
        """A reply reached its chat: the next of the outbox, or, as a life's first there, once more the one before."""
        self.replies += 1
        life = life_of(line["node"])
        chat = self._chats.setdefault(line["chat_id"], _Chat())
        first, chat.life = life != chat.life, life

        def fits(at: int) -> bool:
            if not 0 <= at < len(chat.outbox):
                return False
            _, wanted, words = chat.outbox[at]
            return wanted == method and (None in (words, text) or words == text)

        on = {at + 1 for at in chat.read if fits(at)}
        again = {at for at in chat.read if first and fits(at - 1)}
        seen = f"life {life}, chat {line['chat_id']}, {method}"
        assert on or again, (
            f"{seen}: neither the next reply nor, once after a kill, the one before: "
            f"{chat.outbox[max(0, min(chat.read) - 1) :][:4]}"
        )
        chat.repeats += not on
        chat.read = on | again


@contextmanager
def judged(lab: BotLab) -> Iterator[tuple[Lives, Judge]]:
    """Where bots are forked from, and the judge of what they do."""
    with lab.db() as db, Lives(lab) as lives:
        judge = Judge(lab, db)
        try:
            yield lives, judge
        finally:
            judge.close()
