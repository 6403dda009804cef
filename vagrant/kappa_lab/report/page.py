"""report.html: one page that needs nothing but itself."""

from collections.abc import Iterable
from typing import Final

from kappa_lab.judge import Finding, Verdict
from kappa_lab.judge.evidence import FILES
from kappa_lab.judge.expecting import SERVICES
from kappa_lab.judge.history import Expect, Fault, Injected
from kappa_lab.report import parts, predicted
from kappa_lab.report.drawing import NARROW, WIDE, draw
from kappa_lab.report.markup import Markup, el, joined
from kappa_lab.report.picture import Picture, close_up
from kappa_lab.report.words import (
    CAUSES,
    MOMENTS,
    cause_number,
    count,
    fault_purpose,
    held,
    offset,
    seconds,
    wanted,
)  # fmt: skip

MOST: Final = 5
"""So many faults after the first are told in words."""
ROWS: Final = 40
"""So many things that happened are in sight; what a storm has beyond them is folded in."""


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
        el("p", verdict.purpose, class_="soft") if verdict.purpose else "",
        el("p", parts.tight(story(verdict, picture))),
        *_why(verdict),
        _tiles(verdict, picture),
        *_figures(picture),
        _moments(verdict, picture),
        *predicted.section(verdict, picture.causes if picture else ()),
        _invariants(verdict),
        *_steps(verdict),
        *_fencing(verdict),
    )


def _header(verdict: Verdict) -> Markup:
    return el(
        "header",
        el(
            "div",
            el("p", f"Kappa HA failover drill · {parts.when(verdict.started)}", class_="eyebrow"),
            el("h1", verdict.drill),
        ),
        parts.badge(verdict.passed),
    )


def story(verdict: Verdict, picture: Picture | None) -> str:
    """What happened, in a few sentences."""
    fault, figures, answers = verdict.fault, verdict.figures, verdict.answers
    if fault is None:
        return "The drill did not come to its fault."
    told = [*_befell(verdict, fault), _recovery(verdict, picture)]
    if figures.updates_sent is not None and figures.updates_lost is not None:
        lost = "none was lost" if figures.updates_lost == 0 else f"{figures.updates_lost} went lost"
        told.append(f"Of the {figures.updates_sent} things that users did, {lost}.")
    if answers and answers.slowest_s is not None and answers.p50_before_s is not None:
        told.append(
            f"Before the fault half of them were answered within {seconds(answers.p50_before_s)}; "
            f"the longest wait in the whole drill was {seconds(answers.slowest_s)}."
        )
    return " ".join(told)


def _befell(verdict: Verdict, fault: Fault) -> Iterable[str]:
    first, *others = verdict.faults
    yield f"At {parts.clock(first.t)} came {_hit(first)}. {fault_purpose(first.kind)}"
    if others:
        more = "; ".join(f"{_hit(one)} ({offset(one.t - fault.t)})" for one in others[:MOST])
        yield f"After it came {more}{f', and {len(others) - MOST} faults more' if len(others) > MOST else ''}."
    if fault.node not in first.nodes:
        yield f"The bot ran on {fault.node}."


def _hit(hit: Injected) -> str:
    return f"{hit.kind} on {', '.join(hit.nodes)}" if hit.nodes else hit.kind


def _recovery(verdict: Verdict, picture: Picture | None) -> str:
    service, rto = verdict.expect.service if verdict.expect else "moves", verdict.rto_s
    if service == "any" and picture is not None and picture.recovery is not None:
        often, longest = len(picture.silent), seconds(picture.recovery.length)
        return (
            f"Users waited in vain {often} times, the longest {longest}."
            if often > 1
            else (f"Once users waited in vain, for {longest}.")
        )
    if rto is None:
        if service == "moves":
            return "No user has been answered by another node since."
        if service == "stops":
            return "Nobody was seen to be served again."
        return "The service was there all the time: nobody waited while nobody was answered."
    if service == "moves":
        return f"{seconds(rto)} later a user received the first answer from another node."
    since = "after the heal" if service == "stops" else "after the first fault"
    return f"{seconds(rto)} {since} users were served again."


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


def _tiles(verdict: Verdict, picture: Picture | None) -> Markup:
    figures = verdict.figures
    sent, lost = count(figures.updates_sent), count(figures.updates_lost)
    return el(
        "section",
        el("div", el("b", _rto(verdict, picture)[0]), el("span", _rto(verdict, picture)[1]), class_="tile rto"),
        _tile(f"{lost} of {sent}", "updates lost", figures.updates_lost),
        _tile(count(figures.records_duplicated), "places stored twice", figures.records_duplicated),
        _tile(seconds(figures.poll_overlap_s, "unknown"), "two nodes polling", figures.poll_overlap_s),
        _tile(seconds(figures.vip_overlap_s, "unknown"), "two holders of the virtual IP", figures.vip_overlap_s),
        class_="tiles",
    )


def _rto(verdict: Verdict, picture: Picture | None) -> tuple[str, str]:
    """The figure, and what it is."""
    service = verdict.expect.service if verdict.expect else "moves"
    if service == "any" and picture is not None and picture.recovery is not None:
        return seconds(picture.recovery.length), "the longest outage, from its beginning (RTO)"
    if verdict.rto_s is None and service in ("returns", "undisturbed", "any"):
        return "no outage", "nobody waited while nobody was answered (RTO)"
    since = "heal" if service == "stops" else "fault"
    return seconds(verdict.rto_s), f"from the {since} to the first answer (RTO)"


