"""The cluster as an operator sees it: crm_mon's word, and the events that its own logs tell with their times."""

import json
import re
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.predict.live import COROSYNC_CONF
from kappa_lab.topology import NODES, Node


@dataclass(frozen=True)
class Failure:
    """An operation that failed, as long as the cluster remembers it."""

    resource: str
    node: str
    t: float
    """To the second; 0 where the cluster does not say."""


@dataclass(frozen=True)
class Status:
    """One reading of crm_mon on one node."""

    asked: str
    online: frozenset[str]
    """Nodes that are members, not pending, not unclean."""
    quorum: bool
    running: dict[str, frozenset[str]]
    """Resource id (a clone's instances under the id of its primitive) → nodes where it is started and not failed."""
    dc: str | None = None
    failures: tuple[Failure, ...] = ()

    def where(self, resource: str) -> str | None:
        """The one node on which `resource` is active, or None when it is on none or on several."""
        nodes = self.running.get(resource, frozenset())
        return next(iter(nodes)) if len(nodes) == 1 else None


def parse(asked: str, xml: str) -> Status:
    """Read crm_mon's XML (`crm_mon --output-as=xml`, schema 2.x)."""
    tree = ElementTree.fromstring(xml)
    online = frozenset(
        n.get("name", "") for n in tree.iterfind("nodes/node")
        if n.get("online") == "true" and n.get("pending") == "false" and n.get("unclean") == "false"
    )  # fmt: skip
    dc = tree.find("summary/current_dc")
    running: dict[str, set[str]] = {}
    for resource in tree.iterfind("resources//resource"):
        # a start that is under way is shown as active too, with what is pending
        started = resource.get("role") == "Started" and resource.get("pending") is None
        if started and resource.get("active") == "true" and resource.get("failed") == "false":
            name = (resource.get("id") or "").partition(":")[0]
            running.setdefault(name, set()).update(n.get("name", "") for n in resource.iterfind("node"))
    return Status(
        asked=asked,
        online=online,
        quorum=dc is not None and dc.get("with_quorum") == "true",
        running={name: frozenset(nodes) for name, nodes in running.items()},
        dc=dc.get("name") if dc is not None else None,
        failures=tuple(_failures(tree)),
    )


OPERATION: Final = re.compile(r"^(?P<resource>.+?)(?::\d+)?_(?P<task>[a-z]+(?:-[a-z]+)*)_\d+$")
"""How the cluster calls an operation: `bot_monitor_6000`."""


def _failures(tree: ElementTree.Element) -> Iterator[Failure]:
    for failure in tree.iterfind("failures/failure"):
        named = OPERATION.match(failure.get("op_key") or "")
        yield Failure(
            named["resource"] if named else failure.get("id", ""), failure.get("node", ""),
            _changed(failure.get("last-rc-change") or ""),
        )  # fmt: skip


WRITTEN: Final = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)")


def _changed(text: str) -> float:
    """`2026-11-23 18:00:00Z`, in seconds (the lab's nodes keep UTC); 0 for what is written in another way."""
    found = WRITTEN.match(text)
    return datetime.fromisoformat(f"{found[1]}T{found[2]}+00:00").timestamp() if found else 0.0


ASK_S: Final = 8.0
_asked = list(NODES)
"""In the order in which they are asked: one that hangs, or is cut off, costs its time once."""


def status(last: Collection[str] = ()) -> Status | None:
    """What the first node says that answers and has quorum; where none has, what the first says that answers at all.

    A node that was cut off from the others sees only itself, and would tell of its own misery as if it were all. One
    whose Corosync hangs still tells what it knew: whoever knows of such nodes has them asked `last`.
    """
    alone: Status | None = None
    for node in sorted(_asked, key=lambda node: node.name in last):
        try:
            question = ("crm_mon", "-1", "--output-as=xml")
            seen = parse(
                node.name, docker("exec", node.container, *question, doing=f"asking {node.name}", timeout=ASK_S)
            )
        except (LabError, ElementTree.ParseError):
            seen = None
        if seen is not None and seen.quorum:
            return seen
        alone = alone or seen
        _asked[:] = [*(one for one in _asked if one is not node), node]
    return alone


def corosync_conf(node: Node) -> str:
    """What this node goes by, as it stands there. Raises LabError where it does not answer."""
    return docker("exec", node.container, "cat", str(COROSYNC_CONF), doing=f"reading {node.name}'s corosync.conf")


