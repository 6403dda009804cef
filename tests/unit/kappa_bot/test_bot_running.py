"""The bot as an operator and its users meet it: processes, sockets, the Bot API, a real mongod."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from kappa_bot.database import DATA, DIALOGUES, LEASE, REPLIES, UPDATES, USERS
from kappa_bot.texts import say
from tests.unit.kappa_bot.bot_lab import BotLab, Json, rows, until

pytestmark = pytest.mark.mongod

CHAT = 5_151_515
WORDS = "SecretHoleInTheRoad"


def register(lab: BotLab, chat: int, description: str, language: str = "en") -> Json:
    """A whole registration; the last answer."""
    message = lab.answered(chat, text="/start", language=language)
    message = lab.tap(chat, message, say(language, "language_name"), language=language)
    lab.tap(chat, message, say(language, "accept"), language=language)
    lab.answered(chat, text="/register" if language == "en" else "/Registrar", language=language)
    message = lab.answered(chat, latitude=10.5, longitude=-66.9, language=language)
    message = lab.tap(chat, message, {"en": "Events", "es": "Eventos"}[language], language=language)
    lab.tap(chat, message, {"en": "Protest", "es": "Protesta"}[language], language=language)
    return lab.answered(chat, text=description, language=language)


def test_two_users_register_a_place_each_in_their_language(lab: BotLab) -> None:
    lab.active_bot()
    spanish = register(lab, CHAT, "Una protesta", "es")
    english = register(lab, CHAT + 1, "A protest", "en")
    assert (spanish["text"], english["text"]) == (say("es", "stored"), say("en", "stored"))
    with lab.db() as db:
        places = {place["properties"]["Popup_es"]: place for place in db[DATA].find()}
        users = db[USERS].count_documents({})
    assert set(places) == {"Una protesta", "A protest"}
    assert users == 2
    assert places["A protest"]["geometry"]["coordinates"] == [-66.9, 10.5]


def test_a_button_tapped_late_gets_help_and_the_buttons_are_gone_from_where_they_were(lab: BotLab) -> None:
    lab.active_bot()
    language = lab.answered(CHAT, text="/start")
    terms = lab.tap(CHAT, language, "English")
    assert terms["message_id"] == language["message_id"], "the next step stands where the buttons were"
    accepted = lab.tap(CHAT, terms, say("en", "accept"))
    assert [button["text"] for row in rows(accepted) for button in row] == [
        say("en", key) for key in ("menu_register", "menu_search", "menu_near")
    ]
    lab.answered(CHAT, text="/register")
    categories = lab.answered(CHAT, latitude=1.0, longitude=2.0)
    subcategories = lab.tap(CHAT, categories, "Danger")
    lab.tap(CHAT, subcategories, "Fire")
    lab.answered(CHAT, text="it burns")
    late = lab.answered(CHAT, tap=rows(categories)[0][0]["callback_data"], message_id=categories["message_id"])
    assert late["text"].startswith(say("en", "old_button"))
    with lab.db() as db:
        assert db[DATA].count_documents({}) == 1


def test_status_says_how_it_is(lab: BotLab) -> None:
    bot = lab.active_bot()
    status = bot.status()
    assert status["v"] == 1 and status["ok"] is True and status["role"] == "active"
    assert status["pid"] == bot.process.pid and status["epoch"] == 1
    assert 0 <= status["last_receive_s"] < 5 and status["backlog"] == 0 and status["conflicts"] == 0
    assert (status["telegram"], status["router"], status["reason"]) == ("ok", "ok", "")
    shown = subprocess.run(lab.command("status", "--socket", bot.socket), env=lab.env(), capture_output=True, text=True)
    assert shown.returncode == 0
    assert "role         active" in shown.stdout.splitlines()


def test_a_bot_that_telegram_does_not_answer_is_not_active(lab: BotLab) -> None:
    lab.fault(kind="hang", methods=["getUpdates"])
    bot = lab.start_bot()
    until(lambda: bot.role() != "gone" and bot.status()["epoch"], "it holds the lease")
    until(lambda: [line for line in lab.journal("begin") if line["method"] == "getUpdates"], "it polls")
    status = bot.status()
    assert status["role"] == "starting" and status["last_receive_s"] is None
    lab.lab("DELETE", "/fault")
    bot.until_role("active")


def test_standby_is_silent_and_promote_demote_and_stop_do_as_they_say(lab: BotLab) -> None:
    bot = lab.start_bot(standby=True)
    bot.until_role("standby")
    until(lambda: bot.status()["router"] == "ok", "it has logged in")
    assert lab.journal("begin") == [], "a standby asks Telegram for nothing"
    began = time.monotonic()
    status = bot.order("promote", wait_s=10)
    took = time.monotonic() - began
    assert status["role"] == "active" and took < 1.0
    lab.answered(CHAT, text="/start")
    status = bot.order("demote", wait_s=10)
    assert status["role"] == "standby" and status["epoch"] is None and status["last_receive_s"] is None
    polls = len(lab.journal("begin"))
    with lab.db() as db:
        lease = db[LEASE].find_one()
        assert lease is not None and lease["holder"] is None, "the lease is given back"
    assert lab.lab("GET", "/updates")["held"] == 0, "what was stored is acknowledged"
    lab.do(CHAT, text="/todo")
    time.sleep(0.3)
    assert len(lab.journal("begin")) == polls
    assert bot.order("promote", wait_s=10)["role"] == "active"
    until(lambda: len(lab.chat(CHAT)) == 2, "what came meanwhile is answered")
    bot.order("stop")
    assert bot.wait() == 0
    assert not Path(bot.socket).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_quick_finishes_what_is_held_and_gives_the_lease_back(lab: BotLab, number: int) -> None:
    bot = lab.active_bot()
    lab.lab("POST", "/traffic", {"users": 12, "rate_per_s": 40.0})
    until(lambda: lab.lab("GET", "/traffic")["updates_answered"] > 20, "traffic flows")
    began = time.monotonic()
    bot.signal(number)
    assert bot.wait() == 0, bot.said()
    assert time.monotonic() - began < 1.5
    with lab.db() as db:
        lease = db[LEASE].find_one()
        assert lease is not None and lease["holder"] is None
    lab.active_bot("next")
    assert lab.traffic_done()["complaints"] == []


def test_a_reply_on_its_way_when_the_tenure_ends_arrives_once(lab: BotLab) -> None:
    """The user has it already, and Telegram's answer takes longer than the bot would go on."""
    bot = lab.active_bot()
    lab.answered(CHAT, text="/start")
    lab.fault(kind="slow", seconds=1.15, when="after", methods=["sendMessage"])
    lab.do(CHAT, text="/todo")
    until(lambda: len(lab.chat(CHAT)) == 2, "the reply has arrived")
    assert bot.order("demote", wait_s=10)["role"] == "standby"
    with lab.db() as db:
        assert db["Replies"].count_documents({}) == 0, "and it is noted that it has"
    lab.lab("DELETE", "/fault")
    assert bot.order("promote", wait_s=10)["role"] == "active"
    lab.answered(CHAT, text="/todo")
    assert len(lab.journal("repeat")) == 0 and len(lab.chat(CHAT)) == 3


