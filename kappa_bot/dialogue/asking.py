"""Asking for what comes next, whatever the user did."""

from kappa_bot.dialogue import keyboards
from kappa_bot.dialogue.steps import CONSENT, IDLE, LANGUAGE, NEAR, step
from kappa_bot.texts import LANGUAGES, say
from kappa_bot.turn import Buttons, Turn


def ask(turn: Turn, before: str = "", in_place: bool = False, page: int = 0) -> None:
    """Ask for what comes next, after a remark if there is one."""
    text, buttons, keyboard = _question(turn, page)
    text = f"{before}\n\n{text}" if before else text
    if in_place:
        turn.replace(text, buttons)
    else:
        turn.send(text, buttons, keyboard)


def admitted(turn: Turn) -> bool:
    """Whether the user chose a language and accepted the terms; if not, they are asked for what is missing."""
    if turn.dialogue.accepted and turn.dialogue.language is not None:
        return True
    ask(turn, turn.text("terms_first") if turn.dialogue.language is not None else "")
    return False


def old(turn: Turn) -> None:
    """A button whose time is over: say so, and ask for what is due now."""
    ask(turn, turn.text("old_button"))


def greeting(turn: Turn) -> str:
    """In the user's language first, then in the others: nobody is greeted in a language they cannot leave."""
    order = [turn.language, *(language for language in LANGUAGES if language != turn.language)]
    return "\n\n".join(say(language, "choose_language") for language in order)


def _question(turn: Turn, page: int) -> tuple[str, Buttons, str | None]:
    """Text, inline buttons, and the keyboard under the text field."""
    at = step(turn.dialogue)
    draft = turn.dialogue.draft
    if at == LANGUAGE:
        return greeting(turn), keyboards.language_buttons(), None
    if at == CONSENT:
        return turn.text("terms"), keyboards.consent_buttons(turn), None
    if turn.dialogue.expects == NEAR:
        return turn.text("near_share"), (), turn.text("share_location_button")
    if at == IDLE or draft is None:
        return turn.text("idle_help"), keyboards.menu_buttons(turn), None
    if at == "location":
        return turn.text("share_location"), (), turn.text("share_location_button")
    if draft.naming == "category":
        return turn.text("name_category"), (((turn.text("back"), f"c:{draft.id}:~0"),),), None
    category = turn.catalogue.category(draft.category)
    if at == "category" or category is None:
        listed = turn.catalogue.categories
        text = turn.text("choose_category") if listed else turn.text("no_categories")
        return text, keyboards.choices(turn, f"c:{draft.id}", listed, page, turn.text("new_category")), None
    name = category.name(turn.language)
    below = turn.catalogue.subcategories.get(category.id, ())
    if draft.naming == "subcategory" and below:
        return turn.text("name_subcategory", category=name), (((turn.text("back"), f"s:{draft.id}:~0"),),), None
    subcategory = turn.catalogue.subcategory(category.id, draft.subcategory)
    if at == "subcategory" or subcategory is None:
        if not below:
            # There is nothing to choose: the next words are taken for the name of the first.
            return turn.text("first_subcategory", category=name), (((turn.text("back"), f"c:{draft.id}:~0"),),), None
        text = turn.text("choose_subcategory", category=name)
        return text, keyboards.choices(turn, f"s:{draft.id}", below, page, turn.text("new_subcategory")), None
    return turn.text("describe", category=name, subcategory=subcategory.name(turn.language)), (), None
