"""Registering a place: location, category, subcategory, description."""

from dataclasses import replace

from kappa_bot.catalogue import NAME_CHARACTERS, NewChoice, name_key, tidy
from kappa_bot.dialogue import keyboards
from kappa_bot.dialogue.asking import admitted, ask, old
from kappa_bot.dialogue.steps import DESCRIPTION_CHARACTERS, NEAR, step
from kappa_bot.texts import LANGUAGES
from kappa_bot.turn import Draft, Place, Turn


def register(turn: Turn) -> None:
    """/register, /registrar; a place under way goes on."""
    if not admitted(turn):
        return
    turn.dialogue = replace(turn.dialogue, expects=None)
    if turn.dialogue.draft is None:
        begin(turn)
        ask(turn)
    else:
        ask(turn, turn.text("in_progress"))


def begin(turn: Turn, coordinates: tuple[float, float] | None = None) -> None:
    turn.dialogue = replace(turn.dialogue, draft=Draft(turn.update_id, coordinates), expects=None)


def words(turn: Turn, text: str) -> None:
    """A plain text message: the description or the name of something new, where one is expected."""
    if not admitted(turn):
        return
    draft = turn.dialogue.draft
    if turn.dialogue.expects == NEAR:
        ask(turn)
    elif draft is not None and text.strip() and (naming := _naming(turn, draft)) is not None:
        _name(turn, draft, naming, text)
    elif step(turn.dialogue) == "description":
        _describe(turn, text)
    elif draft is None:
        ask(turn)
    else:
        ask(turn, turn.text("not_now"))


def describe(turn: Turn, text: str) -> None:
    """/message TEXT, /mensaje TEXT."""
    if not admitted(turn):
        return
    draft = turn.dialogue.draft
    near = turn.dialogue.expects == NEAR
    if near or step(turn.dialogue) != "description" or (draft is not None and draft.naming is not None):
        _not_now(turn)
    elif not text.strip():
        turn.send(turn.text("describe_empty"))
    else:
        _describe(turn, text)


def new_category(turn: Turn, name: str) -> None:
    """/category NAME, /categoria NAME."""
    _new(turn, "category", name)


def new_subcategory(turn: Turn, name: str) -> None:
    """/subcategory NAME, /subcategoria NAME."""
    _new(turn, "subcategory", name)


def other(turn: Turn) -> None:
    """Anything else: a photo, a sticker, an unknown command."""
    if admitted(turn):
        _not_now(turn)


def choose_button(turn: Turn, kind: str, data: str) -> None:
    """A category (`c`) or subcategory (`s`) of the draft that the button belongs to."""
    draft_id, _, choice = data.partition(":")
    draft = turn.dialogue.draft
    if draft is None or draft_id != str(draft.id) or draft.coordinates is None:
        old(turn)
    elif kind == "c":
        _choose_category(turn, draft, choice)
    elif draft.category is None:
        old(turn)
    else:
        _choose_subcategory(turn, draft, draft.category, choice)


# What comes of it


def _not_now(turn: Turn) -> None:
    ask(turn, turn.text("not_now") if turn.dialogue.draft is not None or turn.dialogue.expects == NEAR else "")


def _keep(turn: Turn, draft: Draft, page: int = 0) -> None:
    """Go on with the draft as it is now, where the tapped button was."""
    turn.dialogue = replace(turn.dialogue, draft=draft, expects=None)
    ask(turn, in_place=True, page=page)


def _choose_category(turn: Turn, draft: Draft, choice: str) -> None:
    page = keyboards.page_of(choice)
    if page is not None:
        _keep(turn, replace(draft, category=None, subcategory=None, naming=None), page)
    elif choice == "+":
        _keep(turn, replace(draft, category=None, subcategory=None, naming="category"))
    elif turn.catalogue.category(choice) is None:
        ask(turn, turn.text("gone_choice"))
    elif choice != draft.category:
        _keep(turn, _with_category(turn, draft, choice))
    # else the same button twice: it is chosen already, and the next question is on the screen


