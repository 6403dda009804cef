"""The words of a report: one place for every name, every explanation and every way to write a figure."""

from typing import Final

from kappa_lab import faults
from kappa_lab.judge import Finding, Verdict

MOMENTS: Final = {
    "membership_lost": (
        "membership lost",
        "The other nodes stop hearing from it and declare it lost. Seen in the survivors' cluster logs.",
    ),
    "fenced": (
        "fenced",
        "The cluster is told that the node's power is off; only now may anything start elsewhere. Seen in the "
        "cluster's logs, and proven by the power broker's audit.",
    ),
    "vip_up": (
        "virtual IP up",
        "Another machine answers for the service's address. Seen on the wire, by asking ten times a second.",
    ),
    "bot_active": (
        "bot active",
        "Telegram accepts a request for updates from the bot on another node. Seen by the Telegram lab server.",
    ),
    "first_answer": (
        "first answer",
        "A user receives an answer again. The RTO, from the fault, ends here. Seen by the Telegram lab server.",
    ),
    "rejoined": (
        "node back",
        "The node has started again and is a full member of the cluster, able to take over. Seen by asking the "
        "cluster.",
    ),
}

CAUSES: Final = {
    "detection": "Nobody who could act knew of it: until the cluster saw the first sign.",
    "transition": "The cluster knew, and decided; Pacemaker's controller may stand still for a second or two.",
    "fencing": "Taking the node's power, and seeing that it is off.",
    "stop": "Stopping what has to stop before anything may start.",
    "start": "Starting the virtual IP, Nginx and the bot, until Telegram accepts a poll.",
    "first answer": "From the first accepted poll to the first user answered.",
}
"""Where the time to the first answer goes, and what happens in it."""

TERMS: Final = (
    (
        "RTO",
        "Recovery time: seconds from the fault to the first answer that a user received afterwards; where the "
        "service is to stay away until the fault is healed, from that heal.",
    ),
    ("poll", "The bot asks Telegram for updates and waits for them (getUpdates). Telegram serves one poller only."),
    ("update", "One thing that a user did: a message, a tap on a button, a shared location."),
    ("virtual IP", "The one address of the service. It belongs to whichever node is active, never to two."),
    (
        "fencing",
        "Making sure that a node which does not answer is off, by its power, before its work is taken over. A node "
        "that only seems dead could otherwise wake up and act beside its successor.",
    ),
    ("membership", "The nodes that hear each other. Enough of them together (quorum) may decide; fewer may not."),
    ("router", "mongos: the way to MongoDB that runs on every node and that the bot talks to."),
    (
        "token, consensus",
        "How long Corosync waits for a silent node, and how long for the others to agree that it is gone.",
    ),
)


def fault_name(kind: str) -> str:
    """What a label calls a fault."""
    return kind.replace("-", " ")


def fault_purpose(kind: str) -> str:
    """What breaks, in a sentence, as the fault itself says it."""
    known = faults.KINDS.get(kind)
    return known.purpose if known else f"A fault of the kind {kind}, which this lab does not have."


def wanted(verdict: Verdict) -> set[str]:
    """The moments that must be seen by what the drill expects; others are shown where they were seen."""
    expect = verdict.expect
    if expect is None:
        return set(MOMENTS)
    names = {"membership_lost", "fenced", "rejoined"} if expect.fenced else set()
    if expect.service == "moves":
        names |= {"vip_up", "bot_active", "first_answer"}
    return names | ({"first_answer"} if expect.service == "stops" else set())


def cause_number(name: str) -> int:
    """1 for the first cause, and so on: the number of its colour."""
    return list(CAUSES).index(name) + 1


def held(finding: Finding) -> str:
    """One word, so that nothing is told by colour alone."""
    return {True: "held", False: "BROKEN", None: "NOT JUDGED"}[finding.held]


def seconds(value: float | None, unseen: str = "not seen") -> str:
    """A length of time, to the millisecond."""
    return unseen if value is None else f"{value:.3f} s"


def offset(value: float | None, unseen: str = "not seen") -> str:
    """A moment, as seconds from the fault."""
    return unseen if value is None else f"{'−' if value < 0 else '+'}{abs(value):.3f} s"


def count(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def short(name: str, longest: int = 18) -> str:
    """A name that has room in a picture, whatever it is."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def printable(line: str) -> str:
    """Names come from files: none of them may steer the terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in line)
