"""The second witness: the processes of this host, seen in /proc, that are a machine by their own arguments.

A hypervisor's daemon that was restarted, lost its state or gave up on a process may say that a machine is off whose
process is still there. A process that names the machine's id as its own outweighs that. None seen proves nothing: it
may be hidden from this user.
"""

from collections.abc import Collection
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

ARGUMENTS_MAX = 1 << 17


def of_machine(unit: str, options: Collection[str], proc: Path = Path("/proc")) -> list[str]:
    """The processes that were started with one of `options` followed by `unit`: `PID.STARTTIME` of each, sorted.

    The start time makes of it a name that no later process can have. One that has ended and is only not yet reaped
    (a zombie) executes nothing any more and is not counted.
    """
    found = []
    for folder in proc.iterdir():
        if folder.name.isdigit():
            with suppress(OSError, ValueError, IndexError):  # ended meanwhile, or hidden
                if _is(folder, unit, options):
                    state, started = _stat((folder / "stat").read_text(errors="replace"))
                    if state not in "ZX":
                        found.append(f"{folder.name}.{started}")
    return sorted(found)


def _is(folder: Path, unit: str, options: Collection[str]) -> bool:
    with (folder / "cmdline").open("rb") as file:
        words = file.read(ARGUMENTS_MAX).decode("utf-8", "replace").split("\0")
    return any(word == unit and before in options for before, word in pairwise(words[1:]))


def _stat(text: str) -> tuple[str, int]:
    """State and start time from a stat line; the name in it is in parentheses and may hold anything."""
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])