def test_a_promotion_of_a_bot_that_never_received_anything_is_served_at_once(lab: BotLab) -> None:
    """Telegram makes a poll wait that repeats the offset of the one before, which was the predecessor's: none."""
    lab.active_bot("first").order("demote", wait_s=10)
    began = [line["t"] for line in lab.journal("begin") if line["method"] == "getUpdates"]
    second = lab.start_bot("second", standby=True)
    second.until_role("standby")
    assert second.order("promote", wait_s=10)["role"] == "active"
    polls = [line for line in lab.journal("begin") if line["method"] == "getUpdates" and line["t"] > began[-1]]
    ends = {line["id"]: line["t"] for line in lab.journal("end")}
    assert ends[polls[0]["id"]] - polls[0]["t"] < 2.0, "not held for Telegram's three seconds"


@pytest.mark.parametrize("role", ["active", "standby"])
def test_a_stop_succeeds_whatever_state_mongodb_and_telegram_are_in(lab: BotLab, role: str) -> None:
    bot = lab.start_bot(standby=role == "standby")
    bot.until_role(role)
    if role == "active":
        lab.lab("POST", "/traffic", {"users": 12, "rate_per_s": 40.0})
        until(lambda: lab.lab("GET", "/traffic")["updates_answered"] > 20, "traffic flows")
    process = lab.mongo.members[0].process
    assert process is not None
    lab.fault(kind="hang")
    process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(0.2)
        began = time.monotonic()
        bot.signal(signal.SIGTERM)
        assert bot.wait(10) == 0, bot.said()
        assert time.monotonic() - began < 5
    finally:
        process.send_signal(signal.SIGCONT)
    assert not Path(bot.socket).exists()


