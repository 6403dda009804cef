"""report.html: well-formed, of itself alone, safe with any text, true to the verdict, and no words overlap in it."""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import asdict
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kappa_lab import faults, report
from kappa_lab.judge import Verdict, judge
from kappa_lab.judge.evidence import FILES, read
from kappa_lab.judge.history import Part, Prediction
from kappa_lab.judge.intervals import Interval
from kappa_lab.predict import everything
from kappa_lab.report.causes import Cause
from kappa_lab.report.drawing import EM, NARROW, WIDE, Format, draw
from kappa_lab.report.markup import Markup, el
from kappa_lab.report.outcome import outcome
from kappa_lab.report.page import page
from kappa_lab.report.picture import Lane, Mark, Picture, Spell, close_up, picture, recovered
from kappa_lab.report.predicted import cause_of
from kappa_lab.report.words import CAUSES, MOMENTS, fault_purpose
from tests.histories import (
    STORIES,
    History,
    Tell,
    bot_restart,
    build,
    passive_lost,
    power_cut,
    stops_until_healed,
    storm,
)
from tests.predict_inputs import given as given_

SVG = ("wide", "narrow")


def written(history: Path, out: Path) -> tuple[Verdict, str]:
    verdict = judge(history)
    return verdict, report.write(verdict, history, out).read_text()


def parsed(text: str) -> ElementTree.Element:
    """The page, read as XML, which forgives nothing."""
    assert text.startswith("<!DOCTYPE html>\n<html")
    return ElementTree.fromstring(text)


def words(element: ElementTree.Element) -> str:
    return re.sub(r"\s+", " ", " ".join(element.itertext()).replace("\u00a0", " "))


def section(root: ElementTree.Element, heading: str) -> ElementTree.Element:
    return next(s for s in root.iter("section") if any(h.text == heading for h in s.iter("h2")))


# -- of itself alone


def outside(root: ElementTree.Element) -> Iterator[str]:
    """Everything in a page that could make a browser ask somebody for something."""
    for element in root.iter():
        if element.tag in ("script", "link", "iframe", "object", "embed", "img", "image", "use", "base", "form", "a"):
            yield f"<{element.tag}>"
        for name, value in element.attrib.items():
            bare = name.rpartition("}")[2].lower()
            if bare in ("src", "href", "srcset", "action", "data", "poster", "background", "ping") or bare.startswith(
                "on"
            ):
                yield f"{name}={value}"
            if bare in ("style", "fill", "filter", "clip-path", "mask") and "url" in value.lower():
                yield f"{name}={value}"
        if element.tag == "style" and re.search(r"url\(|@import|http|//", element.text or "", re.IGNORECASE):
            yield "a style that loads something"


def test_the_page_needs_nothing_but_itself(recorded: History, tmp_path: Path) -> None:
    _, text = written(recorded.write(tmp_path), tmp_path / "out")
    assert list(outside(parsed(text))) == []
    assert "http" not in text
    assert len(text) < 300_000


def test_the_search_for_outside_references_finds_them() -> None:
    bad = '<html><a href="http://x"/><img src="x"/><p onclick="x" style="background: URL(x)"/>'
    bad += '<style>@import "x"</style></html>'
    assert len(list(outside(ElementTree.fromstring(bad)))) == 7


# -- safe with any text

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title></svg><h1>gone",
    "&amp; &lt; &#x3c; ]]> <!-- -->",
    "\x00\x01\x0b\x1b[31m\ud800\ufffe",
    "\u202eright to left",
    "x" * 500,
    "' onmouseover='alert(1)",
]


