"""One simulated user: a person who reads what the bot sends, taps what is offered, and waits for an answer.

A person knows no text of the bot's. It goes by what a message offers: a button that names a language, one that accepts,
one that registers, or just a list to choose from. It does one thing at a time, and the next only after it got what it
needs for it. It never repeats itself: a bot that loses what it was sent stays visible, as a person who waits.

The walk: start → language → terms → menu → register → location → category → subcategory → description, then, for the
next place, again from menu; a bot that offers to register as soon as the terms are accepted spares the menu. After some
of the places that were registered the person searches: menu → search → search category → search subcategory, until a
list and a file are there, or the word that there is nothing.
"""

import random
import re
import time
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

HALF_WAY = ("location", "new category", "category", "subcategory")
"""Steps after which the bot remembers something of a place that is not registered yet."""

STEPS = ("start", "language", "terms", "menu", "register", "location", "category", "subcategory", "description")
SEARCH_STEPS = ("search menu", "search", "search category", "search subcategory")
IN_ORDER = (*STEPS[:6], "new category", *STEPS[6:], *SEARCH_STEPS)
"""All that a person may do, from the first to the last."""
NAMES = {"es": ("Reciclaje", "Contenedor"), "en": ("Recycling", "Container")}
"""What a person calls a new category, and a subcategory where there is none to choose."""

_LANGUAGE = {
    "es": re.compile(r"espa[nñ]ol|castellano|\blang\w*[:_=/-]es\b", re.I),
    "en": re.compile(r"english|ingl[eé]s|\blang\w*[:_=/-]en\b", re.I),
}
_ACCEPT = re.compile(r"acce?pt|acept|agree|de acuerdo", re.I)
_REFUSE = re.compile(r"reject|rechaz|refus|declin|disagree|no acept|not? accept|don.t|desacuerdo", re.I)
_REGISTER = re.compile(r"regist|mark a place|marcar", re.I)
_NEW = re.compile(r"\b(new|add|nuev[ao]|agregar|a[nñ]adir)\b", re.I)
_SEARCH = re.compile(r"search|buscar", re.I)
# What a list of categories may offer besides categories.
_ASIDE = re.compile(
    r"\b(new|add|nuev[ao]|agregar|a[nñ]adir|otr[ao]|cancel\w*|back|volver|atr[aá]s|previous|more|anteriores|m[aá]s)\b"
    r"|[:_](new|add|cancel|back)|:[~+]",
    re.I,
)

_PLACES = {"es": "Bache", "en": "Pothole"}
_TODO = {"es": "/Hacer", "en": "/ToDo"}


@dataclass(frozen=True)
class Action:
    """What a person is about to do: send a text or a location, or tap `data` under `message_id`."""

    step: str
    text: str | None = None
    location: tuple[float, float] | None = None
    message_id: int | None = None
    data: str | None = None


@dataclass(frozen=True)
class Button:
    message_id: int
    text: str
    data: str

    def matches(self, pattern: "re.Pattern[str]") -> bool:
        return bool(pattern.search(self.text) or pattern.search(self.data))


def buttons(message: Json) -> list[Button]:
    """The buttons of a message that can be tapped, in reading order."""
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return [
        Button(int(message["message_id"]), str(button["text"]), str(button["callback_data"]))
        for row in rows
        for button in row
        if button.get("callback_data")
    ]


def _signature(message: Json) -> str:
    return repr((message.get("text"), message.get("document", {}).get("file_name"), message.get("reply_markup")))


