"""What the judge hands back: findings, moments, figures, and one answer that is No unless everything says Yes."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kappa_lab.judge.history import Fault, Switched


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
    """Seconds from the fault, rounded to milliseconds; None for what was not seen.

    - `membership_lost`: the first survivor's cluster stack declared the faulted node lost
    - `fenced`: the cluster was told that the node is off
    - `vip_up`: another machine first answered for the virtual IP on the wire
    - `bot_active`: Telegram first accepted a long poll of another node
    - `first_answer`: a user first received something from another node; this is the RTO
    - `rejoined`: the faulted node was a member again, with its router started
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

    - `poll_overlap_s`: seconds in which two nodes were both polling Telegram
    - `updates_sent`: what users did
    - `updates_lost`: of these, never answered, or the end of a dialogue whose place is not stored
    - `records_duplicated`: places beyond the first for one update or one dialogue
    - `vip_overlap_s`: seconds in which two machines both held the virtual IP
    """

    poll_overlap_s: float | None = None
    updates_sent: int | None = None
    updates_lost: int | None = None
    records_duplicated: int | None = None
    vip_overlap_s: float | None = None


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
    findings: tuple[Finding, ...]
    timeline: Timeline
    figures: Figures
    answers: Answers | None
    environment: Mapping[str, object]
    switched: tuple[Switched, ...] = ()
    """What the power brokers were asked to do to the faulted node from the fault on, and what they saw."""
    others: tuple[str, ...] = ()
    """Violations that are no invariant's: what went wrong around the drill."""

    @property
    def rto_s(self) -> float | None:
        """Seconds from the fault to the first answer that a user received from another node."""
        return self.timeline.first_answer

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
