"""`python -m kappa_lab.mongodb.initiate`: make one replica set of running members, and its users.

Twice is as good as once. Everything is done as `__system`, the user whose password is the keyfile: that works from any
machine that has the keyfile, on a set that has no user yet as well as on one that has.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from kappa_lab.errors import LabError
from kappa_lab.mongodb import address, keyfile
from kappa_lab.mongodb.member import SET_NAME
from kappa_lab.mongodb.scram import MECHANISM, SYSTEM_USER
from kappa_lab.progress import step
from kappa_lab.topology import ELECTION_S

DATABASE = "kappa"
REVOKER = "revokeAnyRole"
"""A role of our own: MongoDB lets nobody change a role or a user's roles who may not revoke roles in all databases."""

ALREADY_INITIALIZED = 23
AUTHENTICATION_FAILED = 18
USER_EXISTS = 51003
ROLE_EXISTS = 51002
STEP_S = 0.05

Document = dict[str, Any]


@dataclass(frozen=True)
class User:
    """A user of the data tier: who, where it logs in, its password, and what it may do."""

    name: str
    database: str
    password: str
    roles: tuple[tuple[str, str], ...]
    """Pairs of a role's name and its database."""


def administrator(name: str, password: str) -> User:
    """Prepares the bot's database and looks at the set's health; it has no say in any other database."""
    return User(name, "admin", password, (("dbOwner", DATABASE), ("clusterMonitor", "admin"), (REVOKER, "admin")))


def judge(name: str, password: str) -> User:
    """Reads what a drill's invariants are checked against, and can change nothing."""
    return User(name, DATABASE, password, (("read", DATABASE),))


def settings(members: Sequence[str], set_name: str, election_ms: int) -> Document:
    """The replica set's configuration: the first member is the one that the others let be primary."""
    return {
        "_id": set_name,
        "members": [{"_id": n, "host": host, "priority": 2 if n == 0 else 1} for n, host in enumerate(members)],
        "settings": {"electionTimeoutMillis": election_ms},
        "writeConcernMajorityJournalDefault": True,
    }


class Initiation:
    """The steps, each with the time that is left of `within_s` seconds."""

    def __init__(self, members: Sequence[str], key: str, set_name: str, election_ms: int, within_s: float) -> None:
        self.members = tuple(members)
        self.set_name = set_name
        self._key = key
        self._election_ms = election_ms
        self._deadline = time.monotonic() + within_s

    def system(self, member: str, **more: Any) -> MongoClient[Document]:
        """A client of one member, as the cluster's own user."""
        host, port = address.parse(member)
        return MongoClient(
            host,
            port,
            directConnection=True,
            username=SYSTEM_USER,
            password=self._key,
            authSource="local",
            authMechanism=MECHANISM,
            serverSelectionTimeoutMS=1000,
            connectTimeoutMS=2000,
            socketTimeoutMS=20_000,
            appname="kappa-lab initiate",
            **more,
        )

    def until(self, what: str, look: Callable[[], bool]) -> None:
        """Poll until `look()`. The driver's errors mean not yet; a refused keyfile is the end. Raises LabError."""
        seen = ""
        while True:
            try:
                if look():
                    return
                seen = ""
            except OperationFailure as error:
                if error.code == AUTHENTICATION_FAILED:
                    raise LabError(
                        f"{what}: the keyfile is refused.", "All members and this command must have the same one."
                    ) from None
                seen = _one_line(error)
            except PyMongoError as error:
                seen = _one_line(error)
            if time.monotonic() > self._deadline:
                raise LabError(
                    f"Not in time: {what}" + (f": {seen}." if seen else "."), "The members' logs may say why."
                )
            time.sleep(STEP_S)

    def members_answer(self) -> None:
        for member in self.members:
            with self.system(member) as client:
                self.until(f"the member {member} answers", partial(_answers, client))

    def form(self) -> bool:
        """Initiate the set where it is not. Returns whether it had to be. Raises LabError for another set's members."""
        with self.system(self.members[0]) as client:
            hello = client.admin.command("hello")
            if "setName" in hello:
                self._compare(client)
                return False
            wanted = settings(self.members, self.set_name, self._election_ms)
            try:
                client.admin.command("replSetInitiate", wanted)
            except OperationFailure as error:
                if error.code == ALREADY_INITIALIZED:
                    return False
                raise LabError(f"The replica set cannot be initiated: {_one_line(error)}.") from None
        return True

    def _compare(self, client: MongoClient[Document]) -> None:
        found = client.admin.command("replSetGetConfig")["config"]
        hosts = {member["host"] for member in found["members"]}
        if found["_id"] != self.set_name or hosts != set(self.members):
            raise LabError(
                f"{self.members[0]} is already a member of {found['_id']}/{','.join(sorted(hosts))}, "
                f"not of {self.set_name}/{','.join(sorted(self.members))}.",
                "Empty the members' data to begin anew.",
            )

    def healthy(self) -> str:
        """Wait for a primary, and for all others to be its secondaries. Returns the primary."""
        primary = ""

        def look() -> bool:
            nonlocal primary
            with self.system(self.members[0]) as client:
                states = {m["name"]: m["stateStr"] for m in client.admin.command("replSetGetStatus")["members"]}
            primary = next((name for name, state in states.items() if state == "PRIMARY"), "")
            return bool(primary) and all(s in ("PRIMARY", "SECONDARY", "ARBITER") for s in states.values())

        self.until("a primary, and all others SECONDARY", look)
        return primary

    def define_role(self) -> None:
        """Define REVOKER where it is missing."""

        def look() -> bool:
            with self.system(self.healthy()) as client:
                everywhere = {"resource": {"db": "", "collection": ""}, "actions": ["revokeRole"]}
                try:
                    client.admin.command(
                        "createRole", REVOKER, privileges=[everywhere], roles=[],
                        writeConcern={"w": "majority", "wtimeout": 10_000},
                    )  # fmt: skip
                except OperationFailure as error:
                    if error.code != ROLE_EXISTS:
                        raise
                return True

        self.until(f"the role {REVOKER} exists", look)

    def create(self, user: User) -> bool:
        """Create `user` where it is missing. Returns whether it was. Raises LabError when it is there with another
        password.
        """
        made = False

        def look() -> bool:
            nonlocal made
            with self.system(self.healthy()) as client:
                database = client[user.database]
                if database.command("usersInfo", user.name)["users"]:
                    return True
                roles = [{"role": role, "db": where} for role, where in user.roles]
                try:
                    database.command(
                        "createUser", user.name, pwd=user.password, roles=roles, mechanisms=[MECHANISM],
                        writeConcern={"w": "majority", "wtimeout": 10_000},
                    )  # fmt: skip
                except OperationFailure as error:
                    if error.code != USER_EXISTS:
                        raise
                    return True
                made = True
                return True

        self.until(f"the user {user.name} exists", look)
        self._try(user)
        return made

    def _try(self, user: User) -> None:
        host, port = address.parse(self.healthy())
        with MongoClient[Document](
            host, port, directConnection=True, username=user.name, password=user.password, authSource=user.database,
            serverSelectionTimeoutMS=2000,
        ) as client:  # fmt: skip
            try:
                client.admin.command("ping")
            except OperationFailure as error:
                if error.code != AUTHENTICATION_FAILED:
                    raise LabError(f"The user {user.name} cannot log in: {_one_line(error)}.") from None
                raise LabError(
                    f"The user {user.name} is there already, with another password than the file's.",
                    "Give the file with its password, or empty the members' data to begin anew.",
                ) from None
            except PyMongoError as error:
                raise LabError(f"The user {user.name} cannot be tried: {_one_line(error)}.") from None


