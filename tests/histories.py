"""Histories of drills as the lab leaves them, made without a lab: users, a bot that moves, and what befalls its nodes.

`build()` plays a drill through, event by event, with figures like those of real ones, and gives the same history for a
seed every time. A test then breaks it in one known way and writes it to a folder for the judge. What happens is a
`Story`: who runs the bot when, who holds the address when, and what the brokers and the cluster said; `POWER_CUT` and
the others below it are such stories.
"""

import heapq
import json
import math
import pickle
import random
from collections.abc import Callable, Sequence
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


@dataclass(frozen=True)
class Reign:
    """One life of the bot: its lease is taken 0.03 s before `start`. `orderly`: it gives the lease back at its end."""

    node: str
    start: float
    end: float = math.inf
    orderly: bool = False


@dataclass(frozen=True)
class Story:
    """What happens in a drill; all times are seconds from its first fault."""

    name: str
    faults: tuple[Line, ...]
    expect: Line
    reigns: tuple[Reign, ...]
    holds: tuple[Reign, ...]
    """Who answers for the virtual IP, and serves on it."""
    power: tuple[Line, ...] = ()
    cluster: tuple[Line, ...] = ()
    prediction: Line | None = None


@dataclass
class History:
    """The seven files, still open to change. A value of None is a file that is missing."""

    drill: Line
    telegram: list[Line] = field(default_factory=list)
    wire: list[Line] = field(default_factory=list)
    lease: list[Line] = field(default_factory=list)
    power: list[Line] = field(default_factory=list)
    cluster: list[Line] = field(default_factory=list)
    records: Line = field(default_factory=dict)

    @property
    def fault(self) -> float:
        t: float = self.drill["faults"][0]["t"]
        return t

    def of(self, event: str, *, since: float = 0.0) -> list[Line]:
        """The journal's lines of one kind, from a moment on (epoch seconds)."""
        return [line for line in self.telegram if line["e"] == event and line["t"] >= since]

    def copy(self) -> "History":
        """One of its own, to be broken: many times as fast as `copy.deepcopy`."""
        same: History = pickle.loads(pickle.dumps(self))
        return same

    def insert(self, lines: list[Line], line: Line) -> None:
        """Put a line where its time says."""
        at = next((n for n, other in enumerate(lines) if other["t"] > line["t"]), len(lines))
        lines.insert(at, line)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "drill.json").write_text(json.dumps(self.drill, indent=1) + "\n")
        (folder / "records.json").write_text(json.dumps(self.records) + "\n")
        for name in ("telegram", "wire", "lease", "power", "cluster"):
            lines = getattr(self, name)
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder


def power_cut(plan: Plan) -> Story:
    """The active node loses its power; another takes over."""
    return Story(
        name="power-cut",
        faults=(fault("power-cut", "node1", done=plan.done, ends_node=True),),
        expect=expect("moves", fenced=["node1"], predicted="node-lost"),
        reigns=(Reign("node1", -plan.fault - 2, 0.0), Reign("node2", plan.poll)),
        holds=(Reign("node1", -plan.fault - 6, 0.1), Reign("node2", plan.vip)),
        power=shot("node1", plan.off),
        cluster=(*lost("node1", plan.lost), *told("node1", plan.fenced), *back("node1", plan.online)),
        prediction=prediction("node-lost", 9.0),
    )


def bot_restart(plan: Plan) -> Story:
    """The bot is killed, and starts anew on its node."""
    return Story(
        name="bot-killed",
        faults=(fault("bot-killed", "node1", healed=16.0),),
        expect=expect("returns", predicted="bot-dies"),
        reigns=(Reign("node1", -plan.fault - 2, 0.0), Reign("node1", 2.4)),
        holds=(Reign("node1", -plan.fault - 6),),
        prediction=prediction("bot-dies", 5.0),
    )


def planned_move(plan: Plan) -> Story:
    """The operator moves the group; the bot gives its lease back and starts elsewhere."""
    return Story(
        name="move",
        faults=(fault("move", "node1", done=1.9, healed=16.0),),
        expect=expect("moves", predicted="planned-move"),
        reigns=(Reign("node1", -plan.fault - 2, 0.6, orderly=True), Reign("node2", 1.7)),
        holds=(Reign("node1", -plan.fault - 6, 0.9), Reign("node2", 1.1)),
        prediction=prediction("planned-move", 4.0),
    )


