"""What the bot achieves, beside a stock python-telegram-bot application; not a test, and nothing asserts its figures.

    make bench      or      build/venv/bin/python -m tests.bench.bot [--quick]

One run, one machine, one mongod, one Telegram lab server; ours and the peer (peer_bot.py) in turn, each a process of
its own, freshly started. Ours stores every update durably before it acknowledges it and every reply before it sends
it; the peer inserts each update and answers. What is compared with is the library as it comes, which handles one
update after the other; that it could handle them side by side, without an order, is measured too.

Times are the lab server's, by its journal: from the first getUpdates to the last reply. Figures are medians, the
spread is the middle half.
"""

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.mongod import ReplicaSet, find_mongod
from tests.unit.kappa_bot.bot_lab import BotLab, Json, bot_lab, prepared, until

ROOT = Path(__file__).resolve().parents[2]

RATIO = 0.9
PROMOTE_MS = 150.0
STANDBY_RSS_MB = 90.0

CHATS = 400
"""So many people wrote what is waiting; each a share of it."""
RATE_PER_S = 40.0
"""Of updates, where it is measured how long one waits for its answer. Telegram takes about 30 messages a second."""
BUSY_LOAD = 0.5
"""With a load average above it at the start, somebody else was using the machine."""


@dataclass(frozen=True)
class Size:
    rounds: int
    updates: int
    paced: int
    promotes: int
    standbys: int
    drain: int
    drains: int


FULL = Size(rounds=5, updates=1000, paced=100, promotes=25, standbys=3, drain=10_000, drains=3)
QUICK = Size(rounds=1, updates=200, paced=20, promotes=3, standbys=1, drain=400, drains=1)


@dataclass(frozen=True)
class Round:
    """One backlog worked off. CPU seconds by process: bot, telegram, mongod."""

    updates: int
    seconds: float
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        return self.updates / self.seconds


@dataclass
class Measured:
    load: float
    ours: list[Round] = field(default_factory=list)
    peer: list[Round] = field(default_factory=list)
    concurrent: list[Round] = field(default_factory=list)
    """The peer with `concurrent_updates(True)`."""
    answers_ms: dict[str, list[float]] = field(default_factory=lambda: {"ours": [], "peer": []})
    promotes_ms: list[float] = field(default_factory=list)
    standby_rss_mb: list[float] = field(default_factory=list)
    drains: list[Round] = field(default_factory=list)


class Journal:
    """The lab server's journal, read on."""

    def __init__(self, lab: BotLab) -> None:
        self._file = lab.journal_file.open()
        self._half = ""
        self.lines: list[Json] = []

    def read(self) -> list[Json]:
        """Everything since `forget`."""
        *whole, self._half = (self._half + self._file.read()).split("\n")
        self.lines += (json.loads(line) for line in whole)
        return self.lines

    def forget(self) -> None:
        self.read()
        self.lines = []

    def events(self, event: str) -> list[Json]:
        return [line for line in self.read() if line["e"] == event]