def _answers(client: MongoClient[Document]) -> bool:
    return bool(client.admin.command("ping")["ok"])


def initiate(work: Initiation, users: Sequence[User]) -> None:
    """All steps, with progress on standard output. Raises LabError."""
    with step(f"waiting for {len(work.members)} members to answer"):
        work.members_answer()
    with step(f"initiating the replica set {work.set_name}"):
        made = work.form()
    print("    the replica set is new" if made else "    the replica set was there already", flush=True)
    with step("waiting for a primary and its secondaries"):
        primary = work.healthy()
    print(f"    primary: {primary}", flush=True)
    work.define_role()
    for user in users:
        with step(f"the user {user.name}"):
            made = work.create(user)
        print("    created" if made else "    was there already", flush=True)


def password(path: Path) -> str:
    """The password in a file that is its owner's alone. Raises LabError."""
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"The password file {path} cannot be read: {error}.") from None
    if mode & 0o077:
        raise LabError(f"The password file {path} is readable by others.", f"`chmod 600 {path}` mends it.")
    if not text:
        raise LabError(f"The password file {path} is empty.")
    return text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split(", full error:")[0].split(", Timeout:")[0].split())[:300].rstrip(".")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m kappa_lab.mongodb.initiate", description="Make a replica set of running members, and its users."
    )
    parser.add_argument("--member", action="append", required=True, metavar="HOST:PORT", help="the first is preferred")
    parser.add_argument("--keyfile", required=True, type=Path)
    parser.add_argument("--admin-user", default="kappa_admin")
    parser.add_argument("--admin-password-file", required=True, type=Path)
    parser.add_argument("--judge-user", default="kappa_judge")
    parser.add_argument("--judge-password-file", type=Path, help="without it no judge is created")
    parser.add_argument("--set-name", default=SET_NAME)
    parser.add_argument(
        "--election-timeout", type=float, default=ELECTION_S, metavar="S", help="electionTimeoutMillis, in s"
    )
    parser.add_argument("--within", type=float, default=90.0, metavar="S", help="seconds for all of it")
    given = parser.parse_args(arguments)
    try:
        for member in given.member:
            address.parse(member)
        key = keyfile.read(str(given.keyfile))
        users = [administrator(given.admin_user, password(given.admin_password_file))]
        if given.judge_password_file:
            users.append(judge(given.judge_user, password(given.judge_password_file)))
        election_ms = int(given.election_timeout * 1000)
        initiate(Initiation(given.member, key, given.set_name, election_ms, given.within), users)
    except (LabError, keyfile.KeyFileError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except PyMongoError as error:
        print(f"MongoDB: {_one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
