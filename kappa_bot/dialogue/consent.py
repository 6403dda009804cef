"""Language, terms of use, and being forgotten."""

from dataclasses import replace

from kappa_bot.dialogue import keyboards
from kappa_bot.dialogue.asking import admitted, ask, greeting, old
from kappa_bot.texts import LANGUAGES
from kappa_bot.turn import Dialogue, Turn


def start(turn: Turn) -> None:
    """/start, /iniciar: from the top, as often as one likes; a draft under way is kept."""
    turn.dialogue = replace(turn.dialogue, expects=None)
    turn.send(greeting(turn), keyboards.language_buttons())


def language_button(turn: Turn, kind: str, language: str) -> None:
    if language not in LANGUAGES:
        old(turn)
        return
    turn.dialogue = replace(turn.dialogue, language=language)
    # Asked again of one who has accepted before: whoever comes back by /start reads the terms in the language chosen.
    turn.replace(turn.text("terms"), keyboards.consent_buttons(turn))


def consent_button(turn: Turn, kind: str, answer: str) -> None:
    if answer not in ("y", "n"):
        old(turn)
    elif turn.dialogue.language is None:
        turn.replace(greeting(turn), keyboards.language_buttons())
    elif answer == "y":
        turn.enrol = not turn.dialogue.accepted
        turn.dialogue = replace(turn.dialogue, accepted=True)
        if turn.dialogue.draft is None:
            turn.replace(turn.text("accepted"), keyboards.menu_buttons(turn))
        else:
            turn.replace(turn.text("accepted"))
            ask(turn, turn.text("in_progress"))
    else:
        turn.replace(turn.text("rejected"))
        turn.forget = True
        turn.dialogue = Dialogue()


def forget(turn: Turn) -> None:
    """/forget, /olvidar: asked once more before it is done."""
    if not admitted(turn):
        return
    turn.dialogue = replace(turn.dialogue, expects=f"forget:{turn.update_id}")
    asked = f"z:{turn.update_id}"
    yes, no = (turn.text("forget_yes"), f"{asked}:y"), (turn.text("forget_no"), f"{asked}:n")
    turn.send(turn.text("forget_confirm"), ((yes,), (no,)))


def forget_button(turn: Turn, kind: str, data: str) -> None:
    asked, _, answer = data.partition(":")
    if turn.dialogue.expects != f"forget:{asked}" or answer not in ("y", "n"):
        old(turn)
        return
    if answer == "n":
        turn.dialogue = replace(turn.dialogue, expects=None)
        turn.replace(turn.text("forget_not"))
        if turn.dialogue.draft is not None:
            ask(turn, turn.text("in_progress"))
    else:
        turn.replace(turn.text("forgotten"))
        turn.forget = True
        turn.dialogue = Dialogue()
