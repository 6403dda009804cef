"""Draw a picture of a drill as SVG: lanes, spans, ticks, moments. One drawing for wide pages, one for phones.

Text is placed so that it cannot overlap: each moment's label has a row of its own, and what is written inside a span
is left out when the span is too narrow for it. Colours are the page's (see page.css), by class.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from kappa_lab.judge.intervals import Interval, shared
from kappa_lab.report.markup import Markup, el
from kappa_lab.report.picture import Lane, Picture, Spell
from kappa_lab.report.words import MOMENTS, cause_number, offset, seconds, short

EM: Final = 0.6
"""Width of a letter, in font sizes: a little more than the usual fonts need."""

MARKS: Final = 12
"""So many faults and heals have a label of their own."""
TOP: Final = 6.0
ROW: Final = 19.0
"""Height of a moment's label."""
BRACKET: Final = 26.0
TITLE: Final = 19.0
SENT: Final = 12.0
WAIT: Final = 74.0
"""Height of the panel with the waits."""
LANE: Final = 52.0
POLLS, ADDRESS, REPLIES = (5.0, 13.0), (23.0, 9.0), (36.0, 12.0)
"""The three rows of a lane: where each begins, and its height."""


@dataclass(frozen=True)
class Format:
    """The measures of a drawing, in the units of its viewBox."""

    kind: str
    width: float
    left: float
    right: float
    font: float
    titles_above: bool
    """Lanes are named above themselves, for want of room beside them."""

    @property
    def small(self) -> float:
        return self.font - 2


WIDE: Final = Format("wide", width=1000, left=140, right=16, font=13, titles_above=False)
NARROW: Final = Format("narrow", width=400, left=4, right=4, font=12, titles_above=True)


class Axis:
    """Seconds from the fault to places across the drawing."""

    def __init__(self, span: Interval, form: Format) -> None:
        self.span, self.form = span, form
        self.start, self.end = form.left, form.width - form.right

    def __call__(self, t: float) -> float:
        part = (t - self.span.start) / (self.span.length or 1.0)
        return round(self.start + part * (self.end - self.start), 2)

    def shown(self, moments: Iterable[float]) -> list[float]:
        return [t for t in moments if self.span.start <= t <= self.span.end]

    def clip(self, interval: Interval | None) -> tuple[float, float] | None:
        """Left edge and width of what can be seen of an interval."""
        common = None if interval is None else shared(self.span, interval)
        return None if common is None else (self(common.start), self(common.end) - self(common.start))

    def ticks(self) -> list[float]:
        """Round numbers of seconds, as many as there is room for."""
        most = max(3, int((self.end - self.start) / (5.2 * self.form.font)))
        least = self.span.length / most
        power = 10.0 ** math.floor(math.log10(least))
        step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= least)
        return [n * step for n in range(math.ceil(self.span.start / step), math.floor(self.span.end / step) + 1)]


