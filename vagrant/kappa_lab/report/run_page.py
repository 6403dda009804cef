"""report.html of a run: what came of every drill, how it compares, and each drill's own report folded in below."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kappa_lab.judge import Verdict
from kappa_lab.report import compare, parts
from kappa_lab.report.compare import Comparison, Row
from kappa_lab.report.markup import Markup, el
from kappa_lab.report.outcome import Outcome, Repeated, Run
from kappa_lab.report.page import article
from kappa_lab.report.spread import Spread
from kappa_lab.report.words import count, seconds


@dataclass(frozen=True)
class Told:
    """One drill of the run, with what its own page says of it; None where it has none."""

    outcome: Outcome
    verdict: Verdict
    article: Markup | None


def run_page(run: Run, told: Sequence[Told], compared: Comparison | None) -> str:
    known = next((one.verdict.environment for one in reversed(told) if one.verdict.environment), {})
    return parts.document(
        f"{_title(run)}, {_state(run)[1]}",
        _header(run),
        *_why(run),
        _tiles(run),
        _table(run),
        *_spreads(run),
        *_compared(compared),
        _drills(told),
        parts.environment(known),
        parts.terms(),
    )


def _title(run: Run) -> str:
    names = list(run.by_drill())
    title = ", ".join(names) if 0 < len(names) <= 2 else f"{len(names)} drills"
    return title if len(run.outcomes) == len(names) else f"{title}: {len(run.outcomes)} runs"


def _state(run: Run) -> tuple[str, str]:
    """How its badge looks, and what it says."""
    if any(not one.passed for one in run.outcomes):
        return "failed", "✗ FAILED"
    return ("passed", "✓ PASSED") if run.passed else ("failed", "✗ NOT FINISHED")


def _header(run: Run) -> Markup:
    kind, words = _state(run)
    began = min((one.started for one in run.outcomes if one.started is not None), default=None)
    return el(
        "header",
        el(
            "div",
            el("p", f"Kappa HA failover drills · {parts.when(began)}", class_="eyebrow"),
            el("h1", _title(run)),
            el("p", parts.tight(_story(run))),
        ),
        el("div", words, class_=f"verdict {kind}", style="flex: none"),
    )


def _story(run: Run) -> str:
    passed = sum(one.passed for one in run.outcomes)
    told = [f"{passed} of {len(run.outcomes)} passed, in {_time(run.took_s)}."]
    if not run.finished:
        told.append(f"{run.planned} were to be run.")
    recovered = [one.rto_s for one in run.outcomes if one.rto_s]
    if recovered:
        least, most = min(recovered), max(recovered)
        span = seconds(most) if least == most else f"{seconds(least)} to {seconds(most)}"
        told.append(f"Where the service was interrupted, users were answered again after {span}.")
    return " ".join(told)


def _time(value: float | None) -> str:
    if value is None:
        return "an unknown time"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _why(run: Run) -> Iterable[Markup]:
    failed = [one for one in run.outcomes if not one.passed]
    if not failed:
        return
    yield el(
        "section",
        el("h2", "What failed"),
        el(
            "ul",
            *(
                el("li", _link(one), ": ", parts.tight(one.violations[0] if one.violations else "Nothing was judged."))
                for one in failed
            ),
        ),
        class_="why",
    )


def _tiles(run: Run) -> Markup:
    passed, all_ = sum(one.passed for one in run.outcomes), len(run.outcomes)
    longest = max((one.rto_s for one in run.outcomes if one.rto_s is not None), default=None)
    return el(
        "section",
        _tile(f"{passed} of {all_}", "passed", passed == all_ and run.finished),
        _tile(seconds(longest, "none"), "longest time without an answer (RTO)", True),
        _tile(_sum(run, "lost"), "updates lost", _sum(run, "lost") == "0"),
        _tile(_sum(run, "twice"), "places stored twice", _sum(run, "twice") == "0"),
        _tile(_time(run.took_s), "taken by the drills", True),
        class_="tiles",
    )


def _tile(value: str, words: str, fine: bool) -> Markup:
    return el("div", el("b", value), el("span", words), class_="tile" if fine else "tile bad")


def _sum(run: Run, figure: str) -> str:
    return count(Repeated("", run.outcomes).total(figure))


# -- every drill, a row each


def _table(run: Run) -> Markup:
    longest = max((one.rto_s for one in run.outcomes if one.rto_s is not None), default=0.0) or 1.0
    heads = (
        ("drill", ""), ("fault", ""), ("judged", ""), ("RTO", "figure"), ("predicted: typical", "figure"),
        ("worst", "figure"), ("lost", "figure"), ("repeated", "figure"), ("took", "figure"),
    )  # fmt: skip
    return el(
        "section",
        el("h2", "Every drill"),
        el(
            "p",
            "RTO: from the fault to the first answer afterwards; none where users noticed nothing. Predicted from "
            "configuration alone, and only where the drill expects it. Repeated: replies that somebody received twice.",
            class_="note",
        ),
        parts.table(heads, (_row(one, longest) for one in run.outcomes), "stack tight"),
    )


def _row(one: Outcome, longest: float) -> Markup:
    return el(
        "tr",
        el("td", _link(one), class_="name"),
        el("td", ", then ".join(one.faults) or "none", class_="more"),
        el("td", "✓ passed" if one.passed else "✗ FAILED", class_="held" if one.passed else "broken"),
        el("td", seconds(one.rto_s, "none"), _bar(one, longest), class_="figure", data_label="RTO"),
        _predicted(one.typical_s, "predicted: typical"),
        _predicted(one.worst_s, "worst"),
        el("td", count(one.lost), class_="figure", data_label="lost"),
        el("td", count(one.repeated), class_="figure", data_label="repeated"),
        el("td", _about(one.took_s), class_="figure", data_label="took"),
    )


def _bar(one: Outcome, longest: float) -> Markup:
    if not one.rto_s:
        return Markup("")
    bar = el("rect", x=0, y=0, width=max(1.0, 100 * one.rto_s / longest), height=6, class_="rto-bar")
    return el("svg", bar, viewBox="0 0 100 6", class_="bar", preserveAspectRatio="none", aria_hidden="true")


def _predicted(value: float | None, label: str) -> Markup:
    return el("td", _about(value), class_="figure none" if value is None else "figure", data_label=label)


def _about(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def _anchor(one: Outcome) -> str:
    """A name for the drill's place in the page."""
    return "drill-" + "".join(c if c.isascii() and c.isalnum() else "-" for c in one.folder)


