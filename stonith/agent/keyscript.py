"""The key from a program that prints it, for sites that keep secrets in a store of their own.

Run without a shell and without arguments, with nothing of ours in its environment; its output is bounded and so is its
time. Loaded only where `key_script` is set.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import time

from stonith.keyfile import KeyFileError
from stonith.wire import KEY_MAX, KEY_MIN

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
POLL_S = 0.005


def key_of(script: str, deadline: float) -> bytes:
    """What `script` prints until `deadline` (time.monotonic()), without the white space around it.

    Raises KeyFileError: one sentence that names the script, and never a byte of what it printed.
    """
    _see_to(script)
    reading, writing = os.pipe()
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writing, 1),
            (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
        ]
        pid = os.posix_spawn(script, [script], ENVIRONMENT, file_actions=actions, setpgroup=0)
    except OSError as error:
        os.close(reading)
        raise KeyFileError(
            f"the key script {script!r} cannot be run ({error.strerror}); see to its first line"
        ) from None
    finally:
        os.close(writing)
    try:
        key = _read(script, reading, deadline)
        code = _end(script, pid, deadline)
    except BaseException:
        _kill(pid)
        raise
    finally:
        os.close(reading)
    if code != 0:
        how = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
        raise KeyFileError(f"the key script {script!r} {how}; run it by hand to see what it says")
    if not KEY_MIN <= len(key) <= KEY_MAX:
        raise KeyFileError(
            f"the key script {script!r} printed {len(key)} bytes; a key has {KEY_MIN} to {KEY_MAX},"
            " and nothing but the key may be printed"
        )
    return key


def _see_to(script: str) -> None:
    """Who may write to it may have any key it knows, so nobody else may."""
    try:
        about = os.stat(script)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise KeyFileError(f"there is no key script {script!r} ({why}); name an executable, or use key_file") from None
    if not stat.S_ISREG(about.st_mode) or not os.access(script, os.X_OK):
        raise KeyFileError(f"the key script {script!r} is not an executable file; chmod 700 it")
    if about.st_mode & 0o022 or about.st_uid not in (0, os.geteuid()):
        raise KeyFileError(
            f"the key script {script!r} can be changed by others (mode {stat.S_IMODE(about.st_mode):o},"
            f" user id {about.st_uid}); let root own it and chmod 700 it"
        )


def _read(script: str, reading: int, deadline: float) -> bytes:
    os.set_blocking(reading, False)
    poll = select.poll()
    poll.register(reading, select.POLLIN | select.POLLHUP)
    printed = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise _late(script)
        if not poll.poll(int(left * 1000) + 1):
            continue
        chunk = os.read(reading, KEY_MAX)
        printed += chunk
        if not chunk:
            return printed.strip()
        if len(printed) > 2 * KEY_MAX:
            raise KeyFileError(f"the key script {script!r} does not stop printing; a key has {KEY_MAX} bytes at most")


def _end(script: str, pid: int, deadline: float) -> int:
    """Its exit code, or minus the signal that ended it."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            raise _late(script)
        time.sleep(POLL_S)


def _late(script: str) -> KeyFileError:
    return KeyFileError(f"the key script {script!r} did not print a key in time; run it by hand, or raise timeout")


def _kill(pid: int) -> None:
    """It and whatever it started."""
    try:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except OSError:
        pass