@dataclass
class Canvas:
    """Three layers: what lies under everything, the shapes, and the words, which nothing may cross out."""

    axis: Axis
    ground: list[Markup] = field(default_factory=list)
    shapes: list[Markup] = field(default_factory=list)
    words: list[Markup] = field(default_factory=list)

    @property
    def form(self) -> Format:
        return self.axis.form

    def say(
        self,
        text: str,
        x: float,
        y: float,
        kind: str,
        anchor: str = "start",
        size: float | None = None,
        strong: str = "",
    ) -> None:
        """Write `text`, after `strong` in bold, with its baseline at `y`."""
        parts = [el("tspan", strong, class_="strong")] if strong else []
        self.words.append(el("text", *parts, text, x=x, y=y, text_anchor=anchor, font_size=size, class_=kind))

    def width(self, text: str, size: float | None = None) -> float:
        return len(text) * (size or self.form.font) * EM

    def bar(self, kind: str, place: tuple[float, float] | None, row: tuple[float, float], hint: str) -> None:
        """One span, at `row` (y, height); nothing when it is out of sight."""
        if place is not None:
            self.shapes.append(
                el(
                    "rect",
                    el("title", hint),
                    x=place[0],
                    y=row[0],
                    width=max(place[1], 1.0),
                    height=row[1],
                    class_=kind,
                )
            )

    def bars(self, kind: str, spans: Iterable[Interval], row: tuple[float, float], hint: str) -> None:
        """Many spans as one path; those less than a unit apart are joined, for nobody could tell them apart."""
        merged: list[list[float]] = []
        for x, width in filter(None, map(self.axis.clip, sorted(spans))):
            if merged and x <= merged[-1][1] + 0.8:
                merged[-1][1] = max(merged[-1][1], x + width)
            else:
                merged.append([x, x + width])
        y, height = row
        d = "".join(f"M{a:g} {y:g}H{max(b, a + 1):g}v{height:g}H{a:g}z" for a, b in merged)
        if d:
            self.shapes.append(el("path", el("title", hint), d=d, class_=kind))

    def ticks(self, kind: str, moments: Iterable[float], row: tuple[float, float]) -> None:
        """An upright line for every moment."""
        y, height = row
        d = "".join(f"M{x:g} {y:g}v{height:g}" for x in dict.fromkeys(map(self.axis, self.axis.shown(moments))))
        if d:
            self.shapes.append(el("path", d=d, class_=kind))


def draw(picture: Picture, span: Interval, form: Format, every_moment: bool, name: str) -> Markup:
    """The drawing of `span`. With `every_moment`, all of them are labelled; else fault, first answer and return."""
    canvas = Canvas(Axis(span, form))
    labels = _labels(picture, canvas.axis, every_moment)
    y = TOP + ROW * len(labels)
    if picture.recovery is not None:
        y = _bracket(picture, picture.recovery, canvas, y)
    lanes_top = y
    y = _users(picture, canvas, y)
    for lane in picture.lanes:
        y = _lane(lane, picture, canvas, y)
    _ground(picture, canvas, lanes_top, y)
    for mark in picture.marks:
        if canvas.axis.shown([mark.t]):
            x = canvas.axis(mark.t)
            canvas.ground.append(el("line", x1=x, y1=lanes_top, x2=x, y2=y, class_=f"moment {mark.kind}"))
    for row, (kind, t, text) in enumerate(labels):
        _moment(canvas, row, kind, t, text, y)
    return el(
        "svg",
        el("title", name),
        *canvas.ground,
        *canvas.shapes,
        *canvas.words,
        viewBox=f"0 0 {form.width:g} {y + 2 * form.font + 10:g}",
        role="img",
        aria_label=name,
        class_=form.kind,
        font_size=form.font,
    )


# -- moments


def _labels(picture: Picture, axis: Axis, every: bool) -> list[tuple[str, float, str]]:
    """(kind, when, what to call it), in order of time."""
    shown = [mark for mark in picture.marks if axis.shown([mark.t])]
    found = [(mark.kind, mark.t, mark.text) for mark in shown[:MARKS]]
    if len(shown) > MARKS:  # a storm has more of them than a page has room for: a line is drawn for each all the same
        found.append(("fault", shown[MARKS].t, f"and {len(shown) - MARKS} faults and heals more"))
    found += [
        (name, t, MOMENTS[name][0])
        for name, t in picture.moments
        if axis.shown([t]) and (every or name in ("first_answer", "rejoined"))
    ]
    return sorted(found, key=lambda label: label[1])


def _moment(canvas: Canvas, row: int, kind: str, t: float, text: str, bottom: float) -> None:
    """A line through all lanes, from a dot beside its label, in the label's own row."""
    x, y, form = canvas.axis(t), TOP + ROW * (row + 0.5), canvas.form
    canvas.shapes.append(el("line", x1=x, y1=y, x2=x, y2=bottom, class_=f"moment {kind}"))
    canvas.shapes.append(el("circle", cx=x, cy=y, r=3.5, class_=f"dot {kind}"))
    when = "" if kind == "fault" and t == 0 else f" {offset(t)}"
    text = short(text, int((form.width - canvas.width(when) - 20) / (form.font * EM)))
    needed = canvas.width(text + when) + 8
    place, anchor = (x + 8, "start") if x + needed <= form.width else (x - 8, "end")
    if anchor == "end" and x - needed < 0:  # no room on either side
        place, anchor = max(2.0, form.width - needed), "start"
    canvas.say(when, place, y + form.font * 0.36, f"label {kind}", anchor, strong=text)


