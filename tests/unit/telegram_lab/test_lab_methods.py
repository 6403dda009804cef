"""What the bot does to chats: sending, editing, answering, and Telegram's refusals in Telegram's words."""

import io
from typing import Any

import pytest
import telegram
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, KeyboardButton, ReplyKeyboardMarkup
from telegram.constants import ParseMode

from kappa_lab.telegram import methods
from tests.unit.telegram_lab.labserver import TOKEN, Server, keyboard, serving

CHAT = 31


@pytest.fixture
async def bot(server: Server) -> Any:
    await server.say(CHAT, "/start")
    async with telegram.Bot(TOKEN, base_url=server.base_url) as bot:
        yield bot


async def shown(server: Server) -> list[dict[str, Any]]:
    messages = (await server.control("GET", f"/people/{CHAT}"))["messages"]
    return [message for message in messages if message["from"]["is_bot"]]


async def refusal(server: Server, method: str, **parameters: object) -> str:
    status, body = await server.call(method, **parameters)
    assert status == body["error_code"] and body["ok"] is False
    return f"{status} {body['description']}"


async def test_get_me(bot: telegram.Bot) -> None:
    me = await bot.get_me()
    assert (me.id, me.is_bot) == (4242, True)


async def test_a_message_with_buttons_is_sent_edited_and_deleted(server: Server, bot: telegram.Bot) -> None:
    markup = InlineKeyboardMarkup(
        [[InlineKeyboardButton("Sí", callback_data="y"), InlineKeyboardButton("No", url="http://x")]]
    )
    message = await bot.send_message(CHAT, "  ¿Aceptas?  ", reply_markup=markup)
    assert message.text == "¿Aceptas?" and message.reply_markup == markup and message.chat_id == CHAT
    edited = await bot.edit_message_text("Gracias", CHAT, message.message_id)
    assert isinstance(edited, telegram.Message) and edited.reply_markup is None and edited.edit_date is not None
    again = await bot.edit_message_reply_markup(CHAT, message.message_id, reply_markup=markup)
    assert isinstance(again, telegram.Message) and again.text == "Gracias" and again.reply_markup == markup
    assert await bot.delete_message(CHAT, message.message_id)
    assert await shown(server) == []


async def test_html_becomes_entities(server: Server, bot: telegram.Bot) -> None:
    message = await bot.send_message(
        CHAT, "a <b>bold &amp; <i>new</i></b> 📍 <a href='http://x'>link</a>", ParseMode.HTML
    )
    assert message.text == "a bold & new 📍 link"
    assert {entity.type: message.parse_entity(entity) for entity in message.entities} == {
        "bold": "bold & new",
        "italic": "new",
        "text_link": "link",
    }


@pytest.mark.parametrize("text", ["1 < 2", "<b>open", "</b>", "<b><i>crossed</b></i>", "<div>no such tag</div>"])
async def test_html_that_telegram_refuses(server: Server, bot: telegram.Bot, text: str) -> None:
    with pytest.raises(telegram.error.BadRequest, match="Can't parse entities"):
        await bot.send_message(CHAT, text, ParseMode.HTML)
    assert (await bot.send_message(CHAT, text)).text == text


async def test_a_tap_comes_with_its_message_and_is_answered_once_in_time(server: Server, bot: telegram.Bot) -> None:
    markup = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="y")]])
    message = await bot.send_message(CHAT, "?", reply_markup=markup)
    await server.control("POST", f"/people/{CHAT}", tap="y", message_id=message.message_id)
    query = (await bot.get_updates(timeout=5))[-1].callback_query
    assert query is not None and query.data == "y" and isinstance(query.message, telegram.Message)
    assert query.message.message_id == message.message_id and query.message.reply_markup == markup
    assert await bot.answer_callback_query(query.id, "done")
    assert server.events("reply", method="answerCallbackQuery", chat_id=CHAT)


async def test_an_old_query_is_refused(server: Server, bot: telegram.Bot) -> None:
    message = await bot.send_message(CHAT, "?", reply_markup=keyboard(("Yes", "y")))  # type: ignore[arg-type]
    await server.control("POST", f"/people/{CHAT}", tap="y", message_id=message.message_id)
    query = (await bot.get_updates(timeout=5))[-1].callback_query
    server.lab.chats.callback_answer_s = 0.0
    assert query is not None
    with pytest.raises(telegram.error.BadRequest, match="Query is too old and response timeout expired or query id"):
        await bot.answer_callback_query(query.id)


