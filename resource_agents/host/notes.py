"""Short notes that an agent leaves itself in the state directory, from one action to the next.

A note is about one process and holds only as long as that very process does: with the next one it is as if it had never
been written. What is said here serves level 0, so nothing is imported that is not there already.
"""

import os
import time

from resource_agents.host.processes import forget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.host.processes import Record


def read(path: str, about: "Record") -> str:
    """What was noted about this process, "" when nothing was or it cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        text = os.read(handle, 4096).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(handle)
    head = f"{about.pid} {about.start} {about.life} "
    return text[len(head) :].strip() if text.startswith(head) else ""


def write(path: str, about: "Record", text: str) -> None:
    """Write it whole or not at all. Raises OSError."""
    half = f"{path}.{os.getpid()}"
    try:
        handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            os.write(handle, f"{about.pid} {about.start} {about.life} {text}\n".encode())
        finally:
            os.close(handle)
        os.rename(half, path)
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
