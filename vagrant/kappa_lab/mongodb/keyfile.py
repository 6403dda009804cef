"""The keyfile that the members of a replica set and its routers share: read as strictly as MongoDB reads it."""

import os
import stat

SHORTEST, LONGEST = 6, 1024
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


class KeyFileError(Exception):
    """Why this keyfile will not do, in one sentence that does not hold a byte of it."""


def read(path: str) -> str:
    """The key in `path`, white space removed.

    Raises KeyFileError when the file cannot be read, when its group or others have any permission on it, when it holds
    anything but base64, or not 6 to 1024 characters of it: the rules, and the limits, of mongod and mongos.
    """
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 (start-up time)
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise KeyFileError(f"the keyfile {path} is not a regular file")
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise KeyFileError(f"permissions on {path} are too open: they must be 600 or 400")
            text = file.read()
    except OSError as error:
        raise KeyFileError(f"error reading the keyfile {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeyFileError(f"the keyfile {path} holds characters that are not base64") from None
    key = "".join(text.split())
    if not set(key) <= _BASE64:
        raise KeyFileError(f"the keyfile {path} holds characters that are not base64")
    if not SHORTEST <= len(key) <= LONGEST:
        raise KeyFileError(f"the key in {path} has {len(key)} characters; {SHORTEST} to {LONGEST} are allowed")
    return key
