"""Node attributes of the cluster, kept as measured but dampened: one is written only when its value changed for good.

Written through Pacemaker's attrd_updater, which costs a process; the record in the state directory is what spares it.
"""

import posix

from resource_agents.host import processes
from resource_agents.ocf.exits import GENERIC, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.ocf.operation import Operation

UNKNOWN = "?"
ABSENT = "-"
FIRST_LINE = "kappa-attributes"


class Held:
    """One attribute: the value that the cluster holds (ABSENT for none, UNKNOWN when a write did not come to its end),
    how many measurements in a row agreed on another one, and since when it was not the held one."""

    __slots__ = ("other", "seen", "since", "value")

    def __init__(self, value: str = UNKNOWN, other: str = UNKNOWN, seen: int = 0, since: float = 0.0) -> None:
        self.value = value
        self.other = other
        self.seen = seen
        self.since = since

    def changed(self, measured: str, now: float, results: int, dampen_s: float) -> bool:
        """Take in a measurement; whether it is time to write it. `now` is on the monotonic clock."""
        if measured == self.value:
            self.other, self.seen = UNKNOWN, 0
            return False
        if self.value == UNKNOWN:
            return True
        if not self.seen:
            self.since = now
        self.seen = self.seen + 1 if measured == self.other else 1
        self.other = measured
        return self.seen >= results or now - self.since >= dampen_s

    def line(self) -> str:
        return f"{self.value} {self.other} {self.seen} {self.since:.3f}"


def read(path: str) -> "dict[str, Held] | None":
    """What was noted down; None when there is nothing, or only from an earlier life of this machine. Raises ValueError
    for anything but a record."""
    try:
        handle = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        lines = posix.read(handle, 8192).decode("ascii", "replace").splitlines()
    finally:
        posix.close(handle)
    try:
        first, this_life = lines[0].split(" ")
        if first != FIRST_LINE:
            raise ValueError
        if this_life != processes.life():
            return None
        found = {}
        for line in lines[1:]:
            name, value, other, seen, since = line.split(" ")
            found[name] = Held(value, other, int(seen), float(since))
    except (ValueError, IndexError):
        raise ValueError(f"{path} is not a record of attributes") from None
    return found


def write(path: str, held: "dict[str, Held]") -> None:
    """Whole or not at all."""
    import os

    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    half = f"{path}.{os.getpid()}"
    lines = [f"{FIRST_LINE} {processes.life()}", *(f"{name} {one.line()}" for name, one in held.items())]
    try:
        handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        try:
            os.write(handle, "".join(f"{line}\n" for line in lines).encode("ascii"))
        finally:
            os.close(handle)
        os.rename(half, path)
    except OSError:
        processes.forget(half)
        raise


def publish(operation: "Operation", updater: str, name: str, value: str, timeout_s: float = 5.0) -> None:
    """Give this node's attribute the value, or remove it (ABSENT). Raises Failure."""
    from resource_agents.host.spawn import run

    what = ["--delete"] if value == ABSENT else ["--update", value]
    operation.doing = f"writing node attribute {name}"
    code, said = run([updater, "--name", name, *what], operation, timeout_s)
    if code != 0:
        words = said.strip().splitlines()
        raise Failure(
            GENERIC,
            f"{operation.name}: {updater} cannot {'remove' if value == ABSENT else 'write'} node attribute {name}: "
            f"{words[-1] if words else f'exit code {code}'}",
        )