def passive_lost(plan: Plan) -> Story:
    """A passive node loses its power; the users notice nothing."""
    return Story(
        name="passive-power-cut",
        faults=(fault("power-cut", "node3", on="passive", ends_node=True),),
        expect=expect("undisturbed", fenced=["node3"]),
        reigns=(Reign("node1", -plan.fault - 2),),
        holds=(Reign("node1", -plan.fault - 6),),
        power=shot("node3", plan.off),
        cluster=(
            *lost("node3", plan.lost, by=("node1", "node2")),
            *told("node3", plan.fenced, by=("node1", "node2")),
            *back("node3", plan.online, by="node1"),
        ),
    )


def stops_until_healed(plan: Plan) -> Story:
    """All levels of fencing are dead when the active node loses its power: nobody may take over before the heal."""
    del plan
    return Story(
        name="fencing-dead",
        faults=(
            fault("fencing-dead", healed=8.0),
            fault("power-cut", "node1", t=0.5, healed=8.2, ends_node=True),
        ),
        expect=expect("stops", fenced=["node1"], predicted="all-levels-dead"),
        reigns=(Reign("node1", -99.0, 0.5), Reign("node2", 9.6)),
        holds=(Reign("node1", -99.0, 0.6), Reign("node2", 9.2)),
        power=shot("node1", 8.9),
        cluster=(*lost("node1", 1.8), *told("node1", 8.95), *back("node1", 13.5)),
        prediction={
            **prediction("all-levels-dead", 0.0),
            "worst_s": None,
            "typical_s": None,
            "never": "no level is left",
        },
    )


def storm(plan: Plan) -> Story:
    """The active node loses its power, and later its successor is cut off: the bot goes from A to B to A."""
    del plan
    return Story(
        name="storm",
        faults=(
            fault("power-cut", "node1", healed=16.0, ends_node=True),
            fault("rings-cut", "node2", t=9.0, healed=16.2),
        ),
        expect=expect("any", may_be_fenced=["node1", "node2", "node3"]),
        reigns=(Reign("node1", -99.0, 0.0), Reign("node2", 2.9, 11.3), Reign("node1", 12.0)),
        holds=(Reign("node1", -99.0, 0.1), Reign("node2", 2.5, 11.3), Reign("node1", 11.6)),
        power=(*shot("node1", 2.38), *shot("node2", 11.4, by="node3")),
        cluster=(
            *lost("node1", 1.3),
            *told("node1", 2.4),
            *back("node1", 6.0),
            *lost("node2", 10.3, by=("node1", "node3")),
            *told("node2", 11.42, by=("node1", "node3")),
            *back("node2", 15.0, by="node3"),
        ),
    )


def restarted_and_lost(plan: Plan) -> Story:
    """The bot is restarted in good order on its node, which is cut off later: only the first end was a good one."""
    del plan
    return Story(
        name="restarted-and-lost",
        faults=(fault("bot-stopped", "node1", healed=2.0), fault("rings-cut", "node1", t=9.0, healed=16.2)),
        expect=expect("any", may_be_fenced=["node1", "node2", "node3"]),
        reigns=(Reign("node1", -99.0, 0.4, orderly=True), Reign("node1", 1.4, 11.3), Reign("node2", 12.0)),
        holds=(Reign("node1", -99.0, 11.3), Reign("node2", 11.6)),
        power=shot("node1", 11.4),
        cluster=(*lost("node1", 10.3), *told("node1", 11.42), *back("node1", 15.0)),
    )


def stranger(plan: Plan) -> Story:
    """A foreign poller has the same token: it and the bot displace each other until it goes."""
    return Story(
        name="foreign-poller",
        faults=(fault("foreign-poller", healed=6.0),),
        expect={**expect("returns"), "strangers": True},
        reigns=(Reign("node1", -plan.fault - 2),),
        holds=(Reign("node1", -plan.fault - 6),),
    )


