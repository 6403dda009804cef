"""What one update does, as data: nothing is sent or stored while a turn is being computed.

A `Turn` starts from the user's dialogue as MongoDB has it and collects replies and effects; processor.py commits all of
it in one transaction, keyed by the update's id. A turn that depends on the places there are leaves a `query`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kappa_bot.catalogue import Catalogue, NewChoice
from kappa_bot.queries import MapOrder, Query
from kappa_bot.texts import say

Document = dict[str, Any]
Buttons = tuple[tuple[tuple[str, str], ...], ...]
"""Rows of (label, callback data)."""

CALLBACK_DATA_BYTES = 64
"""The Bot API's limit for a button's callback data."""


@dataclass(frozen=True)
class Draft:
    """A place half-way through registration."""

    id: int
    """The update_id that began it. Its buttons carry it, so that a button of another draft is told apart."""
    coordinates: tuple[float, float] | None = None
    """Longitude, latitude, in degrees (GeoJSON's order)."""
    category: str | None = None
    subcategory: str | None = None
    naming: str | None = None
    """"category" or "subcategory" while the user's next words are the name of a new one."""

    @property
    def step(self) -> str:
        if self.coordinates is None:
            return "location"
        if self.category is None:
            return "category"
        return "subcategory" if self.subcategory is None else "description"


@dataclass(frozen=True)
class Dialogue:
    """Where a user is: all that must survive the node."""

    language: str | None = None
    accepted: bool = False
    """The terms of use."""
    draft: Draft | None = None
    expects: str | None = None
    """What else an answer is awaited to: `near` (a location), `forget:<update_id>` (a tap)."""

    def to_document(self) -> Document:
        document: Document = {"accepted": self.accepted}
        if self.language is not None:
            document["language"] = self.language
        if self.draft is not None:
            draft: Document = {"id": self.draft.id}
            if self.draft.coordinates is not None:
                draft["coordinates"] = list(self.draft.coordinates)
            for key in ("category", "subcategory", "naming"):
                if getattr(self.draft, key) is not None:
                    draft[key] = getattr(self.draft, key)
            document["draft"] = draft
        if self.expects is not None:
            document["expects"] = self.expects
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> "Dialogue":
        if document is None:
            return cls()
        found = document.get("draft")
        draft = None
        if found is not None:
            coordinates = found.get("coordinates")
            draft = Draft(
                id=found["id"],
                coordinates=None if coordinates is None else (coordinates[0], coordinates[1]),
                category=found.get("category"),
                subcategory=found.get("subcategory"),
                naming=found.get("naming"),
            )
        return cls(
            language=document.get("language"),
            accepted=bool(document.get("accepted")),
            draft=draft,
            expects=document.get("expects"),
        )


@dataclass(frozen=True)
class Reply:
    """One call of the Bot API that answers a user."""

    method: str
    """sendMessage, editMessageText, sendDocument or answerCallbackQuery."""
    text: str = ""
    """Of a document: its caption."""
    buttons: Buttons = ()
    message_id: int | None = None
    """The message to edit."""
    query_id: str | None = None
    """The callback query to answer."""
    keyboard: str | None = None
    """Under the text field: "hide" takes the keyboard away; anything else is the label of a button that shares the
    user's location."""
    map: MapOrder | None = None
    """The document to send."""

    def to_document(self) -> Document:
        document: Document = {"method": self.method, "text": self.text}
        if self.buttons:
            document["buttons"] = [[[label, data] for label, data in row] for row in self.buttons]
        for key in ("message_id", "query_id", "keyboard"):
            if getattr(self, key) is not None:
                document[key] = getattr(self, key)
        if self.map is not None:
            document["map"] = self.map.to_document()
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Reply":
        order = document.get("map")
        return cls(
            method=document["method"],
            text=document["text"],
            buttons=tuple(tuple((label, data) for label, data in row) for row in document.get("buttons", ())),
            message_id=document.get("message_id"),
            query_id=document.get("query_id"),
            keyboard=document.get("keyboard"),
            map=None if order is None else MapOrder.from_document(order),
        )


@dataclass(frozen=True)
class Place:
    """What a user registered."""

    coordinates: tuple[float, float]
    """Longitude, latitude."""
    subcategory: str
    description: str


@dataclass
class Turn:
    """One update being answered."""

    update_id: int
    dialogue: Dialogue
    catalogue: Catalogue
    greeting: str
    """The language to speak while the user has chosen none."""
    message_id: int | None = None
    """For a tapped button: the message it hangs on."""
    query_id: str | None = None
    """For a tapped button: the query that Telegram wants answered."""
    improper: Callable[[str], bool] = lambda text: False
    """Whether a text holds an inappropriate word."""
    replies: list[Reply] = field(default_factory=list)
    query: Query | None = None
    """What the answer depends on: `dialogue.resolve` gives it once that has been read."""
    place: Place | None = None
    new: NewChoice | None = None
    """A category or subcategory that the user adds."""
    complaint: str | None = None
    """The place that the user complains of."""
    enrol: bool = False
    """Note the user among those who accepted the terms."""
    forget: bool = False
    """Remove all that is kept of the user."""
    error: BaseException | None = None
    """A handler's exception: nothing of this turn counts."""

    @property
    def language(self) -> str:
        return self.dialogue.language or self.greeting

    def text(self, key: str, **values: object) -> str:
        return say(self.language, key, **values)

    def send(self, text: str, buttons: Buttons = (), keyboard: str | None = None) -> None:
        self.replies.append(Reply("sendMessage", text, buttons, keyboard=keyboard))

    def send_map(self, order: MapOrder, caption: str) -> None:
        self.replies.append(Reply("sendDocument", caption, map=order))

    def replace(self, text: str, buttons: Buttons = ()) -> None:
        """Put the next step where the tapped button was: old buttons do not pile up, and a repeat does no harm."""
        if self.message_id is None:
            self.send(text, buttons)
        else:
            self.replies.append(Reply("editMessageText", text, buttons, message_id=self.message_id))

    def settle(self, note: str = "") -> None:
        """Stop the tapped button's spinner, once; after the message, which is what the user waits for."""
        if self.query_id is not None and all(reply.method != "answerCallbackQuery" for reply in self.replies):
            self.replies.append(Reply("answerCallbackQuery", note, query_id=self.query_id))
