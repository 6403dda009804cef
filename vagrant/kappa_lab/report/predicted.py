"""A prediction beside what was measured: the parts of the one under the causes of the other, where they match."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from kappa_lab.judge import Verdict
from kappa_lab.judge.history import Part, Prediction
from kappa_lab.report import parts
from kappa_lab.report.causes import Cause
from kappa_lab.report.markup import Markup, el
from kappa_lab.report.words import CAUSES, cause_number, seconds

BEGINNINGS: Final = (
    ("token", "detection"),
    ("consensus", "detection"),
    ("until the next monitor", "detection"),
    ("monitor ", "detection"),
    ("silence ", "detection"),
    ("until a member stands", "detection"),
    ("Pacemaker's own pause", "transition"),
    ("fencing", "fencing"),
    ("head start", "fencing"),
    ("stop ", "stop"),
    ("demote ", "stop"),
    ("start ", "start"),
    ("promote ", "start"),
    ("what is left of the bot's lease", "start"),
)
"""How the names of a prediction's parts begin, and the cause under which that time is measured."""
REST: Final = "the rest"
HEADS: Final = (
    ("part", ""), ("predicted: typical", "figure"), ("worst", "figure"), ("measured", "figure"), ("what says so", ""),
)  # fmt: skip


def cause_of(part: str) -> str:
    if part.partition(" ")[2].startswith("measurements that agree"):
        return "detection"
    return next((cause for beginning, cause in BEGINNINGS if part.startswith(beginning)), REST)


def section(verdict: Verdict, causes: Sequence[Cause]) -> Iterable[Markup]:
    """Nothing, where the drill has no prediction."""
    prediction = verdict.prediction
    if prediction is None:
        return
    measured: dict[str, float] = {}
    for cause in causes:
        measured[cause.name] = measured.get(cause.name, 0.0) + cause.interval.length
    beyond = is_beyond(verdict.rto_s, prediction)
    yield el(
        "section",
        el("h2", "Prediction beside measurement"),
        el(
            "p",
            f"{prediction.title}. Predicted before the fault, from the cluster's configuration alone, as kappa-lab "
            "predict does it.",
            class_="note",
        ),
        *(
            el("p", parts.tight(sentence), class_="broken" if beyond else None)
            for sentence in said(verdict, prediction)
        ),
        parts.table(HEADS, _rows(verdict, prediction, measured), "stack prediction"),
        class_="why" if beyond else None,
    )


def is_beyond(rto_s: float | None, prediction: Prediction) -> bool:
    return rto_s is not None and prediction.worst_s is not None and rto_s > prediction.worst_s


def said(verdict: Verdict, prediction: Prediction) -> Iterable[str]:
    """How the two go together, in a sentence."""
    rto = verdict.rto_s
    if prediction.worst_s is None:
        yield f"It was predicted that nothing recovers by itself: {prediction.never or 'no reason given'}."
    elif rto is None:
        yield "Nobody had to wait, so there is nothing to set beside it."
    elif is_beyond(rto, prediction):
        yield (
            f"The RTO, {seconds(rto)}, is beyond its prediction, {seconds(prediction.worst_s)} at the worst: one of "
            "the two is wrong."
        )
    elif prediction.typical_s:
        yield (
            f"The RTO, {seconds(rto)}, is {rto / prediction.typical_s:.1f} times what is typical, and "
            f"{100 * rto / prediction.worst_s if prediction.worst_s else 0:.0f} % of the worst case."
        )


def _rows(verdict: Verdict, prediction: Prediction, measured: Mapping[str, float]) -> Iterable[Markup]:
    by_cause: dict[str, list[Part]] = {}
    for part in prediction.parts:
        by_cause.setdefault(cause_of(part.name), []).append(part)
    for cause in (*CAUSES, REST):
        own = by_cause.get(cause, [])
        if not own and cause not in measured:
            continue
        swatch = [el("span", "", class_=f"swatch p{cause_number(cause)}")] if cause in CAUSES else []
        yield _row(
            el("td", *swatch, cause, class_="name"),
            _about(sum(part.typical_s for part in own) if own else None),
            _about(sum(part.worst_s for part in own) if own else None),
            seconds(measured[cause]) if cause in measured else "–",
            "" if own else "not predicted by itself",
        )
        for part in own:
            yield _row(
                el("td", part.name, class_="part"), _about(part.typical_s), _about(part.worst_s), "", part.source
            )
    name = el("td", "sum, and RTO", class_="name")
    typical, worst, rto = _about(prediction.typical_s), _about(prediction.worst_s), seconds(verdict.rto_s, "no outage")
    yield _row(name, typical, worst, rto, "", "rto")


def _row(name: Markup, typical: str, worst: str, measured: str, source: str, kind: str | None = None) -> Markup:
    return el(
        "tr",
        name,
        el("td", typical, class_="figure", data_label="typical"),
        el("td", worst, class_="figure", data_label="worst"),
        el("td", measured, class_="figure", data_label="measured") if measured else el("td", "", class_="figure"),
        el("td", source, class_="soft"),
        class_=kind,
    )


def _about(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
