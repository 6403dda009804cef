"""The report of a run of several drills: report.json beside the drills' own folders."""

import json
from collections.abc import Sequence
from pathlib import Path

from kappa_lab.judge import Verdict


def write(folder: Path, verdicts: Sequence[tuple[str, Verdict]]) -> None:
    """`verdicts`: each drill's folder within `folder`, and what the judge said of it. Raises OSError."""
    content = {
        "passed": bool(verdicts) and all(verdict.passed for _, verdict in verdicts),
        "drills": [
            {"folder": name, "drill": verdict.drill, "passed": verdict.passed, "rto_s": verdict.rto_s}
            for name, verdict in verdicts
        ],
    }
    half = folder / ".report.json.new"
    half.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    half.replace(folder / "report.json")
