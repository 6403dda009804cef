"""What a driver of `kappa-powerd` is: four plain things about the machines of one hypervisor. A new one is one file.

A driver looks and asks; it never concludes. That a machine is off, that a switch took, how long to go on: this is
decided once for all drivers, in switch.py. Every method is called from a worker thread and keeps its deadline.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class State(Enum):
    """Three answers. OFF is said only on positive proof; whatever is not understood is UNKNOWN."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Sight:
    """What was seen of one machine, once."""

    state: State
    evidence: str
    """What the hypervisor said, in one line, whatever the state is."""
    unit: str = ""
    """The hypervisor's own id of the machine, which no other can take over as it can take a name. Empty: not seen."""
    run: str = ""
    """Tells one run of that unit from another: the time of its start, the id of its process. A unit has one at a time.

    It must stay the same for as long as that run lasts, or a machine that was merely paused would look like one that
    has ended and been started anew. Empty: not seen, which an UNKNOWN alone may have.
    """
    booted: bool = False
    """Whether this run is known to have begun with a boot. If not, it may be an earlier one, woken with its memory."""

    @property
    def instance(self) -> str:
        """The very thing that runs, or ran last: unit and run."""
        return f"{self.unit}@{self.run}" if self.unit and self.run else self.unit


class DriverError(Exception):
    """The hypervisor could not be asked, or refused. One line: what it is, what it said."""


class Driver(Protocol):
    @property
    def no_new_privileges(self) -> bool:
        """Whether the programs that it starts do without setuid."""
        ...

    def list(self, deadline: float) -> frozenset[str]:
        """The names of all machines that the hypervisor has, in whatever state. Raises DriverError."""
        ...

    def status(self, machine: str, deadline: float, unit: str = "") -> Sight:
        """Look at a machine by name, or at that very `unit` of this name. Never raises: what is not seen is UNKNOWN."""
        ...

    def off(self, machine: str, unit: str, deadline: float) -> str:
        """Ask the hypervisor to cut the power of `unit`, which was seen as `machine`: at once, never gracefully.

        Returns what the hypervisor said to that. That it took is for `status` to see. Raises DriverError.
        """
        ...

    def on(self, machine: str, unit: str, deadline: float) -> str:
        """Ask the hypervisor to start `unit`; like `off` otherwise."""
        ...

    def warnings(self, machine: str, deadline: float) -> Sequence[str]:
        """What of this machine's set-up will spoil fencing: each as the end of a sentence that begins with its name.

        For check-config alone. Raises DriverError.
        """
        ...