def fault(
    kind: str, *nodes: str, t: float = 0.0, done: float | None = None, on: str = "active",
    healing: float | None = None, healed: float | None = None, ends_node: bool = False, lasts: bool = True,
) -> Line:  # fmt: skip
    return {
        "kind": kind, "on": on if nodes else "", "nodes": list(nodes), "t": t,
        "done": t + 0.2 if done is None else done,
        "healing": healing, "healed": healed, "ends_node": ends_node, "lasts": lasts,
    }  # fmt: skip


def expect(service: str, fenced: Sequence[str] = (), may_be_fenced: Sequence[str] = (), predicted: str = "") -> Line:
    return {
        "service": service, "fenced": list(fenced), "may_be_fenced": list(may_be_fenced), "strangers": False,
        "predicted": predicted,
    }  # fmt: skip


def prediction(kind: str, worst_s: float) -> Line:
    part = {"name": "all of it", "typical_s": worst_s / 2, "worst_s": worst_s, "source": "measured"}
    return {"kind": kind, "title": kind, "typical_s": worst_s / 2, "worst_s": worst_s, "never": "", "parts": [part]}


def shot(node: str, off: float, by: str = "node2") -> tuple[Line, ...]:
    return (
        audit(off - 0.018, "off", by, node, "off", "off", 18.0, "was off already"),
        audit(off + 0.004, "on", by, node, "off", "on", 412.0, ""),
    )


def audit(t: float, action: str, client: str, plug: str, before: str, after: str, ms: float, reason: str) -> Line:
    return {
        "t": t, "client": client, "action": action, "plug": plug, "instance": "4f1d@2026-09-21T12:00:01Z",
        "before": before, "after": after, "ok": True, "ms": ms, "reason": reason,
        "evidence": "exited at 12:00:14" if after == "off" else "running, pid 77",
    }  # fmt: skip


def lost(node: str, t: float, by: tuple[str, str] = ("node2", "node3")) -> tuple[Line, ...]:
    return (
        {"e": "member_lost", "t": t + 0.011, "node": node, "by": by[1]},
        # another node's log, read a moment later
        {"e": "member_lost", "t": t, "node": node, "by": by[0]},
    )


def told(node: str, t: float, by: tuple[str, str] = ("node2", "node3")) -> tuple[Line, ...]:
    return (
        {"e": "fenced", "t": t, "node": node, "by": by[0], "executor": by[0], "result": "OK"},
        {"e": "fenced", "t": t + 0.02, "node": node, "by": by[1], "executor": by[0], "result": "OK"},
    )


def back(node: str, t: float, by: str = "node2") -> tuple[Line, ...]:
    return (
        {"e": "member", "t": t - 2.2, "node": node, "by": by},
        {"e": "online", "t": t, "node": node},
    )


Tell = Callable[[Plan], Story]
STORIES: tuple[Tell, ...] = (
    power_cut, bot_restart, planned_move, passive_lost, stops_until_healed, storm, restarted_and_lost, stranger,
)  # fmt: skip


def build(seed: int = 1, plan: Plan | None = None, tell: Tell = power_cut) -> History:
    """A drill in which every invariant holds."""
    plan = plan or Plan()
    story, zero = tell(plan), T0 + plan.fault
    play = _Play(seed, plan, story)
    play.run()
    ended = play.journal[-1]["t"]
    last = story.reigns[-1]
    return History(
        drill={
            "drill": story.name,
            "purpose": "The node that runs the bot loses its power; the users must notice a pause, and nothing else.",
            "seed": seed,
            "started": T0 - 9.0,
            "finished": ended + 2.5,
            "traffic": {"users": plan.users, "rate_per_s": 8.0},
            "active": "node1",
            "faults": [_at(hit, zero, "t", "done", "healing", "healed") for hit in story.faults],
            "steps": [{"what": "wait_for answered", "t": zero + 0.3, "ended": zero + 3.2, "ok": True, "why": ""}],
            "expect": story.expect,
            "prediction": story.prediction,
            "tags": ["node"],
            "nodes": NODES,
            "vip": "10.77.0.100",
            "environment": ENVIRONMENT,
        },
        telegram=play.journal,
        wire=_wire(plan, story, ended + 1.0),
        lease=_lease(zero, story, play.written, ended + 0.9),
        power=[
            audit(T0 - 30.0, "status", "node2", "node1", "on", "on", 3.2, ""),
            audit(T0 + 3.0, "status", "node3", "node2", "on", "on", 3.0, ""),
            *(_at(line, zero, "t") for line in story.power),
        ],
        cluster=[
            {"e": "active", "t": T0 - 0.5, "node": "node1"},
            *({"e": "member", "t": T0 - 0.6, "node": node, "by": "node1"} for node in ("node2", "node3")),
            *(_at(line, zero, "t") for line in story.cluster),
            {"e": "active", "t": ended - 0.3, "node": last.node},
        ],
        records={
            "places": play.places,
            "lease": {"epoch": len(story.reigns), "holder": last.node},
            "pending_updates": 0,
            "unsent_replies": 0,
        },
    )


