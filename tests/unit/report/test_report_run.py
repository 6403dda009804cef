"""The report of a run: every drill in one page that opens alone, JSON, JUnit, repetitions, the run before."""

import copy
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kappa_lab import report
from kappa_lab.judge import Verdict, judge
from kappa_lab.report import outcome
from kappa_lab.report import run as run_report
from kappa_lab.report.spread import spread
from tests.histories import History, Tell, bot_restart, build, passive_lost, power_cut
from tests.unit.report.test_report_page import HOSTILE, assert_readable, parsed, section, words

TOLD: tuple[Tell, ...] = (power_cut, bot_restart, passive_lost, power_cut)


@pytest.fixture(scope="module")
def told() -> list[History]:
    return [build(seed, tell=tell) for seed, tell in enumerate(TOLD, start=1)]


def ran(folder: Path, histories: Sequence[History], planned: int = 0) -> list[tuple[str, Verdict]]:
    """As the runner does it: each drill's own report, and the run's after every one."""
    verdicts: list[tuple[str, Verdict]] = []
    for number, recorded in enumerate(histories, start=1):
        name = f"{number:02d}-{recorded.drill['drill']}"[:40].replace("/", "-").replace("\x00", "-")
        place = recorded.write(folder / name)
        verdict = judge(place)
        report.write(verdict, place, place)
        verdicts.append((name, verdict))
        run_report.write(folder, verdicts, planned)
    return verdicts


