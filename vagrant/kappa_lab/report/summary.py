"""The verdict for a terminal."""

from collections.abc import Iterable

from kappa_lab.judge import Verdict
from kappa_lab.judge.history import Prediction
from kappa_lab.report.words import MOMENTS, count, held, offset, printable, seconds, wanted


def summary(verdict: Verdict) -> str:
    """A few lines of plain text: what happened when, what held, and, if it failed, why. No line break at the end."""
    lines = [f"Drill {verdict.drill}: {'PASSED' if verdict.passed else 'FAILED'}", ""]
    lines += [_moment(t, label, more) for t, label, more in sorted(_moments(verdict), key=_order)]
    figures, answers = verdict.figures, verdict.answers
    lines += ["", f"  updates sent {count(figures.updates_sent)}, lost {count(figures.updates_lost)}; "
              f"places stored twice {count(figures.records_duplicated)}"]  # fmt: skip
    if answers:
        lines.append(
            f"  users waited {seconds(answers.p50_before_s, 'unknown')} (median) before the fault, "
            f"{seconds(answers.slowest_s, 'unknown')} at the worst"
        )
    if verdict.prediction:
        lines.append(f"  {_predicted(verdict, verdict.prediction)}")
    lines.append("")
    width = max((len(finding.name) for finding in verdict.findings), default=0)
    lines += [f"  {held(f):<10}  {f.name:<{width}}  {f.measured}" for f in verdict.findings]
    if not verdict.passed:
        lines += ["", "Why it failed:", *(f"  - {sentence}" for sentence in verdict.violations)]
        if not verdict.violations:
            lines.append("  - Nothing was judged.")
    return "\n".join(printable(line) for line in lines)


def _moments(verdict: Verdict) -> Iterable[tuple[float | None, str, str]]:
    """When, what, and more of it."""
    for hit in verdict.faults:
        zero = verdict.faults[0].t
        yield hit.t - zero, "fault", f"{hit.kind} on {', '.join(hit.nodes)}" if hit.nodes else hit.kind
        if hit.healed is not None and hit.lasts and not hit.ends_node:
            yield hit.healed - zero, "healed", hit.kind
    due = wanted(verdict)
    for name, (label, _) in MOMENTS.items():
        t = getattr(verdict.timeline, name)
        if t is not None or name in due:
            yield t, label, "<- RTO" if name == "first_answer" else ""


def _order(moment: tuple[float | None, str, str]) -> float:
    return float("inf") if moment[0] is None else moment[0]


def _predicted(verdict: Verdict, prediction: Prediction) -> str:
    if prediction.worst_s is None:
        return f"predicted ({prediction.kind}) not to recover by itself: {prediction.never or 'no reason given'}"
    typical, worst = seconds(prediction.typical_s), seconds(prediction.worst_s)
    measured = seconds(verdict.rto_s, "no outage")
    return f"predicted ({prediction.kind}): {typical} typically, {worst} at the worst; measured: {measured}"


def _moment(value: float | None, label: str, more: str) -> str:
    return f"  {offset(value):>11}  {label:<16} {more}".rstrip()
