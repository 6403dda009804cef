"""One simulated user: a person who reads what the bot sends, taps what is offered, and waits for an answer.

A person knows no text of the bot's. It goes by what a message offers: a button that names a language, one that accepts,
one that registers, or just a list to choose from. It does one thing at a time, and the next only after it got what it
needs for it. It never repeats itself: a bot that loses what it was sent stays visible, as a person who waits.

The walk: start → language → terms → menu → register → location → category → subcategory → description, then, for the
next place, again from menu.
"""

import random
import re
import time
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

HALF_WAY = ("location", "category", "subcategory")
"""Steps after which the bot remembers something of a place that is not registered yet."""

STEPS = ("start", "language", "terms", "menu", "register", "location", "category", "subcategory", "description")

_LANGUAGE = {
    "es": re.compile(r"espa[nñ]ol|castellano|\blang\w*[:_=/-]es\b", re.I),
    "en": re.compile(r"english|ingl[eé]s|\blang\w*[:_=/-]en\b", re.I),
}
_ACCEPT = re.compile(r"acce?pt|acept|agree|de acuerdo", re.I)
_REFUSE = re.compile(r"reject|rechaz|refus|declin|disagree|no acept|not? accept|don.t|desacuerdo", re.I)
_REGISTER = re.compile(r"regist|mark a place|marcar", re.I)
# What a list of categories may offer besides categories.
_ASIDE = re.compile(
    r"\b(new|add|nuev[ao]|agregar|a[nñ]adir|otr[ao]|cancel\w*|back|volver|atr[aá]s)\b|[:_](new|add|cancel|back)", re.I
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
    """One user. `known`: the bot has registered them, so the next dialogue starts at the menu. Times are monotonic
    seconds.
    """

    number: int
    chat_id: int
    language: str
    rng: random.Random
    run_tag: str
    known: bool = False
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

    @property
    def open(self) -> bool:
        """Whether a dialogue is going on."""
        return self.step is not None

    @property
    def progress(self) -> int:
        """How far in the dialogue: the steps done. A step off the walk to a place counts as its end."""
        if self.step is None:
            return 0
        return STEPS.index(self.step) + 1 if self.step in STEPS else len(STEPS)

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
        """Whether the dialogue's last step has been answered."""
        return self.step == "description" and self.answered

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
                return self._choose("category", offered)
            case "category":
                return self._choose("subcategory", offered)
            case "subcategory":
                return Action("description", text=self.marker)
        return None

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
        if step == "category":
            self._category_buttons = data
        elif data == self._category_buttons:
            return None  # the categories once more are no subcategories
        if not choices:
            return None
        chosen = self.rng.choice(choices)
        return Action(step, message_id=chosen.message_id, data=chosen.data)

    def _menu(self) -> Action:
        return Action("menu", text=_TODO[self.language])

    def _share(self) -> Action:
        """Latitude and longitude of somewhere around Caracas."""
        return Action(
            "location", location=(round(10.4 + self.rng.random() * 0.2, 6), round(-67.0 + self.rng.random() * 0.3, 6))
        )
