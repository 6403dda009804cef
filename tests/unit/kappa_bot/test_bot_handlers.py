"""python-telegram-bot's handlers: which update is which step."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from telegram import Update

from kappa_bot.catalogue import Catalogue, Choice
from kappa_bot.handlers import ALLOWED_UPDATES, App, build_application, take_turn
from kappa_bot.texts import say
from kappa_bot.turn import Dialogue, Draft, Turn
from tests.unit.kappa_bot.in_process import Json, location_update, offline_bot, tap_update, text_update

CATALOGUE = Catalogue((Choice("c", {"es": "C", "en": "C"}),), {"c": (Choice("s", {"es": "S", "en": "S"}),)})
KNOWN = Dialogue("en", accepted=True)
DESCRIBING = Dialogue("en", True, Draft(9, (1.0, 2.0), "c", "s"))


@pytest.fixture
async def application() -> AsyncIterator[App]:
    found = build_application(offline_bot())
    await found.initialize()
    yield found
    await found.shutdown()


async def _turn(application: App, update: Json, at: Dialogue = KNOWN) -> Turn:
    parsed = Update.de_json(update, application.bot)
    turn = await take_turn(application, parsed, at, CATALOGUE)
    assert turn.error is None
    return turn


@pytest.mark.parametrize("command", ["/start", "/iniciar", "/START", "/start@kappa_lab_bot", "/start deep-link"])
async def test_start(application: App, command: str) -> None:
    turn = await _turn(application, text_update(1, 5, command), Dialogue())
    assert turn.replies[0].buttons == ((("Español", "l:es"), ("English", "l:en")),)


@pytest.mark.parametrize("command", ["/todo", "/ToDo", "/Hacer", "/hacer"])
async def test_menu(application: App, command: str) -> None:
    turn = await _turn(application, text_update(1, 5, command))
    assert [data for row in turn.replies[0].buttons for _, data in row] == ["m:r", "m:s", "m:n"]


@pytest.mark.parametrize("command", ["/register", "/registrar", "/Register@kappa_lab_bot"])
async def test_register(application: App, command: str) -> None:
    assert (await _turn(application, text_update(1, 5, command))).dialogue.draft == Draft(1)


@pytest.mark.parametrize(
    ("commands", "key"),
    [
        (("/search", "/buscar"), "search_category"),
        (("/near", "/cerca"), "near_share"),
        (("/complain", "/queja"), "complain_help"),
        (("/forget", "/olvidar"), "forget_confirm"),
        (("/help", "/ayuda"), "help"),
    ],
)
async def test_the_other_commands(application: App, commands: tuple[str, ...], key: str) -> None:
    for command in commands:
        assert (await _turn(application, text_update(1, 5, command))).replies[0].text == say("en", key)


@pytest.mark.parametrize("command", ["/category", "/categoria", "/Category", "/categoría"])
async def test_a_new_category(application: App, command: str) -> None:
    update = text_update(1, 5, f"{command} Two  words")
    # As Telegram marks it: a command ends before the first letter that is none of a-z.
    update["message"]["entities"][0]["length"] = len(command.split("í")[0])
    turn = await _turn(application, update, DESCRIBING)
    assert turn.new is not None and (turn.new.name, turn.new.category) == ("Two words", None)


@pytest.mark.parametrize("command", ["/subcategory", "/subcategoria", "/subcategoría"])
async def test_a_new_subcategory(application: App, command: str) -> None:
    update = text_update(1, 5, f"{command} Two words")
    update["message"]["entities"][0]["length"] = len(command.split("í")[0])
    turn = await _turn(application, update, DESCRIBING)
    assert turn.new is not None and (turn.new.name, turn.new.category) == ("Two words", "c")


@pytest.mark.parametrize("command", ["/message a hole", "/mensaje a hole", "/Message\na hole", "a hole"])
async def test_describe(application: App, command: str) -> None:
    place = (await _turn(application, text_update(1, 5, command), DESCRIBING)).place
    assert place is not None and place.description == "a hole"


async def test_describe_without_words(application: App) -> None:
    turn = await _turn(application, text_update(1, 5, "/mensaje"), DESCRIBING)
    assert turn.place is None and turn.replies[0].text == say("en", "describe_empty")


@pytest.mark.parametrize("command", ["/cancel", "/cancelar"])
async def test_cancel(application: App, command: str) -> None:
    assert (await _turn(application, text_update(1, 5, command), DESCRIBING)).dialogue.draft is None


async def test_location_is_turned_round_to_longitude_first(application: App) -> None:
    at = Dialogue("en", True, Draft(9))
    turn = await _turn(application, location_update(1, 5, latitude=10.5, longitude=-66.9), at)
    assert turn.dialogue.draft == Draft(9, (-66.9, 10.5))


async def test_buttons_are_answered_where_they_hang(application: App) -> None:
    turn = await _turn(application, tap_update(1, 5, "s:9:s"), Dialogue("en", True, Draft(9, (1.0, 2.0), "c")))
    assert [reply.method for reply in turn.replies] == ["editMessageText", "answerCallbackQuery"]
    assert turn.replies[0].message_id == 1 and turn.replies[1].query_id == "q1"


@pytest.mark.parametrize(
    "content",
    [{"sticker": {"file_id": "a", "file_unique_id": "b", "type": "regular", "width": 1, "height": 1,
                  "is_animated": False, "is_video": False}},
     {"text": "/unknown", "entities": [{"type": "bot_command", "offset": 0, "length": 8}]},
     {"text": "/start@other_bot", "entities": [{"type": "bot_command", "offset": 0, "length": 16}]},
     {"dice": {"emoji": "x", "value": 1}}],
)  # fmt: skip
async def test_anything_else_is_helped_along_and_loses_nothing(application: App, content: dict[str, Any]) -> None:
    update = text_update(1, 5, "x")
    del update["message"]["text"]
    update["message"].update(content)
    turn = await _turn(application, update, DESCRIBING)
    assert turn.dialogue == DESCRIBING and turn.place is None
    assert say("en", "not_now") in turn.replies[0].text


@pytest.mark.parametrize("content", [{"pinned_message": None}, {"group": True}, {"edited": True}])
async def test_what_is_not_said_to_the_bot_is_not_answered(application: App, content: dict[str, Any]) -> None:
    update = text_update(1, 5, "hello")
    if "group" in content:
        update["message"]["chat"] = {"id": -5, "type": "group", "title": "all"}
    elif "edited" in content:
        update["edited_message"] = update.pop("message")
    else:
        update["message"]["pinned_message"] = text_update(1, 5, "x")["message"]
        del update["message"]["text"]
    assert (await _turn(application, update)).replies == []


async def test_who_has_chosen_nothing_is_greeted_in_the_language_of_the_client(application: App) -> None:
    for language in ("es", "en"):
        turn = await _turn(application, text_update(1, 5, "/start", language), Dialogue())
        assert turn.replies[0].text.startswith(say(language, "choose_language"))


async def test_a_handlers_exception_is_kept_with_the_turn(application: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("kappa_bot.dialogue.words", defect)
    parsed = Update.de_json(text_update(1, 5, "hello"), application.bot)
    turn = await take_turn(application, parsed, KNOWN, CATALOGUE)
    assert isinstance(turn.error, ZeroDivisionError)


async def test_two_turns_at_once_do_not_mix(application: App) -> None:
    import asyncio

    turns = await asyncio.gather(
        *(_turn(application, text_update(n, n, "/register"), KNOWN) for n in range(1, 20)),
    )
    assert [turn.dialogue.draft for turn in turns] == [Draft(n) for n in range(1, 20)]


def test_what_is_asked_of_telegram_is_what_the_handlers_look_at() -> None:
    assert ALLOWED_UPDATES == ("message", "callback_query")
