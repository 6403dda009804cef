"""One repetition: users talk, one fault comes, everything is whole again; what that cost them."""

import itertools
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kappa_lab import lab
from kappa_lab.errors import LabError
from kappa_lab.judge import evidence, updates
from kappa_lab.judge.history import Update
from kappa_lab.mongodb import records
from kappa_lab.mongodb.initiate import password
from kappa_lab.paths import STATE
from kappa_lab.topology import NODES, Node, node
from tests.bench.failover import faults, outage, prober
from tests.bench.failover.configurations import Compared
from tests.bench.failover.journal import Slice
from tests.bench.failover.results import BY_HTTP, Sample

USERS: Final = 12
RATE_PER_S: Final = 12.0
NEWCOMERS_EVERY_S: Final = 0.5
"""So often somebody who was never there before says /start: whoever is half-way when a bot forgets them never speaks
again, and then it would be nobody's answer that ends the measuring."""
FIRST_NEWCOMER: Final = 800_000_000
ANSWERED_BEFORE: Final = 10
LEAST_S: Final = 0.4
"""A shorter stretch without an answer is no outage: about fourteen answers a second are expected."""
BOUND_S: Final = 90.0
DRAIN_S: Final = 7.0
"""So long may the dialogues that are open at the end take to come to theirs."""
SETTLE_S: Final = 1.0
"""And so long an answer to an update that nobody goes on from."""


class Newcomers:
    """A thread that lets one new person after the other say /start, while its `with` block lasts."""

    _numbers = itertools.count(FIRST_NEWCOMER)

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._come, name="newcomers", daemon=True)

    def __enter__(self) -> "Newcomers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _come(self) -> None:
        for number in self._numbers:
            if self._stop.wait(NEWCOMERS_EVERY_S):
                return
            try:
                lab.telegram("POST", f"/people/{number}", {"text": "/start", "language": "es"})
            except LabError:
                continue  # the measuring itself will say what is wrong with the lab server


def measure(compared: Compared, fault: str, phase_s: float, seed: int, http: prober.Prober) -> Sample:
    """Do it once, `phase_s` after everything was whole; return what it cost. Raises LabError."""
    whole = time.monotonic()
    journal = Slice()
    lab.telegram(
        "POST", "/traffic",
        {"users": USERS, "rate_per_s": RATE_PER_S, "seed": seed, "languages": ["es", "en"], "searches": 0, "adds": 0},
    )  # fmt: skip
    with Newcomers() as newcomers:
        _until("users talk to the bot", lambda: len(journal.answered()) >= ANSWERED_BEFORE, every_s=0.1)
        time.sleep(max(0.0, whole + phase_s - time.monotonic()))  # the moment of the fault is part of the measuring
        struck = _active(compared)
        t = time.time()
        faults.INJECT[fault](struck, compared)

        def over() -> float | None:
            return _over(fault, struck, t, journal, http)

        _until(f"a recovery from {fault}", lambda: over() is not None)
        # newcomers go on: whether it serves is seen until all is whole
        lab.telegram("POST", "/traffic/stop", {"timeout_s": DRAIN_S})
        faults.tidy_up(fault, _another(struck))
        lab.ready(BOUND_S, compared.lab)
        again = over()
        newcomers.stop()
    assert again is not None
    _until("the users come to their end", lambda: not lab.telegram("GET", "/traffic")["running"], every_s=0.1)
    settled = time.monotonic() + SETTLE_S
    _until("the last answers", lambda: not journal.unanswered() or time.monotonic() > settled, every_s=0.1)
    return {"rto_s": round(again - t, 3), **judged(journal)}


def _over(fault: str, struck: Node, t: float, journal: Slice, http: prober.Prober) -> float | None:
    """When the outage ended (epoch seconds), or None while it has not begun or not ended."""
    if fault in BY_HTTP:
        return outage.ended(http.served(t), t, prober.LEAST_S)
    if fault in faults.MOVES:
        return min((answer for answer in journal.answered(besides=struck.name) if answer > t), default=None)
    return outage.ended(journal.answered(), t, LEAST_S)


def judged(journal: Slice) -> dict[str, int]:
    """What was lost and what was stored twice, by the judge of the drills."""
    held = records.read(lab.REPLICA_SET, "kappa_judge", password(STATE / "secrets" / "mongodb-judge.password"))
    first = journal.first_update()
    # places of earlier repetitions are theirs
    held["places"] = [place for place in held["places"] if first is not None and (place["updateId"] or 0) >= first]
    with tempfile.TemporaryDirectory(prefix="kappa-bench-") as name:
        folder = Path(name)
        (folder / "telegram.jsonl").write_text("".join(f"{line}\n" for line in journal.lines))
        (folder / "records.json").write_text(json.dumps(held))
        seen = evidence.read(folder)
    return {
        "updates_sent": len(evidence.of(seen.telegram, Update)),
        "updates_lost": updates.lost(seen),
        "records_duplicated": len(updates.duplicates(seen)),
    }


def _active(compared: Compared) -> Node:
    return node(lab.ready(BOUND_S, compared.lab).where("bot") or "")


def _another(than: Node) -> Node:
    return next(one for one in NODES if one is not than)


def _until(what: str, holds: Callable[[], bool], every_s: float = 0.05) -> None:
    end = time.monotonic() + BOUND_S
    while not holds():
        if time.monotonic() > end:
            raise LabError(f"After {BOUND_S:.0f} s, still not: {what}.")
        time.sleep(every_s)
