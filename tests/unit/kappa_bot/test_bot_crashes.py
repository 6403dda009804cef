"""The heart of it: killed, frozen and woken at any moment, nothing is lost, nothing happens twice, one polls."""

import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.mongod import ReplicaSet
from tests.unit.kappa_bot.bot_lab import Bot, BotLab, Json, bot_lab, prepared, until

pytestmark = pytest.mark.mongod

KILLS = 20
SEED = 2024


def _check_nothing_lost_or_twice(lab: BotLab, traffic: Json) -> None:
    assert traffic["complaints"] == []
    assert traffic["dialogues_failed"] == traffic["dialogues_open"] == 0
    assert traffic["dialogues_finished"] == traffic["dialogues_started"] > 0
    finished = Counter(line["marker"] for line in lab.journal("dialogue") if line["state"] == "finished")
    sent = {line["update_id"] for line in lab.journal("update")}
    with lab.db() as db:
        until(lambda: db.Replies.count_documents({}) == 0, "every reply is sent and removed")
        until(lambda: db.Updates.count_documents({"pending": True}) == 0, "every update is done")
        stored = Counter(place["properties"]["Popup_es"] for place in db.Data.find())
        received = {update["_id"] for update in db.Updates.find({"doneAt": {"$exists": True}})}
        failed = list(db.Updates.find({"failed": {"$exists": True}}))
        kept = db.Updates.count_documents({"update": {"$exists": True}})
    assert stored == finished, "every place stored once, and none that nobody described"
    assert set(stored.values()) == {1}
    assert received == sent
    assert failed == []
    assert kept == 0, "what a user wrote is not kept once it is done with"


def test_killed_at_random_moments_nothing_is_lost_and_nothing_happens_twice(lab: BotLab) -> None:
    dice = random.Random(SEED)
    bot = lab.active_bot()
    lab.lab("POST", "/traffic", {"users": 24, "rate_per_s": 60.0, "seed": SEED})
    kills: list[float] = []
    for _ in range(KILLS):
        # Under this load every step of receiving, storing, confirming and replying is going on at any time.
        time.sleep(dice.uniform(0.0, 0.35))
        bot.signal(signal.SIGKILL)
        # What the dead one had sent is still on its way; the next one needs longer than this to load itself.
        kills.append(time.time() + 0.1)
        bot.wait()
        bot = lab.active_bot()
    traffic = lab.traffic_done()
    _check_nothing_lost_or_twice(lab, traffic)
    assert traffic["updates_sent"] > 10 * KILLS, "too little went on to judge by"
    repeats = Counter((line["user"], sum(kill < line["t"] for kill in kills)) for line in lab.journal("repeat"))
    assert all(count <= 1 for count in repeats.values()), f"more than one reply repeated in a chat: {repeats}"
    assert bot.status()["epoch"] == KILLS + 1


def _requests(lab: BotLab, node: str) -> list[Json]:
    return [line for line in lab.journal("begin") if line["node"] == node]


def test_a_frozen_bot_that_wakes_writes_nothing_and_polls_no_more(lab: BotLab) -> None:
    lab.lease_ttl = 1.0
    dice = random.Random(SEED)
    numbers = (1, 2, 3)
    first = lab.active_bot("a1", **lab.own_way(1))
    lab.lab("POST", "/traffic", {"users": 24, "rate_per_s": 60.0, "seed": SEED})
    for number, after in zip(numbers, (2, 3, 4), strict=False):
        time.sleep(dice.uniform(0.2, 0.4))
        first.signal(signal.SIGSTOP)
        second = lab.active_bot(f"a{after}", **lab.own_way(after))
        with lab.db() as db:
            epoch = second.status()["epoch"]
            before = _written_under(db, epoch - 1)
            time.sleep(dice.uniform(0.1, 0.3))
            first.signal(signal.SIGCONT)
            assert first.wait() == 4, first.said()
            assert _written_under(db, epoch - 1) == before, "a bot that was frozen wrote after another took over"
        assert first.said().splitlines()[-1].startswith("kappa-bot: lease lost: epoch"), first.said()
        taken_over = min(line["t"] for line in _requests(lab, f"node{after}"))
        late = [line for line in _requests(lab, f"node{number}") if line["t"] > taken_over]
        assert late == [], "a bot that was frozen sent requests after another took over"
        first = second
    _check_nothing_lost_or_twice(lab, lab.traffic_done())


def _written_under(db: Any, epoch: int) -> tuple[int, int]:
    return db.Updates.count_documents({"epoch": epoch}), db.Updates.count_documents({"doneEpoch": epoch})


def test_a_bot_never_polls_while_another_holds_the_lease(lab: BotLab) -> None:
    first = lab.active_bot("a1", **lab.own_way(1))
    second = lab.start_bot("a2", **lab.own_way(2))
    until(lambda: "lease" in second.said(), "the second bot has seen the lease")
    assert "waiting for the lease" in second.said()
    time.sleep(lab.lease_ttl * 1.5)  # as long as an unrenewed lease would have lasted
    assert second.role() == "starting"
    assert second.status()["reason"].startswith("waiting for the lease")
    assert _requests(lab, "node2") == []
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    second.until_role("active")
    assert max(line["t"] for line in _requests(lab, "node1")) < min(line["t"] for line in _requests(lab, "node2"))


def test_a_primary_that_is_killed_costs_time_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mongo").mkdir()
    (tmp_path / "prepare").mkdir()
    with ReplicaSet(tmp_path / "mongo", members=3) as mongo:
        ready = prepared(mongo, tmp_path / "prepare")
        with bot_lab(ready, tmp_path / "lab") as lab:
            bot = lab.active_bot()
            lab.lab("POST", "/traffic", {"users": 24, "rate_per_s": 40.0})
            until(lambda: lab.lab("GET", "/traffic")["updates_answered"] > 50, "traffic flows")
            old = mongo.primary()
            mongo.signal_member(old, signal.SIGKILL)
            answered = lab.lab("GET", "/traffic")["updates_answered"]
            until(lambda: lab.lab("GET", "/traffic")["updates_answered"] > answered + 50, "it answers again", within=40)
            assert mongo.primary() != old
            assert bot.status()["epoch"] == 1, "the same tenure, before and after"
            _check_nothing_lost_or_twice(lab, lab.traffic_done())


def test_a_dialogue_survives_the_bot_at_every_step(lab: BotLab) -> None:
    bot: Bot = lab.active_bot()

    def again() -> None:
        nonlocal bot
        with lab.db() as db:
            until(lambda: db.Replies.count_documents({}) == 0, "the reply is known to be sent, and not repeated")
        bot.signal(signal.SIGKILL)
        bot.wait()
        bot = lab.active_bot()

    chat = 4242
    message = lab.answered(chat, text="/start", language="es")
    again()
    message = lab.tap(chat, message, "Español", language="es")
    again()
    lab.tap(chat, message, "Acepto", language="es")
    again()
    message = lab.answered(chat, latitude=10.5, longitude=-66.9, language="es")
    again()
    message = lab.tap(chat, message, "📍 Registrar un lugar aquí", language="es")
    again()
    message = lab.tap(chat, message, "Vías y servicios", language="es")
    again()
    lab.tap(chat, message, "Bache", language="es")
    again()
    message = lab.answered(chat, text="Uno muy hondo", language="es")
    assert "registrado" in message["text"]
    with lab.db() as db:
        places = list(db.Data.find())
    assert len(places) == 1
    assert places[0]["geometry"] == {"type": "Point", "coordinates": [-66.9, 10.5]}