def _link(one: Outcome) -> Markup:
    return el("a", _label(one), href=f"#{_anchor(one)}")


def _label(one: Outcome) -> str:
    """The folder, which tells repetitions apart, where it is not the run's own."""
    return one.drill if one.folder in ("", ".") else one.folder


# -- repetitions


def _spreads(run: Run) -> Iterable[Markup]:
    several = {drill: one.rto for drill, one in run.by_drill().items() if one.rto and len(one.outcomes) > 1}
    if not several:
        return
    most = max(rto.most for rto in several.values()) or 1.0
    heads = (("drill", ""), ("measured", "figure"), ("min", "figure"), ("median", "figure"), ("p95", "figure"),
             ("max", "figure"), (f"each, from 0 to {seconds(most)}", ""))  # fmt: skip
    yield el(
        "section",
        el("h2", "RTO over repetitions"),
        parts.table(heads, (_spread(drill, rto, most) for drill, rto in several.items())),
    )


def _spread(drill: str, rto: Spread, most: float) -> Markup:
    figures = (("min", rto.least), ("median", rto.median), ("p95", rto.p95), ("max", rto.most))
    return el(
        "tr",
        el("td", drill, class_="name"),
        el("td", f"{len(rto.values)} times", class_="figure", data_label="measured"),
        *(el("td", seconds(value), class_="figure", data_label=name) for name, value in figures),
        el("td", _strip(drill, rto, most), class_="wide-cell"),
    )


def _strip(drill: str, rto: Spread, most: float) -> Markup:
    """A dot for each repetition, on a line from the least to the most, with an upright for the median."""

    def x(value: float) -> float:
        return round(6 + 288 * value / most, 2)

    name = f"{drill}: from {seconds(rto.least)} to {seconds(rto.most)}"
    return el(
        "svg",
        el("title", name),
        el("line", x1=6, y1=12, x2=294, y2=12, class_="grid"),
        el("line", x1=x(rto.least), y1=12, x2=x(rto.most), y2=12, class_="range"),
        *(el("circle", cx=x(value), cy=12, r=4.0, class_="one") for value in rto.values),
        el("line", x1=x(rto.median), y1=2, x2=x(rto.median), y2=22, class_="median"),
        viewBox="0 0 300 24",
        role="img",
        aria_label=name,
        class_="strip",
    )


# -- the run before


def _compared(compared: Comparison | None) -> Iterable[Markup]:
    if compared is None:
        return
    worse = list(compare.sentences(compared))
    changed = [row for row in compared.rows if row.change != "same"]
    rest = [row for row in compared.rows if row.change == "same"]
    yield el(
        "section",
        el("h2", f"Compared with {compared.before}"),
        el("ul", *(el("li", parts.tight(sentence)) for sentence in worse), class_="worse")
        if worse
        else el("p", "Nothing has got worse."),
        _changes(changed) if changed else "",
        el("details", el("summary", f"The same as before: {len(rest)}"), _changes(rest)) if rest else "",
        class_="why" if worse else None,
    )


def _changes(rows: Iterable[Row]) -> Markup:
    heads = (("drill", ""), ("change", ""), ("RTO before", "figure"), ("now", "figure"), ("difference", "figure"),
             ("lost", "figure"), ("stored twice", "figure"), ("repeated", "figure"))  # fmt: skip
    return parts.table(heads, (_change(row, [words for words, _ in heads]) for row in rows))


def _change(row: Row, heads: Sequence[str]) -> Markup:
    drill, change, *figures = compare.cells(row)
    kind = "broken" if row.change in compare.WORSE else "held" if row.change in ("mended", "faster") else None
    return el(
        "tr",
        el("td", drill, class_="name"),
        el("td", change, class_=kind),
        *(el("td", cell, class_="figure", data_label=label) for cell, label in zip(figures, heads[2:], strict=True)),
    )


# -- each drill's own report


def _drills(told: Sequence[Told]) -> Markup:
    return el(
        "section",
        el("h2", "Drill by drill"),
        el("p", "What each drill's own page shows. Its evidence lies in the folder of its name.", class_="note"),
        *map(_drill, told),
    )


def _drill(told: Told) -> Markup:
    one, verdict = told.outcome, told.verdict
    mark = el("span", "✓" if one.passed else "✗", class_="held" if one.passed else "broken")
    figures = f"RTO {seconds(one.rto_s)}" if one.rto_s else "" if one.passed else "failed"
    return el(
        "details",
        el(
            "summary",
            mark,
            " ",
            el("b", _label(one)),
            el("span", figures, class_="soft"),
        ),
        el(
            "div",
            told.article if told.article is not None else article(verdict, None),
            id=_anchor(one),
        ),
        class_="drill",
    )
