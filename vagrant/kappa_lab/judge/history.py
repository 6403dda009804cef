"""What a drill leaves behind: the history folder, as the types that the judge and the report read.

One folder, seven files, one clock (`t` is epoch seconds everywhere; every container has the host's clock):

- `drill.json`      what was to happen: the drill, its faults, what is expected, the nodes and their addresses
- `telegram.jsonl`  the Telegram lab server's journal: every request and everything that a user sent or received
- `wire.jsonl`      the watcher on the service network: each period it asks who has the virtual IP, and who serves on it
- `lease.jsonl`     who held the writer's lease, and which epoch wrote what, from MongoDB's own change stream
- `power.jsonl`     the power broker's audit: what was switched, and what was seen before and after
- `cluster.jsonl`   what each cluster node said of the others; merged from several nodes, so not in order of time
- `records.json`    what MongoDB held at the end

A line whose `e` is not listed here is read over: witnesses may say more than is asked of them. A line that is listed
must be whole: a missing or mistyped field is lacking evidence, and lacking evidence fails a drill.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Key = int | str
"""A number or a name that only serves to tell one from another: a chat, a user, a request."""


@dataclass(frozen=True)
class Event:
    t: float


@dataclass(frozen=True)
class Start(Event):
    """The witness began to watch."""


@dataclass(frozen=True)
class Finish(Event):
    """The witness ended in good order: nothing after this was missed by accident."""


# -- telegram.jsonl


@dataclass(frozen=True)
class Begin(Event):
    """Telegram read a request."""

    id: Key
    node: str
    method: str
    offset: int | None = None
    timeout: float | None = None
    carried: bool = False
    """It was begun before this history: it was still open when the journal was rotated."""


@dataclass(frozen=True)
class End(Event):
    """Telegram answered a request, or saw that whoever asked is gone."""

    id: Key
    node: str
    method: str
    status: int | None
    handed: tuple[int, ...] = ()
    error: str | None = None
    gone: bool = False


@dataclass(frozen=True)
class Update(Event):
    """A user did something."""

    update_id: int
    chat_id: Key
    user: Key
    dialogue: Key | None = None
    step: str | None = None


@dataclass(frozen=True)
class Confirm(Event):
    """Telegram forgot updates, because a request carried a higher offset."""

    node: str
    update_ids: tuple[int, ...]


@dataclass(frozen=True)
class Reply(Event):
    """A user received something."""

    id: Key
    node: str
    chat_id: Key
    method: str


@dataclass(frozen=True)
class Repeat(Event):
    """A user received what this user already had."""

    node: str
    user: Key


@dataclass(frozen=True)
class Answered(Event):
    """The first reply that answers this update for its user."""

    update_id: int
    node: str
    id: Key | None = None


@dataclass(frozen=True)
class Dialogue(Event):
    """A user's walk began or ended. `marker` is the description that only this dialogue registers its place with."""

    user: Key
    dialogue: Key
    state: str
    marker: str | None = None
    why: str | None = None


# -- wire.jsonl


@dataclass(frozen=True)
class Watch(Start):
    """The watcher asks every `period` seconds."""

    period: float


@dataclass(frozen=True)
class Probe(Event):
    round: int


@dataclass(frozen=True)
class Holder(Event):
    """Somebody said in this round that the virtual IP is theirs."""

    round: int
    mac: str


@dataclass(frozen=True)
class Served(Event):
    """Somebody answered a web request to the virtual IP, or nobody did (`status` is None), `ms` after it was asked.

    `node` is what the answer says of who gave it.
    """

    ms: float
    status: int | None = None
    node: str | None = None


# -- lease.jsonl


@dataclass(frozen=True)
class Held(Event):
    """The lease as it stands from `t` on. `at` is MongoDB's own time of it: seconds, and a number within the second."""

    epoch: int
    at: tuple[int, ...]
    how: str
    """`read` when the witness began; then `taken`, `renewed` or `released`."""
    holder: str | None = None
    expires: float | None = None
    """When it lapses, where it is not renewed; histories of older witnesses lack it."""

    @property
    def node(self) -> str | None:
        """A holder names itself by node, process, and what tells that process from a later one."""
        return self.holder.split(" ")[0] if self.holder else None


@dataclass(frozen=True)
class Wrote(Event):
    """One transaction: `epochs` are those that the documents written carry. `guarded`: it raised the lease's counter,
    which is how the bot makes sure that its epoch is still the lease's.
    """

    at: tuple[int, ...]
    guarded: bool
    epochs: tuple[int, ...] = ()
    into: tuple[str, ...] = ()
    """The collections that were written to, the lease's own left out."""


@dataclass(frozen=True)
class Hole(Event):
    """MongoDB could not be asked from `t` until `until`. `resumed`: all that had happened meanwhile was read later."""

    until: float
    resumed: bool


# -- power.jsonl


@dataclass(frozen=True)
class Switched(Event):
    """The broker was asked at `t`, acted on a plug, and looked at it before and after; `ms` later all that was done."""

    action: str
    ok: bool
    ms: float
    plug: str | None = None
    client: str | None = None
    before: str | None = None
    after: str | None = None
    reason: str | None = None
    evidence: str | None = None
    """What the hypervisor said when the broker looked last, in its own words."""

    @property
    def done(self) -> float:
        """When `after` was seen (epoch seconds)."""
        return self.t + self.ms / 1000


