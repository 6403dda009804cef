"""Read a key from a file that nobody else can read (standard library only, Python 3.9; agent and broker alike)."""

from __future__ import annotations

import os
import stat

from stonith.wire import KEY_MAX, KEY_MIN


class KeyFileError(Exception):
    """One sentence that names the file, what is wrong with it, and what to do. Never a byte of what is in it."""


def read_key(path: str) -> bytes:
    """The key in `path`: its bytes without the white space around them, 32 at least (`openssl rand -hex 32` makes one).

    The file must be a regular one, belong to root or to whoever runs this, and be readable by its owner alone.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise KeyFileError(
            f"cannot read the key file {path!r} ({why}); put this client's key there, mode 600"
        ) from None
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise KeyFileError(f"the key file {path!r} is not a regular file; name the file that holds the key")
        if about.st_mode & 0o077:
            raise KeyFileError(
                f"the key file {path!r} has mode {stat.S_IMODE(about.st_mode):o}, so others may read it; chmod 600 it"
            )
        if about.st_uid not in (0, os.geteuid()):
            raise KeyFileError(
                f"the key file {path!r} belongs to user id {about.st_uid}; root or the user that runs this must own it"
            )
        key = os.read(handle, KEY_MAX + 1).strip()
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path!r} ({error.strerror}); look at its file system") from None
    finally:
        os.close(handle)
    if not KEY_MIN <= len(key) <= KEY_MAX:
        raise KeyFileError(
            f"the key file {path!r} holds {len(key)} bytes; a key has {KEY_MIN} to {KEY_MAX} (see openssl rand -hex 32)"
        )
    return key