class Bench:
    def __init__(self, lab: BotLab, size: Size, say: Callable[[str], None]) -> None:
        self._lab = lab
        self._size = size
        self._say = say
        self._journal = Journal(lab)
        self.measured = Measured(os.getloadavg()[0])

    def run(self) -> Measured:
        size, found = self._size, self.measured
        for number in range(1, size.rounds + 1):
            self._say(f"throughput, round {number} of {size.rounds}")
            found.ours.append(self._backlog(self._ours, size.updates, "Updates"))
            found.peer.append(self._backlog(self._peer, size.updates, "Peer"))
            found.concurrent.append(self._backlog(lambda: self._peer("concurrent"), size.updates, "Peer"))
        for number in range(1, size.rounds + 1):
            self._say(f"answer time, round {number} of {size.rounds}")
            found.answers_ms["ours"] += self._paced(self._ours, size.paced)
            found.answers_ms["peer"] += self._paced(self._peer, size.paced)
        self._say(f"{size.promotes} promotions")
        found.promotes_ms = self._promotions(size.promotes)
        self._say("memory of a standby")
        found.standby_rss_mb = [self._standby() for _ in range(size.standbys)]
        for number in range(1, size.drains + 1):
            self._say(f"a backlog of {size.drain} updates, {number} of {size.drains}")
            found.drains.append(self._backlog(self._ours, size.drain, "Updates"))
        return found

    # The two

    @contextmanager
    def _ours(self) -> Iterator[int]:
        bot = self._lab.start_bot()
        try:
            yield bot.process.pid
        finally:
            bot.signal(signal.SIGTERM)
            bot.wait()

    @contextmanager
    def _peer(self, *how: str) -> Iterator[int]:
        lab = self._lab
        words = [lab.directory / "token", lab.base_url, lab.mongo.uri, lab.directory / "admin", lab.database, *how]
        log = (lab.directory / "peer.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.peer_bot", *map(str, words)], cwd=ROOT, env=lab.env(), stderr=log
        )
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)

    # What is measured

    def _backlog(self, start: Callable[[], Any], updates: int, collection: str) -> Round:
        """From the first getUpdates to the last reply, of updates that were all there before."""
        self._empty()
        self._write(updates)
        self._journal.forget()
        with start() as pid:
            before = self._cpu(pid)
            until(lambda: len(self._replies()) >= updates, f"{updates} replies", 600, every=0.1)
            after = self._cpu(pid)
            self._stored(collection, updates)
        began = next(line["t"] for line in self._journal.events("begin") if line["method"] == "getUpdates")
        ended = self._replies()[updates - 1]["t"]
        return Round(updates, ended - began, {name: round(after[name] - before[name], 3) for name in before})

    def _replies(self) -> list[Json]:
        return self._journal.events("reply")

    def _stored(self, collection: str, updates: int) -> None:
        with self._lab.db() as db:
            until(lambda: db[collection].count_documents({}) == updates, f"{updates} updates are stored")
            until(lambda: db.Updates.count_documents({"pending": True}) == 0, "none is pending")
            until(lambda: db.Replies.count_documents({}) == 0, "none is to be sent")

    def _paced(self, start: Callable[[], Any], updates: int) -> list[float]:
        """Milliseconds from what a user did to its answer."""
        self._empty()
        self._journal.forget()
        with start():
            # The poll that waits may still be that of the one before.
            until(lambda: any(line["method"] == "getUpdates" for line in self._journal.events("begin")), "it polls")
            until(lambda: self._lab.lab("GET", "/updates")["poll_waiting"], "it waits for updates")
            self._journal.forget()
            began = time.monotonic()
            for number in range(updates):
                time.sleep(max(0.0, began + number / RATE_PER_S - time.monotonic()))
                self._lab.do(1_000_000 + number, text="/start")
            until(lambda: len(self._journal.events("answered")) >= updates, "all are answered", 60)
        wrote = {line["update_id"]: line["t"] for line in self._journal.events("update")}
        return [(line["t"] - wrote[line["update_id"]]) * 1000 for line in self._journal.events("answered")]

    def _promotions(self, count: int) -> list[float]:
        """Milliseconds from the order to the first getUpdates, of a bot that has something stored already."""
        self._backlog(self._ours, 100, "Updates")
        found = []
        bot = self._lab.start_bot(standby=True)
        bot.until_role("standby")
        for _ in range(count):
            self._journal.forget()
            ordered = time.time()
            bot.order("promote")
            bot.until_role("active")
            polls = (line["t"] for line in self._journal.events("begin") if line["method"] == "getUpdates")
            found.append((next(polls) - ordered) * 1000)
            bot.order("demote")
            bot.until_role("standby")
        bot.signal(signal.SIGTERM)
        bot.wait()
        return found

    def _standby(self) -> float:
        """MiB of a standby that has settled: twice the same within a second."""
        bot = self._lab.start_bot(standby=True)
        bot.until_role("standby")
        seen = 0

        def settled() -> bool:
            nonlocal seen
            before, seen = seen, _resident(bot.process.pid)
            return before == seen

        until(settled, "its memory has settled", 60, every=1.1)
        bot.signal(signal.SIGTERM)
        bot.wait()
        return float(seen) / 2**20

    def _write(self, updates: int) -> None:
        """So many /start of so many people, one after the other, on one connection."""
        host = self._lab.control_url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=30)
        body = json.dumps({"text": "/start", "language": "en"})
        for number in range(updates):
            connection.request("POST", f"/people/{2_000_000 + number % CHATS}", body)
            assert json.loads(connection.getresponse().read())["ok"]
        connection.close()

    def _empty(self) -> None:
        self._lab.empty()
        with self._lab.db() as db:
            db.Peer.delete_many({})

    def _cpu(self, bot: int) -> dict[str, float]:
        assert self._lab._telegram is not None
        mongod = self._lab.mongo.members[0].process
        assert mongod is not None
        pids = {"bot": bot, "telegram": self._lab._telegram.pid, "mongod": mongod.pid}
        return {name: _cpu_s(pid) for name, pid in pids.items()}


