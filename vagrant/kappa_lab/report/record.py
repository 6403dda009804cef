"""report.json: the verdict for programs."""

from dataclasses import asdict
from typing import Any

from kappa_lab.judge import Verdict


def record(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON-able values. Times are seconds from the fault, rounded to milliseconds, null if not seen.

    Always: drill, passed, rto_s, timeline, invariants, environment; and violations (sentences, empty when passed),
    fault (with its epoch times), started (epoch seconds), answers (how long users waited), each null when unknown;
    fencing: what the power brokers were asked to do from the first fault on (`t` in epoch seconds). Of the drill:
    faults, steps, expect, prediction and tags, as drill.json has them.
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
        "faults": [asdict(fault) for fault in verdict.faults],
        "steps": [asdict(step) for step in verdict.steps],
        "expect": asdict(verdict.expect) if verdict.expect else None,
        "prediction": asdict(verdict.prediction) if verdict.prediction else None,
        "tags": list(verdict.tags),
    }
