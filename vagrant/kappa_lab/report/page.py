"""report.html: one page that needs nothing but itself."""

from collections.abc import Iterable

from kappa_lab.judge import Finding, Verdict
from kappa_lab.judge.evidence import FILES
from kappa_lab.report import parts
from kappa_lab.report.drawing import NARROW, WIDE, draw
from kappa_lab.report.markup import Markup, el, joined
from kappa_lab.report.picture import Picture, close_up, phases
from kappa_lab.report.words import MOMENTS, PHASES, count, fault_purpose, held, offset, phase_number, seconds


def page(verdict: Verdict, picture: Picture | None) -> str:
    """The whole page. `picture` is None when there was nothing to draw."""
    return parts.document(
        f"{verdict.drill}: {'passed' if verdict.passed else 'failed'}",
        _header(verdict),
        article(verdict, picture),
        parts.environment(verdict.environment),
        parts.terms(),
        _evidence(),
    )


def article(verdict: Verdict, picture: Picture | None) -> Markup:
    """What is this drill's alone, as a run's page takes it over."""
    return el(
        "article",
        *_why(verdict),
        _tiles(verdict),
        *_figures(picture),
        _moments(verdict),
        _invariants(verdict),
        *_fencing(verdict),
    )


def _header(verdict: Verdict) -> Markup:
    return el(
        "header",
        el(
            "div",
            el("p", f"Kappa HA failover drill · {parts.when(verdict.started)}", class_="eyebrow"),
            el("h1", verdict.drill),
            el("p", verdict.purpose, class_="soft") if verdict.purpose else "",
            el("p", parts.tight(story(verdict))),
        ),
        parts.badge(verdict.passed),
    )


def story(verdict: Verdict) -> str:
    """What happened, in two or three sentences."""
    fault, figures, answers = verdict.fault, verdict.figures, verdict.answers
    if fault is None:
        return "The drill did not come to its fault."
    told = [f"At {parts.clock(fault.t)} {fault.kind} hit {fault.node}, which ran the bot. {fault_purpose(fault.kind)}"]
    if verdict.rto_s is None:
        told.append("No user has been answered by another node since.")
    else:
        told.append(f"{seconds(verdict.rto_s)} later a user received the first answer from another node.")
    if figures.updates_sent is not None and figures.updates_lost is not None:
        lost = "none was lost" if figures.updates_lost == 0 else f"{figures.updates_lost} went lost"
        told.append(f"Of the {figures.updates_sent} things that users did, {lost}.")
    if answers and answers.slowest_s is not None and answers.p50_before_s is not None:
        told.append(
            f"Before the fault half of them were answered within {seconds(answers.p50_before_s)}; "
            f"the longest wait in the whole drill was {seconds(answers.slowest_s)}."
        )
    return " ".join(told)


def _why(verdict: Verdict) -> Iterable[Markup]:
    if verdict.passed:
        return
    sentences = verdict.violations or ("Nothing was judged.",)
    yield el(
        "section",
        el("h2", "Why it failed"),
        el("ul", *(el("li", parts.tight(sentence)) for sentence in sentences)),
        class_="why",
    )


def _tiles(verdict: Verdict) -> Markup:
    figures = verdict.figures
    sent, lost = count(figures.updates_sent), count(figures.updates_lost)
    return el(
        "section",
        el(
            "div",
            el("b", seconds(verdict.rto_s)),
            el("span", "from the fault to the first answer (RTO)"),
            class_="tile rto",
        ),
        _tile(f"{lost} of {sent}", "updates lost", figures.updates_lost),
        _tile(count(figures.records_duplicated), "places stored twice", figures.records_duplicated),
        _tile(seconds(figures.poll_overlap_s, "unknown"), "two nodes polling", figures.poll_overlap_s),
        _tile(seconds(figures.vip_overlap_s, "unknown"), "two holders of the virtual IP", figures.vip_overlap_s),
        class_="tiles",
    )


def _tile(value: str, words: str, must_be_zero: float | None) -> Markup:
    return el("div", el("b", value), el("span", words), class_="tile" if must_be_zero == 0 else "tile bad")


# -- figures


def _figures(picture: Picture | None) -> Iterable[Markup]:
    if picture is None:
        yield el(
            "section",
            el("h2", "The failover"),
            el("p", "There is not enough evidence to draw anything.", class_="soft"),
        )
        return
    near = close_up(picture)
    yield el(
        "section",
        el("h2", "The failover, close up"),
        el(
            "p",
            "From two seconds before the fault until the node is back. Time runs from left to right.",
            class_="note",
        ),
        el(
            "figure",
            *(draw(picture, near, form, True, "The failover, close up") for form in (WIDE, NARROW)),
        ),
        _legend(),
    )
    yield el(
        "section",
        el("h2", "The whole drill"),
        el("p", "The same lanes, from the first user to the last answer.", class_="note"),
        el("figure", *(draw(picture, picture.span, form, False, "The whole drill") for form in (WIDE, NARROW))),
    )


