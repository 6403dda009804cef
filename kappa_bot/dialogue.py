"""The dialogue: what each thing a user does makes of where they are. Pure: a `Turn` goes in and comes out changed.

Two rules hold everywhere. A wrong step changes nothing: the user is told so and is asked again for what comes next.
And a button carries what it belongs to, so that one from an earlier step, tapped late or twice, does no harm.

Callback data: `l:<language>`, `t:<y|n>`, `c:<draft>:<category>`, `s:<draft>:<subcategory>`.
"""

from collections.abc import Iterable
from dataclasses import replace

from kappa_bot.texts import LANGUAGES, say
from kappa_bot.turn import Buttons, Choice, Dialogue, Draft, Place, Turn

DESCRIPTION_CHARACTERS = 1000
"""The most a description may have; a map's popup shows it whole."""

CONSENT = "consent"
LANGUAGE = "language"
IDLE = "idle"


def step(dialogue: Dialogue) -> str:
    """What the bot waits for: language, consent, idle, or a draft's step."""
    if dialogue.language is None:
        return LANGUAGE
    if not dialogue.accepted:
        return CONSENT
    return IDLE if dialogue.draft is None else dialogue.draft.step


# What a user does


def start(turn: Turn) -> None:
    """/start, /iniciar: from the top, as often as one likes; a draft under way is kept."""
    turn.send(_greeting(turn), _language_buttons())


def register(turn: Turn) -> None:
    """/todo, /hacer."""
    if not _admitted(turn):
        return
    if turn.dialogue.draft is None:
        turn.dialogue = replace(turn.dialogue, draft=Draft(turn.update_id))
        ask(turn)
    else:
        ask(turn, turn.text("in_progress"))


def cancel(turn: Turn) -> None:
    """/cancel, /cancelar."""
    if turn.dialogue.draft is None:
        turn.send(turn.text("nothing_to_cancel"), keyboard="hide")
    else:
        turn.dialogue = replace(turn.dialogue, draft=None)
        turn.send(turn.text("cancelled"), keyboard="hide")


def location(turn: Turn, longitude: float, latitude: float) -> None:
    """A shared location: begins a place, or moves the one under way and keeps the rest of it."""
    if not _admitted(turn):
        return
    draft = turn.dialogue.draft or Draft(turn.update_id)
    turn.dialogue = replace(turn.dialogue, draft=replace(draft, coordinates=(longitude, latitude)))
    ask(turn)


def words(turn: Turn, text: str) -> None:
    """A plain text message: the description, where one is expected."""
    if not _admitted(turn):
        return
    if step(turn.dialogue) == "description":
        _describe(turn, text)
    elif turn.dialogue.draft is None:
        turn.send(turn.text("idle_help"))
    else:
        ask(turn, turn.text("not_now"))


def describe(turn: Turn, text: str) -> None:
    """/message TEXT, /mensaje TEXT."""
    if not _admitted(turn):
        return
    if step(turn.dialogue) != "description":
        words(turn, text)
    elif not text.strip():
        turn.send(turn.text("describe_empty"))
    else:
        _describe(turn, text)


def other(turn: Turn) -> None:
    """Anything else: a photo, a sticker, an unknown command."""
    words(turn, "") if step(turn.dialogue) != "description" else ask(turn, turn.text("not_now"))


def button(turn: Turn, data: str) -> None:
    """A tapped inline button."""
    kind, _, rest = data.partition(":")
    if kind == "l" and rest in LANGUAGES:
        _choose_language(turn, rest)
    elif kind == "t" and rest in ("y", "n"):
        _consent(turn, rest == "y")
    elif kind in ("c", "s"):
        draft, _, choice = rest.partition(":")
        _choose(turn, kind, draft, choice)
    else:
        _old(turn)
    turn.settle()


# What comes of it


def _choose_language(turn: Turn, language: str) -> None:
    turn.dialogue = replace(turn.dialogue, language=language)
    # Asked again of one who has accepted before: whoever comes back by /start reads the terms in the language chosen.
    turn.replace(turn.text("terms"), _consent_buttons(turn))


def _consent(turn: Turn, accepted: bool) -> None:
    if turn.dialogue.language is None:
        turn.replace(_greeting(turn), _language_buttons())
    elif accepted:
        turn.enrol = not turn.dialogue.accepted
        turn.dialogue = replace(turn.dialogue, accepted=True)
        turn.replace(turn.text("accepted"))
        if turn.dialogue.draft is not None:
            ask(turn, turn.text("in_progress"))
    else:
        turn.replace(turn.text("rejected"))
        turn.forget = True
        turn.dialogue = Dialogue()


