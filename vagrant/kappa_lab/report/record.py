"""report.json: the verdict for programs."""

from dataclasses import asdict
from typing import Any

from kappa_lab.judge import Verdict


def record(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON-able values. Times are seconds from the fault, rounded to milliseconds, null if not seen.

    Always: drill, passed, rto_s, timeline, invariants, environment; and violations (sentences, empty when passed),
    fault (with its epoch times), started (epoch seconds), answers (how long users waited), each null when unknown;
    fencing: the power brokers' audit of the faulted node from the fault on (`t` in epoch seconds).
    """
    return {
        "drill": verdict.drill,
        "passed": verdict.passed,
        "rto_s": verdict.rto_s,
        "timeline": asdict(verdict.timeline),
        "invariants": asdict(verdict.figures),
        "environment": dict(verdict.environment),
        "violations": list(verdict.violations),
        "fault": asdict(verdict.fault) if verdict.fault else None,
        "started": verdict.started,
        "fencing": [asdict(entry) for entry in verdict.switched],
        "answers": asdict(verdict.answers) if verdict.answers else None,
    }
