"""The verdict for a terminal."""

from kappa_lab.judge import Verdict
from kappa_lab.report.words import MOMENTS, count, held, offset, printable, seconds


def summary(verdict: Verdict) -> str:
    """A few lines of plain text: what happened when, what held, and, if it failed, why. No line break at the end."""
    lines = [f"Drill {verdict.drill}: {'PASSED' if verdict.passed else 'FAILED'}", ""]
    if verdict.fault:
        lines.append(_moment(0.0, "fault", f"{verdict.fault.kind} on {verdict.fault.node}"))
    for name, (label, _) in MOMENTS.items():
        mark = "<- RTO" if name == "first_answer" else ""
        lines.append(_moment(getattr(verdict.timeline, name), label, mark))
    figures, answers = verdict.figures, verdict.answers
    lines += ["", f"  updates sent {count(figures.updates_sent)}, lost {count(figures.updates_lost)}; "
              f"places stored twice {count(figures.records_duplicated)}"]  # fmt: skip
    if answers:
        lines.append(
            f"  users waited {seconds(answers.p50_before_s, 'unknown')} (median) before the fault, "
            f"{seconds(answers.slowest_s, 'unknown')} at the worst"
        )
    lines.append("")
    width = max((len(finding.name) for finding in verdict.findings), default=0)
    lines += [f"  {held(f):<10}  {f.name:<{width}}  {f.measured}" for f in verdict.findings]
    if not verdict.passed:
        lines += ["", "Why it failed:", *(f"  - {sentence}" for sentence in verdict.violations)]
        if not verdict.violations:
            lines.append("  - Nothing was judged.")
    return "\n".join(printable(line) for line in lines)


def _moment(value: float | None, label: str, more: str) -> str:
    return f"  {offset(value):>11}  {label:<16} {more}".rstrip()