async def test_a_tap_under_a_deleted_message_shows_nothing_of_it(server: Server, bot: telegram.Bot) -> None:
    message = await bot.send_message(CHAT, "?")
    await bot.delete_message(CHAT, message.message_id)
    await server.control("POST", f"/people/{CHAT}", tap="y", message_id=message.message_id)
    query = (await server.result("getUpdates"))[-1]["callback_query"]
    assert query["message"] == {"message_id": message.message_id, "chat": message.chat.to_dict(), "date": 0}
    assert (await bot.get_updates(offset=-1))[0].callback_query is not None


async def test_a_document_reaches_the_user(server: Server, bot: telegram.Bot) -> None:
    message = await bot.send_document(CHAT, io.BytesIO(b"<html>map</html>"), "a map", filename="map.html")
    document = message.document
    assert document is not None and message.caption == "a map"
    assert (document.file_name, document.file_size, document.mime_type) == ("map.html", 16, "text/html")
    async with server.http.get(f"http://{server.lab.control}/files/{document.file_id}") as answer:
        assert await answer.read() == b"<html>map</html>"
    again = await bot.send_document(CHAT, document.file_id)
    assert again.document is not None and again.document.file_size == 16


async def test_a_reply_keyboard_is_shown_beside_the_messages_and_forbids_editing(
    server: Server, bot: telegram.Bot
) -> None:
    markup = ReplyKeyboardMarkup([[KeyboardButton("Here", request_location=True)]])
    message = await bot.send_message(CHAT, "Where?", reply_markup=markup)
    assert message.reply_markup is None
    assert (await server.control("GET", f"/people/{CHAT}"))["keyboard"]["keyboard"][0][0]["request_location"] is True
    with pytest.raises(telegram.error.BadRequest, match="Message can't be edited"):
        await bot.edit_message_text("Sorry", CHAT, message.message_id)
    await bot.send_message(CHAT, "Thanks", reply_markup=telegram.ReplyKeyboardRemove())
    assert (await server.control("GET", f"/people/{CHAT}"))["keyboard"] is None


async def test_commands_are_kept_for_each_scope_and_language(bot: telegram.Bot) -> None:
    await bot.set_my_commands([("todo", "What to do")])
    await bot.set_my_commands([("hacer", "Qué hacer")], language_code="es")
    assert [command.command for command in await bot.get_my_commands()] == ["todo"]
    assert [command.command for command in await bot.get_my_commands(language_code="es")] == ["hacer"]
    assert await bot.get_my_commands(scope=telegram.BotCommandScopeAllPrivateChats()) == ()
    with pytest.raises(telegram.error.BadRequest, match="Bot_command_invalid"):
        await bot.set_my_commands([("ToDo", "Upper case")])


async def test_chat_action_and_chat(bot: telegram.Bot) -> None:
    assert await bot.send_chat_action(CHAT, "typing")
    with pytest.raises(telegram.error.BadRequest, match="Wrong parameter action in request"):
        await bot.send_chat_action(CHAT, "thinking")
    assert (await bot.get_chat(CHAT)).type == "private"


