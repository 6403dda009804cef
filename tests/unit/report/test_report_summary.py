"""The summary for the terminal."""

from pathlib import Path

from kappa_lab import report
from kappa_lab.judge import Figures, Timeline, Verdict, judge
from tests.histories import History


def test_a_passed_drill_in_a_few_lines(recorded: History, tmp_path: Path) -> None:
    verdict = judge(recorded.write(tmp_path))
    text = report.summary(verdict)
    lines = text.splitlines()
    assert lines[0] == "Drill power-cut: PASSED"
    assert "     +0.000 s  fault            power-cut on node1" in lines
    assert "     +1.312 s  membership lost" in lines
    assert f"{verdict.rto_s:+.3f} s  first answer     <- RTO" in text
    assert f"updates sent {verdict.figures.updates_sent}, lost 0; places stored twice 0" in text
    for finding in verdict.findings:
        assert any(line.startswith("  held") and finding.name in line and finding.measured in line for line in lines)
    assert len(lines) <= 30
    assert "  predicted (node-lost): 4.500 s typically, 9.000 s at the worst; measured: " in text
    assert max(map(len, lines)) <= 120
    assert "Why it failed" not in text


def test_a_failed_drill_says_why(recorded: History, tmp_path: Path) -> None:
    recorded.power = [line for line in recorded.power if line["action"] == "status"]
    history = recorded.write(tmp_path)
    (history / "wire.jsonl").unlink()
    verdict = judge(history)
    text = report.summary(verdict)
    assert text.startswith("Drill power-cut: FAILED\n")
    assert "  BROKEN      fenced before taken over" not in text  # it could not even be judged
    assert "  NOT JUDGED  fenced before taken over" in text
    assert "     not seen  virtual IP up" in text
    why = text.partition("Why it failed:\n")[2].splitlines()
    assert why == [f"  - {violation}" for violation in verdict.violations]


def test_a_verdict_about_nothing_is_no_pass() -> None:
    nothing = Verdict("empty", "", None, None, (), Timeline(), Figures(), None, {})
    assert not nothing.passed
    assert report.summary(nothing).endswith("Why it failed:\n  - Nothing was judged.")


def test_names_from_files_do_not_steer_the_terminal(recorded: History, tmp_path: Path) -> None:
    recorded.drill["drill"] = "x\x1b[2J\x1b]0;title\x07\r\u202e"
    text = report.summary(judge(recorded.write(tmp_path)))
    assert all(character.isprintable() or character == "\n" for character in text)
    assert text.startswith("Drill x\ufffd[2J\ufffd]0;title\ufffd\ufffd\ufffd: PASSED")