def _tile(value: str, words: str, must_be_zero: float | None) -> Markup:
    return el("div", el("b", value), el("span", words), class_="tile" if must_be_zero == 0 else "tile bad")


# -- figures


def _figures(picture: Picture | None) -> Iterable[Markup]:
    if picture is None:
        yield el(
            "section",
            el("h2", "The timeline"),
            el("p", "There is not enough evidence to draw anything.", class_="soft"),
        )
        return
    near = close_up(picture)
    yield el(
        "section",
        el("h2", "Close up"),
        el(
            "p",
            "From two seconds before the first fault until all is as it was. Time runs from left to right.",
            class_="note",
        ),
        el(
            "figure",
            *(draw(picture, near, form, True, "Close up") for form in (WIDE, NARROW)),
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
        key(el("rect", x=1, y=6, width=24, height=3, class_="afflicted"), "a fault that the node lives with"),
        key(el("rect", x=1, y=1, width=24, height=12, class_="gap"), "users wait"),
        class_="legend",
    )


# -- tables


def _moments(verdict: Verdict, picture: Picture | None) -> Markup:
    rows = [row for _, row in sorted(_happened(verdict), key=lambda one: one[0])]
    heads = (("moment", ""), ("from the fault", "figure"), ("what it means, and who saw it", ""))
    more = el("details", el("summary", f"and {len(rows) - ROWS} more"), parts.table(heads, rows[ROWS:]))
    lengths: dict[str, float] = {}
    for cause in picture.causes if picture else ():
        lengths[cause.name] = lengths.get(cause.name, 0.0) + cause.interval.length
    causes = [
        el(
            "tr",
            el("td", el("span", "", class_=f"swatch p{cause_number(name)}"), name, class_="name"),
            el("td", seconds(lengths[name]), class_="figure"),
            el("td", words),
        )
        for name, words in CAUSES.items()
        if name in lengths
    ]
    waited = (
        [
            el("h2", "Why users waited", style="margin-top: 22px"),
            parts.table((("cause", ""), ("length", "figure"), ("what happens", "")), causes),
        ]
        if causes
        else []
    )
    return el(
        "section",
        el("h2", "What happened when"),
        parts.table(heads, rows[:ROWS]),
        more if len(rows) > ROWS else "",
        *waited,
    )


def _happened(verdict: Verdict) -> Iterable[tuple[float, Markup]]:
    """Every fault, every heal, every moment that was seen or should have been, with when it was."""
    zero = verdict.faults[0].t if verdict.faults else 0.0
    for hit in verdict.faults:
        yield hit.t - zero, _moment(f"fault: {_hit(hit)}", hit.t - zero, fault_purpose(hit.kind), "fault")
        if hit.healed is not None and hit.lasts and not hit.ends_node:
            yield hit.healed - zero, _moment(f"healed: {hit.kind}", hit.healed - zero, "The drill undid it.", "heal")
    due = wanted(verdict)
    for name, (label, words) in MOMENTS.items():
        t = getattr(verdict.timeline, name)
        if t is not None or name in due:
            kind = "rto" if name == "first_answer" else None
            yield float("inf") if t is None else t, _moment(label, t, words, kind)


def _moment(name: str, t: float | None, words: str, kind: str | None) -> Markup:
    return el("tr", el("td", name, class_="name"), el("td", offset(t), class_="figure"), el("td", words), class_=kind)


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


def _steps(verdict: Verdict) -> Iterable[Markup]:
    expect = verdict.expect
    if expect is None and not verdict.steps:
        return
    zero = verdict.fault.t if verdict.fault else verdict.started or 0.0
    rows = [
        el(
            "tr",
            el("td", step.what, class_="name"),
            el("td", offset(step.t - zero), class_="figure"),
            el("td", "✓ done" if step.ok else "✗ NOT DONE", class_="held" if step.ok else "broken"),
            el(
                "td",
                seconds(None if step.ended is None else max(0.0, step.ended - step.t), "not ended"),
                class_="figure",
                data_label="took",
            ),
            el("td", step.why, class_="soft"),
        )
        for step in verdict.steps
    ]
    heads = (("step", ""), ("from the fault", "figure"), ("came to pass", ""), ("took", "figure"), ("why not", ""))
    yield el(
        "section",
        el("h2", "What the drill did, and what it expects"),
        el("p", _expected(expect)) if expect else "",
        parts.table(heads, rows) if rows else "",
    )


def _expected(expect: Expect) -> str:
    told = [f"The service {SERVICES.get(expect.service, expect.service)}."]
    told.append(f"Fenced: {', '.join(expect.fenced) or 'nobody'}.")
    if expect.may_be_fenced:
        told.append(f"May be fenced: {', '.join(expect.may_be_fenced)}.")
    if expect.strangers:
        told.append("Somebody who is no node of the cluster acts in its place: that is the fault itself.")
    if expect.predicted:
        told.append(f"Recovered within what is predicted for {expect.predicted}.")
    return " ".join(told)


def _fencing(verdict: Verdict) -> Iterable[Markup]:
    fault = verdict.fault
    if fault is None or not verdict.switched:
        return
    plugs = list(dict.fromkeys(entry.plug or "somebody" for entry in verdict.switched))
    rows = [
        el(
            "tr",
            el("td", offset(entry.t - fault.t), class_="figure"),
            el(
                "td",
                f"{entry.client or 'somebody'}: {entry.action}{f' {entry.plug}' if len(plugs) > 1 else ''}",
            ),
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
        el("h2", f"The power of {', '.join(plugs)}"),
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