REFUSALS: list[tuple[str, dict[str, object], str]] = [
    ("sendMessage", {"chat_id": CHAT, "text": "  "}, "400 Bad Request: message text is empty"),
    ("sendMessage", {"chat_id": CHAT, "text": "x" * 4097}, "400 Bad Request: message is too long"),
    ("sendMessage", {"chat_id": 999, "text": "x"}, "400 Bad Request: chat not found"),
    ("sendMessage", {"chat_id": "@nobody", "text": "x"}, "400 Bad Request: chat not found"),
    ("sendMessage", {"text": "x"}, "400 Bad Request: chat_id is empty"),
    (
        "sendMessage",
        {"chat_id": CHAT, "text": "x", "reply_markup": keyboard(("x", "d" * 65))},
        "400 Bad Request: BUTTON_DATA_INVALID",
    ),
    (
        "sendMessage",
        {"chat_id": CHAT, "text": "x", "reply_markup": {"inline_keyboard": [[{"text": "x"}]]}},
        "400 Bad Request: can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
    ),
    (
        "sendMessage",
        {"chat_id": CHAT, "text": "x", "reply_markup": "{not json"},
        "400 Bad Request: can't parse reply keyboard markup JSON object",
    ),
    (
        "editMessageText",
        {"chat_id": CHAT, "message_id": 999, "text": "x"},
        "400 Bad Request: message to edit not found",
    ),
    # Message 1 is the user's own.
    ("editMessageText", {"chat_id": CHAT, "message_id": 1, "text": "x"}, "400 Bad Request: message can't be edited"),
    (
        "editMessageText",
        {"chat_id": CHAT, "message_id": 1, "text": "x" * 4097},
        "400 Bad Request: MESSAGE_TOO_LONG",
    ),
    ("deleteMessage", {"chat_id": CHAT, "message_id": 99}, "400 Bad Request: message to delete not found"),
    (
        "answerCallbackQuery",
        {"callback_query_id": "1"},
        "400 Bad Request: query is too old and response timeout expired or query ID is invalid",
    ),
    ("sendDocument", {"chat_id": CHAT}, "400 Bad Request: there is no document in the request"),
    (
        "sendMessage",
        {"chat_id": CHAT, "text": "x", "parse_mode": "BBCode"},
        "400 Bad Request: unsupported parse_mode",
    ),
    ("sendBanana", {"chat_id": CHAT}, "404 Not Found: method not found"),
]


@pytest.mark.parametrize(("method", "parameters", "words"), REFUSALS, ids=lambda value: str(value)[:40])
async def test_refusals_in_telegrams_words(
    server: Server, method: str, parameters: dict[str, object], words: str
) -> None:
    await server.say(CHAT, "/start")
    assert await refusal(server, method, **parameters) == words


async def test_an_edit_that_changes_nothing_is_refused(server: Server, bot: telegram.Bot) -> None:
    markup = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="y")]])
    message = await bot.send_message(CHAT, "same", reply_markup=markup)
    with pytest.raises(telegram.error.BadRequest, match="Message is not modified: specified new message content"):
        await bot.edit_message_text("same", CHAT, message.message_id, reply_markup=markup)
    with pytest.raises(telegram.error.BadRequest, match="Message is not modified"):
        await bot.edit_message_reply_markup(CHAT, message.message_id, reply_markup=markup)
    assert await bot.edit_message_text("other", CHAT, message.message_id, reply_markup=markup)


async def test_a_bot_may_not_begin_and_not_write_to_who_blocked_it(server: Server) -> None:
    await server.control("GET", "/people/77")
    words = await refusal(server, "sendMessage", chat_id=77, text="hello")
    assert words == "403 Forbidden: bot can't initiate conversation with a user"
    await server.say(77, "/start")
    await server.control("POST", "/people/77", block=True)
    words = await refusal(server, "sendMessage", chat_id=77, text="hello")
    assert words == "403 Forbidden: bot was blocked by the user"


async def test_the_token(server: Server) -> None:
    for token, status, words in (("4242:WRONG", 401, "Unauthorized"), ("malformed", 404, "Not Found")):
        async with server.http.get(f"{server.base_url}{token}/getMe") as answer:
            assert answer.status == status
            assert await answer.json() == {"ok": False, "error_code": status, "description": words}
    with pytest.raises(telegram.error.InvalidToken):
        await telegram.Bot("4242:WRONG", base_url=server.base_url).initialize()
    async with server.http.get(f"http://{server.lab.bind}/") as answer:
        assert answer.status == 404


async def test_a_body_that_is_no_json_is_refused(server: Server) -> None:
    headers = {"Content-Type": "application/json"}
    async with server.http.post(f"{server.base_url}{TOKEN}/getMe", data="{", headers=headers) as answer:
        assert answer.status == 400


async def test_message_ids_grow_over_all_chats(server: Server) -> None:
    await server.say(1, "/start")
    await server.say(2, "/start")
    sent = [await server.result("sendMessage", chat_id=chat, text="x") for chat in (1, 2, 1)]
    assert [message["message_id"] for message in sent] == [3, 4, 5]


async def test_every_method_is_found_in_any_case() -> None:
    found = methods.find("SENDMESSAGE")
    assert found is not None and found[0] == "sendMessage"
    assert methods.find("sendBanana") is None


async def test_the_answer_window_is_a_setting(tmp_path: Any) -> None:
    async with serving(tmp_path, callback_answer_s=3.5) as server:
        assert server.lab.chats.callback_answer_s == 3.5
