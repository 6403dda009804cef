"""Secrets stay in files: what an agent reads from one, and which files it refuses."""

import os
import stat

from resource_agents.ocf.exits import INSTALLED, PERMISSION, Failure

LONGEST = 4096


def secret(path: str, what: str) -> str:
    """The first line of the file. Raises Failure, which never quotes it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Failure(INSTALLED, f"{what} {path} does not exist on this node; put it here") from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise Failure(INSTALLED, f"{what} {path} is no regular file")
        if found.st_mode & 0o077:
            raise Failure(
                PERMISSION, f"{what} {path} can be read by others than its owner; chmod 600 it, and change the password"
            )
        data = os.read(handle, LONGEST)
    finally:
        os.close(handle)
    try:
        text = data.decode().split("\n", 1)[0].rstrip("\r")
    except UnicodeDecodeError:
        raise Failure(INSTALLED, f"{what} {path} is not text in UTF-8") from None
    if not text:
        raise Failure(INSTALLED, f"{what} {path} is empty")
    return text
