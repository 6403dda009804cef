"""Searching: the places of a subcategory, and the places near a point.

Nothing of a search is kept in the dialogue but that a location is awaited: its buttons carry all it needs, and work
whenever they are tapped. A place half-way through registration is left as it is.
"""

from collections.abc import Sequence
from dataclasses import replace

from kappa_bot.dialogue import keyboards
from kappa_bot.dialogue.asking import admitted, ask, old
from kappa_bot.dialogue.steps import NEAR
from kappa_bot.queries import Found, MapOrder, Near, OfSubcategory
from kappa_bot.turn import Buttons, Turn

LISTED = 5
"""Places shown in the chat, each with its button to complain; the map shows more."""

LINE_CHARACTERS = 120
"""The most of a description that stands in the list."""


def search(turn: Turn) -> None:
    """/search, /buscar."""
    if not admitted(turn):
        return
    turn.dialogue = replace(turn.dialogue, expects=None)
    turn.send(*_categories(turn, 0))


def near(turn: Turn) -> None:
    """/near, /cerca: the next location is looked around."""
    if admitted(turn):
        turn.dialogue = replace(turn.dialogue, expects=NEAR)
        ask(turn)


def look_around(turn: Turn, here: tuple[float, float]) -> None:
    turn.dialogue = replace(turn.dialogue, expects=None)
    turn.query = Near(here)


def near_button(turn: Turn, kind: str, data: str) -> None:
    """What is near a point that was shared before."""
    point = keyboards.point_of(data)
    if point is None:
        old(turn)
    else:
        look_around(turn, point)


def search_button(turn: Turn, kind: str, data: str) -> None:
    """A category (`f`), or a subcategory of it (`g`), to search for; or another page of them."""
    category_id, _, choice = data.partition(":")
    page = keyboards.page_of(category_id)
    category = turn.catalogue.category(category_id)
    if kind == "f" and page is not None:
        turn.replace(*_categories(turn, page))
        return
    below = turn.catalogue.subcategories.get(category_id, ())
    page = keyboards.page_of(choice) if kind == "g" else 0
    if category is None or not below:
        text, buttons = _categories(turn, 0)
        turn.replace(f"{turn.text('gone_choice')}\n\n{text}", buttons)
    elif page is not None:
        text = turn.text("search_subcategory", category=category.name(turn.language))
        back = ((turn.text("back"), "f:~0"),)
        turn.replace(text, (*keyboards.choices(turn, f"g:{category.id}", below, page), back))
    elif turn.catalogue.subcategory(category.id, choice) is None:
        old(turn)
    else:
        turn.query = OfSubcategory(choice)


def _categories(turn: Turn, page: int) -> tuple[str, Buttons]:
    among = turn.catalogue.searchable()
    if not among:
        return turn.text("nothing_to_search"), keyboards.menu_buttons(turn)
    return turn.text("search_category"), keyboards.choices(turn, "f", among, page)


# When the places have been read


def subcategory_found(turn: Turn, query: OfSubcategory, places: Sequence[Found], more: bool) -> None:
    title = _name(turn, query.id, whole=True)
    if not places:
        turn.replace(turn.text("found_none", title=title), (_again(turn), *keyboards.menu_buttons(turn)[:1]))
        return
    lines = [f"{n}. {_short(place)} ({place.date})" for n, place in enumerate(places[:LISTED], 1)]
    _show(turn, turn.text("found", title=title, count=len(places)), lines, places)
    key = "map_newest" if more else "map_all"
    order = MapOrder(turn.language, title, tuple(place.id for place in places))
    turn.send_map(order, turn.text(key, title=title, count=len(places)))


def near_found(turn: Turn, query: Near, places: Sequence[Found], more: bool) -> None:
    title = turn.text("near_title")
    if not places:
        turn.replace(turn.text("near_none"), (_again(turn), *keyboards.menu_buttons(turn)[:1]))
        return
    lines = [
        f"{n}. {_name(turn, place.subcategory)}: {_short(place)} ({distance(turn, place.metres or 0.0)})"
        for n, place in enumerate(places[:LISTED], 1)
    ]
    _show(turn, turn.text("found", title=title, count=len(places)), lines, places)
    key = "map_nearest" if more else "map_all"
    order = MapOrder(turn.language, title, tuple(place.id for place in places), query.coordinates)
    turn.send_map(order, turn.text(key, title=title, count=len(places)))


def distance(turn: Turn, metres: float) -> str:
    """Metres to the nearest ten, or kilometres with one decimal, as the language writes it."""
    if metres < 995:
        return f"{round(metres, -1):.0f} m"
    return f"{metres / 1000:.1f} km".replace(".", turn.text("decimal_point"))


def _show(turn: Turn, head: str, lines: list[str], places: Sequence[Found]) -> None:
    """The list, in place of the button that asked for it; the map follows."""
    parts = [head, "\n".join(lines), turn.text("complain_hint")]
    if turn.dialogue.draft is not None:
        parts.append(turn.text("in_progress_later"))
    complain = tuple((f"⚠ {n}", f"x:{place.id}") for n, place in enumerate(places[:LISTED], 1))
    turn.replace("\n\n".join(parts), (complain, _again(turn)))
    # The map takes a moment longer: the button need not look busy for so long.
    turn.settle()


def _again(turn: Turn) -> tuple[tuple[str, str], ...]:
    return ((turn.text("search_again"), "f:~0"),)


def _short(place: Found) -> str:
    text = " ".join(place.description.split())
    return text if len(text) <= LINE_CHARACTERS else text[: LINE_CHARACTERS - 1].rstrip() + "…"


def _name(turn: Turn, subcategory: str, whole: bool = False) -> str:
    path = turn.catalogue.path(subcategory)
    if path is None:
        return turn.text("place")
    return " › ".join(each.name(turn.language) for each in (path if whole else path[1:]))
