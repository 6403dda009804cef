"""The Bot API's methods, one small function each, and the table of them.

A method gets the bot's state and one Call and returns what goes into `result`, or raises ApiError in Telegram's own
words. None of them waits but getUpdates: an effect is there before anything else may happen.
"""

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from kappa_lab.telegram import formatting
from kappa_lab.telegram.chats import Chats, Reach
from kappa_lab.telegram.errors import bad_request
from kappa_lab.telegram.markup import inline_keyboard, read_markup
from kappa_lab.telegram.parameters import Parameters, UploadedFile
from kappa_lab.telegram.polling import Polling
from kappa_lab.telegram.updates import UpdateQueue
from kappa_lab.telegram.webhook import Webhook, WebhookSettings

Json = dict[str, Any]

MAX_TEXT = 4096
MAX_CAPTION = 1024
MAX_DOCUMENT_BYTES = 50 * 1024 * 1024
UPDATE_TYPES = frozenset({
    "message", "edited_message", "channel_post", "edited_channel_post", "business_connection", "business_message",
    "edited_business_message", "deleted_business_messages", "message_reaction", "message_reaction_count",
    "inline_query", "chosen_inline_result", "callback_query", "shipping_query", "pre_checkout_query",
    "purchased_paid_media", "poll", "poll_answer", "my_chat_member", "chat_member", "chat_join_request", "chat_boost",
    "removed_chat_boost",
})  # fmt: skip
DEFAULT_UPDATE_TYPES = UPDATE_TYPES - {"chat_member", "message_reaction", "message_reaction_count"}
CHAT_ACTIONS = frozenset({
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document",
    "choose_sticker", "find_location", "record_video_note", "upload_video_note",
})  # fmt: skip


@dataclass
class Call:
    """One request to the Bot API.

    `handed` is filled by getUpdates with the ids that its answer carries; `decided_at` is when a conflict ended it.
    """

    request_id: int
    node: str
    method: str
    parameters: Parameters
    on_confirm: Callable[[int, list[int]], None]
    handed: list[int] = field(default_factory=list)
    decided_at: float | None = None

    @property
    def reach(self) -> Reach:
        return Reach(self.method, self.request_id, self.node)


@dataclass
class Bot:
    """Everything Telegram knows of one bot."""

    me: Json
    queue: UpdateQueue
    polling: Polling
    chats: Chats
    webhook: Webhook
    allowed_updates: frozenset[str] = DEFAULT_UPDATE_TYPES
    commands: dict[tuple[str, str], list[Json]] = field(default_factory=dict)
    files: dict[str, UploadedFile] = field(default_factory=dict)


def _update_allowed(bot: Bot, parameters: Parameters) -> None:
    """allowed_updates counts for updates that come from now on; absent or unreadable changes nothing, empty is the
    default.
    """
    try:
        names = parameters.structure("allowed_updates", "allowed updates")
    except Exception:
        return
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return
    bot.allowed_updates = frozenset(name.lower() for name in names) & UPDATE_TYPES or DEFAULT_UPDATE_TYPES