# -- the wait


def _bracket(picture: Picture, recovery: Interval, canvas: Canvas, y: float) -> float:
    """What the RTO measures, in the colours of where it went, with its length beside it, or above if need be."""
    form = canvas.form
    whole = canvas.axis.clip(recovery)
    if whole is None:
        return y
    text, size = f"RTO {seconds(recovery.length)}", form.font + 1
    left, right, needed = whole[0], whole[0] + whole[1], canvas.width(text, size) + 8
    if right + needed <= form.width:
        canvas.say(text, right + 8, y + 15.5, "label rto strong", size=size)
    elif left - needed >= 0:
        canvas.say(text, left - 8, y + 15.5, "label rto strong", "end", size)
    else:
        middle = min(max((left + right) / 2, needed / 2), form.width - needed / 2)
        canvas.say(text, middle, y + 13, "label rto strong", "middle", size)
        y += ROW
    canvas.bar("unknown", whole, (y + 4, 14.0), "where this time went is not known")
    for cause in picture.causes:
        place = canvas.axis.clip(cause.interval)
        number, length = cause_number(cause.name), seconds(cause.interval.length)
        canvas.bar(f"p{number}", place, (y + 4, 14.0), f"{cause.name}: {length}")
        for words in (f"{cause.name} {length}", cause.name):
            if place and canvas.width(words, form.small) + 8 <= place[1]:
                canvas.say(words, place[0] + 5, y + 15, f"in{number}", size=form.small)
                break
    return y + BRACKET


def _users(picture: Picture, canvas: Canvas, y: float) -> float:
    """Each thing that a user did: a tick when it was sent, and a dot as high as the wait for its answer."""
    axis, form = canvas.axis, canvas.form
    y = _name(canvas, y, "users", "what they sent, how long they waited")
    canvas.ticks("sent", picture.sent, (y + 2, SENT - 4))
    highest = _round_up(max([wait for _, wait in picture.waits], default=1.0))
    base = y + SENT + WAIT - 4

    def height(wait: float) -> float:
        return round(base - (WAIT - 14) * wait / highest, 2)

    for level in (0.0, highest / 2, highest):
        at = height(level)
        canvas.ground.append(el("line", x1=axis.start, y1=at, x2=axis.end, y2=at, class_="level" if level else "base"))
        words = f"waited {level:g} s"
        if not form.titles_above:
            canvas.say(words if level else "0 s", axis.start - 8, at + 4, "soft", "end", form.small)
        elif level == highest:
            canvas.say(words, axis.end - 2, at + form.small, "label soft", "end", form.small)
    dots = "".join(f"M{axis(t):g} {height(wait):g}h0" for t, wait in picture.waits if axis.shown([t]))
    if dots:
        canvas.shapes.append(el("path", d=dots, class_="waits"))
    crosses = "".join(f"M{axis(t) - 3:g} {y + SENT + 3:g}l6 6m0 -6l-6 6" for t in axis.shown(picture.unanswered))
    if crosses:
        canvas.shapes.append(el("path", el("title", "never answered"), d=crosses, class_="lost"))
    return y + SENT + WAIT + 8


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(value, 0.01)))
    return next(power * nice for nice in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if power * nice >= value * 0.999)


# -- lanes


