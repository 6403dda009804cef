"""What the judge hands back: findings, moments, figures, and one answer that is No unless everything says Yes."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kappa_lab.judge.history import Expect, Fault, Injected, Prediction, Switched, Taken


@dataclass(frozen=True)
class Seen:
    """What a check saw: with figures, and a sentence for each way in which its invariant is broken."""

    measured: str
    violations: Sequence[str]


@dataclass(frozen=True)
class Finding:
    """One invariant, judged. `held` is None when it could not be judged, which fails a drill as False does."""

    name: str
    statement: str
    """The invariant in one sentence, for people: the first line of the prose beside its check."""
    measured: str
    held: bool | None
    violations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Timeline:
    """Seconds from the first fault, rounded to milliseconds; None for what was not seen, or is not to be seen.

    Three tell of the node that the drill takes away: the active one, if it is to be fenced, else the first that is.

    - `membership_lost`: the first survivor's cluster stack declared that node lost
    - `fenced`: the cluster was told that it is off
    - `vip_up`: another machine than the active one first answered for the virtual IP on the wire
    - `bot_active`: Telegram first accepted a long poll of another node than the active one
    - `first_answer`: users were served again: where the service moves, by another node first; else at the end of the
      longest outage, if there was one
    - `rejoined`: that node was a member again, with its router started
    """

    membership_lost: float | None = None
    fenced: float | None = None
    vip_up: float | None = None
    bot_active: float | None = None
    first_answer: float | None = None
    rejoined: float | None = None


@dataclass(frozen=True)
class Figures:
    """What was counted; None for what could not be.

    - `poll_overlap_s`: seconds in which two nodes were both polling Telegram, without proof that one was over
    - `updates_sent`: what users did
    - `updates_lost`: of these, never answered, or the end of a dialogue whose place is not stored
    - `records_duplicated`: places beyond the first for one update or one dialogue
    - `vip_overlap_s`: seconds in which two machines both held the virtual IP
    - `replies_repeated`: replies that reached a user who had them already
    """

    poll_overlap_s: float | None = None
    updates_sent: int | None = None
    updates_lost: int | None = None
    records_duplicated: int | None = None
    vip_overlap_s: float | None = None
    replies_repeated: int | None = None


@dataclass(frozen=True)
class Answers:
    """How long users waited for answers, in seconds.

    `answered` counts the updates that were answered at all; the quantiles are of those answered before the fault;
    `slowest_s` is the longest that any one update waited, `longest_gap_s` the longest time in which no update of any
    user was answered.
    """

    answered: int
    p50_before_s: float | None
    p99_before_s: float | None
    slowest_s: float | None
    longest_gap_s: float | None


@dataclass(frozen=True)
class Verdict:
    drill: str
    purpose: str
    started: float | None
    fault: Fault | None
    """The first fault, and the node that was active just before it."""
    findings: tuple[Finding, ...]
    timeline: Timeline
    figures: Figures
    answers: Answers | None
    environment: Mapping[str, object]
    switched: tuple[Switched, ...] = ()
    """What the power brokers were asked to do from the first fault on, to the active node and to those to be fenced."""
    faults: tuple[Injected, ...] = ()
    expect: Expect | None = None
    steps: tuple[Taken, ...] = ()
    prediction: Prediction | None = None
    tags: tuple[str, ...] = ()
    rto_s: float | None = None
    """Seconds from the first fault until users were served again; from the heal where the service was to stop until
    then. None when they were not, or never ceased to be."""
    others: tuple[str, ...] = ()
    """Violations that are no invariant's: what went wrong around the drill."""

    @property
    def violations(self) -> tuple[str, ...]:
        return (*self.others, *(sentence for finding in self.findings for sentence in finding.violations))

    @property
    def passed(self) -> bool:
        """Every invariant was judged, there were some, each held, and nothing else was wrong."""
        return bool(self.findings) and all(finding.held is True for finding in self.findings) and not self.violations

    def with_violation(self, sentence: str) -> "Verdict":
        """The same, failed for one more reason."""
        return dataclasses.replace(self, others=(*self.others, sentence))
