"""What every page of a report is put together from: the document, tables, badges, the words, the environment."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kappa_lab.report.markup import Markup, el
from kappa_lab.report.words import TERMS

CSS: Final = Path(__file__).with_name("page.css")


def document(title: str, *body: str) -> str:
    """A whole page that needs nothing but itself."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("style", Markup(CSS.read_text())),
    )
    return f"<!DOCTYPE html>\n{el('html', head, el('body', el('main', *body)), lang='en')}\n"


def badge(passed: bool) -> Markup:
    word = "✓ PASSED" if passed else "✗ FAILED"
    return el("div", word, class_=f"verdict {'passed' if passed else 'failed'}", style="flex: none")


def table(heads: Iterable[tuple[str, str]], rows: Iterable[Markup], kind: str = "stack") -> Markup:
    """`kind` says how it folds on a phone: `stack`, or `stack tight` where most of a row is figures."""
    head = el("thead", el("tr", *(el("th", words, class_=kind or None) for words, kind in heads)))
    return el("div", el("table", head, el("tbody", *rows), class_=kind), class_="table")


def environment(found: Mapping[str, object]) -> Markup:
    pairs = [
        el(
            "div",
            el("dt", str(name).replace("_", " ")),
            el("dd", value if isinstance(value, str) else json.dumps(value)),
        )
        for name, value in found.items()
    ]
    nothing = el("p", "Nothing is known of it.", class_="soft")
    return el("section", el("h2", "What it ran on"), el("dl", *pairs, class_="pairs") if pairs else nothing)


def terms() -> Markup:
    entries = [el("div", el("dt", term), el("dd", words, class_="soft")) for term, words in TERMS]
    return el("section", el("h2", "The words used here"), el("dl", *entries, class_="terms"))


def tight(text: str) -> str:
    """No line ends between a number and its seconds."""
    return re.sub(r"(\d) s\b", "\\1\u00a0s", text)


def when(t: float | None) -> str:
    return f"{_date(t):%Y-%m-%d %H:%M:%S} UTC" if t is not None and _date(t) else "at an unknown time"


def clock(t: float) -> str:
    return f"{_date(t):%H:%M:%S} UTC" if _date(t) else "an unknown time"


def _date(t: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(t, UTC)
    except (OverflowError, ValueError, OSError):
        return None
