"""Faults of the data tier: its primary, and its majority.

pymongo and bson are imported where MongoDB is spoken to: they take longer than all else that `kappa-lab` starts with.
"""

import contextlib
import socket
from collections.abc import Mapping
from typing import Any, Final

from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.faults.inside import until
from kappa_lab.faults.kind import Fault, Kind, Target, Value
from kappa_lab.mongodb import keyfile
from kappa_lab.mongodb.member import SET_NAME
from kappa_lab.paths import STATE
from kappa_lab.topology import MEMBERS

PORT: Final = 27017
BACK_S: Final = 60.0
STEP_DOWN_S: Final = 20


def hello(member: str) -> Mapping[str, Any]:
    """What a member says of itself; {} when it does not answer."""
    from kappa_lab.mongodb import wire

    with contextlib.suppress(OSError, wire.MalformedError), socket.create_connection((member, PORT), timeout=2) as link:
        link.settimeout(2)
        link.sendall(wire.message({"hello": 1, "$db": "admin"}))
        said = b""
        while len(said) < wire.HEADER or len(said) < wire.frame_length(said):
            more = link.recv(65536)
            if not more:
                return {}
            said += more
        return wire.document(said)
    return {}


def primary() -> str | None:
    """The member that calls itself primary."""
    return next((member for member in MEMBERS if hello(member).get("isWritablePrimary")), None)


def known_primary() -> str:
    found = primary()
    if found is None:
        raise LabError("No member of the replica set is its primary.", "A drill hits a data tier that is whole.")
    return found


def whole() -> bool:
    """One is the primary, and the others follow it."""
    said = [hello(member) for member in MEMBERS]
    return any(one.get("isWritablePrimary") for one in said) and all(
        one.get("isWritablePrimary") or one.get("secondary") for one in said
    )


def container(member: str) -> str:
    return f"kappa-lab-mongo{MEMBERS.index(member) + 1}"


def bring_back(members: list[str]) -> None:
    for member in members:
        with contextlib.suppress(LabError):  # it was not frozen
            docker("unpause", container(member), doing=f"thawing {container(member)}")
        docker("start", container(member), doing=f"starting {container(member)}")
    until("the replica set has a primary, and all others follow it", whole, BACK_S, every_s=0.25)


def primary_killed(_target: Target, _given: Mapping[str, Value]) -> Fault:
    hit: list[str] = []

    def inject() -> None:
        hit.append(known_primary())
        docker("kill", "--signal", "KILL", container(hit[0]), doing="killing the replica set's primary")

    return Fault(inject, lambda: bring_back(hit))


def primary_steps_down(_target: Target, _given: Mapping[str, Value]) -> Fault:
    def inject() -> None:
        from pymongo.errors import AutoReconnect, PyMongoError

        from kappa_lab.mongodb.initiate import Initiation

        member = known_primary()
        key = keyfile.read(str(STATE / "secrets" / "mongodb.key"))
        with Initiation(MEMBERS, key, SET_NAME, 0, 10).system(f"{member}:{PORT}") as client:
            try:
                client.admin.command("replSetStepDown", STEP_DOWN_S, secondaryCatchUpPeriodSecs=5)
            except AutoReconnect:
                pass  # one that steps down may close its connections, this one too
            except PyMongoError as error:
                raise LabError(f"The primary does not step down: {error}.") from None

    def heal() -> None:
        until("the replica set has a primary, and all others follow it", whole, BACK_S, every_s=0.25)

    return Fault(inject, heal)


def majority_lost(_target: Target, given: Mapping[str, Value]) -> Fault:
    hit: list[str] = []

    def inject() -> None:
        first = known_primary()
        hit.extend([first, next(member for member in MEMBERS if member != first)])
        words = ("pause",) if given["frozen"] else ("kill", "--signal", "KILL")
        docker(*words, *map(container, hit), doing="taking the replica set's majority away")

    return Fault(inject, lambda: bring_back(hit))


KINDS: Final = (
    Kind("primary-killed", "The replica set's primary is killed.", primary_killed, (),
         predicted="primary-lost"),
    Kind("primary-steps-down", "The replica set's primary steps down, and another is elected.", primary_steps_down, (),
         predicted="primary-steps-down"),
    Kind("majority-lost", "The primary and one more of three members die; frozen: they stand still.", majority_lost,
         (), parameters={"frozen": False}),
)  # fmt: skip