def _choose(turn: Turn, kind: str, draft_id: str, choice: str) -> None:
    draft = turn.dialogue.draft
    if not turn.dialogue.accepted or draft is None or draft_id != str(draft.id) or draft.coordinates is None:
        _old(turn)
    elif kind == "c":
        if turn.catalogue.category(choice) is None:
            ask(turn, turn.text("gone_choice"))
        elif choice != draft.category:
            turn.dialogue = replace(turn.dialogue, draft=replace(draft, category=choice, subcategory=None))
            ask(turn, in_place=True)
        # else the same button twice: it is chosen already, and the next question is on the screen
    elif draft.category is None:
        _old(turn)
    elif turn.catalogue.subcategory(draft.category, choice) is None:
        ask(turn, turn.text("gone_choice"))
    elif choice != draft.subcategory:
        turn.dialogue = replace(turn.dialogue, draft=replace(draft, subcategory=choice))
        ask(turn, in_place=True)


def _describe(turn: Turn, text: str) -> None:
    text = text.strip()
    draft = turn.dialogue.draft
    assert draft is not None and draft.coordinates is not None and draft.subcategory is not None
    if not text:
        ask(turn)
    elif len(text) > DESCRIPTION_CHARACTERS:
        turn.send(turn.text("describe_long", most=DESCRIPTION_CHARACTERS, length=len(text)))
    else:
        turn.place = Place(draft.coordinates, draft.subcategory, text)
        turn.dialogue = replace(turn.dialogue, draft=None)
        turn.send(turn.text("stored"), keyboard="hide")


def _old(turn: Turn) -> None:
    """A button whose time is over: say so, and ask for what is due now."""
    if step(turn.dialogue) == IDLE:
        turn.send(turn.text("old_button") + "\n" + turn.text("idle_help"))
    else:
        ask(turn, turn.text("old_button"))


def _admitted(turn: Turn) -> bool:
    """Whether the user chose a language and accepted the terms; if not, they are asked for what is missing."""
    if turn.dialogue.accepted and turn.dialogue.language is not None:
        return True
    ask(turn, turn.text("terms_first") if turn.dialogue.language is not None else "")
    return False


def ask(turn: Turn, before: str = "", in_place: bool = False) -> None:
    """Ask for what comes next, after a remark if there is one."""
    text, buttons, keyboard = _question(turn)
    text = f"{before}\n\n{text}" if before else text
    if in_place:
        turn.replace(text, buttons)
    else:
        turn.send(text, buttons, keyboard)


def _question(turn: Turn) -> tuple[str, Buttons, str | None]:
    at = step(turn.dialogue)
    draft = turn.dialogue.draft
    if at == LANGUAGE:
        return _greeting(turn), _language_buttons(), None
    if at == CONSENT:
        return turn.text("terms"), _consent_buttons(turn), None
    if draft is None:
        return turn.text("idle_help"), (), None
    if at == "location":
        return turn.text("share_location"), (), turn.text("share_location_button")
    category = turn.catalogue.category(draft.category)
    if at == "category" or category is None:
        if not turn.catalogue.categories:
            return turn.text("no_categories"), (), None
        return turn.text("choose_category"), _choices(turn, f"c:{draft.id}", turn.catalogue.categories), None
    subcategory = turn.catalogue.subcategory(category.id, draft.subcategory)
    name = category.name(turn.language)
    if at == "subcategory" or subcategory is None:
        choices = turn.catalogue.subcategories.get(category.id, ())
        return turn.text("choose_subcategory", category=name), _choices(turn, f"s:{draft.id}", choices), None
    return turn.text("describe", category=name, subcategory=subcategory.name(turn.language)), (), None


def _greeting(turn: Turn) -> str:
    """In the user's language first, then in the others: nobody is greeted in a language they cannot leave."""
    order = [turn.language, *(language for language in LANGUAGES if language != turn.language)]
    return "\n\n".join(say(language, "choose_language") for language in order)


def _language_buttons() -> Buttons:
    return (tuple((say(language, "language_name"), f"l:{language}") for language in LANGUAGES),)


def _consent_buttons(turn: Turn) -> Buttons:
    return (((turn.text("accept"), "t:y"), (turn.text("reject"), "t:n")),)


def _choices(turn: Turn, prefix: str, choices: Iterable[Choice]) -> Buttons:
    """Two to a row: names stay readable on a phone."""
    flat = [(choice.name(turn.language), f"{prefix}:{choice.id}") for choice in choices]
    return tuple(tuple(flat[n : n + 2]) for n in range(0, len(flat), 2))
