"""A real mongod replica set on loopback for the tests marked `mongod`.

    from tests.mongod import replica_set    # in a conftest.py or a test file: a session's set of one, with users

or, for a set that a test breaks as it likes:

    with ReplicaSet(directory, members=3) as mongo: ...

Every set has keyfile authentication and one administrator, as the data tier has. Members end with the test process,
even when that is killed: each asks the kernel for a SIGKILL at its parent's death.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

ADMIN_USER = "kappa_admin"
SET_NAME = "kappa0"
PR_SET_PDEATHSIG = 1

Document = dict[str, Any]


def find_mongod() -> str | None:
    """$KAPPA_MONGOD, else the one on PATH, else the one that the lab's package brought; None where there is none."""
    packaged = Path(sysconfig.get_paths()["purelib"]) / "fiftyone" / "db" / "bin" / "mongod"
    for candidate in (os.environ.get("KAPPA_MONGOD"), shutil.which("mongod"), str(packaged)):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    return None


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def until(condition: Callable[[], bool], what: str, within: float = 30.0, every: float = 0.02) -> None:
    """Wait for a condition; a PyMongoError on the way counts as not yet."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with contextlib.suppress(PyMongoError):
            if condition():
                return
        time.sleep(every)
    raise AssertionError(f"not within {within:.0f} s: {what}")


_libc = ctypes.CDLL(None)  # loaded before any fork: the child may do little more than call it


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Member:
    """One mongod: its port, its directory and, while it runs, its process."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes] | None = None


class ReplicaSet:
    """`members` real mongods on loopback; started by `with`, ended by SIGTERM (then SIGKILL) by pid."""

    def __init__(self, directory: Path, members: int = 1) -> None:
        found = find_mongod()
        if found is None:
            raise AssertionError("no mongod: set KAPPA_MONGOD, or install the package that brings one")
        self.mongod = found
        self.directory = directory
        self.keyfile = directory / "keyfile"
        self.password = secrets.token_hex(12)
        self.members = [Member(free_port(), directory / f"m{n}") for n in range(members)]

    @property
    def hosts(self) -> str:
        return ",".join(f"127.0.0.1:{member.port}" for member in self.members)

    @property
    def uri(self) -> str:
        """Where clients find it: no user, no password."""
        return f"mongodb://{self.hosts}/?replicaSet={SET_NAME}"

    @property
    def configdb(self) -> str:
        """As mongos's --configdb wants it."""
        return f"{SET_NAME}/{self.hosts}"

    def client(self, **options: Any) -> MongoClient[Document]:
        """A client of the whole set, authenticated as the administrator."""
        return MongoClient(self.uri, username=ADMIN_USER, password=self.password, authSource="admin", **options)

    def direct(self, index: int, **options: Any) -> MongoClient[Document]:
        """A client of one member alone, not authenticated."""
        options.setdefault("serverSelectionTimeoutMS", 500)
        return MongoClient("127.0.0.1", self.members[index].port, directConnection=True, **options)

    def start_member(self, index: int) -> None:
        member = self.members[index]
        member.directory.mkdir(exist_ok=True)
        member.process = subprocess.Popen(
            [
                self.mongod,
                *("--replSet", SET_NAME, "--bind_ip", "127.0.0.1", "--port", str(member.port)),
                *("--dbpath", str(member.directory), "--keyFile", str(self.keyfile), "--nounixsocket"),
                *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"),
                *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=(self.directory / f"m{index}.log").open("ab"),
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 (one prctl, nothing that takes a lock)
        )
        until(lambda: self._answers(index), f"mongod {index} answers (see {self.directory}/m{index}.log)")

    def _answers(self, index: int) -> bool:
        process = self.members[index].process
        assert process is not None
        assert process.poll() is None, (self.directory / f"m{index}.log").read_text()[-2000:]
        with self.direct(index) as client:
            return bool(client.admin.command("ping")["ok"])

    def signal_member(self, index: int, number: int) -> None:
        """Send a signal (SIGKILL, SIGSTOP, SIGCONT…) to one mongod."""
        process = self.members[index].process
        assert process is not None
        process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            process.wait(30)

    def primary(self) -> int:
        """The index of the member that is primary now; waits for one."""
        found: list[int] = []

        def look() -> bool:
            for index, member in enumerate(self.members):
                if member.process is None or member.process.poll() is not None:
                    continue
                with contextlib.suppress(PyMongoError), self.direct(index) as client:
                    if client.admin.command("hello").get("isWritablePrimary"):
                        found.append(index)
                        return True
            return False

        until(look, "the replica set has a primary")
        return found[-1]

    def __enter__(self) -> "ReplicaSet":
        self.keyfile.write_text(secrets.token_hex(48))
        self.keyfile.chmod(0o600)
        try:
            for index in range(len(self.members)):
                self.start_member(index)
            self._initiate()
        except BaseException:
            self.stop()
            raise
        return self

    def _initiate(self) -> None:
        members = [{"_id": n, "host": f"127.0.0.1:{m.port}"} for n, m in enumerate(self.members)]
        # Until the first user exists mongod lets loopback in to do exactly this.
        with self.direct(0) as client:
            client.admin.command(
                "replSetInitiate",
                {"_id": SET_NAME, "members": members, "settings": {"electionTimeoutMillis": 2000}},
            )
        with self.direct(self.primary()) as client, contextlib.suppress(OperationFailure):
            client.admin.command("createUser", ADMIN_USER, pwd=self.password, roles=["root"])
        with self.client(serverSelectionTimeoutMS=1000) as client:
            until(lambda: bool(client.admin.command("ping")["ok"]), "the administrator can log in")

    def stop(self) -> None:
        running = [m.process for m in self.members if m.process is not None and m.process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGCONT)
            # Nothing of a test's data is worth a clean shutdown's seconds.
            process.kill()
        for process in running:
            process.wait(30)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


@pytest.fixture(scope="session")
def replica_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    """A replica set of one for the whole session. Tests take a database name of their own in it."""
    with ReplicaSet(tmp_path_factory.mktemp("mongod")) as mongo:
        yield mongo
