"""New categories, searches, complaints being forgotten against a real mongod: each step twice, and side by side."""

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect, OperationFailure
from telegram.error import NetworkError

from kappa_bot import map_page, places
from kappa_bot.database import CATEGORIES, DATA, DIALOGUES, REPLIES, SUBCATEGORIES, UPDATES, USERS
from kappa_bot.queries import MapOrder, Near
from kappa_bot.texts import say
from tests.unit.kappa_bot.in_process import Json, location_update, tap_update, text_update
from tests.unit.kappa_bot.test_bot_writes import CHAT, FIRST, Running, _send_all, running

__all__ = ["running"]

pytestmark = [
    pytest.mark.mongod,
    pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning"),
]


def joined(chat: int, first: int) -> list[Json]:
    return [text_update(first, chat, "/start"), tap_update(first + 1, chat, "l:en"), tap_update(first + 2, chat, "t:y")]


def drafted(chat: int, first: int) -> list[Json]:
    """Joined, and a place begun as the draft `first + 3`; the next update is `first + 5`."""
    begun = [text_update(first + 3, chat, "/register"), location_update(first + 4, chat, 10.5, -66.9)]
    return joined(chat, first) + begun


async def texts(running: Running, chat: int = CHAT) -> list[str]:
    return [reply["text"] for reply in await running.replies() if reply["chat"] == chat and reply["text"]]


async def a_place(running: Running, **change: Any) -> ObjectId:
    pothole = await running.made.database[SUBCATEGORIES].find_one({"Name_en": "Pothole"})
    assert pothole is not None
    properties = {"Subcategory": pothole["_id"], "Popup_en": "a hole", "Popup_es": "un bache"}
    document: Json = {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": "Point", "coordinates": [-66.9, 10.5]},
        "complaints": 0,
        "complaintsUsers": [],
        "creationDate": datetime.now(UTC),
        **change,
    }
    # The bot's own user: what it may not do shows here.
    done = await running.made.database[DATA].insert_one(document)
    found: ObjectId = done.inserted_id
    return found


async def test_two_who_add_the_same_category_at_once_have_one(running: Running) -> None:
    for n in range(6):
        await running.receives(*drafted(CHAT + n, FIRST + 100 * n))
    await running.process()
    written = ("Áreas verdes", "areas verdes", "ÁREAS VERDES", "áreas-verdes", "Areas  Verdes", "áreas verdes!")
    for n, name in enumerate(written):
        await running.receives(
            text_update(FIRST + 100 * n + 5, CHAT + n, f"/category {name}"),
            text_update(FIRST + 100 * n + 6, CHAT + n, "Parque" if n % 2 else "parque"),
            text_update(FIRST + 100 * n + 7, CHAT + n, f"number {n}"),
        )
    await running.process()
    database = running.made.database
    (category,) = await database[CATEGORIES].find({"folded": "areas verdes"}).to_list()
    (park,) = await database[SUBCATEGORIES].find({"Category": category["_id"]}).to_list()
    assert await running.count(DATA, **{"properties.Subcategory": park["_id"]}) == 6
    assert await running.count(UPDATES, failed={"$exists": True}) == 0
    for n in range(6):
        assert (await texts(running, CHAT + n))[-1] == say("en", "stored")


