"""The dialogue: what each thing a user does makes of where they are. Pure: a `Turn` goes in and comes out changed.

Three rules hold everywhere. A wrong step changes nothing: the user is told so and is asked again for what comes next.
A button carries what it belongs to, so that one from an earlier step, tapped late or twice, does no harm. And what
depends on the places there are is asked for in `Turn.query`; `resolve` finishes the turn when they have been read.

Callback data (at most 64 bytes; `~n` in place of a choice is page n of the choices, `+` a new one):

| `l:<language>`, `t:<y or n>`                | consent.py: language, terms of use                          |
| `m:<r, s or n>`                             | menus.py: register, search, near me                          |
| `h:<lon>:<lat>`, `n:<lon>:<lat>`            | menus.py: register here, what is near here                   |
| `c:<draft>:<category>`, `s:<draft>:<sub…>`  | registering.py: the draft's category, its subcategory          |
| `f:<category>`, `g:<category>:<sub…>`       | searching.py: what to search for                               |
| `x:<place>`, `y:<place>`, `k`               | complaining.py: complain of a place, yes I am sure, no         |
| `z:<update_id>:<y or n>`                    | consent.py: forget me, as asked in that update              |
"""

from collections.abc import Callable, Sequence

from kappa_bot.dialogue.asking import admitted, ask, old
from kappa_bot.dialogue.complaining import complain, complain_button, complain_found
from kappa_bot.dialogue.consent import consent_button, forget, forget_button, language_button, start
from kappa_bot.dialogue.menus import cancel, help_, here_button, location, menu, menu_button
from kappa_bot.dialogue.registering import (
    choose_button,
    describe,
    new_category,
    new_subcategory,
    other,
    register,
    words,
)
from kappa_bot.dialogue.searching import near, near_button, near_found, search, search_button, subcategory_found
from kappa_bot.dialogue.steps import DESCRIPTION_CHARACTERS, step
from kappa_bot.queries import Found, Near, OfPlace, OfSubcategory
from kappa_bot.turn import Turn

__all__ = [
    "DESCRIPTION_CHARACTERS",
    "ask",
    "button",
    "cancel",
    "complain",
    "describe",
    "forget",
    "help_",
    "location",
    "menu",
    "near",
    "new_category",
    "new_subcategory",
    "other",
    "register",
    "resolve",
    "search",
    "start",
    "step",
    "words",
]

_BUTTONS: dict[str, Callable[[Turn, str, str], None]] = {
    "l": language_button,
    "t": consent_button,
    "m": menu_button,
    "h": here_button,
    "n": near_button,
    "c": choose_button,
    "s": choose_button,
    "f": search_button,
    "g": search_button,
    "x": complain_button,
    "y": complain_button,
    "k": complain_button,
    "z": forget_button,
}


def button(turn: Turn, data: str) -> None:
    """A tapped inline button."""
    kind, _, rest = data.partition(":")
    known = _BUTTONS.get(kind)
    if known is None:
        old(turn)
    elif kind in ("l", "t") or admitted(turn):
        known(turn, kind, rest)
    if turn.query is None:
        turn.settle()


def resolve(turn: Turn, places: Sequence[Found], more: bool) -> None:
    """Finish a turn with the places that its query asked for. `more`: there are others, which were not read."""
    query, turn.query = turn.query, None
    if isinstance(query, OfSubcategory):
        subcategory_found(turn, query, places, more)
    elif isinstance(query, Near):
        near_found(turn, query, places, more)
    elif isinstance(query, OfPlace):
        complain_found(turn, query, places)
    turn.settle()
