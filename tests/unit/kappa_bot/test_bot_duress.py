"""Everything that may go wrong around the bot while it works, by polling and by webhook alike: it slows down, recovers,
loses nothing, and repeats nothing."""

import http.client
import json
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from pymongo.errors import PyMongoError

from tests.mongod import ReplicaSet
from tests.unit.kappa_bot.bot_lab import BotLab, Json, bot_lab, prepared, until
from tests.unit.kappa_bot.test_bot_crashes import _check_nothing_lost_or_twice

pytestmark = pytest.mark.mongod

BACKLOG = 10_000
CHATS = 400
SEED = 77


@pytest.fixture(params=["polling", "webhook"])
def receive(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def either(lab: BotLab, receive: str) -> BotLab:
    lab.receive = receive
    return lab


def flows(lab: BotLab, more: int = 20, within: float = 60.0) -> None:
    answered = lab.lab("GET", "/traffic")["updates_answered"]
    until(lambda: lab.lab("GET", "/traffic")["updates_answered"] > answered + more, "traffic flows", within)


def test_killed_at_random_moments_by_webhook_too(lab: BotLab) -> None:
    lab.receive = "webhook"
    dice = random.Random(SEED)
    bot = lab.active_bot()
    lab.lab("POST", "/traffic", {"users": 24, "rate_per_s": 60.0, "seed": SEED, "patience_s": 120})
    kills: list[float] = []
    for _ in range(10):
        time.sleep(dice.uniform(0.0, 0.5))
        bot.signal(signal.SIGKILL)
        kills.append(time.time() + 0.1)
        bot.wait()
        bot = lab.active_bot()
    _check_nothing_lost_or_twice(lab, lab.traffic_done(within=120))
    repeats = Counter((line["user"], sum(kill < line["t"] for kill in kills)) for line in lab.journal("repeat"))
    assert all(count <= 1 for count in repeats.values()), f"more than one reply repeated in a chat: {repeats}"


def test_a_telegram_that_is_slow_or_refuses_is_waited_out(either: BotLab) -> None:
    lab = either
    lab.poll_timeout = 1
    bot = lab.active_bot()
    lab.lab("POST", "/traffic", {"users": 24, "rate_per_s": 40.0, "patience_s": 120})
    flows(lab)
    asking = "getUpdates" if lab.receive == "polling" else "getWebhookInfo"
    for fault in (
        {"kind": "slow", "seconds": 1.5, "count": 30},
        {"kind": "error", "status": 429, "retry_after": 1, "count": 4, "methods": ["sendMessage"]},
        {"kind": "error", "status": 503, "count": 10},
        {"kind": "error", "status": 429, "retry_after": 1, "count": 1, "methods": [asking]},
        {"kind": "reset", "count": 5},
    ):
        lab.fault(**fault)
        until(lambda: not lab.lab("GET", "/fault")["faults"], f"{fault} is used up", within=120)
        flows(lab)
    _check_nothing_lost_or_twice(lab, lab.traffic_done(within=120))
    until(lambda: bot.status()["telegram"] == "ok" and bot.role() == "active", "all is well again", within=60)
    assert bot.status()["epoch"] == 1


def test_a_router_that_is_started_anew_costs_time_and_nothing_else(either: BotLab) -> None:
    lab = either
    lab.lease_ttl = 1.0
    relay, settings = lab.own_router()
    bot = lab.active_bot(**settings)
    lab.lab("POST", "/traffic", {"users": 24, "rate_per_s": 60.0, "patience_s": 120})
    for away in (0.1, 1.5):
        flows(lab)
        relay.cut()
        time.sleep(away)
        relay.mend()
        bot.until_role("active", within=60)
    flows(lab)
    _check_nothing_lost_or_twice(lab, lab.traffic_done(within=120))
    assert bot.status()["epoch"] == 1


def test_a_primary_that_steps_down_costs_time_and_nothing_else(tmp_path: Path, receive: str) -> None:
    (tmp_path / "mongo").mkdir()
    (tmp_path / "prepare").mkdir()
    with (
        ReplicaSet(tmp_path / "mongo", members=3) as mongo,
        bot_lab(prepared(mongo, tmp_path / "prepare"), tmp_path / "lab") as lab,
    ):
        lab.receive = receive
        bot = lab.active_bot()
        lab.lab("POST", "/traffic", {"users": 24, "rate_per_s": 40.0, "patience_s": 120})
        for _ in range(2):
            flows(lab)
            old = mongo.primary()
            step_down(mongo)
            assert mongo.primary() != old
            flows(lab, more=50)
        assert bot.status()["epoch"] == 1, "the same tenure all the time"
        _check_nothing_lost_or_twice(lab, lab.traffic_done(within=120))


def step_down(mongo: ReplicaSet) -> None:
    """The primary may not become primary again for half a minute."""

    def done() -> bool:
        try:
            with mongo.client() as client:
                client.admin.command("replSetStepDown", 30, secondaryCatchUpPeriodSecs=20)
        except PyMongoError as error:
            # A secondary that is too far behind at this moment; or the connection went with the primary.
            return "caught up" not in str(error)
        return True

    until(done, "the primary steps down", within=60)


@pytest.mark.timeout(900)
def test_a_backlog_of_ten_thousand_is_worked_off_even_if_the_bot_is_killed_over_it(either: BotLab) -> None:
    lab = either
    # Of a machine that has much else to do: a lease that lapses repeats replies, as a kill does.
    lab.lease_ttl = 10.0
    write(lab, BACKLOG)
    assert lab.lab("GET", "/updates")["held"] == BACKLOG
    bot = lab.active_bot()
    with lab.db() as db:
        done = {"doneAt": {"$exists": True}}
        until(lambda: db.Updates.count_documents(done) > BACKLOG // 4, "a quarter is done", within=300, every=0.1)
        bot.signal(signal.SIGKILL)
        bot.wait()
        bot = lab.active_bot()
        until(lambda: db.Updates.count_documents(done) == BACKLOG, "all of it is done", within=300, every=0.2)
        until(lambda: db.Replies.count_documents({}) == 0, "and answered", within=300, every=0.2)
        assert db.Updates.count_documents({}) == BACKLOG
        assert db.Updates.count_documents({"failed": {"$exists": True}}) == 0
    until(lambda: lab.lab("GET", "/updates")["held"] == 0, "and acknowledged", within=60)
    replies = Counter(line["chat_id"] for line in lab.journal("reply"))
    each = BACKLOG // CHATS
    assert set(replies) == set(range(1000, 1000 + CHATS))
    strange = {chat: count for chat, count in replies.items() if not each <= count <= each + 1}
    assert not strange, f"more than one reply of a chat repeated, or one missing: {strange}\n{bot.said()}"
    status = bot.status()
    assert (status["role"], status["backlog"], status["reason"]) == ("active", 0, "")


def write(lab: BotLab, updates: int) -> None:
    """That many updates of CHATS people who write in turn."""
    connection = http.client.HTTPConnection(lab.control_url.removeprefix("http://"), timeout=60)
    what: Json = {"text": "/help"}
    for n in range(updates):
        connection.request("POST", f"/people/{1000 + n % CHATS}", json.dumps(what))
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    connection.close()