def _legend() -> Markup:
    def key(shape: Markup, words: str) -> Markup:
        return el("li", el("svg", shape, viewBox="0 0 26 14", aria_hidden="true"), words)

    return el(
        "ul",
        key(el("path", d="M2 1v11M8 1v11M11 1v11M19 1v11", class_="sent"), "a user did something"),
        key(el("path", d="M5 9h0M13 9h0M21 4h0", class_="waits"), "how long until it was answered"),
        key(
            joined(
                el("rect", x=1, y=1, width=24, height=12, class_="poll"),
                el("path", d="M1 1v12M9 1v12M17 1v12", class_="began"),
            ),
            "polling Telegram; a line where each request began",
        ),
        key(el("rect", x=1.5, y=1.5, width=23, height=11, class_="ghost"), "a request left open by the failed node"),
        key(el("rect", x=1, y=3, width=24, height=8, class_="address"), "answers for the virtual IP"),
        key(el("path", d="M3 1v12M8 1v12M11 1v12M20 1v12", class_="reply"), "an answer reached a user"),
        key(el("path", d="M13 0.5l6 6.5l-6 6.5l-6 -6.5z", class_="off"), "proven off by the power broker"),
        key(el("rect", x=1, y=1, width=24, height=12, class_="gap"), "users wait"),
        class_="legend",
    )


# -- tables


def _moments(verdict: Verdict) -> Markup:
    rows = [
        el(
            "tr",
            el("td", label, class_="name"),
            el("td", offset(getattr(verdict.timeline, name)), class_="figure"),
            el("td", words),
            class_="rto" if name == "first_answer" else None,
        )
        for name, (label, words) in MOMENTS.items()
    ]
    lengths = dict(phases(verdict))
    lengths_of = [
        el(
            "tr",
            el("td", el("span", "", class_=f"swatch p{phase_number(name)}"), name, class_="name"),
            el("td", seconds(lengths[name].length), class_="figure"),
            el("td", words),
        )
        for name, _, _, words in PHASES
        if name in lengths
    ]
    waited = (
        [
            el("h2", "Where the time went", style="margin-top: 22px"),
            parts.table((("part", ""), ("length", "figure"), ("what happens", "")), lengths_of),
        ]
        if lengths_of
        else []
    )
    return el(
        "section",
        el("h2", "What happened when"),
        parts.table((("moment", ""), ("from the fault", "figure"), ("what it means, and who saw it", "")), rows),
        *waited,
    )


def _invariants(verdict: Verdict) -> Markup:
    return el(
        "section",
        el("h2", "What had to hold"),
        el(
            "p",
            "Judged from what Telegram, the wire, the power broker and MongoDB saw, not from what the cluster thinks "
            "of itself. What could not be judged counts as broken.",
            class_="note",
        ),
        parts.table(
            (("invariant", ""), ("judged", ""), ("what must hold", ""), ("what was seen", "")),
            map(_finding, verdict.findings),
        ),
    )


def _finding(finding: Finding) -> Markup:
    return el(
        "tr",
        el("td", finding.name, class_="name"),
        el("td", f"{'✓' if finding.held else '✗'} {held(finding)}", class_="held" if finding.held else "broken"),
        el("td", finding.statement),
        el(
            "td",
            parts.tight(finding.measured),
            *(joined(el("br"), el("span", s, class_="soft")) for s in finding.violations[:1]),
        ),
    )


def _fencing(verdict: Verdict) -> Iterable[Markup]:
    fault = verdict.fault
    if fault is None or not verdict.switched:
        return
    rows = [
        el(
            "tr",
            el("td", offset(entry.t - fault.t), class_="figure"),
            el("td", f"{entry.client or 'somebody'}: {entry.action}"),
            el(
                "td",
                f"{entry.before or 'unknown'} → {entry.after or 'unknown'}",
                class_="held" if entry.ok else "broken",
            ),
            el("td", seconds(entry.ms / 1000), class_="figure"),
            el("td", entry.evidence or entry.reason or "none given", class_="soft"),
        )
        for entry in verdict.switched
    ]
    yield el(
        "section",
        el("h2", f"The power of {fault.node}"),
        el("p", "From the power brokers' audit: what they were asked, and what the hypervisor said.", class_="note"),
        parts.table((("asked", "figure"), ("by, for", ""), ("state", ""), ("took", "figure"), ("evidence", "")), rows),
    )


def _evidence() -> Markup:
    return el(
        "section",
        el("h2", "For whoever doubts it"),
        el(
            "p",
            f"The evidence lies beside this page: {', '.join(FILES)}. Every witness used the same clock. Nothing is "
            "forgiven in the order of off and takeover, in two pollers, in two holders of the virtual IP, in lost "
            "updates or in places stored twice; what the judge does let pass, and why, stands in "
            "vagrant/kappa_lab/judge/tolerances.py.",
        ),
    )