async def test_a_new_category_done_again_is_the_same(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    await running.receives(*drafted(CHAT, FIRST))
    await running.process()
    session, lost = running.made.session, [True]
    commit = session.commit_transaction

    async def losing() -> None:
        await commit()
        if lost:
            lost.pop()
            raise AutoReconnect("the connection broke before the answer came")

    monkeypatch.setattr(session, "commit_transaction", losing)
    added = text_update(FIRST + 5, CHAT, "/category Parks")
    await running.receives(added)
    await running.process()
    await running.receives(added)
    await running.process()
    assert not lost
    (category,) = await running.made.database[CATEGORIES].find({"folded": "parks"}).to_list()
    assert category["_id"] == ObjectId(f"{FIRST + 5:024x}"), "its key follows from the update"
    assert sum(say("en", "name_added", name="Parks") in text for text in await texts(running)) == 1


async def test_an_improper_or_known_name_adds_nothing(running: Running) -> None:
    before = (await running.count(CATEGORIES), await running.count(SUBCATEGORIES))
    await running.receives(
        *drafted(CHAT, FIRST),
        text_update(FIRST + 5, CHAT, "/category SALUD"),
        text_update(FIRST + 6, CHAT, "/subcategory farmacía"),
        text_update(FIRST + 7, CHAT, "/subcategory p.u.t.a"),
        text_update(FIRST + 8, CHAT, "hijo de PUTA"),
    )
    await running.process()
    assert (await running.count(CATEGORIES), await running.count(SUBCATEGORIES)) == before
    said = await texts(running)
    assert said[-1] == say("en", "improper_description") and said[-2] == say("en", "improper_name")
    assert await running.count(DATA) == 0
    found = await running.made.database[DIALOGUES].find_one()
    assert found is not None and found["draft"]["subcategory"], "the pharmacy is chosen, in whichever language"


async def test_a_search_is_answered_from_the_outbox_by_what_is_small_and_durable(running: Running) -> None:
    for _ in range(3):
        await a_place(running, properties=(await _pothole(running, "x" * 1000)))
    pothole = (await _pothole(running, ""))["Subcategory"]
    category = (await running.made.database[SUBCATEGORIES].find_one({"_id": pothole}) or {})["Category"]
    search = tap_update(FIRST + 3, CHAT, f"g:{category}:{pothole}")
    await running.receives(*joined(CHAT, FIRST), search)
    await running.process()
    await running.receives(search)
    await running.process()
    replies = [reply for reply in await running.replies() if reply["updateId"] == FIRST + 3]
    assert [reply["method"] for reply in replies] == ["editMessageText", "answerCallbackQuery", "sendDocument"]
    order = replies[2]["map"]
    assert len(order["places"]) == 3 and "x" * 10 not in str(order)
    # Crashed before Telegram had taken it, and sent by the next: the same file.
    running.telegram.refusals = [NetworkError("Bad Gateway")] * 2
    await _send_all(running)
    first = [document for document in running.telegram.documents if document is not None]
    assert len(first) == 1 and first[0].count(b"x" * 1000) == 6
    again = dict(replies[2])
    await running.made.database[REPLIES].insert_one(again)
    running.sender.wake()
    await _send_all(running)
    assert [document for document in running.telegram.documents if document is not None] == first * 2


async def _pothole(running: Running, text: str) -> Json:
    found = await running.made.database[SUBCATEGORIES].find_one({"Name_en": "Pothole"})
    assert found is not None
    return {"Subcategory": found["_id"], "Popup_en": text, "Popup_es": text}


async def test_a_map_that_cannot_be_drawn_is_told_to_the_operator_and_holds_up_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("kappa_bot.sender.log.error", lambda text, *words: said.append(text % words))
    monkeypatch.setitem(sys.modules, "xstatic.pkg.leaflet", None)
    map_page._leaflet.cache_clear()
    map_page._style.cache_clear()
    await a_place(running)
    near = tap_update(FIRST + 3, CHAT, "n:-66.9:10.5")
    await running.receives(*joined(CHAT, FIRST), near, text_update(FIRST + 4, CHAT, "/help"))
    await running.process()
    await _send_all(running)
    assert said == [
        f"reply {FIRST + 3}:2 cannot be drawn: Leaflet's leaflet.css is missing: pip install XStatic-Leaflet"
    ]
    assert running.telegram.sent[-1][1].text == say("en", "help")
    assert await running.count(REPLIES) == 0


async def test_what_is_hidden_after_a_map_was_ordered_is_not_drawn(running: Running) -> None:
    shown, hidden = await a_place(running), await a_place(running)
    order = MapOrder("es", "x", (str(hidden), str(shown), "f" * 24))
    assert [mark.id for mark in await places.marks(running.made.database, order)] == [str(hidden), str(shown)]
    await running.made.database[DATA].update_one({"_id": hidden}, {"$set": {"complaints": 3}})
    (mark,) = await places.marks(running.made.database, order)
    assert (mark.id, mark.name, mark.description) == (str(shown), "Bache", "un bache")


async def test_a_complaint_counts_once_however_often_it_comes(running: Running) -> None:
    place = await a_place(running)
    yes = [tap_update(FIRST + 3 + n, CHAT, f"y:{place}") for n in range(4)]
    await running.receives(*joined(CHAT, FIRST), *yes, *yes)
    await running.process()
    await running.receives(*yes)
    await running.process()
    found = await running.made.database[DATA].find_one({"_id": place})
    assert found is not None and found["complaints"] == 1 and len(found["complaintsUsers"]) == 1
    assert (await texts(running))[-4:] == [say("en", "complain_done"), *[say("en", "complain_twice")] * 3]


async def test_three_at_once_hide_a_place_and_a_fourth_is_told(running: Running) -> None:
    place = await a_place(running)
    for n in range(5):
        await running.receives(*joined(CHAT + n, FIRST + 10 * n))
    await running.process()
    await running.receives(*(tap_update(FIRST + 10 * n + 3, CHAT + n, f"y:{place}") for n in range(5)))
    await running.process()
    found = await running.made.database[DATA].find_one({"_id": place})
    # All five were asked before any had complained: each counts.
    assert found is not None and found["complaints"] == len(set(found["complaintsUsers"])) == 5
    assert (await places.find(running.made.database, Near((-66.9, 10.5)), "", "en")) == ([], False)


async def test_who_is_forgotten_leaves_the_count_and_comes_back_as_a_stranger(running: Running) -> None:
    place, other = await a_place(running), await a_place(running)
    await running.receives(*joined(CHAT, FIRST), *joined(CHAT + 1, FIRST + 50))
    for n, chat in enumerate((CHAT, CHAT + 1)):
        await running.receives(
            *(tap_update(FIRST + 3 + 50 * n + m, chat, f"y:{p}") for m, p in enumerate((place, other)))
        )
    await running.process()
    forget = [text_update(FIRST + 10, CHAT, "/forget"), tap_update(FIRST + 11, CHAT, f"z:{FIRST + 10}:y")]
    await running.receives(*forget)
    await running.process()
    assert (await texts(running)) == [say("en", "forgotten")], "what waited to be sent to them is gone too"
    assert len(await texts(running, CHAT + 1)) > 1, "and nobody else's"
    assert await running.count(USERS) == await running.count(DIALOGUES) == 1
    for id_ in (place, other):
        found = await running.made.database[DATA].find_one({"_id": id_})
        assert found is not None and found["complaints"] == 2 and len(found["complaintsUsers"]) == 1
    await running.receives(*forget, tap_update(FIRST + 12, CHAT, f"z:{FIRST + 10}:y"))
    await running.process()
    assert await running.count(USERS) == 1
    assert await running.count(UPDATES, failed={"$exists": True}) == 0


async def test_a_search_waits_while_mongodb_cannot_be_read(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    await a_place(running)
    find, errors = places.find, [AutoReconnect("gone"), OperationFailure("not primary", 10107)]

    async def failing(*words: Any) -> Any:
        if errors:
            raise errors.pop()
        return await find(*words)

    monkeypatch.setattr("kappa_bot.processor.find", failing)
    await running.receives(*joined(CHAT, FIRST), tap_update(FIRST + 3, CHAT, "n:-66.9:10.5"))
    await running.process()
    assert errors == [] and "a hole" in "".join(await texts(running))


async def test_a_search_that_can_never_be_done_is_apologised_for(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*words: Any) -> Any:
        raise OperationFailure("unable to find index for $geoNear query", 291)

    monkeypatch.setattr("kappa_bot.processor.find", refused)
    await running.receives(
        *joined(CHAT, FIRST), tap_update(FIRST + 3, CHAT, "n:-66.9:10.5"), text_update(FIRST + 4, CHAT, "/help")
    )
    await asyncio.wait_for(running.process(), 30)
    assert (await texts(running))[-2:] == [say("en", "failed"), say("en", "help")]
    assert await running.count(UPDATES, failed="MongoDB error 291") == 1
