"""reply_markup: what Telegram takes, and what of it a message shows."""

import json
from typing import Any

from kappa_lab.telegram.errors import bad_request
from kappa_lab.telegram.parameters import Parameters

Json = dict[str, Any]

MAX_CALLBACK_DATA_BYTES = 64
MAX_BUTTONS = 100
_ACTIONS = ("callback_data", "url", "web_app", "login_url", "switch_inline_query", "switch_inline_query_current_chat",
            "switch_inline_query_chosen_chat", "copy_text", "callback_game", "pay")  # fmt: skip


def read_markup(parameters: Parameters) -> Json | None:
    """The request's reply_markup, checked. Raises ApiError 400 in Telegram's words."""
    markup = parameters.structure("reply_markup", "reply keyboard markup")
    if markup is None:
        return None
    if not isinstance(markup, dict):
        raise bad_request("object expected as reply markup")
    if "inline_keyboard" in markup:
        return {"inline_keyboard": _inline_rows(markup["inline_keyboard"])}
    if "keyboard" in markup and not isinstance(markup["keyboard"], list):
        raise bad_request('field "keyboard" of the ReplyKeyboardMarkup must be an Array')
    return markup or None


def inline_keyboard(markup: Json | None) -> Json | None:
    """The part that a message carries in its own `reply_markup`: inline keyboards, where they have a button."""
    return markup if markup and markup.get("inline_keyboard") else None


def _inline_rows(rows: Any) -> list[list[Json]]:
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad_request('field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays')
    checked = [[_inline_button(button) for button in row] for row in rows if row]
    if sum(len(row) for row in checked) > MAX_BUTTONS or len(json.dumps(checked)) > 10240:
        raise bad_request("reply markup is too long")
    return checked


def _inline_button(button: Any) -> Json:
    if not isinstance(button, dict):
        raise bad_request("can't parse inline keyboard button: InlineKeyboardButton must be an Object")
    text = button.get("text")
    if not isinstance(text, str):
        raise bad_request('can\'t parse inline keyboard button: Field "text" must be of type String')
    if not text.strip():
        raise bad_request("can't parse inline keyboard button: BUTTON_TEXT_INVALID")
    if not any(button.get(action) is not None for action in _ACTIONS):
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    data = button.get("callback_data")
    if data is not None and not 1 <= len(str(data).encode()) <= MAX_CALLBACK_DATA_BYTES:
        raise bad_request("BUTTON_DATA_INVALID")
    return dict(button)
