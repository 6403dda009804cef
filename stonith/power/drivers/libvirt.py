"""The driver for libvirt's machines: asks `virsh`, and looks for the machine's process itself.

A unit is a domain's UUID, a run is its id, which libvirt gives anew at every start and keeps as long as the process.
The broker must run on the host of the machines: a connection through the network proves less and may hang anywhere.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stonith.power import processes
from stonith.power.command import Ran, run
from stonith.power.driver import DriverError, Sight, State
from stonith.power.table import Table
from stonith.wire import printable

URI = re.compile(r"[a-z]+(\+unix)?:///[A-Za-z0-9._/-]*(\?socket=/[A-Za-z0-9._/-]*)?")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STATE = re.compile(r"([a-z ]+) \(([^()]*)\)")

LOOK_S = 4.0
"""A daemon that does not say within this what it sees is not waited for any longer by that look."""

STATES = {
    "running": State.ON,
    "idle": State.ON,  # waits for something; goes on by itself
    "paused": State.ON,  # whoever paused it may resume it; also a disk that is full pauses it
    "in shutdown": State.ON,  # still executes, for as long as its guest likes
    "pmsuspended": State.ON,  # asleep with all its memory; a packet may wake it
    "crashed": State.ON,  # the guest has panicked, its process is kept, and may be reset
    "shut off": State.OFF,
    "no state": State.UNKNOWN,
}
"""What each state is worth when the domain has an id, or for `shut off` when it has none. No other is worth a thing."""

ENDED = {
    "unknown",  # has not run since libvirtd knows it
    "shutdown",
    "destroyed",
    "crashed",
    "failed",  # did not start
    "from snapshot",
    "daemon",  # libvirtd gave it up when it came back
    "saved",  # to a file, by hand, so only a hand brings it back; what `start` would bring back is told apart below
}
"""The reasons of `shut off` that say that it has ended. `migrated` does not: it runs elsewhere."""


class Libvirt:
    no_new_privileges = True

    def __init__(self, uri: str, virsh: str = "/usr/bin/virsh", proc: Path = Path("/proc")) -> None:
        self._virsh = (virsh, "--quiet", "--connect", uri)
        self._uri = uri
        self._proc = proc

    def list(self, deadline: float) -> frozenset[str]:
        ran = self._ask(deadline, "list", "--all", "--name")
        if ran.code != 0:
            raise DriverError(f"virsh --connect {self._uri} cannot list the domains: {ran.said()}")
        return frozenset(ran.out.split())

    def status(self, machine: str, deadline: float, unit: str = "") -> Sight:
        # the state first, then the rest, in one connection; whatever changes between the two makes them disagree
        name = unit or machine
        try:
            ran = self._ask(deadline, f"domstate {name} --reason; dominfo {name}")
        except DriverError as error:
            return Sight(State.UNKNOWN, str(error))
        if ran.code != 0:
            return Sight(State.UNKNOWN, f"virsh said of {machine}: {ran.said()}")
        sight = judge(ran.out, machine, unit)
        return self._witnessed(sight) if sight.unit else sight

    def off(self, machine: str, unit: str, deadline: float) -> str:
        # destroy, and never `shutdown`, `destroy --graceful` or any other request that a guest could put off. It takes
        # 10 s longer with a process that is frozen: so long libvirt waits before it turns from SIGTERM to SIGKILL.
        cut = run((*self._virsh, "destroy", unit), deadline)
        if cut.code == 0:
            return f"destroy: {cut.said()}"
        if "not running" not in cut.err:
            raise DriverError(f"libvirt did not cut {machine}: {cut.said()}")
        # It does not run; a memory image that the next start would wake is what is left of it.
        left = self._ask(deadline, "managedsave-remove", unit)
        return f"destroy: {cut.said()}; managedsave-remove: {left.said()}"

    def on(self, machine: str, unit: str, deadline: float) -> str:
        ran = run((*self._virsh, "start", unit, "--force-boot"), deadline)  # a boot, never a memory image
        if ran.code != 0 and "already active" not in ran.err:
            raise DriverError(f"libvirt did not start {machine}: {ran.said()}")
        return f"start: {ran.said()}"

    def warnings(self, machine: str, deadline: float) -> Sequence[str]:
        ran = self._ask(deadline, "dominfo", machine)
        told = _told(ran.out.splitlines()) if ran.code == 0 else {}
        found = []
        if told.get("Persistent") == "no":
            found.append("is transient: once off it is gone and leaves no proof that it is off; virsh define it")
        if told.get("Autostart") == "enable":
            found.append("starts with the host, behind the cluster's back; see virsh autostart --disable")
        if told.get("Managed save") == "yes":
            found.append("has a saved memory image; see virsh managedsave-remove")
        uuid = told.get("UUID", "")
        if told.get("Id", "-") != "-" and self._uri.startswith("qemu") and not self._seen(uuid):
            found.append("runs, but its process is hidden from this user in /proc: there is no second witness")
        return found

    def _ask(self, deadline: float, *command: str) -> Ran:
        return run((*self._virsh, *command), min(deadline, time.monotonic() + LOOK_S))

    def _seen(self, uuid: str) -> Sequence[str]:
        return processes.of_machine(uuid, ("-uuid",), self._proc)

    def _witnessed(self, sight: Sight) -> Sight:
        found = self._seen(sight.unit)
        seen = f"{sight.evidence}, process {' and '.join(found) or 'not seen'}"
        if (sight.state is State.OFF and found) or len(found) > 1:
            return Sight(State.UNKNOWN, f"libvirt and the host's processes disagree: {seen}", sight.unit)
        return replace(sight, evidence=seen)


def judge(text: str, machine: str, unit: str = "") -> Sight:
    """What `domstate --reason` and `dominfo` of one domain prove together, and nothing more."""
    lines = [line for line in text.splitlines() if line.strip()]
    said = printable(" | ".join(lines[:12]), 100)
    stated = STATE.fullmatch(lines[0].strip()) if lines else None
    if stated is None:
        return Sight(State.UNKNOWN, f"virsh said nothing about {machine} that is a domain: {said or 'nothing at all'}")
    state, reason = stated[1], stated[2]
    told = _told(lines[1:])
    name, uuid, number = (told.get(key, "") for key in ("Name", "UUID", "Id"))
    said = printable(f"domain {uuid[:8]} {state} ({reason}), id {number}")
    if not UUID.fullmatch(uuid) or not (number == "-" or (number.isascii() and number.isdigit())):
        return Sight(State.UNKNOWN, f"no identity: {said}")
    run = "" if number == "-" else number  # one that may come back with its memory has no run yet that could end
    if name != machine or (unit and uuid != unit):
        return Sight(State.UNKNOWN, f"not {machine} but {printable(name, 100)}: {said}")
    if told.get("State") != state:
        return Sight(State.UNKNOWN, f"changed while it was looked at: {said}, then {told.get('State')}", uuid, run)
    worth = STATES.get(state, State.UNKNOWN)
    if worth is State.ON and number != "-":
        return Sight(State.ON, said, uuid, run, booted=reason == "booted")
    if worth is State.OFF and number == "-" and reason in ENDED:
        if told.get("Managed save") == "no":
            return Sight(State.OFF, said, uuid, number)
        return Sight(State.UNKNOWN, f"its memory is saved and would wake at the next start: {said}", uuid, run)
    return Sight(State.UNKNOWN, f"neither runs nor is proven off: {said}", uuid, run)


def _told(lines: Sequence[str]) -> dict[str, str]:
    """The `Key: value` lines; a key that stands there twice says nothing."""
    told: dict[str, str] = {}
    twice = set()
    for line in lines:
        key, colon, value = line.partition(":")
        if colon and key in told:
            twice.add(key)
        told[key] = value.strip()
    return {key: value for key, value in told.items() if key not in twice}


def from_table(table: Table) -> Libvirt:
    uri = table.text("uri")
    if not URI.fullmatch(uri):
        raise table.wrong("uri", f"is {uri!r}, which is not a connection on this host such as 'qemu:///system'")
    return Libvirt(uri, str(table.path("virsh", "/usr/bin/virsh")))