def _at(line: Line, zero: float, *keys: str) -> Line:
    return {**line, **{key: line[key] + zero for key in keys if line[key] is not None}}


class _Play:
    """Users, Telegram's queue and the two pollers, as a list of things to do at a time."""

    def __init__(self, seed: int, plan: Plan, story: Story) -> None:
        self.plan, self.rng, self.story = plan, random.Random(seed), story
        self.zero = T0 + plan.fault
        self.written: list[Line] = []
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
        self._waiting: tuple[int, int, int] | None = None

    def at(self, t: float, do: Callable[[float], None]) -> None:
        self._serial += 1
        heapq.heappush(self._agenda, (t, self._serial, do))

    def note(self, t: float, event: str, **fields: Any) -> None:
        self.journal.append({"e": event, "t": round(t, 6), **fields})

    def run(self) -> None:
        self.note(T0 - 8.0, "start")
        self.at(T0 - 2.0, lambda t: self.poll(t, 0, 5001))
        for life, reign in enumerate(self.story.reigns[1:], start=1):
            self.at(self.zero + reign.start, lambda t, life=life: self.take_over(t, life))  # type: ignore[misc]
        for user in range(1, self.plan.users + 1):
            self.at(T0 + self.rng.uniform(0.0, 3.0), lambda t, user=user: self.begin(t, user))  # type: ignore[misc]
        while self._agenda and not self.over():
            t, _, do = heapq.heappop(self._agenda)
            do(t)
        self.note(self.journal[-1]["t"] + 0.7, "finish")

    def over(self) -> bool:
        """No dialogue is open and none will be."""
        return self._open == 0 and self.journal[-1]["t"] > T0 + self.plan.traffic_s

    def alive(self, life: int, t: float) -> bool:
        reign = self.story.reigns[life]
        return (life == 0 or t >= self.zero + reign.start) and t < self.zero + reign.end

    def node(self, life: int) -> str:
        return self.story.reigns[life].node

    def write(self, t: float, life: int, *into: str) -> None:
        self.written.append({"e": "wrote", "t": t, "guarded": True, "epochs": [life + 1], "into": list(into)})

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
            life, request, _ = self._waiting
            if self.alive(life, t):
                self._waiting = None
                self.hand(t + 0.003, life, request)

    def answered(self, t: float, user: int, step: int) -> None:
        pause = self.rng.uniform(1.6, 3.9)
        if step + 1 < len(STEPS):
            self.at(t + pause, lambda t: self.act(t, user, step + 1))
        else:
            self.at(t + pause, lambda t: self.begin(t, user))

    # -- the bot, and what Telegram does for it

    def take_over(self, t: float, life: int) -> None:
        if self._waiting:
            before, request, _ = self._waiting
            self._waiting = None
            self.note(
                t,
                "end",
                id=request,
                node=self.node(before),
                method="getUpdates",
                status=409,
                handed=[],
                error="Conflict",
                gone=True,
            )
        self.poll(t, life, 0)

    def poll(self, t: float, life: int, offset: int) -> None:
        if not self.alive(life, t):
            return
        node = self.node(life)
        self._request += 1
        request = self._request
        self.note(t, "begin", id=request, node=node, method="getUpdates", offset=offset, limit=100, timeout=10)
        confirmed = [update["update_id"] for update in self._queue if update["update_id"] < offset]
        if confirmed:
            self._queue = [update for update in self._queue if update["update_id"] >= offset]
            self.note(t, "confirm", node=node, offset=offset, update_ids=confirmed)
        if self._queue:
            self.hand(t + 0.002, life, request)
        else:
            self._waiting = (life, request, offset)
            self.at(t + 10.0, lambda t: self.poll_over(t, request))

    def poll_over(self, t: float, request: int) -> None:
        if self._waiting and self._waiting[1] == request and self.alive(self._waiting[0], t):
            life, _, offset = self._waiting
            self._waiting = None
            self.note(
                t,
                "end",
                id=request,
                node=self.node(life),
                method="getUpdates",
                status=200,
                handed=[],
                error=None,
                gone=False,
            )
            self.at(t + 0.004, lambda t: self.poll(t, life, offset))

    def hand(self, t: float, life: int, request: int) -> None:
        node = self.node(life)
        batch = [dict(update) for update in self._queue]
        ids = [update["update_id"] for update in batch]
        self.note(t, "end", id=request, node=node, method="getUpdates", status=200, handed=ids, error=None, gone=False)
        for update in batch:
            t += self.rng.uniform(0.012, 0.035)
            self.at(t, lambda t, update=update: self.work(t, life, update))  # type: ignore[misc]
        self.at(t + 0.006, lambda t: self.poll(t, life, ids[-1] + 1))

    def work(self, t: float, life: int, update: Line) -> None:
        if not self.alive(life, t) or update["update_id"] in self._done:
            return  # dead; or what the dead node had done and not confirmed, which is handed out again
        node = self.node(life)
        self.write(t - 0.006, life, "Updates")
        self.write(t - 0.003, life, "Replies", "Updates")
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