def test_an_update_is_stored_before_it_is_acknowledged(lab: BotLab) -> None:
    """While MongoDB stands still the bot receives, and must not acknowledge what it cannot store."""
    lab.lease_ttl = 10.0
    lab.active_bot()
    lab.answered(CHAT, text="/start")
    process = lab.mongo.members[0].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        update = lab.do(CHAT, text="/todo")
        handed = until(
            lambda: [line for line in lab.journal("end") if update in line["handed"]], "the update is handed out"
        )
        # A bot that acknowledges first does so at once.
        time.sleep(1.0)
        confirmed = [id_ for line in lab.journal("confirm") for id_ in line["update_ids"]]
        assert handed and update not in confirmed
        assert lab.lab("GET", "/updates")["held"] == 1
    finally:
        process.send_signal(signal.SIGCONT)
    until(lambda: len(lab.chat(CHAT)) == 2, "it is answered once MongoDB goes on")
    until(lambda: lab.lab("GET", "/updates")["held"] == 0, "and acknowledged")


def test_a_router_that_goes_away_and_comes_back_costs_time_and_nothing_else(lab: BotLab) -> None:
    lab.lease_ttl = 1.0
    relay, settings = lab.own_router()
    bot = lab.active_bot(**settings)
    lab.lab("POST", "/traffic", {"users": 24, "rate_per_s": 60.0})
    for away in (0.1, 0.5, 1.5):
        until(lambda: lab.lab("GET", "/traffic")["updates_answered"] > 20, "traffic flows")
        relay.cut()
        time.sleep(away)
        if away > lab.lease_ttl:
            status = bot.status()
            assert status["role"] == "starting", "without its lease it polls no more"
            assert status["reason"].startswith("lease not renewed")
            assert status["router"] != "ok"
        relay.mend()
        bot.until_role("active")
    traffic = lab.traffic_done()
    assert traffic["complaints"] == [] and traffic["dialogues_finished"] == traffic["dialogues_started"]
    assert bot.status()["epoch"] == 1, "the same bot under the same epoch all the time"
    with lab.db() as db:
        assert db[DATA].count_documents({}) == traffic["dialogues_finished"]


def test_a_stop_long_after_the_router_went_waits_for_nothing(lab: BotLab) -> None:
    """The cluster ends the bot because its router died, and starts neither before the bot has ended."""
    lab.lease_ttl = 1.0
    relay, settings = lab.own_router()
    bot = lab.active_bot(**settings)
    lab.lab("POST", "/traffic", {"users": 12, "rate_per_s": 40.0})
    until(lambda: lab.lab("GET", "/traffic")["updates_answered"] > 20, "traffic flows")
    relay.cut()
    bot.until_role("starting")
    time.sleep(lab.lease_ttl / 2)  # the lease is over by MongoDB's reckoning too: a moment that nobody announces
    began = time.monotonic()
    bot.signal(signal.SIGTERM)
    assert bot.wait(10) == 0, bot.said()
    assert time.monotonic() - began < 1.5
    assert "has ended by itself: there is nothing to give back" in bot.said()
    relay.mend()
    assert lab.active_bot("next").status()["epoch"] == 2
    assert lab.traffic_done()["complaints"] == []


def test_telegrams_bad_days_are_waited_out(lab: BotLab) -> None:
    bot = lab.active_bot()
    lab.lab("POST", "/traffic", {"users": 24, "rate_per_s": 60.0})
    for fault in (
        {"kind": "error", "status": 500, "count": 3},
        {"kind": "error", "status": 502, "count": 3},
        {"kind": "error", "status": 429, "retry_after": 1, "count": 3},
        {"kind": "reset", "count": 3},
        {"kind": "reset", "when": "after", "count": 2, "methods": ["getUpdates"]},
        {"kind": "error", "status": 401, "count": 1},
    ):
        lab.fault(**fault)
        until(lambda: not lab.lab("GET", "/fault")["faults"], f"{fault} is used up")
    traffic = lab.traffic_done()
    assert traffic["complaints"] == [] and traffic["dialogues_finished"] == traffic["dialogues_started"]
    with lab.db() as db:
        assert db[DATA].count_documents({}) == traffic["dialogues_finished"]
    until(lambda: bot.status()["telegram"] == "ok", "all is well again")
    assert bot.role() == "active"


