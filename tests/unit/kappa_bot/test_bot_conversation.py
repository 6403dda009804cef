"""Whole conversations as users have them, over HTTP, in both languages, with every wrong turn."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from bson import ObjectId

from kappa_bot.catalogue import NAME_CHARACTERS
from kappa_bot.database import CATEGORIES, DATA, DIALOGUES, REPLIES, SUBCATEGORIES, UPDATES, USERS
from tests.unit.kappa_bot.bot_lab import BotLab, Json, rows, until
from tests.unit.kappa_bot.walking import Walker, labels

pytestmark = pytest.mark.mongod

CHAT = 6_000_001
BOTH = pytest.mark.parametrize("language", ["es", "en"])
STREETS = {"es": ("Vías y servicios", "Bache"), "en": ("Streets and services", "Pothole")}


@pytest.fixture
def walker(lab: BotLab) -> Walker:
    lab.active_bot()
    user = Walker(lab, CHAT)
    user.joins()
    return user


def place(lab: BotLab, text: str, longitude: float = -66.9, latitude: float = 10.5, complaints: int = 0) -> str:
    """A pothole that somebody registered earlier."""
    with lab.db() as db:
        pothole = db[SUBCATEGORIES].find_one({"Name_en": "Pothole"})
        assert pothole is not None
        done = db[DATA].insert_one(
            {
                "type": "Feature",
                "properties": {"Subcategory": pothole["_id"], "Popup_en": text, "Popup_es": text},
                "geometry": {"type": "Point", "coordinates": [longitude, latitude]},
                "complaints": complaints,
                "complaintsUsers": [],
                "creationDate": datetime.now(UTC),
            }
        )
        return str(done.inserted_id)


def stored(lab: BotLab) -> list[Json]:
    with lab.db() as db:
        return list(db[DATA].find())


@BOTH
def test_a_user_registers_searches_and_complains_in_their_language(lab: BotLab, language: str) -> None:
    lab.active_bot()
    user = Walker(lab, CHAT, language)
    menu = user.joins()
    assert labels(menu) == [user.say(key) for key in ("menu_register", "menu_search", "menu_near")]
    assert all(len(row) == 1 for row in rows(menu)), "a phone shows each whole"

    asked = user.tap(menu, user.say("menu_register"))
    assert asked["text"] == user.say("share_location")
    categories = user.shares()
    subcategories = user.tap(categories, STREETS[language][0])
    described = user.tap(subcategories, STREETS[language][1])
    assert STREETS[language][1] in described["text"]
    command = {"es": "/mensaje", "en": "/message"}[language]
    assert user.sends(f"{command} Uno muy hondo").get("text") == user.say("stored")

    menu = user.sends({"es": "/Hacer", "en": "/ToDo"}[language])
    categories = user.tap(menu, user.say("menu_search"))
    subcategories = user.tap(categories, STREETS[language][0])
    found, map_ = user.taps(subcategories, STREETS[language][1], count=2)
    title = " › ".join(STREETS[language])
    assert found["text"].startswith(user.say("found", title=title, count=1) + "\n\n1. Uno muy hondo (")
    assert map_["caption"] == user.say("map_all", title=title, count=1)
    assert map_["document"]["file_name"] == user.say("map_file")
    assert "Uno muy hondo" in user.file(map_) and f'<html lang="{language}">' in user.file(map_)

    sure = user.tap(found, "⚠ 1")
    assert sure["text"] == user.say("complain_confirm", text="Uno muy hondo")
    assert user.tap(sure, user.say("complain_yes"))["text"] == user.say("complain_done")
    assert stored(lab)[0]["complaints"] == 1


@BOTH
def test_new_categories_are_added_by_name_and_chosen_by_the_next_user(lab: BotLab, language: str) -> None:
    lab.active_bot()
    user = Walker(lab, CHAT, language)
    user.joins()
    user.sends("/register")
    ask_name = user.tap(user.shares(), user.say("new_category"))
    assert ask_name["text"] == user.say("name_category")
    first = user.sends("  Áreas\n \u202everdes ")
    assert first["text"].startswith(user.say("name_added", name="Áreas verdes"))
    # A category without subcategories is chosen all the same; the first one is asked for.
    assert user.say("first_subcategory", category="Áreas verdes") in first["text"]
    described = user.sends("Parque")
    assert user.say("describe", category="Áreas verdes", subcategory="Parque") in described["text"]
    assert user.sends("Con árboles")["text"] == user.say("stored")

    other = Walker(lab, CHAT + 1, "en" if language == "es" else "es")
    other.joins()
    other.sends("/register")
    assert "Áreas verdes" in labels(other.shares())
    known = other.sends("/category areas VERDES")
    assert known["text"].startswith(other.say("name_known", name="areas VERDES"))
    assert "Parque" in labels(known)
    command = {"es": "/subcategoría", "en": "/subcategory"}[language]
    assert other.sends(f"{command} Jardín")["text"].startswith(other.say("name_added", name="Jardín"))
    assert other.sends("/subcategory parque")["text"].startswith(other.say("name_known", name="parque"))
    assert other.sends("Otro más")["text"] == other.say("stored")
    with lab.db() as db:
        (category,) = db[CATEGORIES].find({"folded": "areas verdes"})
        subcategories = list(db[SUBCATEGORIES].find({"Category": category["_id"]}))
        assert db[UPDATES].count_documents({"failed": {"$exists": True}}) == 0
    assert (category["Name_es"], category["Name_en"]) == ("Áreas verdes", "Áreas verdes")
    assert sorted(each["Name_es"] for each in subcategories) == ["Jardín", "Parque"]
    park = next(each["_id"] for each in subcategories if each["Name_es"] == "Parque")
    assert [each["properties"]["Subcategory"] for each in stored(lab)] == [park, park]
    found, _ = user.looks_for("Áreas verdes", "Parque")
    assert user.say("found", title="Áreas verdes › Parque", count=2) in found["text"]


def test_names_that_cannot_be_taken_are_sent_back_and_nothing_is_lost(walker: Walker) -> None:
    user = walker
    assert user.sends("/category Parks")["text"] == user.say("new_needs_place")
    user.sends("/register")
    assert user.say("not_now") in user.sends("/category Parks")["text"], "the location comes first"
    user.shares()
    assert user.sends("/category")["text"] == user.say("category_empty")
    assert user.say("not_now") in user.sends("/subcategory Parks")["text"], "its category comes first"
    long = "x" * (NAME_CHARACTERS + 1)
    sent = user.sends(f"/category {long}")
    assert sent["text"] == user.say("name_long", most=NAME_CHARACTERS, length=len(long))
    assert user.sends("/category ¡!")["text"] == user.say("name_empty")
    assert user.sends("/category \u202e\u200b")["text"] == user.say("name_empty"), "nothing that can be seen"
    assert user.sends("/category Puta")["text"] == user.say("improper_name")
    naming = user.tap(user.sends("/register"), user.say("new_category"))
    assert user.say("name_category") in naming["text"]
    assert user.sends("mierda")["text"] == user.say("improper_name")
    categories = user.tap(naming, user.say("back"))
    assert "Health" in labels(categories)
    subcategories = user.tap(categories, "Health")
    assert user.sends("/subcategory")["text"] == user.say("subcategory_empty")
    naming = user.tap(subcategories, user.say("new_subcategory"))
    assert naming["text"] == user.say("name_subcategory", category="Health")
    assert user.say("name_subcategory", category="Health") in user.sends("/message too early")["text"]
    assert "Pharmacy" in labels(user.tap(naming, user.say("back")))
    with user.lab.db() as db:
        assert db[CATEGORIES].count_documents({"Nickname": {"$regex": "^added-"}}) == 0
        assert db[DIALOGUES].count_documents({"draft.coordinates": {"$exists": True}}) == 1


def test_long_lists_are_leafed_through_and_each_choice_is_within_reach(walker: Walker) -> None:
    user = walker
    with user.lab.db() as db:
        health = db[CATEGORIES].find_one({"Nickname": "health"})
        assert health is not None
        db[SUBCATEGORIES].insert_many(
            [
                {
                    "_id": ObjectId(f"{n:024x}"),
                    "Category": health["_id"],
                    **{f"Name_{language}": f"Kind {n:02d}" for language in ("es", "en")},
                    "folded": [f"kind {n:02d}"],
                    "creationDate": datetime.now(UTC),
                }
                for n in range(1, 41)
            ]
        )
    user.lab.bots[0].order("demote", wait_s=20)
    user.lab.bots[0].order("promote", wait_s=20)
    message = user.tap(user.sends("/search"), "Health")
    seen = labels(message)
    while user.say("page_after") in labels(message):
        message = user.tap(message, user.say("page_after"))
        seen += labels(message)
        assert all(len(row) <= 2 for row in rows(message))
    assert {f"Kind {n:02d}" for n in range(1, 41)} <= set(seen)
    assert user.say("page_before") in labels(message)
    assert user.say("found_none", title="Health › Kind 40") in user.tap(message, "Kind 40")["text"]
    user.sends("/register")
    message = user.tap(user.shares(), "Health")
    message = user.tap(message, user.say("page_after"))
    assert user.say("describe", category="Health", subcategory="Kind 20") == user.tap(message, "Kind 20")["text"]


@BOTH
def test_what_is_near_comes_nearest_first_with_its_distance(lab: BotLab, language: str) -> None:
    lab.active_bot()
    user = Walker(lab, CHAT, language)
    place(lab, "far", latitude=10.6)
    place(lab, "a kilometre and more", latitude=10.5 + 0.0112)
    place(lab, "kept from sight", latitude=10.5001, complaints=3)
    place(lab, "next door", latitude=10.5002)
    menu = user.joins()
    asked = user.tap(menu, user.say("menu_near"))
    assert asked["text"] == user.say("near_share")
    assert user.sends("here")["text"] == user.say("near_share"), "still awaited"
    found, map_ = user.does(2, latitude=10.5, longitude=-66.9)
    kilometres = {"es": "1,2 km", "en": "1.2 km"}[language]
    name = STREETS[language][1]
    assert f"1. {name}: next door (20 m)\n2. {name}: a kilometre and more ({kilometres})\n" in found["text"]
    assert "kept from sight" not in user.file(map_) and "far" not in found["text"]
    assert '"origin": [10.5, -66.9]' in user.file(map_)
    assert user.tap(user.shares(40.0, 3.0), user.say("here_near"))["text"] == user.say("near_none")


def test_a_location_of_one_who_does_nothing_is_asked_about(walker: Walker) -> None:
    user = walker
    place(user.lab, "next door", latitude=10.5002)
    here = user.shares()
    assert labels(here) == [user.say("here_register"), user.say("here_near")]
    found, _ = user.taps(here, user.say("here_near"), count=2)
    assert "next door" in found["text"]
    here = user.shares()
    assert "Health" in labels(user.tap(here, user.say("here_register")))
    user.sends("/category Streets and services")
    user.tap(user.sends("/register"), "Pothole")
    assert user.sends("deep")["text"] == user.say("stored")
    assert stored(user.lab)[-1]["geometry"]["coordinates"] == [-66.9, 10.5]


def test_a_search_in_the_middle_of_a_registration_loses_nothing(walker: Walker) -> None:
    user = walker
    place(user.lab, "an old one")
    asked = user.chooses("Health", "Pharmacy")
    found, _ = user.looks_for("Streets and services", "Pothole")
    assert user.say("in_progress_later") in found["text"]
    user.sends("/near")
    found, _ = user.does(2, latitude=10.5, longitude=-66.9)
    assert "an old one" in found["text"]
    menu = user.sends("/todo")
    assert labels(menu)[0] == user.say("menu_continue")
    assert asked["text"] in user.tap(menu, user.say("menu_continue"))["text"]
    assert user.sends("open at night")["text"] == user.say("stored")


def test_an_empty_search_is_answered_with_what_one_can_do(walker: Walker) -> None:
    user = walker
    (nothing,) = user.looks_for("Events", "Concert", count=1)
    assert nothing["text"] == user.say("found_none", title="Events › Concert")
    assert labels(nothing) == [user.say("search_again"), user.say("menu_register")]
    assert "Events" in labels(user.tap(nothing, user.say("search_again")))


def test_a_map_holds_the_newest_and_says_that_there_are_more(walker: Walker) -> None:
    user = walker
    for n in range(103):
        place(user.lab, f"hole number {n}.")
    found, map_ = user.looks_for("Streets and services", "Pothole")
    title = "Streets and services › Pothole"
    assert map_["caption"] == user.say("map_newest", title=title, count=100)
    page = user.file(map_)
    assert "hole number 102." in page and "hole number 3." in page and "hole number 2." not in page
    assert "1. hole number 102." in found["text"] and "6." not in found["text"].split("hole number 98.")[1]
    assert len(labels(found)) == 6
    user.sends("/near")
    _, map_ = user.does(2, latitude=10.5, longitude=-66.9)
    assert map_["caption"] == user.say("map_nearest", title=user.say("near_title"), count=100)


def test_three_people_complain_and_a_place_is_hidden(lab: BotLab) -> None:
    lab.active_bot()
    place(lab, "not true")
    users = [Walker(lab, CHAT + n, ("es", "en")[n % 2]) for n in range(4)]
    lists = []
    for user in users:
        user.joins()
        lists.append(user.looks_for(*STREETS[user.language])[0])
    first = users[0]
    sure = first.tap(lists[0], "⚠ 1")
    assert first.tap(sure, first.say("complain_no"))["text"] == first.say("complain_not")
    for n, user in enumerate(users[:3]):
        assert stored(lab)[0]["complaints"] == n
        sure = user.tap(lists[n], "⚠ 1")
        assert user.tap(sure, user.say("complain_yes"))["text"] == user.say("complain_done")
        if n < 2:
            assert user.tap(lists[n], "⚠ 1")["text"] == user.say("complain_twice")
            # The old button once more: it was tapped late, by one who is counted.
            user.lab.do(user.chat, tap=f"y:{stored(lab)[0]['_id']}", message_id=sure["message_id"])
    (hidden,) = stored(lab)
    assert hidden["complaints"] == 3 and len(set(hidden["complaintsUsers"])) == 3
    assert not any(str(user.chat) in str(hidden["complaintsUsers"]) for user in users)
    last = users[3]
    assert last.tap(lists[3], "⚠ 1")["text"] == last.say("complain_gone")
    (nothing,) = last.looks_for(*STREETS[last.language], count=1)
    assert nothing["text"].startswith(last.say("found_none", title=" › ".join(STREETS[last.language])))
    assert last.sends("/queja")["text"] == last.say("complain_help")


@BOTH
def test_a_user_is_forgotten_and_what_is_the_publics_stays(lab: BotLab, language: str) -> None:
    lab.active_bot()
    user = Walker(lab, CHAT, language)
    user.joins()
    place(lab, "somebody's")
    found, _ = user.looks_for(*STREETS[language])
    user.tap(user.tap(found, "⚠ 1"), user.say("complain_yes"))
    user.chooses(*STREETS[language])
    user.sends("mine")
    user.sends("/register")
    user.shares()
    sure = user.sends({"es": "/olvidar", "en": "/forget"}[language])
    assert sure["text"] == user.say("forget_confirm")
    left, asked = user.taps(sure, user.say("forget_no"), count=2)
    assert left["text"] == user.say("forget_not") and user.say("in_progress") in asked["text"]
    again = user.sends("/forget")
    late = user.does(tap=rows(sure)[0][0]["callback_data"], message_id=sure["message_id"])[-1]
    assert late["text"].startswith(user.say("old_button")), "that question was answered"
    with lab.db() as db:
        assert db[USERS].count_documents({}) == 1 and db[DIALOGUES].count_documents({}) == 1
    assert user.tap(again, user.say("forget_yes"))["text"] == user.say("forgotten")
    with lab.db() as db:
        until(lambda: db[REPLIES].count_documents({}) == 0, "every reply is sent")
        assert db[USERS].count_documents({}) == db[DIALOGUES].count_documents({}) == 0
    theirs, mine = stored(lab)
    assert (theirs["complaints"], theirs["complaintsUsers"]) == (1, [])
    assert mine["properties"]["Popup_en"] == "mine"
    assert user.say("choose_language") in user.sends("/search")["text"], "a stranger again"


def test_replies_that_wait_for_one_who_wants_to_be_forgotten_go_too(walker: Walker) -> None:
    user = walker
    sure = user.sends("/forget")
    user.lab.fault(kind="error", status=502, methods=["sendMessage"])
    for _ in range(3):
        user.lab.do(user.chat, text="/help")
    with user.lab.db() as db:
        until(lambda: db[REPLIES].count_documents({}) == 3, "replies wait")
        user.lab.do(user.chat, tap=rows(sure)[0][0]["callback_data"], message_id=sure["message_id"])
        until(lambda: db[USERS].count_documents({}) == 0, "the user is forgotten")
        assert [reply["text"] for reply in db[REPLIES].find({"method": "sendMessage"})] == []
    user.lab.lab("DELETE", "/fault")


def test_inappropriate_words_are_refused_and_the_list_can_be_changed_while_the_bot_runs(lab: BotLab) -> None:
    lines = lab.directory / "words.txt"
    lines.write_text("# none\nZapote\n", "utf-8")
    bot = lab.active_bot(words={"file": str(lines)})
    user = Walker(lab, CHAT, "es")
    user.joins()
    user.chooses("Salud", "Farmacia")
    assert user.sends("¡ZAPÓTE!")["text"] == user.say("improper_description")
    assert user.sends("/mensaje z.a.p.o.t.e")["text"] == user.say("improper_description")
    lines.write_text("otra cosa\n", "utf-8")
    assert user.sends("Otra  COSA")["text"] == user.say("improper_description")
    _spoil(lines)
    assert user.sends("otra cosa")["text"] == user.say("improper_description"), "the last good list"
    assert user.sends("es otra-cosa")["text"] == user.say("improper_description")
    assert bot.said().count("words.file") == 1, "one line, however often it is looked at"
    assert user.sends("zapote")["text"] == user.say("stored")


def _spoil(file: Path) -> None:
    other = file.with_suffix(".new")
    other.write_bytes(b"\xff\xfe nonsense")
    other.replace(file)


def test_nobody_gets_past_the_terms_and_old_buttons_do_no_harm(lab: BotLab) -> None:
    lab.active_bot()
    known = Walker(lab, CHAT)
    known.joins()
    place(lab, "a hole")
    found, _ = known.looks_for("Streets and services", "Pothole")
    stranger = Walker(lab, CHAT + 1)
    for command in ("/todo", "/search", "/near", "/complain", "/forget", "/help", "/register", "/category X", "hello"):
        assert stranger.say("choose_language") in stranger.sends(command)["text"]
    message = stranger.tap(stranger.sends("/start"), "English")
    for row in rows(found):
        for button in row:
            said = stranger.does(tap=button["callback_data"], message_id=message["message_id"])[-1]
            assert stranger.say("terms_first") in said["text"]
    known.chooses("Health", "Pharmacy")
    with lab.db() as db:
        before = db[DIALOGUES].find_one({"draft": {"$exists": True}})
    for data in (
        "x:",
        "x:zz",
        "y:1",
        "f:1:2",
        "m:q",
        "h:1",
        "n:a:b",
        "n:nan:1",
        "h:999:1",
        "z:1:y",
        "c:1:+",
        "q",
    ):
        said = known.does(tap=data, message_id=found["message_id"])[-1]
        assert known.say("old_button") in said["text"] or known.say("gone_choice") in said["text"], data
    with lab.db() as db:
        assert db[DIALOGUES].find_one({"draft": {"$exists": True}}) == before
        assert db[UPDATES].count_documents({"failed": {"$exists": True}}) == 0
        assert db[USERS].count_documents({}) == 1
    assert known.sends("still there")["text"] == known.say("stored")


def test_cancel_ends_what_was_begun_last(walker: Walker) -> None:
    user = walker
    assert user.sends("/cancel")["text"] == user.say("nothing_to_cancel")
    user.sends("/register")
    subcategories = user.tap(user.shares(), "Health")
    user.sends("/near")
    for early in ("/message a hole", "a hole"):
        assert user.say("near_share") in user.sends(early)["text"], "nothing is published by mistake"
    described = user.tap(subcategories, "Pharmacy")
    assert user.say("describe", category="Health", subcategory="Pharmacy") == described["text"]
    user.sends("/near")
    stopped, asked = user.does(2, text="/cancelar")
    assert stopped["text"] == user.say("stopped") and user.say("in_progress") in asked["text"]
    assert user.sends("/cancel")["text"] == user.say("cancelled")
    assert user.sends("/help")["text"] == user.say("help")
