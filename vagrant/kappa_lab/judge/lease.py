"""One writer's epoch, as MongoDB itself tells it."""

from collections.abc import Iterator
from itertools import pairwise

from kappa_lab.judge.evidence import Evidence, of
from kappa_lab.judge.history import Held, Wrote
from kappa_lab.judge.intervals import Interval
from kappa_lab.judge.polling import since
from kappa_lab.judge.reading import some
from kappa_lab.judge.verdict import Seen

BOTS = frozenset({"Data", "Dialogues", "Replies", "Updates", "Users"})
"""Collections that only the bot that holds the lease writes to. The others are also an operator's."""


def one_epoch(evidence: Evidence) -> Seen:
    """All that is written is written under the lease, by one epoch after the other.

    In MongoDB's own order of things: each transaction that writes what is the bot's raises the lease's counter too,
    while somebody holds it; the epochs that the documents carry are the lease's at that moment; so the time in which an
    epoch wrote never meets another's, and no epoch comes back. Each take raises the epoch by one, and within an epoch
    the holder, a node of this cluster, does not change. The last epoch is the one that MongoDB holds at the end.
    """
    violations = [*_of_the_lease(evidence), *some(list(_of_the_writes(evidence)), "writes past the lease")]
    spans = written(evidence)
    for (old, first), (new, second) in pairwise(spans.items()):
        if first.end > second.start:
            violations.append(
                f"Epochs {old} and {new} both wrote: {old} until {since(evidence.fault, first.end)}, {new} from "
                f"{since(evidence.fault, second.start)} on."
            )
    held = of(evidence.lease, Held)
    if not held:
        violations.append("lease.jsonl does not say who holds the lease.")
    if not spans:
        violations.append("Nothing was written under any epoch: there is nothing to judge.")
    last = evidence.records.lease
    if last is None:
        violations.append("records.json holds no lease: whose epoch was the last is not known.")
    elif held and held[-1].epoch != last.epoch:
        violations.append(
            f"At the end MongoDB held epoch {last.epoch}; the last that was seen taken is {held[-1].epoch}."
        )
    wrote = of(evidence.lease, Wrote)
    epochs = ", then ".join(f"{epoch} ({node or 'nobody'})" for epoch, node in _holders(held).items())
    return Seen(f"{len(wrote)} transactions; epochs {epochs or 'none'}", violations)


def written(evidence: Evidence) -> dict[int, Interval]:
    """From its first write to its last, for each epoch that documents carry, lowest first."""
    found: dict[int, Interval] = {}
    for wrote in of(evidence.lease, Wrote):
        for epoch in wrote.epochs:
            old = found.get(epoch, Interval(wrote.t, wrote.t))
            found[epoch] = Interval(min(old.start, wrote.t), max(old.end, wrote.t))
    return dict(sorted(found.items()))


def _holders(held: list[Held]) -> dict[int, str | None]:
    found: dict[int, str | None] = {}
    for one in held:
        found[one.epoch] = one.node or found.get(one.epoch)
    return found


def _of_the_lease(evidence: Evidence) -> Iterator[str]:
    fault = evidence.fault
    held = of(evidence.lease, Held)
    for one in held:
        if one.node is not None and one.node not in evidence.drill.nodes:
            yield f"{one.node}, which is no node of this cluster, held the lease {since(fault, one.t)}."
    for old, new in pairwise(held):
        if new.epoch < old.epoch:
            yield f"The lease's epoch went back from {old.epoch} to {new.epoch} {since(fault, new.t)}."
        elif new.epoch > old.epoch + 1:
            yield f"The lease's epoch went from {old.epoch} to {new.epoch} {since(fault, new.t)}: a take was not seen."
        elif new.epoch == old.epoch and new.holder not in (None, old.holder):
            yield (
                f"{new.node} held the lease {since(fault, new.t)} under epoch {new.epoch}, which was "
                f"{old.node or 'given back'}'s."
            )


def _of_the_writes(evidence: Evidence) -> Iterator[str]:
    fault = evidence.fault
    standing: Held | None = None
    for event in evidence.lease:
        if isinstance(event, Held):
            standing = event
        elif isinstance(event, Wrote):
            when = since(fault, event.t)
            if not event.guarded and BOTS.intersection(event.into):
                yield f"{', '.join(event.into)} were written {when} without asking for the lease."
            if standing is None:
                continue
            if event.guarded and standing.holder is None:
                yield f"Something was written {when}, when nobody held the lease."
            for epoch in event.epochs:
                if epoch != standing.epoch:
                    yield f"Epoch {epoch} wrote {when}, when the lease stood at {standing.epoch}."
