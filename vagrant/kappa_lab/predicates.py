"""What a drill can wait for; a new predicate is a function of a few lines and its line in KINDS.

Each looks at one witness (the users' side, the power brokers, the cluster, MongoDB, the nodes' logs) at one moment.
Roles are those of the moment before the first fault; "since" means since the latest fault was done.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kappa_lab import cluster, lab, power, roles
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.faults import Value
from kappa_lab.paths import STATE
from kappa_lab.topology import MEMBERS, node

Given = Mapping[str, Value]


@dataclass
class Replies:
    """When users received something, and from whom: the Telegram lab server's journal, read on as it grows."""

    journal: Path
    seen: list[tuple[float, str]] = field(default_factory=list)
    _position: int = 0

    def all(self) -> list[tuple[float, str]]:
        with self.journal.open("rb") as file:
            file.seek(self._position)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]  # the last line may be half written
        self._position += len(whole)
        for line in whole.splitlines():
            if b'"reply"' in line and (event := json.loads(line))["e"] == "reply":
                self.seen.append((float(event["t"]), str(event["node"])))
        return self.seen


@dataclass
class Scene:
    """What a predicate may know of the drill."""

    replies: Replies
    active: str
    """The node that had the group just before the first fault."""
    dc: str | None
    first: float
    """When the first fault came; before it, when the drill began."""
    latest: float
    """When the latest fault was done; before it, when the drill began."""
    logs: Mapping[Path, int] = field(default_factory=dict)
    """How long each of the nodes' logs was when the latest fault came."""

    def nodes(self, on: Value) -> tuple[str, ...]:
        return roles.resolve(str(on), self.active, self.dc)


@dataclass(frozen=True)
class Kind:
    name: str
    purpose: str
    """What holds, in words that follow "wait until"."""
    holds: Callable[[Scene, Given], bool]
    """Does it, now? Raises LabError only where it can never be said."""
    parameters: Given = field(default_factory=dict)
    """With defaults, of whose type a value must be. `on` takes a role or a node."""
    needed: tuple[str, ...] = ()
    """Parameters that a drill must give."""


def node_logs(name: str) -> list[Path]:
    """The logs of a node that tell of the cluster and of the bot, wherever the node writes them."""
    return sorted((STATE / "log" / name).glob("**/*.log"))


def lengths() -> dict[Path, int]:
    """How long each node's logs are now."""
    return {file: file.stat().st_size for name in roles.NAMES for file in node_logs(name)}


def _answered(scene: Scene, given: Given) -> bool:
    since = [who for t, who in scene.replies.all() if t > scene.latest]
    return any(who != scene.active for who in since) if given["elsewhere"] else bool(since)


def _silence(scene: Scene, given: Given) -> bool:
    latest = max((t for t, _ in scene.replies.all()), default=scene.first)
    return time.time() - max(latest, scene.latest) >= float(str(given["s"]))


def _fenced(scene: Scene, given: Given) -> bool:
    off = {
        entry.get("plug") for entry in map(_entry, power.audit())
        if entry.get("t", 0) >= scene.first and entry.get("action") in ("off", "reboot")
        and entry.get("ok") is True and entry.get("after") == "off"
    }  # fmt: skip
    return off >= set(scene.nodes(given["on"]))


def _entry(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError):
        return {}  # half written yet


def _seen(holds: Callable[[cluster.Status, Scene, Given], bool]) -> Callable[[Scene, Given], bool]:
    """The same, of what crm_mon says; where no node answers it, nothing can be said to hold."""

    def ask(scene: Scene, given: Given) -> bool:
        seen = cluster.status()
        return seen is not None and holds(seen, scene, given)

    return ask


def _online(seen: cluster.Status, scene: Scene, given: Given) -> bool:
    return seen.online >= set(scene.nodes(given["on"]))


def _offline(seen: cluster.Status, scene: Scene, given: Given) -> bool:
    return not seen.online & set(scene.nodes(given["on"]))


def _active(seen: cluster.Status, scene: Scene, given: Given) -> bool:
    return lab.group_on(seen) in scene.nodes(given["on"])


def _moved(seen: cluster.Status, scene: Scene, _given: Given) -> bool:
    return lab.group_on(seen) not in (None, scene.active)


