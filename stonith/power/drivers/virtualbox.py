"""The driver for VirtualBox's machines: asks `VBoxManage`, and looks for the machine's process itself.

A unit is a machine's UUID, a run is its process. VMStateChangeTime would not do for a run: it changes when a machine is
paused, so a pause would look like an end. The broker must run as the user whose machines they are.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path

from stonith.power import processes
from stonith.power.command import Ran, run
from stonith.power.driver import DriverError, Sight, State
from stonith.power.table import Table
from stonith.wire import printable

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LINE = re.compile(r'(name|UUID|VMState|VMStateChangeTime)="([^"]*)"')
LISTED = re.compile(r'"(.*)" \{[0-9a-f-]{36}\}')

LOOK_S = 4.0
CUT_S = 5.0
"""A machine whose process does not obey within this is not asked any more."""

STATES = {
    "poweroff": State.OFF,
    "aborted": State.OFF,  # its process has ended by itself, or was killed
    # what will be woken with its old memory has not ended; `off` throws that memory away
    "saved": State.UNKNOWN,
    "aborted-saved": State.UNKNOWN,  # its process ended while it was being woken; its memory is still saved
    "teleported": State.UNKNOWN,  # runs on another host
    "running": State.ON,
    "paused": State.ON,  # whoever paused it may resume it
    "gurumeditation": State.ON,  # stopped by VirtualBox, its process is kept for a debugger
    "starting": State.ON,
    "stopping": State.ON,  # still executes, and may hang there
    "saving": State.ON,
    "restoring": State.ON,
    "livesnapshotting": State.ON,
    "onlinesnapshotting": State.ON,
    "deletingsnapshotlive": State.ON,
    "deletingsnapshotlivepaused": State.ON,
    "teleporting": State.ON,
    "teleportingpausedvm": State.ON,
    "teleportingin": State.ON,  # waits to become a machine that runs elsewhere
    # in the middle of work on its files, with or without a saved memory: look again
    "snapshotting": State.UNKNOWN,
    "restoringsnapshot": State.UNKNOWN,
    "deletingsnapshot": State.UNKNOWN,
    "settingup": State.UNKNOWN,
}
"""What each VMState is worth. No other is worth anything."""

SAVED = ("saved", "aborted-saved")


class VirtualBox:
    no_new_privileges = False  # VirtualBox's own programs are setuid root; without that no machine starts

    def __init__(self, vboxmanage: str = "/usr/bin/VBoxManage", proc: Path = Path("/proc")) -> None:
        self._vboxmanage = vboxmanage
        self._proc = proc

    def list(self, deadline: float) -> frozenset[str]:
        ran = self._ask(deadline, LOOK_S, "list", "vms")
        if ran.code != 0:
            raise DriverError(f"VBoxManage cannot list the machines: {ran.said()}")
        return frozenset(found[1] for line in ran.out.splitlines() if (found := LISTED.fullmatch(line.strip())))

    def status(self, machine: str, deadline: float, unit: str = "") -> Sight:
        try:
            ran = self._ask(deadline, LOOK_S, "showvminfo", unit or machine, "--machinereadable")
        except DriverError as error:
            return Sight(State.UNKNOWN, str(error))
        if ran.code != 0:
            return Sight(State.UNKNOWN, f"VBoxManage said of {machine}: {ran.said()}")
        sight = judge(ran.out, machine, unit)
        return self._witnessed(sight) if sight.unit else sight

    def off(self, machine: str, unit: str, deadline: float) -> str:
        # poweroff pulls the plug; acpipowerbutton, shutdown, reset and savestate do not
        said = []
        for command in (("controlvm", unit, "poweroff"), ("startvm", unit, "--type", "emergencystop")):
            try:
                ran = self._ask(deadline, CUT_S, *command)
            except DriverError as error:
                said.append(f"{command[0]}: {error}")
                continue  # a process that hangs hears nothing; an emergency stop kills it
            said.append(f"{' '.join(command[:1] + command[2:])}: {ran.said()}")
            if ran.code == 0:
                return "; ".join(said)
            if "not currently running" in ran.err:
                # It does not run; the memory that the next start would wake is what is left of it.
                left = self._ask(deadline, LOOK_S, "discardstate", unit)
                return "; ".join((*said, f"discardstate: {left.said()}"))
        raise DriverError(f"VirtualBox did not cut {machine}: {'; '.join(said)}")

    def on(self, machine: str, unit: str, deadline: float) -> str:
        ran = self._ask(deadline, deadline - time.monotonic(), "startvm", unit, "--type", "headless")
        if ran.code != 0:
            raise DriverError(f"VirtualBox did not start {machine}: {ran.said()}")
        return f"startvm: {ran.said()}"

    def warnings(self, machine: str, deadline: float) -> Sequence[str]:
        ran = self._ask(deadline, LOOK_S, "showvminfo", machine, "--machinereadable")
        if ran.code != 0:
            return []
        lines, found = ran.out.splitlines(), []
        if 'autostart-enabled="on"' in lines:
            found.append("starts with the host, behind the cluster's back; see VBoxManage modifyvm --autostart-enabled")
        sight = judge(ran.out, machine)
        if sight.state is State.ON and not self._seen(sight.unit):
            found.append("runs, but its process is not seen in /proc; run kappa-powerd as the user whose machine it is")
        return found

    def _ask(self, deadline: float, patience: float, *command: str) -> Ran:
        return run((self._vboxmanage, "--nologo", *command), min(deadline, time.monotonic() + patience))

    def _seen(self, unit: str) -> Sequence[str]:
        return processes.of_machine(unit, ("--startvm", "-startvm", "-s"), self._proc)

    def _witnessed(self, sight: Sight) -> Sight:
        """A machine that is off has no process, and one that is on has one, which tells one run from another."""
        found = self._seen(sight.unit)
        seen = f"{sight.evidence}, process {' and '.join(found) or 'not seen'}"
        if sight.state is State.OFF and not found:
            return Sight(State.OFF, seen, sight.unit, "-")
        if sight.state is State.ON and len(found) == 1:
            return Sight(State.ON, seen, sight.unit, found[0])
        if sight.state is State.UNKNOWN:
            return Sight(State.UNKNOWN, seen, sight.unit)
        return Sight(State.UNKNOWN, f"VirtualBox and the host's processes disagree: {seen}", sight.unit)


def judge(text: str, machine: str, unit: str = "") -> Sight:
    """What `showvminfo --machinereadable` of one machine proves, the witness of its process left out."""
    told: dict[str, str] = {}
    states = []
    for line in text.splitlines():
        if found := LINE.fullmatch(line):
            told.setdefault(found[1], found[2])
        if line.startswith("VMState="):
            states.append(line)
    if len(told) != 4:
        begins = printable(text, 100) or "nothing at all"
        return Sight(State.UNKNOWN, f"VBoxManage said nothing about {machine} that is a machine: {begins}")
    uuid, state = told["UUID"], told["VMState"]
    said = printable(f"machine {uuid[:8]} {state} since {told['VMStateChangeTime']}")
    if not UUID.fullmatch(uuid):
        return Sight(State.UNKNOWN, f"no identity: {said}")
    if told["name"] != machine or (unit and uuid != unit):
        return Sight(State.UNKNOWN, f"not {machine} but {printable(told['name'], 100)}: {said}")
    if len(states) > 1:
        # Further down it shows what the guest says of itself: a guest must not be able to write itself off there.
        return Sight(State.UNKNOWN, f"VBoxManage said several states, {printable(states, 100)}: {said}", uuid)
    if state in SAVED:
        said = f"its memory is saved and would wake at the next start: {said}"
    return Sight(STATES.get(state, State.UNKNOWN), said, uuid)


def from_table(table: Table) -> VirtualBox:
    return VirtualBox(str(table.path("vboxmanage", "/usr/bin/VBoxManage")))