def test_who_has_blocked_the_bot_holds_up_nobody(lab: BotLab) -> None:
    bot = lab.active_bot()
    lab.answered(CHAT, text="/start")
    bot.order("demote", wait_s=5)
    lab.do(CHAT, text="/todo")
    lab.lab("POST", f"/people/{CHAT}", {"block": True})
    bot.order("promote")
    until(lambda: "dropped, Telegram refuses it: Forbidden" in bot.said(), "the reply is dropped with a line")
    with lab.db() as db:
        until(lambda: db[REPLIES].count_documents({}) == 0, "and leaves the outbox")
    lab.answered(CHAT + 1, text="/start")


def test_a_foreign_poller_is_reported_and_not_fought(lab: BotLab) -> None:
    bot = lab.active_bot()
    over = threading.Event()
    answers: list[int] = []

    def foreign() -> None:
        while not over.is_set():
            answers.append(lab.telegram("getUpdates", timeout=1)[0])

    thread = threading.Thread(target=foreign)
    thread.start()
    try:
        until(lambda: bot.status()["conflicts"] >= 1, "conflicts are counted", within=30)
        assert "Conflict" in bot.status()["telegram"]
        # Between two conflicts a poll that does not wait is served: it is said all the same.
        until(lambda: "another program polls" in bot.status()["reason"], "it says that there is another", within=60)
        until(lambda: "another program polls with this bot's token" in bot.said(), "in its log too")
    finally:
        over.set()
        thread.join()
    until(lambda: bot.status()["conflicts"] == 0 and bot.role() == "active", "it goes on alone", within=30)
    lab.answered(CHAT, text="/start")


def test_a_webhook_that_was_left_set_is_deleted_and_its_updates_are_kept(lab: BotLab) -> None:
    lab.telegram("setWebhook", url="https://127.0.0.1:9/x")
    lab.do(CHAT, text="/start")
    bot = lab.active_bot()
    until(lambda: len(lab.chat(CHAT)) == 1, "the update that waited for the webhook is answered")
    assert "a webhook was set for this bot" in bot.said()


def test_no_secret_no_words_and_no_user_in_the_log_whatever_happens(lab: BotLab) -> None:
    relay, settings = lab.own_router()
    bot = lab.active_bot(**settings)
    register(lab, CHAT, WORDS)
    for fault in (
        {"kind": "error", "status": 500, "count": 2},
        {"kind": "reset", "count": 1},
        {"kind": "error", "status": 401, "count": 1},
        {"kind": "error", "status": 400, "count": 1, "methods": ["sendMessage"]},
    ):
        lab.fault(**fault)
        lab.do(CHAT, text=WORDS)
        until(lambda: not lab.lab("GET", "/fault")["faults"], f"{fault} is used up")
    relay.cut()
    time.sleep(0.3)
    relay.mend()
    bot.until_role("active")
    environ = Path(f"/proc/{bot.process.pid}/environ").read_text()
    command = Path(f"/proc/{bot.process.pid}/cmdline").read_text()
    bot.signal(signal.SIGTERM)
    bot.wait()
    assert bot.said().count("level=") > 5, "there is something to look through"
    for what in (lab.token, lab.token.split(":")[1], lab.password, WORDS, str(CHAT), "Traceback"):
        assert what not in bot.said(), what
        assert what not in environ + command, what


@pytest.mark.parametrize("wrong", ["token", "password"])
def test_a_refused_secret_ends_the_bot_with_a_sentence_that_names_the_file(lab: BotLab, wrong: str) -> None:
    file = lab.secret(f"wrong-{wrong}", "123456:not-the-right-one")
    bot = lab.start_bot(standby=False, **{f"{wrong}_file": str(file)})
    assert bot.wait(20) == {"token": 5, "password": 6}[wrong], bot.said()
    last = bot.said().splitlines()[-1]
    assert last.startswith("kappa-bot: ") and str(file) in last
    assert "not-the-right-one" not in bot.said()