def content(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return loaded


def test_a_run_has_every_drill_and_the_spread_of_what_was_repeated(told: list[History], tmp_path: Path) -> None:
    verdicts = ran(tmp_path / "run", told, planned=4)
    found = content(tmp_path / "run")
    assert found["passed"] is True
    assert found["finished"] is True
    assert [(one["drill"], one["folder"]) for one in found["drills"]] == [
        ("power-cut", "01-power-cut"), ("bot-killed", "02-bot-killed"),
        ("passive-power-cut", "03-passive-power-cut"), ("power-cut", "04-power-cut"),
    ]  # fmt: skip
    own = content(tmp_path / "run" / "01-power-cut")
    assert found["drills"][0] == {"folder": "01-power-cut", **own}
    rtos = sorted(verdict.rto_s for name, verdict in verdicts if name.endswith("-power-cut") and verdict.rto_s)
    assert found["rto_s"]["power-cut"]["n"] == 2
    assert [found["rto_s"]["power-cut"][key] for key in ("min", "max")] == rtos
    assert set(found["rto_s"]) == {"power-cut", "bot-killed"}
    assert found["took_s"] == pytest.approx(sum(one["took_s"] for one in found["drills"]))
    cases = [case.get("name") for case in ElementTree.parse(tmp_path / "run" / "junit.xml").iter("testcase")]
    assert cases == ["power-cut (1)", "bot-killed", "passive-power-cut", "power-cut (2)"]


def test_the_page_opens_alone_and_leads_to_each_drill(told: list[History], tmp_path: Path) -> None:
    verdicts = ran(tmp_path, told)
    html = (tmp_path / "report.html").read_text()
    root = parsed(html)
    for element in root.iter():
        assert element.tag not in ("script", "link", "iframe", "object", "embed", "img", "form", "base")
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on")
            assert name not in ("src", "action", "data")
            assert name != "href" or value.startswith("#")
    assert not re.search(r"https?:|url\(|@import", html)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(set(ids)) == len(ids) == len(verdicts)
    assert {link.get("href", "#")[1:] for link in root.iter("a")} == set(ids)
    for name, verdict in verdicts:
        inside = next(e for e in root.iter("details") if any(d.get("id") == f"drill-{name}" for d in e.iter("div")))
        said = words(inside)
        for finding in verdict.findings:
            assert finding.measured in said
        assert sum(svg.get("class") == "wide" for svg in inside.iter("svg")) == 2
    for svg in root.iter("svg"):
        if svg.get("class") in ("wide", "narrow"):
            assert_readable(svg)


def test_the_table_shows_what_came_of_each(told: list[History], tmp_path: Path) -> None:
    ran(tmp_path, told)
    rows = [words(row) for row in section(parsed((tmp_path / "report.html").read_text()), "Every drill").iter("tr")][1:]
    assert len(rows) == 4
    assert re.fullmatch(
        r"\s*01-power-cut power-cut on node1 ✓ passed 2\.9\d\d s 4\.5 s 9\.0 s 0 0 \d+\.\d s\s*", rows[0]
    ), rows[0]
    assert re.search(r"03-passive-power-cut power-cut on node3 ✓ passed none – – 0 0", rows[2])
    spreads = words(section(parsed((tmp_path / "report.html").read_text()), "RTO over repetitions"))
    assert "power-cut 2 times" in spreads
    assert "bot-killed" not in spreads


def test_a_failed_drill_comes_first_and_fails_the_run(told: list[History], tmp_path: Path) -> None:
    broken = build(9)
    broken.records["places"].pop()
    verdicts = ran(tmp_path, [told[0], broken])
    root = parsed((tmp_path / "report.html").read_text())
    first = next(iter(root.iter("section")))
    assert "What failed" in words(first)
    assert "02-power-cut" in words(first)
    assert verdicts[1][1].violations[0] in words(first)
    assert content(tmp_path)["passed"] is False
    text = run_report.summary(tmp_path)
    assert text.startswith(f"Run {tmp_path.name}: FAILED")
    for violation in verdicts[1][1].violations:
        assert f"- power-cut: {violation}" in text


def test_a_run_that_was_interrupted_has_not_passed(told: list[History], tmp_path: Path) -> None:
    ran(tmp_path, told[:2], planned=5)
    found = content(tmp_path)
    assert (found["passed"], found["finished"], found["planned"]) == (False, False, 5)
    said = words(parsed((tmp_path / "report.html").read_text()))
    assert "✗ NOT FINISHED" in said
    assert "✓ PASSED" not in said.partition("Drill by drill")[0]
    assert "5 were to be run" in said
    assert "2 of 5 passed" in said
    assert "NOT FINISHED" in run_report.summary(tmp_path)
    assert not outcome.read(tmp_path).passed


def test_the_run_before_is_compared_with(told: list[History], tmp_path: Path) -> None:
    ran(tmp_path / "20261123T120000Z-run", told[:2])
    broken = build(9)
    broken.records["places"].pop()
    ran(tmp_path / "20261123T130000Z-run", [broken, told[1]])
    root = parsed((tmp_path / "20261123T130000Z-run" / "report.html").read_text())
    compared = section(root, "Compared with 20261123T120000Z-run")
    assert "New failure: power-cut passed before and fails now" in words(compared)
    assert compared.get("class") == "why"
    found = content(tmp_path / "20261123T130000Z-run")["compared"]
    assert found["worse"] == ["power-cut"]
    assert {one["drill"]: one["change"] for one in found["drills"]} == {
        "power-cut": "new failure",
        "bot-killed": "same",
    }
    assert "New failure: power-cut" in run_report.summary(tmp_path / "20261123T130000Z-run")
    before = parsed((tmp_path / "20261123T120000Z-run" / "report.html").read_text())
    assert not [h for h in before.iter("h2") if (h.text or "").startswith("Compared with")]


@pytest.fixture(scope="module")
def known(told: list[History], tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The elements that a page is made of when nobody is hostile."""
    folder = tmp_path_factory.mktemp("clean") / "run"
    ran(folder, told[:1])
    return frozenset(element.tag for element in parsed((folder / "report.html").read_text()).iter())


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text(text: str, told: list[History], known: frozenset[str], tmp_path: Path) -> None:
    hostile = copy.deepcopy(told[0])
    hostile.drill.update(purpose=text, tags=[text])
    hostile.drill["drill"] = text
    hostile.drill["faults"][0]["kind"] = text
    hostile.drill["prediction"]["parts"][0].update(name=text, source=text)
    hostile.drill["prediction"].update(title=text, never=text)
    hostile.drill["steps"][0].update(what=text, why=text, ok=False)
    hostile.drill["environment"] = {text: text}
    folder = tmp_path / "run"
    place = hostile.write(folder / "01-drill")
    verdict = judge(place)
    report.write(verdict, place, place)
    run_report.write(folder, [("01-drill", verdict)])
    root = parsed((folder / "report.html").read_text())
    assert {element.tag for element in root.iter()} <= known | {"ul", "li", "br", "a"}
    assert ElementTree.parse(folder / "junit.xml").getroot().tag == "testsuites"
    for line in run_report.summary(folder).split("\n"):
        assert line.isprintable()


def test_a_drill_without_a_page_of_its_own_is_told_from_its_verdict(told: list[History], tmp_path: Path) -> None:
    verdict = judge(told[0].write(tmp_path / "elsewhere"))
    run_report.write(tmp_path / "run", [("01-power-cut", verdict)])
    said = words(parsed((tmp_path / "run" / "report.html").read_text()))
    assert "There is not enough evidence to draw anything." in said
    assert verdict.findings[0].measured in said


def test_a_run_of_nothing_has_a_page_and_has_not_passed(tmp_path: Path) -> None:
    run_report.write(tmp_path, [], planned=3)
    assert content(tmp_path)["passed"] is False
    assert "NOT FINISHED" in words(parsed((tmp_path / "report.html").read_text()))


def test_a_spread_is_of_what_was_measured() -> None:
    found = spread([3.0, None, 1.0, 2.0, 10.0])
    assert found is not None
    assert found.record() == {
        "n": 4,
        "min": 1.0,
        "median": 2.5,
        "p95": 10.0,
        "max": 10.0,
        "values": [3.0, 1.0, 2.0, 10.0],
    }
    many = spread(float(n) for n in range(1, 101))
    assert many is not None
    assert (many.p95, many.median) == (95.0, 50.5)
    assert spread([None]) is None
