"""Processes as the kernel shows them, and the record by which an agent knows its own again.

A pid alone proves nothing: it may belong to another process by now. A process is ours when its pid *and* its start
time are those that were recorded when it was started, during the same life of this machine (or container).
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DEAD = "ZXx"
FROZEN = "T"


class Process:
    """One line of /proc/PID/stat, as far as an agent needs it. `start` is in clock ticks since the kernel booted."""

    __slots__ = ("parent", "pid", "session", "start", "state")

    def __init__(self, pid: int, state: str, parent: int, session: int, start: int) -> None:
        self.pid = pid
        self.state = state
        self.parent = parent
        self.session = session
        self.start = start


def process(pid: int) -> "Process | None":
    """The process with this pid, or None when there is none or it is dead and only waits to be reaped."""
    try:
        text = _read(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may itself hold spaces and parentheses: what counts comes after the last one.
    fields = text[text.rindex(b")") + 2 :].split(b" ", 20)
    state = fields[0].decode()
    if state in DEAD:
        return None
    return Process(pid, state, int(fields[1]), int(fields[3]), int(fields[19]))


def every_process() -> "list[Process]":
    """All that run now (the kernel gives no snapshot: what begins or ends meanwhile may be missing)."""
    return [found for pid in _pids() if (found := process(pid))]


def session_members(session: int) -> "list[Process]":
    """All processes of a session. While one is left the kernel does not give the session's number to anyone else, so
    they are the descendants of what was started under it, whatever they call themselves."""
    return [found for found in every_process() if found.session == session]


def command(pid: int) -> "list[str]":
    """The command line, [] when the process is gone or is the kernel's own."""
    try:
        raw = _read(f"/proc/{pid}/cmdline")
    except (FileNotFoundError, ProcessLookupError):
        return []
    text = raw.rstrip(b"\0").decode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
    return text.split("\0") if raw else []


def program_words(words: "list[str]") -> "list[str]":
    """A command line without what runs a script: the interpreter and its options before the script or `-m` module."""
    if words and words[0].rsplit("/", 1)[-1].startswith("python"):
        words = words[1:]
        while words and words[0].startswith("-"):
            words = words[1:]
    return words


def find(matches: "Callable[[list[str]], bool]") -> "list[Process]":
    """Processes whose command line `matches`; neither this one nor one of another container.

    `matches` gets the command line as `program_words` leaves it, [] for the kernel's own.
    """
    here, me = _namespace("self"), posix.getpid()
    found = []
    for pid in _pids():
        if pid != me and matches(program_words(command(pid))) and _namespace(str(pid)) == here:
            one = process(pid)
            if one:
                found.append(one)
    return found


class Record:
    """Who was started: pid, start time, and the life of the machine in which that pid means something."""

    __slots__ = ("life", "pid", "start")

    def __init__(self, pid: int, start: int, life: str) -> None:
        self.pid = pid
        self.start = start
        self.life = life

    def running(self) -> "Process | None":
        """The very process that was recorded, if it still runs."""
        now = process(self.pid)
        return now if now and now.start == self.start else None


def life() -> str:
    """Names this life of the machine or container: the kernel's boot and the start of process 1."""
    first = process(1)
    return _read("/proc/sys/kernel/random/boot_id").decode().strip() + f"/{first.start if first else 0}"


def read_record(path: str) -> "Record | None":
    """The record at `path`, or None when there is none, when it is from an earlier life, or when it is not a record."""
    try:
        words = _read(path).decode("ascii").split()
        record = Record(int(words[0]), int(words[1]), words[2])
    except (FileNotFoundError, NotADirectoryError, IndexError, ValueError):
        return None
    return record if record.pid > 0 and record.life == life() else None


def write_record(path: str, pid: int, start: int) -> None:
    """Write it whole or not at all: pid on the first line, as in any pidfile; start time and life on the next ones."""
    import os

    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    half = f"{path}.{os.getpid()}"
    try:
        handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        try:
            os.write(handle, f"{pid}\n{start}\n{life()}\n".encode("ascii"))
        finally:
            os.close(handle)
        os.rename(half, path)
    except OSError:
        forget(half)
        raise


def forget(path: str) -> None:
    """Remove the file; that it cannot be removed, or is not there, is no failure."""
    try:
        posix.unlink(path)
    except OSError:
        return


def _pids() -> "list[int]":
    return [int(name) for name in posix.listdir("/proc") if name.isdigit()]


def _namespace(pid: str) -> str:
    try:
        return posix.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _read(path: str) -> bytes:
    # These spare the buffered file object, and with it half the time. A pipe in the file's place must not make anyone
    # wait for its writer.
    handle = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    try:
        data = posix.read(handle, 65536)
        more = data
        while len(more) == 65536:
            more = posix.read(handle, 65536)
            data += more
        return data
    finally:
        posix.close(handle)
