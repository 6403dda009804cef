"""The judge: evidence in, verdict out, and nothing else. It drives nothing, asks nobody, and believes no cluster.

A drill leaves a folder (see `history`); `judge` reads it and says whether every invariant held. Each invariant is one
small function with its prose beside it:

- at most one poller (`polling`), one holder of the virtual IP (`address`) and one who serves on it (`serving`), one
  writer's epoch (`lease`); what makes a hand-over clean stands in `turns`
- fenced before taken over, and the nodes came back (`fencing`)
- nothing lost, nothing twice, order kept (`updates`); a dialogue survives (`dialogues`)
- the service did what the drill expects, in the time that was predicted (`expecting`)
- the evidence is whole, the traffic was real, every moment was seen (`witnesses`)

What it lets pass, and why, stands in `tolerances`. A drill passes when every invariant was judged and held: what cannot
be judged for want of evidence fails it, and a history that the judge did not expect never makes it pass.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from kappa_lab.judge import address, dialogues, expecting, fencing, lease, moments, polling, serving, updates, witnesses
from kappa_lab.judge.evidence import Evidence, LackingError, of, read
from kappa_lab.judge.history import Update
from kappa_lab.judge.verdict import Answers, Figures, Finding, Seen, Timeline, Verdict

__all__ = ["INVARIANTS", "Answers", "Figures", "Finding", "Timeline", "Verdict", "judge"]

T = TypeVar("T")

INVARIANTS: Final[Mapping[str, Callable[[Evidence], Seen]]] = {
    "evidence whole": witnesses.evidence_whole,
    "traffic was real": witnesses.traffic_real,
    "timeline whole": witnesses.timeline_whole,
    "one poller": polling.one_poller,
    "one holder of the virtual IP": address.one_holder,
    "one server on the virtual IP": serving.one_server,
    "one writer's epoch": lease.one_epoch,
    "fenced before taken over": fencing.fenced_first,
    "nothing lost": updates.nothing_lost,
    "nothing twice": updates.nothing_twice,
    "order kept": updates.order_kept,
    "a dialogue survives": dialogues.dialogues_survive,
    "came back": fencing.came_back,
    "service as expected": expecting.service,
    "within its prediction": expecting.within_prediction,
}


def judge(history: Path) -> Verdict:
    """Judge the drill that left the folder `history`. Never raises for what is, or is not, in it."""
    evidence = read(history)
    drill = evidence.drill_
    return Verdict(
        drill=drill.drill if drill else history.name,
        purpose=drill.purpose if drill else "",
        started=drill.started if drill else None,
        fault=drill.fault if drill else None,
        findings=tuple(_judged(name, check, evidence) for name, check in INVARIANTS.items()),
        timeline=moments.timeline(evidence),
        figures=figures(evidence),
        answers=_known(lambda: moments.answers(evidence)),
        switched=_known(lambda: fencing.switched(evidence)) or (),
        faults=drill.faults if drill else (),
        expect=drill.expect if drill else None,
        steps=drill.steps if drill else (),
        prediction=drill.prediction if drill else None,
        tags=drill.tags if drill else (),
        rto_s=_known(lambda: moments.rto(evidence)),
        environment=(drill.environment if drill else None) or {},
    )


def figures(evidence: Evidence) -> Figures:
    """The counts that the invariants rest on, each None where its witness is missing."""
    return Figures(
        poll_overlap_s=_known(lambda: round(polling.nodes_overlap(evidence), 3)),
        updates_sent=_known(lambda: len(of(evidence.telegram, Update))),
        updates_lost=_known(lambda: updates.lost(evidence)),
        records_duplicated=_known(lambda: len(updates.duplicates(evidence))),
        vip_overlap_s=_known(lambda: round(address.judged_overlap(evidence), 3)),
        replies_repeated=_known(lambda: sum(updates.repeated(evidence).values())),
    )


def _judged(name: str, check: Callable[[Evidence], Seen], evidence: Evidence) -> Finding:
    statement = (check.__doc__ or name).partition("\n")[0]
    try:
        seen = check(evidence)
    except LackingError as lacking:
        return Finding(name, statement, "not judged", None, (f"Not judged: {name}, because {lacking}.",))
    return Finding(name, statement, seen.measured, not seen.violations, tuple(seen.violations))


def _known(count: Callable[[], T]) -> T | None:
    try:
        return count()
    except LackingError:
        return None