@pytest.fixture(scope="module")
def clean(untouched: History, tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The elements that a page is made of when nobody is hostile."""
    folder = tmp_path_factory.mktemp("clean")
    return frozenset(element.tag for element in parsed(written(untouched.write(folder), folder)[1]).iter())


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text_wherever_it_is(
    text: str, recorded: History, clean: frozenset[str], tmp_path: Path
) -> None:
    recorded.drill.update(drill=text, purpose=text)
    recorded.drill["environment"] = {text: text, "nested": {text: [text]}}
    recorded.drill["nodes"] = {**recorded.drill["nodes"], text: {"lan": "10.77.0.14", "mac": "02:42:0a:4d:00:0e"}}
    recorded.insert(
        recorded.telegram,
        {"e": "begin", "t": recorded.fault + 5, "id": 1, "node": text + "!", "method": "getUpdates"},
    )
    recorded.records["places"].append({"_id": text, "text": text, "updateId": 1})
    recorded.records["places"].append({"_id": text, "text": text, "updateId": 1})
    recorded.of("dialogue")[-1].update(state="failed", why=text)
    for line in recorded.power:
        line.update(evidence=text, client=text)
    verdict, html = written(recorded.write(tmp_path / "history"), tmp_path / "out")
    root = parsed(html)
    assert list(outside(root)) == []
    assert {element.tag for element in root.iter()} == {*clean, "ul", "li", "br"}  # no element of its own making
    assert not verdict.passed
    shown = next(iter(root.iter("h1"))).text or ""
    assert shown == re.sub("[\x00\x01\x0b\x1b\ud800\ufffe]", "\ufffd", text)


@given(st.text(alphabet=st.characters(exclude_characters="\r\n\t"), max_size=60))
def test_any_text_comes_out_as_it_went_in_or_as_a_replacement(text: str) -> None:
    element = ElementTree.fromstring(el("p", text, title=text))
    for found in (element.text or "", element.get("title") or ""):
        assert len(found) == len(text)
        assert all(a in (b, "\ufffd") for a, b in zip(found, text, strict=True))


def test_only_markup_is_not_escaped() -> None:
    assert el("p", "<b>", Markup("<i>x</i>")) == "<p>&lt;b&gt;<i>x</i></p>"
    assert (
        el("line", x1=1.0, class_="a", stroke_width=0.333, href=None) == '<line x1="1" class="a" stroke-width="0.33"/>'
    )
    assert el("td") == "<td></td>"


# -- true to the verdict


def test_a_passed_drill_shows_its_figures(recorded: History, tmp_path: Path) -> None:
    verdict, html = written(recorded.write(tmp_path), tmp_path / "out")
    root = parsed(html)
    assert "✓ PASSED" in words(root)
    assert "Why it failed" not in words(root)
    when = words(section(root, "What happened when"))
    for name, (label, _) in MOMENTS.items():
        assert f"{label} +{getattr(verdict.timeline, name):.3f} s" in when
    rows = [words(row).strip() for row in section(root, "What had to hold").iter("tr")][1:]
    assert len(rows) == len(verdict.findings)
    for row, finding in zip(rows, verdict.findings, strict=True):
        assert row == f"{finding.name} ✓ held {finding.statement} {finding.measured}"
    assert "python-telegram-bot 22.8" in words(section(root, "What it ran on"))
    assert f"RTO {verdict.rto_s:.3f} s" in words(section(root, "Close up"))


def test_a_failed_drill_says_why_before_anything_else(recorded: History, tmp_path: Path) -> None:
    recorded.records["places"].pop()
    recorded.power.clear()
    verdict, html = written(recorded.write(tmp_path), tmp_path / "out")
    root = parsed(html)
    assert "✗ FAILED" in words(root)
    first = next(iter(root.iter("section")))
    assert [words(li) for li in first.iter("li")] == list(verdict.violations)
    table = words(section(root, "What had to hold"))
    assert "nothing lost ✗ BROKEN" in table
    assert "fenced before taken over ✗ NOT JUDGED" in table
    assert "one poller ✓ held" in table


@pytest.mark.parametrize("missing", FILES)
def test_there_is_a_page_whatever_is_missing(missing: str, recorded: History, tmp_path: Path) -> None:
    history = recorded.write(tmp_path / "history")
    (history / missing).unlink()
    _, html = written(history, tmp_path / "out")
    root = parsed(html)
    assert f"{missing} is missing." in words(root)
    drawn = [svg for svg in root.iter("svg") if svg.get("class") in SVG]
    assert len(drawn) == (0 if missing == "drill.json" else 4)


def test_there_is_a_page_about_nothing_at_all(tmp_path: Path) -> None:
    _, html = written(tmp_path / "nowhere", tmp_path / "out")
    assert "There is not enough evidence to draw anything." in words(parsed(html))


def test_there_is_a_page_of_a_drill_that_never_came_to_its_fault(recorded: History, tmp_path: Path) -> None:
    recorded.drill.update(active=None, faults=[])
    _, html = written(recorded.write(tmp_path), tmp_path / "out")
    assert "The drill did not come to its fault." in words(parsed(html))


def test_the_power_brokers_evidence_is_shown(recorded: History, tmp_path: Path) -> None:
    _, text = written(recorded.write(tmp_path / "history"), tmp_path)
    rows = [words(row) for row in section(parsed(text), "The power of node1").iter("tr")][1:]
    assert len(rows) == 2
    assert re.fullmatch(r" *\+2\.\d{3} s node2: off off → off 0\.018 s exited at 12:00:14 *", rows[0]), rows[0]
    assert "node2: on off → on" in rows[1] and "running, pid 77" in rows[1]


def test_every_fault_has_its_words() -> None:
    for name, kind in faults.KINDS.items():
        assert fault_purpose(name) == kind.purpose
        assert kind.purpose.endswith(".")
    assert "flood" in fault_purpose("flood")


# -- the drawing


def test_the_lanes_show_who_did_what(recorded: History, tmp_path: Path) -> None:
    _, html = written(recorded.write(tmp_path), tmp_path / "out")
    close, whole = (
        next(s for s in section(parsed(html), heading).iter("svg") if s.get("class") == "wide")
        for heading in ("Close up", "The whole drill")
    )
    for svg in (close, whole):
        said = words(svg)
        for part in (
            "node1",
            "node2",
            "took over",
            "node3",
            "stood by",
            "power cut",
            "first answer",
            "RTO",
        ):
            assert part in said, part
        # node1 and node2 both polled and both held the address, one after the other; node3 did neither
        kinds = [element.get("class") for element in svg.iter()]
        assert [kinds.count(kind) for kind in ("poll", "address", "reply", "struck", "starting", "off", "gap")] == [
            2, 2, 2, 1, 1, 1, 1,
        ]  # fmt: skip
    assert "membership lost" in words(close)
    assert "membership lost" not in words(whole)


def test_the_causes_of_a_power_cut_add_up_to_the_rto(recorded: History, tmp_path: Path) -> None:
    history = recorded.write(tmp_path)
    verdict = judge(history)
    drawn = picture(verdict, read(history))
    assert drawn is not None
    lengths = {cause.name: cause.interval.length for cause in drawn.causes}
    assert list(lengths) == ["detection", "transition", "fencing", "start", "first answer"]
    assert abs(sum(lengths.values()) - (verdict.rto_s or 0)) < 1e-6
    assert lengths["detection"] == pytest.approx(1.312)
    assert lengths["transition"] == pytest.approx(2.381 - 0.018 - 1.312)  # until the broker was asked
    assert lengths["fencing"] == pytest.approx(2.402 - (2.381 - 0.018))


def boxes(svg: ElementTree.Element) -> list[tuple[float, float, float, float, str]]:
    """Where each text stands: left, top, right, bottom, and the text."""
    found = []
    for text in svg.iter("text"):
        said = "".join(text.itertext())
        size = float(text.get("font-size") or svg.get("font-size") or 0)
        width, x, y = len(said) * size * EM, float(text.get("x") or 0), float(text.get("y") or 0)
        left = x - {"start": 0.0, "middle": width / 2, "end": width}[text.get("text-anchor") or "start"]
        found.append((left, y - 0.75 * size, left + width, y + 0.2 * size, said))
    return found


def assert_readable(svg: ElementTree.Element) -> None:
    width, height = (float(value) for value in (svg.get("viewBox") or "").split()[2:])
    for left, top, right, bottom, said in boxes(svg):
        assert left >= -0.5, f"{said!r} is cut off at the left"
        assert right <= width + 0.5, f"{said!r} is cut off at the right"
        assert 0 <= top < bottom <= height, f"{said!r} is cut off"
    for one, other in combinations(boxes(svg), 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, f"{one[4]!r} and {other[4]!r} overlap"


def test_no_words_overlap_in_a_real_report(recorded: History, tmp_path: Path) -> None:
    _, html = written(recorded.write(tmp_path), tmp_path / "out")
    drawn = [svg for svg in parsed(html).iter("svg") if svg.get("class") in SVG]
    assert len(drawn) == 4
    for svg in drawn:
        assert_readable(svg)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    form=st.sampled_from([WIDE, NARROW]),
    gaps=st.lists(st.floats(min_value=0, max_value=30), min_size=6, max_size=6),
    end=st.floats(min_value=1, max_value=600),
    wait=st.floats(min_value=0.0001, max_value=500),
    every=st.booleans(),
    marks=st.integers(min_value=0, max_value=40),
    name=st.sampled_from(["node1", "a-node-with-a-name-that-has-no-end", "évêque", "02:42:0a:4d:00:63"]),
)
def test_no_words_overlap_whenever_things_happen(
    form: Format, gaps: list[float], end: float, wait: float, every: bool, marks: int, name: str
) -> None:
    at, moments = 0.0, []
    for key, gap in zip(MOMENTS, gaps, strict=True):
        at += gap
        moments.append((key, round(at, 3)))
    lanes = tuple(
        Lane(name=f"{name}{n}", part="lost its power" if n == 1 else "took over", off=(at / 2,),
             spells=(Spell("struck", Interval(0, at), "power cut"), Spell("starting", Interval(at, at + 5), "starting"))
             if n == 1 else (Spell("afflicted", Interval(0, at), "packet loss"),)) for n in (1, 2, 3)
    )  # fmt: skip
    bounds = [t for _, t in (*moments[:3], moments[4])]
    picture = Picture(
        span=Interval(-20, at + end), lanes=lanes, sent=(0.0, 1.0), waits=((0.0, wait),), unanswered=(1.0,),
        marks=tuple(Mark("heal" if n % 3 == 2 else "fault", n * at / 7, f"{name} packet loss") for n in range(marks)),
        moments=tuple(moments),
        causes=tuple(
            Cause(cause, Interval(a, b))
            for cause, (a, b) in zip(("detection", "fencing", "start"), pairwise(bounds), strict=True)
        ),
        recovery=Interval(moments[0][1], moments[4][1]), silent=(Interval(0.0, moments[4][1]),),
    )  # fmt: skip
    span = close_up(picture) if every else picture.span
    assert_readable(ElementTree.fromstring(draw(picture, span, form, every, "a drawing")))


def test_a_drawing_is_made_for_wide_pages_and_for_phones(recorded: History, tmp_path: Path) -> None:
    _, html = written(recorded.write(tmp_path), tmp_path / "out")
    for svg in parsed(html).iter("svg"):
        if svg.get("class") in SVG:
            width = float((svg.get("viewBox") or "").split()[2])
            size = float(svg.get("font-size") or 0)
            # on a page 1040 units wide, or on a phone 360 units wide, the words keep a size that can be read
            assert size * (1040 if svg.get("class") == "wide" else 360) / width >= 10.5
    assert "@media (max-width: 680px)" in html
    assert "@media print" in html
    assert "prefers-color-scheme: dark" in html


def test_a_verdict_with_nothing_to_draw_still_makes_a_page(recorded: History, tmp_path: Path) -> None:
    verdict = judge(recorded.write(tmp_path))
    assert "not enough evidence" in page(verdict, None)


# -- any fault


def told(tell: Tell, tmp_path: Path, **more: object) -> tuple[Verdict, Picture, ElementTree.Element]:
    """A story, judged and written: the verdict, what is drawn, and the page."""
    recorded = build(7, tell=tell)
    recorded.drill.update(more)
    history = recorded.write(tmp_path / "history")
    verdict, html = written(history, tmp_path / "out")
    drawn = picture(verdict, read(history))
    assert drawn is not None
    return verdict, drawn, parsed(html)


@pytest.mark.parametrize("tell", STORIES, ids=lambda tell: tell.__name__)
def test_every_story_makes_a_page_that_can_be_read(tell: Tell, tmp_path: Path) -> None:
    verdict, drawn, root = told(tell, tmp_path)
    assert list(outside(root)) == []
    for svg in root.iter("svg"):
        if svg.get("class") in SVG:
            assert_readable(svg)
    when = words(section(root, "What happened when"))
    for hit in verdict.faults:
        assert f"fault: {hit.kind}" in when
    wide = next(svg for svg in section(root, "Close up").iter("svg") if svg.get("class") == "wide")
    lines = [e.get("class") for e in wide.iter("line") if (e.get("class") or "").startswith("moment")]
    assert lines.count("moment fault") == 2 * len(verdict.faults)  # under everything, and from its label
    assert lines.count("moment heal") == 2 * sum(mark.kind == "heal" for mark in drawn.marks)


def test_a_fault_in_which_nothing_moves_has_no_recovery_to_show(tmp_path: Path) -> None:
    verdict, drawn, root = told(passive_lost, tmp_path)
    assert verdict.passed
    assert (drawn.recovery, drawn.causes, drawn.silent) == (None, (), ())
    said = words(root)
    assert "no outage" in said
    assert "The service was there all the time" in said
    assert "RTO 0" not in said
    assert "virtual IP up" not in words(section(root, "What happened when"))
    struck = {lane.name: [spell.kind for spell in lane.spells] for lane in drawn.lanes}
    assert struck == {"node1": [], "node2": [], "node3": ["struck", "starting"]}


def test_where_the_service_stops_the_recovery_begins_with_the_heal(tmp_path: Path) -> None:
    verdict, drawn, root = told(stops_until_healed, tmp_path)
    assert drawn.recovery is not None
    assert drawn.recovery.start == pytest.approx(8.0, abs=0.001)
    assert drawn.recovery.length == pytest.approx(verdict.rto_s)
    assert [(mark.kind, round(mark.t, 1)) for mark in drawn.marks] == [
        ("fault", 0.0),
        ("fault", 0.5),
        ("heal", 8.0),
        ("heal", 8.2),
    ]
    assert "from the heal to the first answer" in words(root)
    assert "It was predicted that nothing recovers by itself: no level is left." in words(root)


def test_each_of_several_faults_is_where_it_hit(tmp_path: Path) -> None:
    _, drawn, _ = told(storm, tmp_path)
    spells = {lane.name: [(s.kind, s.text, round(s.interval.start, 1)) for s in lane.spells] for lane in drawn.lanes}
    assert spells["node1"] == [("struck", "power cut", 0.0), ("starting", "starting", 2.8)]
    assert spells["node2"] == [("struck", "rings cut", 9.0), ("starting", "starting", 11.8)]
    assert spells["node3"] == []
    assert {lane.name: len(lane.off) for lane in drawn.lanes} == {"node1": 1, "node2": 1, "node3": 0}


def test_a_start_that_did_not_last_is_a_retry(tmp_path: Path) -> None:
    recorded = build(7, tell=bot_restart)
    for t, action in ((0.4, "stop"), (0.5, "start"), (1.3, "stop"), (1.6, "start")):
        event = {"e": "asked", "t": recorded.fault + t, "node": "node1", "resource": "bot", "action": action}
        recorded.insert(recorded.cluster, event)
    history = recorded.write(tmp_path)
    drawn = picture(judge(history), read(history))
    assert drawn is not None
    lengths = {cause.name: round(cause.interval.length, 2) for cause in drawn.causes}
    assert list(lengths) == ["detection", "retries", "stop", "start", "first answer"]
    assert (lengths["detection"], lengths["retries"], lengths["stop"]) == (0.4, 0.9, 0.3)


def test_what_the_cluster_saw_and_did_nothing_about_is_detected_and_no_more(tmp_path: Path) -> None:
    recorded = build(7, tell=bot_restart)
    event = {"e": "failed", "t": recorded.fault + 1.2, "node": "node1", "resource": "bot", "action": "monitor"}
    recorded.insert(recorded.cluster, {**event, "result": "not running"})
    history = recorded.write(tmp_path)
    drawn = picture(judge(history), read(history))
    assert drawn is not None
    assert [cause.name for cause in drawn.causes] == ["detection"]


def test_of_a_storm_the_recovery_begins_with_the_fault_before_the_longest_outage(tmp_path: Path) -> None:
    verdict, drawn, root = told(storm, tmp_path)
    assert drawn.recovery is not None
    assert drawn.recovery.length == pytest.approx(verdict.rto_s)
    assert min(abs(drawn.recovery.start - mark.t) for mark in drawn.marks if mark.kind == "fault") < 0.01
    assert any(drawn.recovery.end == pytest.approx(stretch.end, abs=0.01) for stretch in drawn.silent)
    assert "from the fault before the longest outage to the first answer" in words(root)
    stored = outcome(json.loads((tmp_path / "out" / "report.json").read_text()))
    assert stored.rto_s == verdict.rto_s


def test_a_node_of_which_nobody_asks_for_long_is_back_when_it_is_a_member(tmp_path: Path) -> None:
    recorded = build(7, tell=power_cut)
    (online,) = (line for line in recorded.cluster if line["e"] == "online")
    online["t"] += 60
    recorded.cluster.sort(key=lambda line: line["t"])
    history = recorded.write(tmp_path)
    drawn = picture(judge(history), read(history))
    assert drawn is not None
    assert [round(spell.interval.end, 2) for spell in drawn.lanes[0].spells] == [2.8, 7.44]


def test_the_causes_of_a_restart_are_those_that_the_cluster_tells(tmp_path: Path) -> None:
    recorded = build(7, tell=bot_restart)
    recorded.drill["faults"][0]["lasts"] = False
    for t, event in (
        (1.2, {"e": "failed", "resource": "bot", "action": "monitor", "result": "not running"}),
        (1.5, {"e": "asked", "resource": "bot", "action": "stop"}),
        (1.8, {"e": "asked", "resource": "bot", "action": "start"}),
        (
            9.0,
            {"e": "failed", "resource": "web", "action": "monitor", "result": "not running"},
        ),  # later: no cause of it
    ):
        recorded.insert(recorded.cluster, {**event, "t": recorded.fault + t, "node": "node1"})
    history = recorded.write(tmp_path)
    verdict = judge(history)
    drawn = picture(verdict, read(history))
    assert drawn is not None
    lengths = {cause.name: round(cause.interval.length, 3) for cause in drawn.causes}
    assert list(lengths) == ["detection", "transition", "stop", "start", "first answer"]
    assert (lengths["detection"], lengths["transition"], lengths["stop"]) == (1.2, 0.3, 0.3)
    assert sum(lengths.values()) == pytest.approx(verdict.rto_s, abs=0.005)
    assert [mark.kind for mark in drawn.marks] == ["fault"]  # nobody need heal what is over
    (spell,) = drawn.lanes[0].spells
    assert (spell.kind, round(spell.interval.length, 2)) == ("afflicted", 0.2)


def test_a_fault_that_lasts_is_shown_until_it_is_healed(tmp_path: Path) -> None:
    _, drawn, _ = told(bot_restart, tmp_path)
    (spell,) = drawn.lanes[0].spells
    assert (spell.kind, round(spell.interval.end, 1)) == ("afflicted", 16.0)
    assert [(mark.kind, round(mark.t, 1)) for mark in drawn.marks] == [("fault", 0.0), ("heal", 16.0)]


def test_what_nobody_saw_has_no_cause(recorded: History, tmp_path: Path) -> None:
    recorded.cluster = [line for line in recorded.cluster if line["e"] in ("active", "online")]
    recorded.power = [line for line in recorded.power if line["action"] == "status"]
    history = recorded.write(tmp_path)
    verdict = judge(history)
    drawn = picture(verdict, read(history))
    assert drawn is not None
    assert drawn.causes == ()
    assert drawn.recovery == recovered(verdict)


# -- prediction beside measurement

PARTS = (
    Part("token", 1.0, 1.0, "corosync.conf"),
    Part("Pacemaker's own pause", 1.0, 2.0, "measured"),
    Part("fencing, level 1", 0.1, 20.0, "pcmk_reboot_timeout"),
    Part("start vip", 0.05, 15.0, "<timeout> of its start"),
    Part("something new", 0.5, 0.5, "nobody knows"),
)


def test_a_prediction_stands_beside_what_was_measured(recorded: History, tmp_path: Path) -> None:
    recorded.drill["prediction"] = asdict(Prediction("node-lost", "A node is lost", 2.65, 38.5, "", PARTS))
    verdict, html = written(recorded.write(tmp_path), tmp_path / "out")
    found = section(parsed(html), "Prediction beside measurement")
    rows = [words(row).split() for row in found.iter("tr")][1:]
    by_name = {" ".join(row[:2]) if row[0] in ("sum,", "the") else row[0]: row for row in rows}
    assert by_name["detection"][1:] == ["1.00", "s", "1.00", "s", "1.312", "s"]
    assert by_name["fencing"][1:5] == ["0.10", "s", "20.00", "s"]
    assert "0.039 s" in " ".join(by_name["fencing"])
    assert by_name["the rest"][2:] == ["0.50", "s", "0.50", "s", "–"]
    assert f"2.65 s 38.50 s {verdict.rto_s:.3f} s" in " ".join(rows[-1])
    assert "one of the two is wrong" not in words(found)
    assert "<timeout> of its start" in words(found)


def test_a_recovery_beyond_its_prediction_is_said_to_be_wrong(recorded: History, tmp_path: Path) -> None:
    recorded.drill["prediction"] = asdict(Prediction("node-lost", "A node is lost", 1.0, 2.0, "", PARTS))
    verdict, html = written(recorded.write(tmp_path), tmp_path / "out")
    assert not verdict.passed
    found = section(parsed(html), "Prediction beside measurement")
    assert "is beyond its prediction, 2.000 s at the worst: one of the two is wrong." in words(found)
    assert found.get("class") == "why"


def test_each_part_of_every_prediction_is_matched_with_a_cause() -> None:
    for one in everything(given_()):
        for part in one.parts:
            known = cause_of(part.name) in CAUSES
            assert known or one.kind in ("primary-lost", "primary-steps-down"), part.name


def test_a_drill_without_a_prediction_has_no_such_section(tmp_path: Path) -> None:
    _, _, root = told(passive_lost, tmp_path)
    assert "Prediction beside measurement" not in words(root)


def test_the_steps_and_what_was_expected_are_shown(tmp_path: Path) -> None:
    steps = [
        {
            "what": "wait_for primary",
            "t": 1_790_000_013.0,
            "ended": 1_790_000_015.5,
            "ok": False,
            "why": "No <primary>.",
        }
    ]
    _, _, root = told(bot_restart, tmp_path, steps=steps)
    found = words(section(root, "What the drill did, and what it expects"))
    assert "The service comes back, wherever the cluster wants it. Fenced: nobody." in found
    assert "wait_for primary" in found
    assert "✗ NOT DONE 2.500 s No <primary>." in found


def test_a_storm_of_faults_is_a_page_that_can_still_be_read(tmp_path: Path) -> None:
    recorded = build(7, tell=storm)
    first, second = recorded.drill["faults"]
    many = [
        {**second, "kind": f"packet-loss-{n}", "t": first["t"] + 0.1 * n, "done": first["t"] + 0.1 * n + 0.05,
         "healed": first["t"] + 0.1 * n + 5}
        for n in range(1, 150)
    ]  # fmt: skip
    recorded.drill["faults"] = [first, *many]
    _, html = written(recorded.write(tmp_path / "history"), tmp_path / "out")
    root = parsed(html)
    for svg in root.iter("svg"):
        if svg.get("class") in SVG:
            assert_readable(svg)
            assert float((svg.get("viewBox") or "").split()[3]) < 800
    assert "and 144 faults more" in words(root)
    happened = section(root, "What happened when")
    folded = next(happened.iter("details"))
    assert len(list(happened.iter("tr"))) > 290  # all are there
    assert len(list(folded.iter("tr"))) > 250  # and most of them out of the way
