"""Complaining of a place: each user once, and not before having been asked whether they are sure."""

from collections.abc import Sequence

from kappa_bot.dialogue import keyboards
from kappa_bot.dialogue.asking import admitted, old
from kappa_bot.queries import Found, OfPlace
from kappa_bot.turn import Turn

QUOTED_CHARACTERS = 300


def complain(turn: Turn) -> None:
    """/complain, /queja: how it is done; which place is meant only a list can say."""
    if admitted(turn):
        turn.send(turn.text("complain_help"), keyboards.menu_buttons(turn)[1:])


def complain_button(turn: Turn, kind: str, place: str) -> None:
    """Complain of a place (`x`), yes I am sure (`y`), no (`k`)."""
    if kind == "k":
        turn.replace(turn.text("complain_not"))
    elif len(place) == 24 and all(digit in "0123456789abcdef" for digit in place):
        turn.query = OfPlace(place, sure=kind == "y")
    else:
        old(turn)


def complain_found(turn: Turn, query: OfPlace, places: Sequence[Found]) -> None:
    """`places` is that place alone, or nothing where it is hidden or gone."""
    # The list that the first button hangs on stays; the question is a message of its own, which the answer replaces.
    answer = turn.replace if query.sure else turn.send
    if not places:
        answer(turn.text("complain_gone"))
    elif places[0].complained:
        answer(turn.text("complain_twice"))
    elif query.sure:
        turn.complaint = query.id
        answer(turn.text("complain_done"))
    else:
        text = " ".join(places[0].description.split())
        text = text if len(text) <= QUOTED_CHARACTERS else text[: QUOTED_CHARACTERS - 1] + "…"
        yes, no = (turn.text("complain_yes"), f"y:{query.id}"), (turn.text("complain_no"), "k")
        answer(turn.text("complain_confirm", text=text), ((yes, no),))