def _resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def findings(measured: Measured) -> dict[str, Any]:
    sides = (measured.ours, measured.peer, measured.concurrent)
    ours, peer, concurrent = ([one.rate for one in rounds] for rounds in sides)
    ratio = statistics.median(ours) / statistics.median(peer)
    found: dict[str, Any] = {
        "updates_per_s": round(statistics.median(ours), 1),
        "updates_per_s_spread": spread(ours),
        "updates_per_s_peer": round(statistics.median(peer), 1),
        "updates_per_s_peer_spread": spread(peer),
        "ratio": round(ratio, 3),
        "ratio_spread": spread([one / other for one, other in zip(ours, peer, strict=True)], 3),
        "updates_per_s_peer_concurrent": round(statistics.median(concurrent), 1),
        "updates_per_s_peer_concurrent_spread": spread(concurrent),
        "ratio_concurrent": round(statistics.median(ours) / statistics.median(concurrent), 3),
        "rounds": len(ours),
        "updates_a_round": measured.ours[0].updates,
        "promote_ms": round(statistics.median(measured.promotes_ms), 1),
        "promote_ms_spread": spread(measured.promotes_ms),
        "promotes": len(measured.promotes_ms),
        "standby_rss_mb": round(statistics.median(measured.standby_rss_mb), 1),
        "standby_rss_mb_spread": spread(measured.standby_rss_mb),
        "drain_10k_s": round(statistics.median(10_000 / one.rate for one in measured.drains), 2),
        "drain_10k_s_spread": spread([10_000 / one.rate for one in measured.drains], 2),
        "drain_updates": measured.drains[0].updates,
    }
    for name, answers in measured.answers_ms.items():
        of = "" if name == "ours" else "_peer"
        found[f"answer_p50_ms{of}"] = round(percentile(answers, 50), 1)
        found[f"answer_p99_ms{of}"] = round(percentile(answers, 99), 1)
    found["answers"] = len(measured.answers_ms["ours"])
    found["answers_at_per_s"] = RATE_PER_S
    # Of one core: the lab server at 1 would be what is measured.
    for name, rounds in zip(("cpu_share", "cpu_share_peer", "cpu_share_peer_concurrent"), sides, strict=True):
        found[name] = {
            who: round(statistics.median(one.cpu[who] / one.seconds for one in rounds), 2) for who in rounds[0].cpu
        }
    found["load_before"] = round(measured.load, 2)
    found["busy_machine"] = measured.load > BUSY_LOAD
    # Judged as they are printed, unrounded: a goal is not met by rounding.
    found["goals"] = [
        _goal("throughput, × peer", "at least", RATIO, ratio),
        _goal("promotion to first getUpdates, ms", "at most", PROMOTE_MS, statistics.median(measured.promotes_ms)),
        _goal("memory of a standby, MiB", "at most", STANDBY_RSS_MB, statistics.median(measured.standby_rss_mb)),
    ]
    return found