def _wire(plan: Plan, story: Story, until: float) -> list[Line]:
    """Ten questions a second for the address, and three for who serves on it."""
    t = T0 - 8.0
    zero = T0 + plan.fault
    lines: list[Line] = [{"e": "start", "t": t, "period": 0.1, "vip": "10.77.0.100"}]
    number = 0
    while t < until:
        number += 1
        t = round(T0 - 8.0 + 0.1 * number, 3)
        lines.append({"e": "probe", "t": t, "round": number})
        holder = next((hold for hold in story.holds if hold.start <= t - zero < hold.end), None)
        # the first comes up when the lab does, before the drill
        if holder is story.holds[0] and t < T0 - 6.0:
            holder = None
        if holder:
            mac = NODES[holder.node]["mac"]
            later = holder is not story.holds[0]
            lines.append(
                {"e": "answer", "t": t + 0.0004, "round": number, "mac": mac.upper() if later else mac}
            )  # fmt: skip
        if number % 3 == 0:
            if holder and t - zero - holder.start > 0.15:
                lines.append({"e": "served", "t": t + 0.002, "status": 200, "node": holder.node, "ms": 1.6})
            else:
                lines.append({"e": "served", "t": t + 0.002, "status": None, "node": None, "ms": 0.9})
    return [*lines, {"e": "finish", "t": t + 0.05}]


def _lease(zero: float, story: Story, written: list[Line], until: float) -> list[Line]:
    """Each reign takes the lease, renews it every second, and gives it back where it ends in good order."""
    lines = [*written]

    def held(t: float, epoch: int, holder: str | None, how: str) -> None:
        lines.append({"e": "lease", "t": t, "epoch": epoch, "holder": holder, "how": how, "expires": t + 3.0})

    for epoch, reign in enumerate(story.reigns, start=1):
        name = f"{reign.node} {90 + epoch} 77 4026532577 0f0f"
        start = T0 - 7.9 if epoch == 1 else zero + reign.start - 0.03
        end = min(zero + reign.end, until)
        held(start, epoch, name, "read" if epoch == 1 else "taken")
        for n in range(1, int(end - start)):
            held(start + n, epoch, name, "renewed")
        if reign.orderly:
            held(end + 0.02, epoch, None, "released")
    lines.sort(key=lambda line: float(line["t"]))
    for number, line in enumerate(lines):
        line["at"] = [int(line["t"]), number]
    return [{"e": "start", "t": T0 - 8.0}, *lines, {"e": "finish", "t": until}]