def test_the_database_can_be_prepared_as_often_as_one_likes(lab: BotLab) -> None:
    with lab.db() as db:
        db.Categories.update_one({"Nickname": "health"}, {"$set": {"Name_en": "Health care"}})
        before = (db.Categories.count_documents({}), db.Subcategories.count_documents({}), db[LEASE].find_one())
        try:
            ran = lab.prepare()
            assert ran.returncode == 0, ran.stderr
            after = (db.Categories.count_documents({}), db.Subcategories.count_documents({}), db[LEASE].find_one())
            changed = db.Categories.find_one({"Nickname": "health"})
        finally:
            db.Categories.update_one({"Nickname": "health"}, {"$set": {"Name_en": "Health"}})
    assert after == before and before[0] > 0 and before[1] > 0
    assert changed is not None and changed["Name_en"] == "Health care", "an operator's name stays"


def test_the_bots_user_can_do_what_the_bot_does_and_nothing_else(lab: BotLab) -> None:
    client: MongoClient[Json] = MongoClient(
        lab.mongo.uri, username="kappa_bot", password=lab.password, authSource=lab.database
    )
    with client:
        db = client[lab.database]
        assert db[LEASE].find_one() is not None
        refused: list[Callable[[], Any]] = [
            lambda: db[LEASE].delete_one({"_id": "poller"}),
            lambda: db[LEASE].insert_one({"_id": "other"}),
            lambda: db[UPDATES].delete_many({}),
            lambda: db[DATA].delete_many({}),
            lambda: db.Categories.update_many({}, {"$set": {"Name_en": "x"}}),
            lambda: db.Subcategories.delete_many({}),
            db[DATA].drop,
            lambda: db[DIALOGUES].create_index("x"),
            lambda: db.Another.insert_one({}),
            db.list_collection_names,
            lambda: db.command("createUser", "x", pwd="x", roles=[]),
            lambda: client.admin.command("listDatabases", nameOnly=True, authorizedDatabases=False),
            client.another.things.find_one,
            lambda: client.admin.command("shutdown"),
        ]
        for number, attempt in enumerate(refused):
            with pytest.raises(OperationFailure) as caught:
                attempt()
            assert caught.value.code == 13, (number, caught.value)


def test_the_database_refuses_what_is_no_place(lab: BotLab) -> None:
    good: Json = {
        "type": "Feature",
        "properties": {"Subcategory": ObjectId(), "Popup_en": "x", "Popup_es": "x"},
        "geometry": {"type": "Point", "coordinates": [-66.9, 10.5]},
        "complaints": 0,
        "complaintsUsers": [],
        "creationDate": datetime.now(UTC),
        "updateId": 1,
    }
    with lab.db() as db:
        db[DATA].insert_one({**good})
        for change in (
            {"geometry": {"type": "Point", "coordinates": [10.5, -166.9]}},
            {"geometry": {"type": "Point", "coordinates": [10.5]}},
            {"type": "Point"},
            {"properties": {"Subcategory": "x", "Popup_en": "x", "Popup_es": "x"}},
            {"complaints": "none"},
            {"complaints": -1},
            {"complaintsUsers": ["123456789"]},
            {"complaintsUsers": ["a" * 64]},
            {"complaints": 2, "complaintsUsers": ["a" * 64] * 2},
        ):
            with pytest.raises(OperationFailure) as caught:
                db[DATA].insert_one({**good, "updateId": 2, **change})
            assert caught.value.code == 121, change
        with pytest.raises(OperationFailure) as caught:
            db[DATA].insert_one({**good})
        assert caught.value.code == 11000, "one place for one update"


def test_prepare_database_says_what_is_wrong_in_one_sentence(lab: BotLab) -> None:
    file = lab.secret("wrong-admin", "wrong")
    ran = subprocess.run(
        lab.command(
            *("prepare-database", "--config", str(lab.config("prepare")), "--admin-user", "kappa_admin"),
            *("--admin-password-file", str(file)),
        ),
        env=lab.env(),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 6
    assert ran.stderr == (
        "kappa-bot: MongoDB refuses the administrator kappa_admin: check the name and the password file\n"
    )
