"""What an expert would warn of: a check is a name and a function, a warning says what, why, and what to do."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from kappa_lab.predict import fencing
from kappa_lab.predict.steps import Given

SHORT_TOKEN_S: Final = 1.0
LONGER_CONSENSUS: Final = 1.5
"""Times the token: with this and more, survivors of a short token were seen to form one ring and not several."""
DRAIN_SHARE: Final = 0.75
"""The agents drain within three quarters of the stop's timeout."""
DRAINS: Final = {"telegram-bot": "10s", "nginx": "5s"}
TINY: Final = 1e-9


@dataclass(frozen=True)
class Warned:
    name: str
    subject: str
    """The resource, the property or the file that it is about."""
    what: str
    why: str
    todo: str


Said = tuple[str, str, str, str]
Check = Callable[[Given], Iterator[Said]]


def warnings(given: Given) -> list[Warned]:
    return [Warned(name, *said) for name, check in CHECKS.items() for said in check(given)]


def _stonith_disabled(given: Given) -> Iterator[Said]:
    if not given.cib.on("stonith-enabled", True):
        yield ("stonith-enabled", "Fencing is switched off.",
               "A node that is lost but lives keeps the address and the bot while another takes them.",
               "Set stonith-enabled=true and configure a device.")  # fmt: skip


def _no_stonith(given: Given) -> Iterator[Said]:
    if not fencing.levels(given.cib, given.nodes, given.sbd_s):
        yield ("fencing", "A node has no fence device.", "Nothing takes over from a node that cannot be proven off.",
               "Create a device that can fence every node, and test it with stonith_admin --reboot.")  # fmt: skip


def _one_level(given: Given) -> Iterator[Said]:
    if len(fencing.levels(given.cib, given.nodes, given.sbd_s)) == 1:
        yield ("fencing", "A node has one level of fencing only.", "When that one is dead there is no failover.",
               "Add a second level that shares neither power, network nor host with the first.")  # fmt: skip


def _stonith_timeout(given: Given) -> Iterator[Said]:
    levels = fencing.levels(given.cib, given.nodes, given.sbd_s)
    total = sum(level.worst_s for level in levels)
    if given.cib.time("stonith-timeout", fencing.STONITH_TIMEOUT) < total - TINY and len(levels) > 1:
        yield ("stonith-timeout", f"It is shorter than the levels together, {total:g} s.",
               "The whole attempt is given up while a later level is still at work.",
               "Give each device a pcmk_reboot_timeout (or off), and set stonith-timeout to their sum.")  # fmt: skip


def _device_timeout(given: Given) -> Iterator[Said]:
    for device in given.cib.devices:
        own = fencing.own_s(device)
        limit = fencing.device_worst(given.cib, device, given.sbd_s)[0] - fencing.delay_s(device)
        if own is not None and limit < own - TINY:
            yield (device.id, f"Pacemaker allows it {limit:g} s, but by its own options it may take {own:g} s.",
                   "An attempt that was about to succeed is cut off and counts as failed.",
                   f"Set pcmk_{fencing.action(given.cib)}_timeout to more than {own:g} s.")  # fmt: skip


def _watchdog(given: Given) -> Iterator[Said]:
    waits = fencing.watchdog_s(given.cib, given.sbd_s)
    if given.sbd_s is not None and 0 < waits < 2 * given.sbd_s - TINY:
        yield ("stonith-watchdog-timeout", f"{waits:g} s is less than twice SBD_WATCHDOG_TIMEOUT, {given.sbd_s:g} s.",
               "The others take over from a node that has not reset itself yet.",
               f"Set stonith-watchdog-timeout to {2 * given.sbd_s:g} s or more.")  # fmt: skip


def _short_consensus(given: Given) -> Iterator[Said]:
    token, consensus = given.corosync.token_s, given.corosync.consensus_s
    if consensus < 1.2 * token - TINY:
        yield ("corosync.conf", f"The consensus, {consensus:g} s, is less than 1.2 x the token, {token:g} s.",
               "Corosync's manual asks for that much; with less the survivors give up agreeing and begin anew.",
               f"Set consensus to {round(1200 * token)} or more, or leave it out.")  # fmt: skip


def _short_token(given: Given) -> Iterator[Said]:
    token, consensus = given.corosync.token_s, given.corosync.consensus_s
    if token < SHORT_TOKEN_S - TINY and 1.2 * token - TINY <= consensus < LONGER_CONSENSUS * token - TINY:
        yield ("corosync.conf", f"The token is short, {token:g} s, and the consensus is the usual 1.2 x that.",
               "Each survivor first forms a ring of its own, and quorum is lost before they merge.",
               f"Set consensus to {round(1000 * LONGER_CONSENSUS * token)} or more.")  # fmt: skip