# -- cluster.jsonl


@dataclass(frozen=True)
class MemberLost(Event):
    node: str
    by: str | None = None


@dataclass(frozen=True)
class Member(Event):
    node: str
    by: str | None = None


@dataclass(frozen=True)
class Fenced(Event):
    node: str
    result: str
    by: str | None = None


@dataclass(frozen=True)
class Online(Event):
    """A member, nothing pending, its clone of the router started: fit to take over."""

    node: str


@dataclass(frozen=True)
class Active(Event):
    """Where the cluster says that the bot runs, at the drill's beginning and end; None when it says nowhere."""

    node: str | None


@dataclass(frozen=True)
class ResourceStarted(Event):
    node: str
    resource: str


@dataclass(frozen=True)
class ResourceStopped(Event):
    node: str
    resource: str


@dataclass(frozen=True)
class Asked(Event):
    """The cluster asked a node to start, stop, promote or demote a resource."""

    node: str
    resource: str
    action: str


@dataclass(frozen=True)
class Failed(Event):
    """An operation on a resource failed, a monitor among them: how a fault of what runs on a node is noticed."""

    node: str
    resource: str
    action: str
    result: str


TELEGRAM_EVENTS: Final[Mapping[str, type[Event]]] = {
    "start": Start,
    "begin": Begin,
    "end": End,
    "update": Update,
    "confirm": Confirm,
    "reply": Reply,
    "repeat": Repeat,
    "answered": Answered,
    "dialogue": Dialogue,
    "finish": Finish,
}
WIRE_EVENTS: Final[Mapping[str, type[Event]]] = {
    "start": Watch,
    "probe": Probe,
    "answer": Holder,
    "served": Served,
    "finish": Finish,
}
LEASE_EVENTS: Final[Mapping[str, type[Event]]] = {
    "start": Start,
    "lease": Held,
    "wrote": Wrote,
    "hole": Hole,
    "finish": Finish,
}
CLUSTER_EVENTS: Final[Mapping[str, type[Event]]] = {
    "member_lost": MemberLost,
    "member": Member,
    "fenced": Fenced,
    "online": Online,
    "active": Active,
    "started": ResourceStarted,
    "stopped": ResourceStopped,
    "asked": Asked,
    "failed": Failed,
}

# -- drill.json


@dataclass(frozen=True)
class Injected:
    """One fault: `t` is taken before it is issued, `done` when it is known to have happened."""

    kind: str
    t: float
    done: float
    on: str = ""
    nodes: tuple[str, ...] = ()
    """Whom it hit; empty where it was no node's matter."""
    healing: float | None = None
    """When its healing began. Older histories do not say: see `turns.mended`."""
    healed: float | None = None
    ends_node: bool = False
    """Its nodes do nothing from then on."""
    lasts: bool = True
    """It is there until it is healed; else it was over when it had happened."""


@dataclass(frozen=True)
class Fault:
    """The first fault, as the zero of a drill's time, and the node that had the group just before it."""

    kind: str
    node: str
    t: float
    done: float


@dataclass(frozen=True)
class Taken:
    """A step of the drill, as it went. `why` it was not to be had, where it was not."""

    what: str
    t: float
    ok: bool
    ended: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Expect:
    """What must hold besides the invariants; see kappa_lab.scenario. Roles are names here."""

    service: str
    fenced: tuple[str, ...] = ()
    may_be_fenced: tuple[str, ...] = ()
    strangers: bool = False
    predicted: str = ""


@dataclass(frozen=True)
class Part:
    name: str
    typical_s: float
    worst_s: float
    source: str = ""


@dataclass(frozen=True)
class Prediction:
    """What `kappa-lab predict` said of this kind of recovery before it was measured."""

    kind: str
    title: str
    typical_s: float | None = None
    worst_s: float | None = None
    never: str = ""
    """Why nothing recovers by itself; then there are no sums."""
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Node:
    lan: str
    mac: str


@dataclass(frozen=True)
class Drill:
    drill: str
    started: float
    finished: float
    nodes: Mapping[str, Node]
    vip: str
    active: str | None = None
    """Who had the group just before the first fault; None when the drill did not come to it."""
    faults: tuple[Injected, ...] = ()
    steps: tuple[Taken, ...] = ()
    expect: Expect | None = None
    prediction: Prediction | None = None
    tags: tuple[str, ...] = ()
    purpose: str = ""
    seed: int | None = None
    traffic: Mapping[str, object] | None = None
    environment: Mapping[str, object] | None = None

    @property
    def fault(self) -> Fault | None:
        """None when the drill stopped before it came to its first fault."""
        if self.active is None or not self.faults:
            return None
        first = self.faults[0]
        return Fault(first.kind, self.active, first.t, first.done)


# -- records.json


@dataclass(frozen=True)
class Place:
    """A document of the collection Data: `text` is its description, `updateId` the update that stored it."""

    _id: str
    text: str
    updateId: int  # noqa: N815  the document's own field


@dataclass(frozen=True)
class Lease:
    epoch: int
    holder: str | None = None


@dataclass(frozen=True)
class Records:
    """What MongoDB held when the traffic was over."""

    places: tuple[Place, ...]
    pending_updates: int
    unsent_replies: int
    lease: Lease | None = None
