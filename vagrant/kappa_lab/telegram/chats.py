"""The private chats of the bot: who is there, which messages there are, and who hears of them.

Message ids grow over all chats of a bot, as they do for a real one in private chats.
"""

import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kappa_lab.telegram.errors import ApiError, bad_request
from kappa_lab.telegram.formatting import command_entities
from kappa_lab.telegram.markup import inline_keyboard

Json = dict[str, Any]


@dataclass(frozen=True)
class Delivery:
    """Something of the bot's that reached a user.

    `method` is the Bot API method that did it, `message` the message as it now stands (None for a callback query that
    was answered without one), `request_id` and `node` say whose request it was.
    """

    method: str
    chat_id: int
    message_id: int | None
    message: Json | None
    request_id: int
    node: str


@dataclass
class Chat:
    """One user's private chat with the bot. `stopped`: the user has blocked the bot."""

    user: Json
    messages: dict[int, Json] = field(default_factory=dict)
    # The keyboard under the input field, which is no part of a message.
    keyboard: Json | None = None
    # Messages sent with a keyboard that is not inline: Telegram does not let a bot edit those.
    uneditable: set[int] = field(default_factory=set)
    started: bool = False
    stopped: bool = False

    @property
    def chat_id(self) -> int:
        return int(self.user["id"])

    def json(self) -> Json:
        shown: Json = {key: self.user[key] for key in ("first_name", "last_name", "username") if key in self.user}
        return {"id": self.chat_id, **shown, "type": "private"}


@dataclass
class Callback:
    """A tapped button that waits for answerCallbackQuery. `asked_at` is time.monotonic()."""

    chat_id: int
    message_id: int
    asked_at: float


class Chats:
    """All chats. `listen` is called with every Delivery, in the order in which users see them."""

    def __init__(self, bot: Json, callback_answer_s: float) -> None:
        self.bot = bot
        self.callback_answer_s = callback_answer_s
        self.listen: Callable[[Delivery], None] = lambda delivery: None
        self._chats: dict[int, Chat] = {}
        self._callbacks: dict[str, Callback] = {}
        self._message_ids = itertools.count(1)

    # -- users --

    def add(self, user: Json) -> Chat:
        """The chat of `user`, made if it is new. The bot may write there once the user has written."""
        return self._chats.setdefault(int(user["id"]), Chat(user))

    def user_message(self, chat: Chat, content: Json) -> Json:
        """A user's message: `content` is its text or location. Returns the Message that its update carries."""
        chat.started, chat.stopped = True, False
        message: Json = {
            "message_id": next(self._message_ids),
            "from": chat.user,
            "chat": chat.json(),
            "date": int(time.time()),
            **content,
        }
        entities = command_entities(str(content.get("text", "")))
        if entities:
            message["entities"] = entities
        chat.messages[message["message_id"]] = message
        return message

    def user_tap(self, chat: Chat, message_id: int, data: str) -> Json:
        """A user taps a button. Returns the CallbackQuery that its update carries; the message may be long gone."""
        query_id = str(secrets.randbits(62))
        self._callbacks[query_id] = Callback(chat.chat_id, message_id, time.monotonic())
        query: Json = {"id": query_id, "from": chat.user, "chat_instance": str(chat.chat_id), "data": data}
        message = chat.messages.get(message_id)
        # A message that is not accessible any more is shown with date 0 and nothing else.
        query["message"] = dict(message) if message else {"message_id": message_id, "chat": chat.json(), "date": 0}
        return query

    # -- the bot --

    def get(self, chat_id: str) -> Chat:
        """The chat a request names. Raises ApiError as Telegram does for a chat that the bot may not write to."""
        if not chat_id:
            raise bad_request("chat_id is empty")
        try:
            chat = self._chats.get(int(chat_id))
        except ValueError:
            chat = None
        if chat is None:
            raise bad_request("chat not found")
        if not chat.started:
            raise ApiError(403, "Forbidden: bot can't initiate conversation with a user")
        if chat.stopped:
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        return chat

    def send(self, chat: Chat, content: Json, markup: Json | None, delivery: "Reach") -> Json:
        message: Json = {
            "message_id": next(self._message_ids),
            "from": self.bot,
            "chat": chat.json(),
            "date": int(time.time()),
            **content,
        }
        shown = inline_keyboard(markup)
        if shown:
            message["reply_markup"] = shown
        elif markup and "inline_keyboard" not in markup:
            chat.uneditable.add(message["message_id"])
            if "force_reply" not in markup:
                chat.keyboard = None if markup.get("remove_keyboard") else markup
        chat.messages[message["message_id"]] = message
        self._deliver(delivery, chat, message)
        return message

    def edit(self, chat: Chat, message_id: int, content: Json | None, markup: Json | None, delivery: "Reach") -> Json:
        """Change a message's text (`content`; None leaves it) and inline keyboard (None takes it away)."""
        old = chat.messages.get(message_id)
        if old is None:
            raise bad_request("message to edit not found")
        if old["from"]["id"] != self.bot["id"] or message_id in chat.uneditable:
            raise bad_request("message can't be edited")
        if content is not None and "text" not in old:
            raise bad_request("there is no text in the message to edit")
        kept = {key: value for key, value in old.items() if key not in ("reply_markup", "edit_date")}
        if content is not None:
            kept.pop("entities", None)
            kept.update(content)
        shown = inline_keyboard(markup)
        if shown:
            kept["reply_markup"] = shown
        if kept == {key: value for key, value in old.items() if key != "edit_date"}:
            raise bad_request(
                "message is not modified: specified new message content and reply markup are exactly the same as "
                "a current content and reply markup of the message"
            )
        message = {**kept, "edit_date": int(time.time())}
        chat.messages[message_id] = message
        self._deliver(delivery, chat, message)
        return message

    def delete(self, chat: Chat, message_id: int) -> None:
        if chat.messages.pop(message_id, None) is None:
            raise bad_request("message to delete not found")

    def answer_callback(self, query_id: str, delivery: "Reach") -> None:
        """Raises ApiError 400 for a query that is unknown or older than `callback_answer_s`."""
        callback = self._callbacks.get(query_id)
        if callback is None or time.monotonic() - callback.asked_at > self.callback_answer_s:
            self._callbacks.pop(query_id, None)
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        self.listen(
            Delivery(delivery.method, callback.chat_id, callback.message_id, None, delivery.request_id, delivery.node)
        )

    def _deliver(self, delivery: "Reach", chat: Chat, message: Json) -> None:
        self.listen(
            Delivery(delivery.method, chat.chat_id, message["message_id"], message, delivery.request_id, delivery.node)
        )


@dataclass(frozen=True)
class Reach:
    """Whose request it is that reaches a user."""

    method: str
    request_id: int
    node: str
