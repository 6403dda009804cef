"""The lab's secrets: made anew for every lab, in files that only root reads, never in an argument or an environment."""

import base64
import os
import secrets
from pathlib import Path

from kappa_lab.topology import NODES


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def make(folder: Path) -> None:
    """Fill `folder` (made with mode 700) with one file a secret."""
    folder.mkdir(mode=0o700, parents=True)
    _write(folder / "corosync.key", secrets.token_bytes(256))
    _write(folder / "pacemaker.key", secrets.token_bytes(256))
    for node in NODES:
        _write(folder / f"fence-{node.name}.key", secrets.token_hex(32).encode() + b"\n")
    # the form of a bot token: the bot's id, a colon, 35 characters
    _write(
        folder / "telegram.token",
        f"{secrets.randbelow(9 * 10**8) + 10**8}:AA{secrets.token_hex(17)}"[:45].encode() + b"\n",
    )
    _write(folder / "mongodb.key", base64.b64encode(secrets.token_bytes(96)) + b"\n")
    for name in ("mongodb.password", "mongodb-admin.password", "mongodb-judge.password"):
        _write(folder / name, secrets.token_urlsafe(24).encode() + b"\n")
    _write(folder / "id.key", secrets.token_hex(32).encode() + b"\n")
