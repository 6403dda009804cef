"""Inline keyboards: rows that a phone shows whole, lists that are leafed through."""

from collections.abc import Sequence

from kappa_bot.catalogue import Choice
from kappa_bot.texts import LANGUAGES, say
from kappa_bot.turn import Buttons, Turn

PAGE = 16
"""Choices shown at a time: eight rows of two."""


def language_buttons() -> Buttons:
    return (tuple((say(language, "language_name"), f"l:{language}") for language in LANGUAGES),)


def consent_buttons(turn: Turn) -> Buttons:
    return (((turn.text("accept"), "t:y"), (turn.text("reject"), "t:n")),)


def menu_buttons(turn: Turn) -> Buttons:
    """What there is to do, one thing a row."""
    first = "menu_register" if turn.dialogue.draft is None else "menu_continue"
    return (
        ((turn.text(first), "m:r"),),
        ((turn.text("menu_search"), "m:s"),),
        ((turn.text("menu_near"), "m:n"),),
    )


def choices(turn: Turn, prefix: str, among: Sequence[Choice], page: int, new: str = "") -> Buttons:
    """Choices, two to a row: names stay readable. Below them whatever leafs through, and adds a new one (`new`)."""
    page = max(0, min(page, (len(among) - 1) // PAGE))
    shown = [(choice.name(turn.language), f"{prefix}:{choice.id}") for choice in among[page * PAGE : (page + 1) * PAGE]]
    rows = [tuple(shown[n : n + 2]) for n in range(0, len(shown), 2)]
    leaf = []
    if page > 0:
        leaf.append((turn.text("page_before"), f"{prefix}:~{page - 1}"))
    if (page + 1) * PAGE < len(among):
        leaf.append((turn.text("page_after"), f"{prefix}:~{page + 1}"))
    rows += [tuple(leaf)] if leaf else []
    rows += [((new, f"{prefix}:+"),)] if new else []
    return tuple(rows)


def page_of(choice: str) -> int | None:
    """The page that a button leafs to; None for another button."""
    number = choice.removeprefix("~")
    return int(number) if choice.startswith("~") and number.isascii() and number.isdigit() and len(number) < 4 else None


def point_of(data: str) -> tuple[float, float] | None:
    """`<lon>:<lat>` of a button; None where there is no such point."""
    longitude, _, latitude = data.partition(":")
    try:
        point = float(longitude), float(latitude)
    except ValueError:
        return None
    # Not a number is in no range.
    return point if -180 <= point[0] <= 180 and -90 <= point[1] <= 90 else None


def at_point(kind: str, coordinates: tuple[float, float]) -> str:
    """Callback data for something at a point; six digits are a tenth of a metre."""
    return f"{kind}:{coordinates[0]:.6f}:{coordinates[1]:.6f}"