def _goal(name: str, how: str, limit: float, seen: float) -> dict[str, Any]:
    met = seen >= limit if how == "at least" else seen <= limit
    return {"goal": name, how.replace(" ", "_"): limit, "is": round(seen, 3), "met": met}


def spread(values: list[float], digits: int = 1) -> list[float]:
    """The middle half."""
    if len(values) < 2:
        return [round(values[0], digits)] * 2
    first, _, third = statistics.quantiles(values, n=4)
    return [round(first, digits), round(third, digits)]


def percentile(values: list[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


def table(found: dict[str, Any]) -> list[str]:
    def row(name: str, key: str, unit: str) -> str:
        low, high = found.get(f"{key}_spread") or (None, None)
        between = "" if low is None else f"{low:g}–{high:g}"
        return f"{name:44} {found[key]:>9g} {unit:10} {between}".rstrip()

    def shares(key: str) -> str:
        return ", ".join(f"{who} {share:.2f}" for who, share in found[key].items())

    lines = [
        f"{'':44} {'median':>9} {'':10} middle half",
        row("updates stored and answered, ours", "updates_per_s", "a second"),
        row("  stock python-telegram-bot, plain insert", "updates_per_s_peer", "a second"),
        row("  ratio", "ratio", ""),
        row("  the same with concurrent_updates(True)", "updates_per_s_peer_concurrent", "a second"),
        row("  ratio", "ratio_concurrent", ""),
        row(f"answer at {found['answers_at_per_s']:g} updates a second, ours, p50", "answer_p50_ms", "ms"),
        row("  p99", "answer_p99_ms", "ms"),
        row("  the peer, p50", "answer_p50_ms_peer", "ms"),
        row("  p99", "answer_p99_ms_peer", "ms"),
        row("promotion to first getUpdates", "promote_ms", "ms"),
        row("memory of a standby", "standby_rss_mb", "MiB"),
        row("a backlog of 10,000 updates", "drain_10k_s", "s"),
        "",
        f"cores used, ours: {shares('cpu_share')}; the peer: {shares('cpu_share_peer')}; "
        f"concurrent: {shares('cpu_share_peer_concurrent')}",
    ]
    if found["busy_machine"]:
        lines.append(f"The machine was busy with something else: load {found['load_before']:g} before the first round.")
    lines += ["", f"{'goal':44} {'':8} {'':>6} {'is':>8}"]
    for goal in found["goals"]:
        how = "at_least" if "at_least" in goal else "at_most"
        verdict = "met" if goal["met"] else "NOT MET"
        lines.append(f"{goal['goal']:44} {how.replace('_', ' '):8} {goal[how]:>6g} {goal['is']:>8g}  {verdict}")
    return lines


def measure(size: Size) -> dict[str, Any]:
    def say(what: str) -> None:
        print(f"bench: {what}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="kappa-bench-") as name:
        folder = Path(name)
        say("starting mongod and the Telegram lab server")
        for part in ("mongod", "prepare"):
            (folder / part).mkdir()
        load = os.getloadavg()[0]
        with ReplicaSet(folder / "mongod") as mongo:
            ready = prepared(mongo, folder / "prepare")
            with bot_lab(ready, folder / "lab") as lab:
                bench = Bench(lab, size, say)
                bench.measured.load = load
                return findings(bench.run())


def main(arguments: "list[str] | None" = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.bot", description="What the bot achieves, beside a stock one.")
    parser.add_argument("--quick", action="store_true", help="a little of everything: to see that it runs")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/bot.json", help="where the figures go")
    given = parser.parse_args(arguments)
    if find_mongod() is None:
        print("bench: no mongod is installed; `make deps` brings one, or name one in KAPPA_MONGOD.", file=sys.stderr)
        return 2
    found = measure(QUICK if given.quick else FULL)
    out = given.out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    print("\n".join(table(found)))
    print(f"\n{out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