def _failed(seen: cluster.Status, scene: Scene, given: Given) -> bool:
    there = scene.nodes(given["on"]) or roles.NAMES
    return any(
        one.resource == given["resource"] and one.node in there and one.t >= int(scene.first) for one in seen.failures
    )


def _started(seen: cluster.Status, scene: Scene, given: Given) -> bool:
    running = seen.running.get(str(given["resource"]), frozenset())
    return running >= set(scene.nodes(given["on"])) if given["on"] else bool(running)


def _stopped(seen: cluster.Status, scene: Scene, given: Given) -> bool:
    running = seen.running.get(str(given["resource"]), frozenset())
    return not (running & set(scene.nodes(given["on"])) if given["on"] else running)


def _primary(_scene: Scene, given: Given) -> bool:
    return any(_is_primary(member) for member in MEMBERS) == given["there"]


def _is_primary(member: str) -> bool:
    from pymongo import MongoClient  # a third of a second, which only those pay who ask
    from pymongo.errors import PyMongoError

    client: MongoClient[dict[str, object]] = MongoClient(
        f"mongodb://{member}:27017/?directConnection=true", serverSelectionTimeoutMS=700, connectTimeoutMS=700,
        socketTimeoutMS=700,
    )  # fmt: skip
    with client:
        try:
            return client.admin.command("hello").get("isWritablePrimary") is True
        except PyMongoError:
            return False


def _telegram_faults_hit(_scene: Scene, given: Given) -> bool:
    return int(str(lab.telegram("GET", "/fault").get("met", 0))) >= int(str(given["count"]))


def _attribute(scene: Scene, given: Given) -> bool:
    wanted = f'value="{given["value"]}"'
    for name in scene.nodes(given["on"]):
        question = ("attrd_updater", "--query", "--name", str(given["name"]), "--node", name)
        try:
            said = docker("exec", _who_answers(name), *question, doing="asking for a node's attribute", timeout=20)
        except LabError:
            return False
        if wanted not in said:
            return False
    return True


def _who_answers(name: str) -> str:
    seen = cluster.status()
    return node(name if seen is None or name in seen.online else seen.asked).container


def _log(scene: Scene, given: Given) -> bool:
    pattern = re.compile(str(given["pattern"]).encode())
    for name in scene.nodes(given["on"]) or roles.NAMES:
        for file in node_logs(name):
            with file.open("rb") as opened:
                opened.seek(scene.logs.get(file, 0))
                if pattern.search(opened.read()):
                    return True
    return False


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("answered", "a user has received an answer since the fault (elsewhere: from another node than before)",
             _answered, {"elsewhere": False}),
        Kind("silence", "nobody has received an answer for `s` seconds", _silence, {"s": 3.0}),
        Kind("fenced", "the power brokers' audit shows the node off", _fenced, {"on": "active"}),
        Kind("online", "the node is a member of the cluster", _seen(_online), {"on": "active"}),
        Kind("offline", "the node is no member of the cluster", _seen(_offline), {"on": "active"}),
        Kind("active", "the group runs there", _seen(_active), {"on": "active"}),
        Kind("moved", "all of the group runs on another node than before", _seen(_moved)),
        Kind("resource-failed", "an operation of the resource has failed since the first fault", _seen(_failed),
             {"resource": "bot", "on": ""}, ("resource",)),
        Kind("resource-started", "the resource is started (there, or anywhere)", _seen(_started),
             {"resource": "bot", "on": ""}, ("resource",)),
        Kind("resource-stopped", "the resource is started nowhere (or not there)", _seen(_stopped),
             {"resource": "bot", "on": ""}, ("resource",)),
        Kind("primary", "the replica set has a primary (there = false: has none)", _primary, {"there": True}),
        Kind("telegram-faults-hit", "so many requests have met Telegram's misbehaviour", _telegram_faults_hit,
             {"count": 1}),
        Kind("attribute", "the node's attribute has the value", _attribute, {"name": "", "value": "", "on": "active"},
             ("name", "value")),
        Kind("log", "a line of the node's logs, written since the fault, matches `pattern`", _log,
             {"pattern": "", "on": ""}, ("pattern",)),
    )
}  # fmt: skip
"""What a drill can wait for, under the names that drills call it by."""
