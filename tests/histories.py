"""Histories of drills as the lab leaves them, made without a lab: users, a bot on two nodes, and one power cut.

`build()` plays a drill through, event by event, with figures like those of real ones, and gives the same history for a
seed every time. A test then breaks it in one known way and writes it to a folder for the judge.
"""

import heapq
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Line = dict[str, Any]
T0 = 1_790_000_000.0
STEPS = ("language", "terms", "location", "category", "subcategory", "description")
NODES = {f"node{n}": {"lan": f"10.77.0.1{n}", "mac": f"02:42:0a:4d:00:{10 + n:02x}"} for n in (1, 2, 3)}
ENVIRONMENT: Line = {
    "nodes": 3,
    "pacemaker": "Pacemaker 2.1.5-4",
    "corosync": "Corosync Cluster Engine, version '3.1.7'",
    "nginx": "nginx version: nginx/1.22.1",
    "router": "mongos stand-in 0.1.0 (not MongoDB's)",
    "debian": "12.12",
    "kappa-ha": "0.1.0",
    "python-telegram-bot": "22.8",
    "pymongo": "4.20.0",
    "mongod": "db version v6.0.5",
    "token_ms": 500,
    "token_coefficient": 0,
    "consensus_ms": 800,
    "kernel": "6.1.0-30-amd64",
    "cores": 2,
}


@dataclass(frozen=True)
class Plan:
    """Seconds from the drill's start (`fault`, `traffic_s`) or from the fault (the rest)."""

    users: int = 24
    fault: float = 12.0
    traffic_s: float = 32.0
    done: float = 0.21
    lost: float = 1.312
    off: float = 2.381
    fenced: float = 2.402
    vip: float = 2.53
    poll: float = 2.91
    online: float = 9.64


@dataclass
class History:
    """The six files, still open to change. A value of None is a file that is missing."""

    drill: Line
    telegram: list[Line] = field(default_factory=list)
    wire: list[Line] = field(default_factory=list)
    power: list[Line] = field(default_factory=list)
    cluster: list[Line] = field(default_factory=list)
    records: Line = field(default_factory=dict)

    @property
    def fault(self) -> float:
        t: float = self.drill["fault"]["t"]
        return t

    def of(self, event: str, *, since: float = 0.0) -> list[Line]:
        """The journal's lines of one kind, from a moment on (epoch seconds)."""
        return [line for line in self.telegram if line["e"] == event and line["t"] >= since]

    def insert(self, lines: list[Line], line: Line) -> None:
        """Put a line where its time says."""
        at = next((n for n, other in enumerate(lines) if other["t"] > line["t"]), len(lines))
        lines.insert(at, line)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "drill.json").write_text(json.dumps(self.drill, indent=1) + "\n")
        (folder / "records.json").write_text(json.dumps(self.records) + "\n")
        for name in ("telegram", "wire", "power", "cluster"):
            lines = getattr(self, name)
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder


def build(seed: int = 1, plan: Plan | None = None) -> History:
    """A drill in which every invariant holds."""
    plan = plan or Plan()
    fault = T0 + plan.fault
    play = _Play(seed, plan)
    play.run()
    ended = play.journal[-1]["t"]
    return History(
        drill={
            "drill": "power-cut",
            "purpose": "The node that runs the bot loses its power; the users must notice a pause, and nothing else.",
            "seed": seed,
            "started": T0 - 9.0,
            "finished": ended + 2.5,
            "traffic": {"users": plan.users, "rate_per_s": 8.0},
            "fault": {"kind": "power-cut", "node": "node1", "t": fault, "done": fault + plan.done},
            "nodes": NODES,
            "vip": "10.77.0.100",
            "environment": ENVIRONMENT,
        },
        telegram=play.journal,
        wire=_wire(plan, ended + 1.0),
        power=_power(plan),
        cluster=_cluster(plan, ended),
        records={
            "places": play.places,
            "lease": {"epoch": 2, "holder": "node2"},
            "pending_updates": 0,
            "unsent_replies": 0,
        },
    )