@dataclass
class Person:
    """One user. `known`: the bot has registered them, so the next dialogue starts at the menu. `searches` and `adds`:
    how often, from 0 to 1, they search after having registered, and add a category. Times are monotonic seconds.
    """

    number: int
    chat_id: int
    language: str
    rng: random.Random
    run_tag: str
    known: bool = False
    searches: float = 0.0
    adds: float = 0.0
    dialogue: int = 0
    step: str | None = None
    sent_at: float = 0.0
    update_id: int | None = None
    answered: bool = True
    complained: bool = False
    next_action: Action | None = None
    ready_at: float = 0.0
    # What was received in answer to the last two updates: signature -> update_id.
    _seen: dict[str, int] = field(default_factory=dict)
    _recent_updates: list[int] = field(default_factory=list)
    _category_buttons: tuple[str, ...] = ()
    # Whether a search has brought all that it is to bring.
    _satisfied: bool = False

    @property
    def open(self) -> bool:
        """Whether a dialogue is going on."""
        return self.step is not None

    @property
    def progress(self) -> int:
        """How far in the dialogue: the steps done. Off the walk, whoever is there is to come to an end first."""
        if self.step is None:
            return 0
        return IN_ORDER.index(self.step) + 1 if self.step in IN_ORDER else len(IN_ORDER)

    @property
    def half_way(self) -> bool:
        return self.step in HALF_WAY

    @property
    def marker(self) -> str:
        """The description that this dialogue registers; no other dialogue has the same."""
        return f"{_PLACES[self.language]} {self.number}-{self.dialogue} {self.run_tag}"

    def begin(self) -> Action:
        """Open the next dialogue and return its first action."""
        self.dialogue += 1
        self._satisfied = False
        return self._menu() if self.known else Action("start", text="/start")

    def acted(self, action: Action, update_id: int | None) -> None:
        """The action was sent as `update_id` (None: the bot has asked not to get such updates)."""
        self.step, self.update_id, self.sent_at = action.step, update_id, time.monotonic()
        self.answered, self.complained, self.next_action = False, False, None
        if update_id is not None:
            self._recent_updates = [*self._recent_updates[-1:], update_id]
        self._seen = {mark: update for mark, update in self._seen.items() if update in self._recent_updates}

    def receive(self, message: Json, is_new: bool) -> int | None:
        """Read a message (`is_new`) or an edited one. Returns the update it had already answered if this is a mere
        repeat.
        """
        mark = _signature(message)
        if is_new and mark in self._seen:
            return self._seen[mark]
        if self.update_id is not None:
            self._seen[mark] = self.update_id
        self.answered = True
        action = self._decide(message)
        if action is not None:
            self.next_action = action
        return None

    def finished(self) -> bool:
        """Whether the dialogue's last step has been answered, and nothing more is wanted."""
        if self.step == "search subcategory":
            return self._satisfied
        return self.step == "description" and self.answered and self.next_action is None

    def close(self, success: bool) -> None:
        self.known = success
        self.step, self.next_action = None, None

    def _decide(self, message: Json) -> Action | None:
        """What to do next, seeing this message; None while it does not offer what is needed."""
        offered = buttons(message)
        match self.step:
            case "start":
                return self._tap("language", offered, _LANGUAGE[self.language]) or self._agree_or_register(offered)
            case "language":
                return self._agree_or_register(offered)
            case "terms":
                return self._tap("register", offered, _REGISTER) or self._menu()
            case "menu":
                # A bot may offer a choice of what to do, or ask for the place at once.
                return self._tap("register", offered, _REGISTER) if offered else self._share()
            case "register":
                return self._share()
            case "location":
                new = self._tap("new category", offered, _NEW) if self._happens(self.adds) else None
                return new or self._choose("category", offered)
            case "new category":
                return Action("category", text=NAMES[self.language][0])
            case "category":
                return self._choose("subcategory", offered)
            case "subcategory":
                return Action("description", text=self.marker)
            case "description":
                return self._menu("search menu") if self._happens(self.searches) else None
            case "search menu":
                return self._tap("search", offered, _SEARCH)
            case "search":
                return self._choose("search category", offered)
            case "search category":
                return self._choose("search subcategory", offered)
            case "search subcategory":
                # A list comes with a map, and the map last; where nothing is found there is one message alone.
                complaints = any("⚠" in button.text for button in offered)
                self._satisfied = self._satisfied or "document" in message or not complaints
        return None

    def _happens(self, often: float) -> bool:
        # Who never does it throws no dice: their other choices stay as they were.
        return often > 0 and self.rng.random() < often

    def _agree_or_register(self, offered: list[Button]) -> Action | None:
        agreeing = [button for button in offered if not button.matches(_REFUSE)]
        return self._tap("terms", agreeing, _ACCEPT) or self._tap("register", offered, _REGISTER)

    @staticmethod
    def _tap(step: str, offered: list[Button], pattern: "re.Pattern[str]") -> Action | None:
        for button in offered:
            if button.matches(pattern):
                return Action(step, message_id=button.message_id, data=button.data)
        return None

    def _choose(self, step: str, offered: list[Button]) -> Action | None:
        """Any of the choices offered; None for a keyboard that asks something else again."""
        if any(button.matches(pattern) for button in offered for pattern in (_ACCEPT, *_LANGUAGE.values())):
            return None
        choices = [button for button in offered if not button.matches(_ASIDE)]
        data = tuple(button.data for button in choices)
        if step.endswith("subcategory"):
            if choices and data == self._category_buttons:
                return None  # the categories once more are no subcategories
        else:
            self._category_buttons = data
        if not choices:
            # There is nothing yet: a bot that wants a name for the first one says so, and offers a way back.
            named = NAMES[self.language][step == "subcategory"]
            return Action(step, text=named) if offered and step in ("category", "subcategory") else None
        chosen = self.rng.choice(choices)
        return Action(step, message_id=chosen.message_id, data=chosen.data)

    def _menu(self, step: str = "menu") -> Action:
        return Action(step, text=_TODO[self.language])

    def _share(self) -> Action:
        """Latitude and longitude of somewhere around Caracas."""
        return Action(
            "location", location=(round(10.4 + self.rng.random() * 0.2, 6), round(-67.0 + self.rng.random() * 0.3, 6))
        )