async def get_me(bot: Bot, call: Call) -> object:
    return {
        **bot.me,
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


async def get_updates(bot: Bot, call: Call) -> object:
    parameters = call.parameters
    if not bot.polling.webhook_active:
        _update_allowed(bot, parameters)
    updates = await bot.polling.get_updates(
        parameters.integer("offset"), parameters.integer("limit", 100), parameters.integer("timeout"), call.on_confirm
    )
    call.handed = [update.update_id for update in updates]
    return [update.json() for update in updates]


async def set_webhook(bot: Bot, call: Call) -> object:
    parameters = call.parameters
    url = parameters.text("url").strip()
    if not url:
        return await delete_webhook(bot, call)
    bot.webhook.check_pace()
    if "://" not in url:
        url = f"https://{url}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise bad_request("invalid webhook URL specified")
    secret_token = parameters.text("secret_token")
    if len(secret_token) > 256:
        raise bad_request("secret token is too long")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", secret_token):
        raise bad_request("secret token contains unallowed characters")
    certificate = parameters.files.get("certificate")
    attached = parameters.text("certificate").removeprefix("attach://")
    settings = WebhookSettings(
        url=url,
        secret_token=secret_token,
        max_connections=min(max(parameters.integer("max_connections", 40), 1), 100),
        ip_address=parameters.text("ip_address"),
        certificate=(certificate or parameters.files.get(attached) or UploadedFile("", "", b"")).content,
    )
    _update_allowed(bot, parameters)
    if parameters.flag("drop_pending_updates"):
        _drop_pending(bot, call)
    bot.polling.webhook_was_set()
    await bot.webhook.set(settings)
    return True


async def delete_webhook(bot: Bot, call: Call) -> object:
    await bot.webhook.delete()
    bot.polling.webhook_active = False
    if call.parameters.flag("drop_pending_updates"):
        _drop_pending(bot, call)
    return True


def _drop_pending(bot: Bot, call: Call) -> None:
    dropped = bot.queue.clear()
    if dropped:
        call.on_confirm(0, dropped)


async def get_webhook_info(bot: Bot, call: Call) -> object:
    info = bot.webhook.info(len(bot.queue))
    if bot.allowed_updates != DEFAULT_UPDATE_TYPES:
        info["allowed_updates"] = sorted(bot.allowed_updates)
    return info


def _content(text: str, parse_mode: str) -> tuple[str, list[Json]]:
    plain, entities = formatting.parse(text, parse_mode)
    if not plain:
        raise bad_request("message text is empty")
    return plain, entities


async def send_message(bot: Bot, call: Call) -> object:
    parameters = call.parameters
    text, entities = _content(parameters.text("text"), parameters.text("parse_mode"))
    markup = read_markup(parameters)
    chat = bot.chats.get(parameters.text("chat_id"))
    if len(text) > MAX_TEXT:
        raise bad_request("message is too long")
    content: Json = {"text": text, **({"entities": entities} if entities else {})}
    return bot.chats.send(chat, content, markup, call.reach)


async def send_location(bot: Bot, call: Call) -> object:
    parameters = call.parameters
    try:
        place = {name: float(parameters.text(name)) for name in ("latitude", "longitude")}
    except ValueError:
        raise bad_request("location is empty") from None
    chat = bot.chats.get(parameters.text("chat_id"))
    return bot.chats.send(chat, {"location": place}, read_markup(parameters), call.reach)


async def send_document(bot: Bot, call: Call) -> object:
    parameters = call.parameters
    markup = read_markup(parameters)
    caption, entities = formatting.parse(parameters.text("caption"), parameters.text("parse_mode"))
    chat = bot.chats.get(parameters.text("chat_id"))
    if len(caption) > MAX_CAPTION:
        raise bad_request("message caption is too long")
    named = parameters.text("document")
    document = parameters.files.get("document") or parameters.files.get(named.removeprefix("attach://"))
    file_id = named
    if document is not None:
        file_id = f"BQACAg{secrets.token_urlsafe(24)}"
        bot.files[file_id] = document
    document = bot.files.get(file_id)
    if document is None:
        raise bad_request(
            "wrong file identifier/HTTP URL specified" if named else "there is no document in the request"
        )
    if not document.content:
        raise bad_request("file must be non-empty")
    if len(document.content) > MAX_DOCUMENT_BYTES:
        raise bad_request("file is too big")
    content: Json = {
        "document": {
            "file_id": file_id,
            "file_unique_id": file_id[-12:],
            "file_name": document.name,
            "mime_type": document.content_type,
            "file_size": len(document.content),
        }
    }
    if caption:
        content["caption"] = caption
    if entities:
        content["caption_entities"] = entities
    return bot.chats.send(chat, content, markup, call.reach)


async def send_chat_action(bot: Bot, call: Call) -> object:
    bot.chats.get(call.parameters.text("chat_id"))
    if call.parameters.text("action").lower() not in CHAT_ACTIONS:
        raise bad_request("wrong parameter action in request")
    return True


async def edit_message_text(bot: Bot, call: Call) -> object:
    parameters = call.parameters
    text, entities = _content(parameters.text("text"), parameters.text("parse_mode"))
    markup = read_markup(parameters)
    chat = bot.chats.get(parameters.text("chat_id"))
    if len(text) > MAX_TEXT:
        raise bad_request("MESSAGE_TOO_LONG")
    content: Json = {"text": text, **({"entities": entities} if entities else {})}
    return bot.chats.edit(chat, parameters.integer("message_id"), content, inline_keyboard(markup), call.reach)


async def edit_message_reply_markup(bot: Bot, call: Call) -> object:
    parameters = call.parameters
    markup = read_markup(parameters)
    chat = bot.chats.get(parameters.text("chat_id"))
    return bot.chats.edit(chat, parameters.integer("message_id"), None, inline_keyboard(markup), call.reach)


async def delete_message(bot: Bot, call: Call) -> object:
    chat = bot.chats.get(call.parameters.text("chat_id"))
    bot.chats.delete(chat, call.parameters.integer("message_id"))
    return True


async def answer_callback_query(bot: Bot, call: Call) -> object:
    if len(call.parameters.text("text")) > 200:
        raise bad_request("MESSAGE_TOO_LONG")
    bot.chats.answer_callback(call.parameters.text("callback_query_id"), call.reach)
    return True


def _command_key(parameters: Parameters) -> tuple[str, str]:
    scope = parameters.structure("scope", "BotCommandScope")
    if scope is None:
        scope = {"type": "default"}
    if not isinstance(scope, dict) or not isinstance(scope.get("type"), str):
        raise bad_request("can't parse BotCommandScope: Unsupported type specified")
    return ":".join(str(scope[key]) for key in sorted(scope)), parameters.text("language_code")


async def set_my_commands(bot: Bot, call: Call) -> object:
    commands = call.parameters.structure("commands", "commands") or []
    if not isinstance(commands, list):
        raise bad_request("expected an Array of BotCommand")
    for command in commands:
        if not isinstance(command, dict):
            raise bad_request("can't parse BotCommand: expected an Object")
        if not re.fullmatch(r"[a-z0-9_]{1,32}", str(command.get("command", "")).removeprefix("/")):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(str(command.get("description", ""))) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    if len(commands) > 100:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    bot.commands[_command_key(call.parameters)] = [
        {"command": command["command"].removeprefix("/"), "description": command["description"]} for command in commands
    ]
    return True


async def get_my_commands(bot: Bot, call: Call) -> object:
    return bot.commands.get(_command_key(call.parameters), [])


async def delete_my_commands(bot: Bot, call: Call) -> object:
    bot.commands.pop(_command_key(call.parameters), None)
    return True


async def get_chat(bot: Bot, call: Call) -> object:
    chat = bot.chats.get(call.parameters.text("chat_id"))
    return {
        **chat.json(),
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": {
            "unlimited_gifts": True,
            "limited_gifts": True,
            "unique_gifts": True,
            "premium_subscription": True,
            "gifts_from_channels": True,
        },
    }


Method = Callable[[Bot, Call], Awaitable[object]]

_ALL: dict[str, Method] = {
    "getMe": get_me,
    "getUpdates": get_updates,
    "setWebhook": set_webhook,
    "deleteWebhook": delete_webhook,
    "getWebhookInfo": get_webhook_info,
    "sendMessage": send_message,
    "sendLocation": send_location,
    "sendDocument": send_document,
    "sendChatAction": send_chat_action,
    "editMessageText": edit_message_text,
    "editMessageReplyMarkup": edit_message_reply_markup,
    "deleteMessage": delete_message,
    "answerCallbackQuery": answer_callback_query,
    "setMyCommands": set_my_commands,
    "getMyCommands": get_my_commands,
    "deleteMyCommands": delete_my_commands,
    "getChat": get_chat,
}


def find(name: str) -> tuple[str, Method] | None:
    """The method called `name` (in any case, as Telegram takes it), properly spelled; None where there is none."""
    return _BY_NAME.get(name.lower())


_BY_NAME = {name.lower(): (name, method) for name, method in _ALL.items()}