class _Play:
    """Users, Telegram's queue and the two pollers, as a list of things to do at a time."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.plan, self.rng = plan, random.Random(seed)
        self.fault, self.takeover = T0 + plan.fault, T0 + plan.fault + plan.poll
        self.journal: list[Line] = []
        self.places: list[Line] = []
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._serial = 0
        self._request = 0
        self._update = 5000
        self._queue: list[Line] = []
        self._walks: dict[int, int] = {}
        self._done: set[int] = set()
        self._open = 0
        self._waiting: tuple[str, int, int] | None = None

    def at(self, t: float, do: Callable[[float], None]) -> None:
        self._serial += 1
        heapq.heappush(self._agenda, (t, self._serial, do))

    def note(self, t: float, event: str, **fields: Any) -> None:
        self.journal.append({"e": event, "t": round(t, 6), **fields})

    def run(self) -> None:
        self.note(T0 - 8.0, "start")
        self.at(T0 - 2.0, lambda t: self.poll(t, "node1", 5001))
        self.at(self.takeover, self.take_over)
        for user in range(1, self.plan.users + 1):
            self.at(T0 + self.rng.uniform(0.0, 3.0), lambda t, user=user: self.begin(t, user))  # type: ignore[misc]
        while self._agenda and not self.over():
            t, _, do = heapq.heappop(self._agenda)
            do(t)
        self.note(self.journal[-1]["t"] + 0.7, "finish")

    def over(self) -> bool:
        """No dialogue is open and none will be."""
        return self._open == 0 and self.journal[-1]["t"] > T0 + self.plan.traffic_s

    def alive(self, node: str, t: float) -> bool:
        return t < self.fault if node == "node1" else t >= self.takeover

    # -- users

    def begin(self, t: float, user: int) -> None:
        if t > T0 + self.plan.traffic_s:
            return
        self._walks[user] = self._walks.get(user, 0) + 1
        self._open += 1
        self.note(t, "dialogue", user=user, dialogue=self._walks[user], state="started", marker=self.marker(user))
        self.act(t, user, 0)

    def marker(self, user: int) -> str:
        return f"Bache {user}-{self._walks[user]} junto a la plaza"

    def act(self, t: float, user: int, step: int) -> None:
        self._update += 1
        update = {"update_id": self._update, "chat_id": 700_000_000 + user, "user": user, "step": STEPS[step]}
        self._queue.append(update)
        self.note(t, "update", **update, dialogue=self._walks[user])
        if self._waiting:
            node, request, _ = self._waiting
            if self.alive(node, t):
                self._waiting = None
                self.hand(t + 0.003, node, request)

    def answered(self, t: float, user: int, step: int) -> None:
        pause = self.rng.uniform(1.6, 3.9)
        if step + 1 < len(STEPS):
            self.at(t + pause, lambda t: self.act(t, user, step + 1))
        else:
            self.at(t + pause, lambda t: self.begin(t, user))

    # -- the bot, and what Telegram does for it

    def take_over(self, t: float) -> None:
        if self._waiting:
            _, request, _ = self._waiting
            self._waiting = None
            self.note(
                t,
                "end",
                id=request,
                node="node1",
                method="getUpdates",
                status=409,
                handed=[],
                error="Conflict",
                gone=True,
            )
        self.poll(t, "node2", 0)

    def poll(self, t: float, node: str, offset: int) -> None:
        if not self.alive(node, t):
            return
        self._request += 1
        request = self._request
        self.note(t, "begin", id=request, node=node, method="getUpdates", offset=offset, limit=100, timeout=10)
        confirmed = [update["update_id"] for update in self._queue if update["update_id"] < offset]
        if confirmed:
            self._queue = [update for update in self._queue if update["update_id"] >= offset]
            self.note(t, "confirm", node=node, offset=offset, update_ids=confirmed)
        if self._queue:
            self.hand(t + 0.002, node, request)
        else:
            self._waiting = (node, request, offset)
            self.at(t + 10.0, lambda t: self.poll_over(t, request))

    def poll_over(self, t: float, request: int) -> None:
        if self._waiting and self._waiting[1] == request and self.alive(self._waiting[0], t):
            node, _, offset = self._waiting
            self._waiting = None
            self.note(
                t, "end", id=request, node=node, method="getUpdates", status=200, handed=[], error=None, gone=False
            )
            self.at(t + 0.004, lambda t: self.poll(t, node, offset))

    def hand(self, t: float, node: str, request: int) -> None:
        batch = [dict(update) for update in self._queue]
        ids = [update["update_id"] for update in batch]
        self.note(t, "end", id=request, node=node, method="getUpdates", status=200, handed=ids, error=None, gone=False)
        for update in batch:
            t += self.rng.uniform(0.012, 0.035)
            self.at(t, lambda t, update=update: self.work(t, node, update))  # type: ignore[misc]
        self.at(t + 0.006, lambda t: self.poll(t, node, ids[-1] + 1))

    def work(self, t: float, node: str, update: Line) -> None:
        if not self.alive(node, t) or update["update_id"] in self._done:
            return  # dead; or what the dead node had done and not confirmed, which is handed out again
        self._done.add(update["update_id"])
        self._request += 1
        request, user, step = self._request, update["user"], STEPS.index(update["step"])
        address = NODES[node]["lan"] if user % 2 else node
        self.note(t, "begin", id=request, node=address, method="sendMessage", chat_id=update["chat_id"])
        if update["step"] == STEPS[-1]:
            self.places.append(
                {
                    "_id": f"68b0{len(self.places):020x}",
                    "updateId": update["update_id"],
                    "text": self.marker(user),
                    "creationDate": t,
                }
            )
        self.note(
            t,
            "reply",
            id=request,
            node=address,
            chat_id=update["chat_id"],
            user=user,
            method="sendMessage",
            message_id=request,
        )
        self.note(t, "answered", update_id=update["update_id"], node=address, id=request)
        self.note(t, "end", id=request, node=address, method="sendMessage", status=200, error=None, gone=False)
        if update["step"] == STEPS[-1]:
            self._open -= 1
            self.note(t, "dialogue", user=user, dialogue=self._walks[user], state="finished", marker=self.marker(user))
        self.answered(t, user, step)


def _wire(plan: Plan, until: float) -> list[Line]:
    """Ten questions a second; node1 answers until it has no power, node2 from `vip` on."""
    t = T0 - 8.0
    lines: list[Line] = [{"e": "start", "t": t, "period": 0.1, "vip": "10.77.0.100"}]
    number = 0
    while t < until:
        number += 1
        t = round(T0 - 8.0 + 0.1 * number, 3)
        lines.append({"e": "probe", "t": t, "round": number})
        since = t - T0 - plan.fault
        if since < 0.1 and t >= T0 - 6.0:
            lines.append({"e": "answer", "t": t + 0.0004, "round": number, "mac": NODES["node1"]["mac"]})
        elif since >= plan.vip:
            lines.append({"e": "answer", "t": t + 0.0005, "round": number, "mac": NODES["node2"]["mac"].upper()})
    return [*lines, {"e": "finish", "t": t + 0.05}]


def _power(plan: Plan) -> list[Line]:
    fault = T0 + plan.fault

    def line(t: float, action: str, client: str, plug: str, before: str, after: str, ms: float, reason: str) -> Line:
        return {
            "t": t, "client": client, "action": action, "plug": plug, "instance": "4f1d@2026-09-21T12:00:01Z",
            "before": before, "after": after, "ok": True, "ms": ms, "reason": reason,
            "evidence": "exited at 12:00:14" if after == "off" else "running, pid 77",
        }  # fmt: skip

    return [
        line(T0 - 30.0, "status", "node2", "node1", "on", "on", 3.2, ""),
        line(T0 + 3.0, "status", "node3", "node2", "on", "on", 3.0, ""),
        line(fault + plan.off - 0.018, "off", "node2", "node1", "off", "off", 18.0, "was off already"),
        line(fault + plan.off + 0.004, "on", "node2", "node1", "off", "on", 412.0, ""),
    ]


def _cluster(plan: Plan, ended: float) -> list[Line]:
    fault = T0 + plan.fault
    return [
        {"e": "active", "t": T0 - 0.5, "node": "node1"},
        {"e": "member_lost", "t": fault + plan.lost + 0.011, "node": "node1", "by": "node3"},
        # another node's log, read a moment later
        {"e": "member_lost", "t": fault + plan.lost, "node": "node1", "by": "node2"},
        {"e": "fenced", "t": fault + plan.fenced, "node": "node1", "by": "node2", "executor": "node2", "result": "OK"},
        {
            "e": "fenced",
            "t": fault + plan.fenced + 0.02,
            "node": "node1",
            "by": "node3",
            "executor": "node2",
            "result": "OK",
        },
        {"e": "member", "t": fault + plan.online - 2.2, "node": "node1", "by": "node2"},
        {"e": "online", "t": fault + plan.online, "node": "node1"},
        {"e": "active", "t": ended - 0.3, "node": "node2"},
    ]