def wait_for(what: str, holds: Callable[[Status], bool], bound_s: float, every_s: float = 0.5) -> Status:
    """Ask until `holds`; raise LabError after `bound_s` seconds, with what was seen last."""
    end = time.monotonic() + bound_s
    while True:
        seen = status()
        if seen is not None and holds(seen):
            return seen
        if time.monotonic() > end:
            raise LabError(f"After {bound_s:.0f} s, still not: {what}.", f"Last seen: {describe(seen)}")
        time.sleep(every_s)


def describe(seen: Status | None) -> str:
    if seen is None:
        return "no node answers crm_mon."
    where = ", ".join(f"{name} on {'+'.join(sorted(nodes)) or 'none'}" for name, nodes in sorted(seen.running.items()))
    online = ", ".join(sorted(seen.online)) or "none"
    return f"online: {online}; {'with' if seen.quorum else 'without'} quorum; {where or 'nothing runs'}."


# What Pacemaker 2.1 and 3.0 write in their own logs at priority notice.
EVENTS: Final = (
    ("member_lost", re.compile(r"pacemaker-controld.*Node (?P<node>\S+) state is now lost")),
    ("member", re.compile(r"pacemaker-controld.*Node (?P<node>\S+) state is now member")),
    (
        "fenced",
        re.compile(
            r"pacemaker-controld.*Peer (?P<node>\S+) was (?:not )?terminated "
            r"\(\w+\) by (?P<executor>\S+) .*?: (?P<result>\w+)"
        ),
    ),
    (
        "asked",
        re.compile(
            r"pacemaker-controld.*Requesting local execution of (?P<action>start|stop|promote|demote) operation "
            r"for (?P<resource>\S+) on (?P<node>\S+)"
        ),
    ),
    (
        "failed",
        re.compile(
            r"pacemaker-controld.*Result of (?P<action>monitor|start|stop|promote|demote) operation for "
            r"(?P<resource>\S+) on (?P<node>[^\s:]+): (?!ok\b|promoted\b|OCF_DEGRADED|Cancelled\b)"
            r"(?P<result>[^|(]*[^|(\s])"
        ),
    ),
)


STAMP: Final = re.compile(r"^(\w{3} \d\d \d\d:\d\d:\d\d\.\d{3}) ")


def stamped(line: str, now: float) -> float:
    """When the line was written (nodes keep UTC, and leave the year out), or `now` when it does not say exactly."""
    found = STAMP.match(line)
    if not found:
        return now
    today = datetime.fromtimestamp(now, UTC)
    written = datetime.strptime(f"{today.year} {found[1]}", "%Y %b %d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
    # a line read just after midnight of New Year was written in the old year
    return written if abs(written - now) < 86400 else now


def events(line: str, now: float) -> Iterator[dict[str, str | float]]:
    """The events that one line of a Pacemaker log, read at `now`, tells."""
    for kind, pattern in EVENTS:
        if found := pattern.search(line):
            yield {"e": kind, "t": stamped(line, now), **found.groupdict()}


class LogFollower:
    """Follow every node's Pacemaker log and write its events down as they come."""

    def __init__(self, logs: Path, out: Path) -> None:
        self._logs = {node.name: logs / node.name / "pacemaker" / "pacemaker.log" for node in NODES}
        self._out = out
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        self._thread = threading.Thread(target=self._follow, name="log-follower", daemon=True)
        self.failed: str = ""

    def __enter__(self) -> "LogFollower":
        self._file = self._out.open("a")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        if self._file:
            self._file.close()

    def note(self, **event: object) -> None:
        """Write an event of the caller's own among them."""
        with self._lock:
            if self._file and not self._file.closed:
                self._file.write(json.dumps({"t": time.time(), **event}) + "\n")
                self._file.flush()

    def _follow(self) -> None:
        position = {name: path.stat().st_size if path.exists() else 0 for name, path in self._logs.items()}
        rest = dict.fromkeys(self._logs, "")
        try:
            while not self._stop.wait(0.02):
                for name, path in self._logs.items():
                    if not path.exists() or path.stat().st_size <= position[name]:
                        continue
                    with path.open("rb") as file:
                        file.seek(position[name])
                        new = file.read()
                    position[name] += len(new)
                    *lines, rest[name] = (rest[name] + new.decode(errors="replace")).split("\n")
                    for line in lines:
                        for event in events(line, time.time()):
                            self.note(**event, by=name)
        except OSError as error:
            self.failed = f"following the nodes' logs: {error}"
