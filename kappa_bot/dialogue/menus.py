"""What there is to do, and a location that comes without having been asked for."""

from dataclasses import replace

from kappa_bot.dialogue import keyboards
from kappa_bot.dialogue.asking import admitted, ask, old
from kappa_bot.dialogue.registering import begin, register
from kappa_bot.dialogue.searching import look_around, near, search
from kappa_bot.dialogue.steps import NEAR
from kappa_bot.turn import Turn


def menu(turn: Turn) -> None:
    """/todo, /hacer: register, search, or what is near."""
    if not admitted(turn):
        return
    turn.dialogue = replace(turn.dialogue, expects=None)
    what = turn.text("what_to_do")
    if turn.dialogue.draft is not None:
        what = f"{turn.text('in_progress')}\n\n{what}"
    turn.send(what, keyboards.menu_buttons(turn))


def help_(turn: Turn) -> None:
    """/help, /ayuda."""
    if admitted(turn):
        turn.send(turn.text("help"), keyboards.menu_buttons(turn))


def cancel(turn: Turn) -> None:
    """/cancel, /cancelar: what was begun last."""
    if turn.dialogue.expects is not None:
        turn.dialogue = replace(turn.dialogue, expects=None)
        turn.send(turn.text("stopped"), keyboard="hide")
        if turn.dialogue.draft is not None:
            ask(turn, turn.text("in_progress"))
    elif turn.dialogue.draft is not None:
        turn.dialogue = replace(turn.dialogue, draft=None)
        turn.send(turn.text("cancelled"), keyboard="hide")
    else:
        turn.send(turn.text("nothing_to_cancel"), keyboard="hide")


def location(turn: Turn, longitude: float, latitude: float) -> None:
    """A shared location: around which to look, of the place under way, or to be asked about."""
    if not admitted(turn):
        return
    here = (longitude, latitude)
    draft = turn.dialogue.draft
    if turn.dialogue.expects == NEAR:
        look_around(turn, here)
    elif draft is not None:
        turn.dialogue = replace(turn.dialogue, draft=replace(draft, coordinates=here))
        ask(turn)
    else:
        register_here = (turn.text("here_register"), keyboards.at_point("h", here))
        near_here = (turn.text("here_near"), keyboards.at_point("n", here))
        turn.send(turn.text("here"), ((register_here,), (near_here,)))


def menu_button(turn: Turn, kind: str, what: str) -> None:
    if what == "r":
        register(turn)
    elif what == "s":
        search(turn)
    elif what == "n":
        near(turn)
    else:
        old(turn)


def here_button(turn: Turn, kind: str, data: str) -> None:
    """Register a place at a point that was shared before."""
    point = keyboards.point_of(data)
    if point is None:
        old(turn)
    elif turn.dialogue.draft is not None:
        # Of the place under way its user decides with the next location, not with an earlier one.
        ask(turn, turn.text("in_progress"))
    else:
        begin(turn, point)
        ask(turn, in_place=True)