def _two_nodes(given: Given) -> Iterator[Said]:
    if len(given.nodes) == 2 and not given.corosync.quorum_device:
        yield ("corosync.conf", "There are two nodes and no quorum device.",
               "Neither half of two is a majority: fencing alone decides, and a duel is possible.",
               "Add a third node or a quorum device.")  # fmt: skip


def _no_quorum(given: Given) -> Iterator[Said]:
    if not given.corosync.votequorum:
        yield ("corosync.conf", "There is no quorum provider.",
               "Nobody counts votes, so every part takes itself for all.",
               "Set provider: corosync_votequorum in the quorum section.")  # fmt: skip
    if given.cib.properties.get("no-quorum-policy") == "ignore":
        yield ("no-quorum-policy", "It is `ignore`.",
               "A part without a majority goes on serving, and shoots the other.",
               "Set no-quorum-policy=stop.")  # fmt: skip


def _duel(given: Given) -> Iterator[Said]:
    even = len(given.nodes) % 2 == 0 and len(given.nodes) > 0
    delayed = given.cib.time("priority-fencing-delay", "0") > 0 or any(map(fencing.delay_s, given.cib.devices))
    if (even or given.cib.properties.get("no-quorum-policy") == "ignore") and not delayed:
        yield ("priority-fencing-delay", "Two equal halves would shoot each other at once.",
               "Both may win, and nobody serves.",
               "Set priority-fencing-delay and a priority for the bot, or pcmk_delay_max on the devices.")  # fmt: skip


def _idle_delay(given: Given) -> Iterator[Said]:
    counts = any(one.meta.get("priority", "0") not in ("", "0") for one in given.cib.resources)
    if given.cib.time("priority-fencing-delay", "0") > 0 and not counts:
        yield ("priority-fencing-delay", "It is set, but no resource has a priority.",
               "Nodes that count equally get no head start.",
               "Give the bot priority=10 as a meta attribute.")  # fmt: skip


def _stickiness(given: Given) -> Iterator[Said]:
    free = [
        one.id for one in given.cib.resources if not one.clone and one.meta.get("resource-stickiness", "0") in ("", "0")
    ]
    if free:
        yield (free[0], "It has no resource-stickiness.",
               "It may move back when a node returns: an outage for nothing.",
               "Set resource-stickiness=100 as a default of resources.")  # fmt: skip


def _no_monitor(given: Given) -> Iterator[Said]:
    for one in (*given.cib.resources, *given.cib.devices):
        if not one.monitors and one.type != fencing.WATCHDOG:
            yield (one.id, "It has no recurring monitor.", "Nobody notices when it fails.",
                   "Add `op monitor` with an interval and a timeout.")  # fmt: skip


def _equal_intervals(given: Given) -> Iterator[Said]:
    for one in (*given.cib.resources, *given.cib.devices):
        if any(abs(a.interval_s - b.interval_s) < TINY for a, b in combinations(one.monitors, 2)):
            yield (one.id, "Two of its monitors have one interval.",
                   "Pacemaker tells monitors apart by interval, and runs one of the two only.",
                   "Give each its own, such as 6 s and 13 s.")  # fmt: skip


def _stop_budget(given: Given) -> Iterator[Said]:
    for one in given.cib.resources:
        if one.type not in DRAINS or (one.standard == "ocf" and one.provider != "kappa"):
            continue
        drain, stop = one.time("drain", DRAINS[one.type]), one.timeout_s("stop")
        if drain > DRAIN_SHARE * stop + TINY:
            yield (one.id, f"Its drain of {drain:g} s is more than three quarters of its stop timeout, {stop:g} s.",
                   "What is in hand is cut off; and a stop that is late is answered with fencing.",
                   f"Set the stop timeout to {drain / DRAIN_SHARE:g} s or more, or drain to less.")  # fmt: skip


CHECKS: Final[Mapping[str, Check]] = {
    "stonith-disabled": _stonith_disabled,
    "no-stonith": _no_stonith,
    "one-fencing-level": _one_level,
    "stonith-timeout-short": _stonith_timeout,
    "device-timeout-short": _device_timeout,
    "watchdog-arithmetic": _watchdog,
    "consensus-short": _short_consensus,
    "token-short": _short_token,
    "two-nodes": _two_nodes,
    "no-quorum": _no_quorum,
    "fence-duel": _duel,
    "priority-missing": _idle_delay,
    "stickiness-missing": _stickiness,
    "monitor-missing": _no_monitor,
    "monitor-intervals-equal": _equal_intervals,
    "stop-timeout-short": _stop_budget,
}