def _lane(lane: Lane, picture: Picture, canvas: Canvas, y: float) -> float:
    axis, form = canvas.axis, canvas.form
    y = _name(canvas, y, lane.name, lane.part)
    canvas.ground.append(el("rect", x=axis.start, y=y, width=axis.end - axis.start, height=LANE, class_="lane"))
    polls, address, replies = ((y + top, height) for top, height in (POLLS, ADDRESS, REPLIES))
    if not form.titles_above:
        for words, (top, height) in (("polls", polls), ("virtual IP", address), ("answers", replies)):
            canvas.say(words, axis.start - 8, top + height / 2 + 4, "soft", "end", form.small)
    for spell in lane.spells:
        _spell(canvas, spell, y)
    canvas.bars("poll", lane.polls, polls, "polling Telegram")
    canvas.ticks("began", lane.began, polls)
    hint = "a request that the node left open when it failed; nobody there waits for the answer"
    for left_open in lane.left_open:
        canvas.bar("ghost", axis.clip(left_open), (polls[0] + 0.5, 12.0), hint)
    canvas.bars("address", lane.address, address, "answers for the virtual IP")
    canvas.ticks("reply", lane.replies, replies)
    for off in axis.shown(lane.off):
        d = f"M{axis(off):g} {polls[0] - 1:g}l6 7.5l-6 7.5l-6 -7.5z"
        hint = f"proven off by the power broker {offset(off)}"
        canvas.shapes.append(el("path", el("title", hint), d=d, class_="off"))
    return y + LANE + (4 if form.titles_above else 12)


def _spell(canvas: Canvas, spell: Spell, y: float) -> None:
    """The node for some time: hatched when it is struck, shaded when it starts, underlined with what it lives with."""
    place = canvas.axis.clip(spell.interval)
    if place is None:
        return
    x, width = place
    if spell.kind == "afflicted":
        canvas.bar(spell.kind, place, (y + LANE - 3, 3.0), spell.text)
        return
    canvas.bar(spell.kind, place, (y, LANE), spell.text)
    if spell.kind == "struck":
        canvas.shapes.append(el("path", d="".join(_hatches(x, x + width, y, y + LANE)), class_="hatch"))
    if canvas.width(spell.text) + 16 <= width:
        canvas.say(spell.text, x + width / 2, y + LANE - 7, f"label in-{spell.kind}", "middle")


def _hatches(left: float, right: float, top: float, bottom: float) -> Iterable[str]:
    """Slanted lines clipped to a box: no pattern, and so no id that another drawing on the page might share."""
    height = bottom - top
    start = left - height
    while start < right:
        x1, x2 = max(start, left), min(start + height, right)
        if x2 > x1:
            yield f"M{x1:.1f} {bottom - (x1 - start):.1f}L{x2:.1f} {bottom - (x2 - start):.1f}"
        start += 9


def _name(canvas: Canvas, y: float, name: str, more: str) -> float:
    """Name what follows: above it, or beside it. Returns where it begins."""
    form = canvas.form
    if form.titles_above:
        canvas.say(f"  {more}", form.left, y + 13, "label name", strong=short(name, 24))
        return y + TITLE
    column = form.left - 80  # the rest is for the names of the rows
    canvas.say("", 2.0, y + 15, "name", strong=short(name, int(column / (form.font * EM))))
    if name != "users":
        for n, line in enumerate(_wrapped(more, int(column / (form.small * EM)))):
            canvas.say(line, 2.0, y + 30 + 13 * n, "soft", size=form.small)
    return y


def _wrapped(words: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in words.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(short(word, width))
    return lines[:2]


# -- the ground


def _ground(picture: Picture, canvas: Canvas, top: float, bottom: float) -> None:
    """The grid with its numbers, and the shade of the gap."""
    axis, form = canvas.axis, canvas.form
    for t in axis.ticks():
        x, number = axis(t), f"{'−' if t < 0 else ''}{abs(t):g}"
        canvas.ground.append(el("line", x1=x, y1=top, x2=x, y2=bottom, class_="grid"))
        half = canvas.width(number) / 2
        canvas.say(number, min(max(x, half), form.width - half), bottom + form.font + 2, "soft", "middle")
    since = "seconds from the fault" if len(picture.marks) < 2 else "seconds from the first fault"
    canvas.say(since, axis.end, bottom + 2 * form.font + 6, "soft", "end")
    for place in filter(None, map(axis.clip, picture.silent)):
        shade = el("rect", x=place[0], y=top, width=max(place[1], 1.0), height=bottom - top, class_="gap")
        canvas.ground.append(shade)
