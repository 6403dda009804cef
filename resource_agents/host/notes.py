"""Short notes that an agent leaves itself in the state directory, from one action to the next.

A note is about one process and holds only as long as that very process does: with the next one it is as if it had never
been written. What is said here serves level 0, so nothing is imported that is not there already.
"""

import posix
import time

from resource_agents.host.processes import forget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.host.processes import Record


def read(path: str, about: "Record") -> str:
    """What was noted about this process, "" when nothing was or it cannot be read."""
    try:
        handle = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    except OSError:
        return ""
    try:
        text = posix.read(handle, 4096).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        posix.close(handle)
    head = f"{about.pid} {about.start} {about.life} "
    return text[len(head) :].strip() if text.startswith(head) else ""


def write(path: str, about: "Record", text: str) -> None:
    """Write it whole or not at all. Raises OSError."""
    half = f"{path}.{posix.getpid()}"
    try:
        handle = posix.open(
            half, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC, 0o644
        )
        try:
            posix.write(handle, f"{about.pid} {about.start} {about.life} {text}\n".encode())
        finally:
            posix.close(handle)
        posix.rename(half, path)
    except OSError:
        forget(half)
        raise


def lasts(path: str, about: "Record") -> float:
    """Seconds since this was first called without a `forget` of the note between (0.0 the first time, and for as long
    as nothing can be written)."""
    now = time.monotonic()
    try:
        return max(0.0, now - float(read(path, about)))
    except ValueError:
        pass
    try:
        write(path, about, f"{now:.3f}")
    except OSError:
        return 0.0
    return 0.0