def _with_category(turn: Turn, draft: Draft, category: str) -> Draft:
    # Where there is nothing to choose the first name is asked for; and taken, though another user be quicker.
    naming = None if turn.catalogue.subcategories.get(category) else "subcategory"
    return replace(draft, category=category, subcategory=None, naming=naming)


def _choose_subcategory(turn: Turn, draft: Draft, category: str, choice: str) -> None:
    page = keyboards.page_of(choice)
    if page is not None:
        _keep(turn, replace(draft, subcategory=None, naming=None), page)
    elif choice == "+":
        _keep(turn, replace(draft, subcategory=None, naming="subcategory"))
    elif turn.catalogue.subcategory(category, choice) is None:
        ask(turn, turn.text("gone_choice"))
    elif choice != draft.subcategory:
        _keep(turn, replace(draft, subcategory=choice, naming=None))


def _naming(turn: Turn, draft: Draft) -> str | None:
    """What the user's next words are the name of, if of anything."""
    if draft.naming == "subcategory" or draft.step == "subcategory":
        if turn.catalogue.category(draft.category) is None:
            return None  # it is gone, and asked for again
        nothing_to_choose = not turn.catalogue.subcategories.get(draft.category or "")
        return "subcategory" if draft.naming or nothing_to_choose else None
    return draft.naming


def _new(turn: Turn, what: str, name: str) -> None:
    if not admitted(turn):
        return
    draft = turn.dialogue.draft
    if draft is None:
        turn.send(turn.text("new_needs_place"), keyboards.menu_buttons(turn))
    elif draft.coordinates is None or (what == "subcategory" and turn.catalogue.category(draft.category) is None):
        ask(turn, turn.text("not_now"))
    elif not name.strip():
        turn.send(turn.text(f"{what}_empty"))
    else:
        _name(turn, draft, what, name)


def _name(turn: Turn, draft: Draft, what: str, name: str) -> None:
    """A category or subcategory by its name: the one that has it, or else a new one."""
    name = tidy(name)
    if not name_key(name):
        turn.send(turn.text("name_empty"))
    elif len(name) > NAME_CHARACTERS:
        turn.send(turn.text("name_long", most=NAME_CHARACTERS, length=len(name)))
    elif turn.improper(name):
        turn.send(turn.text("improper_name"))
    else:
        category = draft.category if what == "subcategory" else None
        known = turn.catalogue.named(name, category)
        # An id that follows from the update: done again, it is the same.
        chosen = known.id if known is not None else f"{turn.update_id:024x}"
        if known is None:
            turn.new = NewChoice(chosen, name, category)
            turn.catalogue = turn.catalogue.plus(turn.new, LANGUAGES)
        if what == "category":
            draft = _with_category(turn, draft, chosen)
        else:
            draft = replace(draft, subcategory=chosen, naming=None)
        turn.dialogue = replace(turn.dialogue, draft=draft, expects=None)
        ask(turn, turn.text("name_known" if known is not None else "name_added", name=name))


def _describe(turn: Turn, text: str) -> None:
    text = text.strip()
    draft = turn.dialogue.draft
    assert draft is not None and draft.coordinates is not None and draft.subcategory is not None
    if not text:
        ask(turn)
    elif len(text) > DESCRIPTION_CHARACTERS:
        turn.send(turn.text("describe_long", most=DESCRIPTION_CHARACTERS, length=len(text)))
    elif turn.improper(text):
        turn.send(turn.text("improper_description"))
    elif turn.catalogue.path(draft.subcategory) is None:
        ask(turn, turn.text("gone_choice"))
    else:
        turn.place = Place(draft.coordinates, draft.subcategory, text)
        turn.dialogue = replace(turn.dialogue, draft=None)
        turn.send(turn.text("stored"), keyboard="hide")
