"""What a router says of itself when it is greeted (`hello`, `isMaster`).

A driver tells a router from a member by `msg: "isdbgrid"`. What belongs to a replica set's member (its name, hosts,
election, last write) must not be there, nor `topologyVersion`: without it drivers ask again instead of waiting.
"""

import datetime
from collections.abc import Mapping
from typing import Any

GREETINGS = frozenset(("hello", "isMaster", "ismaster"))
LIMITS = (
    "maxBsonObjectSize", "maxMessageSizeBytes", "maxWriteBatchSize", "logicalSessionTimeoutMinutes",
    "minWireVersion", "maxWireVersion",
)  # fmt: skip
PASSED_ON = ("saslSupportedMechs", "speculativeAuthenticate", "operationTime", "$clusterTime")
"""What a member says that is the client's business: how its user may log in, and the time of the cluster."""

UNASKED = {
    "maxBsonObjectSize": 16 * 1024 * 1024, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
    "logicalSessionTimeoutMinutes": 30, "minWireVersion": 0, "maxWireVersion": 17,
}  # fmt: skip
"""The limits of the data tier's MongoDB 6.0."""

BOTH_MECHANISMS = ["SCRAM-SHA-1", "SCRAM-SHA-256"]

Document = dict[str, Any]


def answer(asked: Mapping[str, Any], member: Mapping[str, Any], connection: int) -> Document:
    """The router's own greeting. `asked` is the client's, `member` a member's reply: its limits hold here too."""
    legacy = next(iter(asked), "hello") != "hello"
    said: Document = {"ismaster" if legacy else "isWritablePrimary": True, "msg": "isdbgrid"}
    if asked.get("helloOk"):
        said["helloOk"] = True
    said.update((name, member.get(name, UNASKED[name])) for name in LIMITS)
    said["localTime"] = datetime.datetime.now(datetime.UTC)
    said["connectionId"] = connection
    said.update((name, member[name]) for name in PASSED_ON if name in member)
    said["ok"] = 1.0
    return said


def for_member(asked: Mapping[str, Any]) -> Document:
    """The client's greeting as a member may hear it: never to be awaited, never to be compressed."""
    dropped = ("compression", "topologyVersion", "maxAwaitTimeMS", "helloOk", "loadBalanced")
    return {name: value for name, value in asked.items() if name not in dropped}
