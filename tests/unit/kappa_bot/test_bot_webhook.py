"""Receiving by webhook: the bot as Telegram and an operator meet it."""

import http.client
import json
import signal
import threading
import time
from typing import Any

import pytest

from kappa_bot import control
from kappa_bot.texts import say
from tests.unit.kappa_bot.bot_lab import HOOK, Bot, BotLab, Json, until
from tests.unit.kappa_bot.in_process import text_update

pytestmark = pytest.mark.mongod

CHAT = 6_161_616
FIRST = 700_000_000


@pytest.fixture(autouse=True)
def by_webhook(lab: BotLab) -> None:
    lab.receive = "webhook"
    lab.poll_timeout = 1  # how often the bot looks how deliveries go


def deliver(
    lab: BotLab, body: bytes | Json, secret: str | None = None, **request: Any
) -> tuple[int, http.client.HTTPMessage]:
    """One request to the bot, Telegram's unless said otherwise: status and headers of the answer."""
    headers = {"Content-Type": "application/json", **request.get("headers", {})}
    if secret != "":
        headers["X-Telegram-Bot-Api-Secret-Token"] = lab.webhook_secret if secret is None else secret
    connection = http.client.HTTPConnection("127.0.0.1", lab.ports["bot"], timeout=30)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(request.get("method", "POST"), request.get("path", HOOK), data, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers


def stored(lab: BotLab) -> int:
    with lab.db() as db:
        return db.Updates.count_documents({})


def flows(lab: BotLab) -> None:
    answered = lab.lab("GET", "/traffic")["updates_answered"]
    until(lambda: lab.lab("GET", "/traffic")["updates_answered"] > answered + 20, "traffic flows")


def deliveries(lab: BotLab, **like: Any) -> list[Json]:
    found = [line for line in lab.journal("webhook") if line["what"] == "delivery"]
    return [line for line in found if all(line[key] == value for key, value in like.items())]


def test_a_whole_dialogue_comes_by_webhook(lab: BotLab) -> None:
    from tests.unit.kappa_bot.test_bot_running import register

    bot = lab.active_bot()
    assert register(lab, CHAT, "A protest")["text"] == say("en", "stored")
    assert [line for line in lab.journal("begin") if line["method"] == "getUpdates"] == [], "nothing is polled"
    assert {line["status"] for line in deliveries(lab)} == {200}
    info = lab.lab("GET", "/webhook")
    assert info["url"] == lab.webhook("bot")["url"] and info["pending_update_count"] == 0
    with lab.db() as db:
        assert db.Data.count_documents({}) == 1
        assert db.Updates.count_documents({"webhook": True}) == stored(lab) > 5
    status = bot.status()
    assert status["role"] == "active" and status["reason"] == "" and status["telegram"] == "ok"


def test_an_idle_bot_knows_that_it_is_served(lab: BotLab) -> None:
    bot = lab.active_bot()
    looks = len([line for line in lab.journal("end") if line["method"] == "getWebhookInfo"])
    until(
        lambda: len([line for line in lab.journal("end") if line["method"] == "getWebhookInfo"]) > looks + 2,
        "it looks again and again",
    )
    assert bot.status()["last_receive_s"] < 30 and bot.role() == "active"
    # Law 5: with nobody to say so it is deaf, whatever else is well.
    lab.fault(kind="hang", methods=["getWebhookInfo"])
    until(lambda: bot.status()["last_receive_s"] > 3, "it does not take silence for service")


def test_a_stop_in_mid_flow_loses_nothing_and_leaves_the_webhook_set(lab: BotLab) -> None:
    bot = lab.active_bot()
    lab.lab("POST", "/traffic", {"users": 12, "rate_per_s": 40.0})
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        flows(lab)
        bot.signal(number)
        assert bot.wait() == (0 if number == signal.SIGTERM else -signal.SIGKILL), bot.said()
        assert lab.lab("GET", "/webhook")["url"] == lab.webhook("bot")["url"]
        bot = lab.active_bot()
    traffic = lab.traffic_done()
    assert traffic["complaints"] == [] and traffic["dialogues_finished"] == traffic["dialogues_started"]
    with lab.db() as db:
        assert db.Data.count_documents({}) == traffic["dialogues_finished"]


def test_demote_stops_listening_and_promote_listens_again(lab: BotLab) -> None:
    bot = lab.start_bot(standby=True)
    bot.until_role("standby")
    with pytest.raises(ConnectionRefusedError):
        deliver(lab, text_update(FIRST, CHAT, "/start"))
    assert lab.journal("begin") == [], "a standby asks Telegram for nothing"
    assert bot.order("promote", wait_s=20)["role"] == "active"
    lab.answered(CHAT, text="/start")
    assert bot.order("demote", wait_s=20)["role"] == "standby"
    with pytest.raises(ConnectionRefusedError):
        deliver(lab, text_update(FIRST, CHAT, "/start"))
    lab.do(CHAT, text="/todo")
    until(lambda: deliveries(lab, status=None), "Telegram has tried in vain")
    assert bot.order("promote", wait_s=20)["role"] == "active"
    until(lambda: len(lab.chat(CHAT)) == 2, "what came meanwhile is answered")


def test_an_update_is_stored_before_200_is_said(lab: BotLab) -> None:
    lab.lease_ttl = 10.0
    lab.active_bot()
    lab.answered(CHAT, text="/start")
    process = lab.mongo.members[0].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(deliver(lab, text_update(FIRST, CHAT, "/todo"))[0]))
    try:
        thread.start()
        time.sleep(1.0)  # a bot that answers first does so at once
        assert 200 not in answers
    finally:
        process.send_signal(signal.SIGCONT)
    thread.join(40)
    assert answers in ([200], [503])
    if answers == [200]:
        with lab.db() as db:
            assert db.Updates.find_one({"_id": FIRST}) is not None


def test_while_the_lease_is_not_good_503_is_said_and_nothing_stored(lab: BotLab) -> None:
    lab.lease_ttl = 1.0
    relay, settings = lab.own_router()
    bot = lab.active_bot(**settings)
    lab.answered(CHAT, text="/start")
    relay.cut()
    until(lambda: bot.status()["role"] == "starting", "the lease has lapsed")
    before = stored(lab)
    status, headers = deliver(lab, text_update(FIRST, CHAT, "/todo"))
    assert status == 503 and headers["Retry-After"] == "1"
    lab.do(CHAT, text="/todo")
    until(lambda: deliveries(lab, status=503), "Telegram is told to bring it later")
    assert stored(lab) == before
    relay.mend()
    until(lambda: len(lab.chat(CHAT)) == 2, "it is brought again, and answered")
    assert bot.role() == "active" and bot.status()["epoch"] == 1
    assert lab.lab("GET", "/updates")["held"] == 0


def test_killed_between_storing_and_200_it_is_brought_again_and_stored_once(lab: BotLab) -> None:
    """The answer is lost on its way: as good as a bot that dies between the two."""
    bot = lab.active_bot()
    lab.answered(CHAT, text="/start")
    update = text_update(FIRST, CHAT, "/todo")
    secret = {"X-Telegram-Bot-Api-Secret-Token": lab.webhook_secret, "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", lab.ports["bot"], timeout=30)
    connection.request("POST", HOOK, json.dumps(update).encode(), secret)
    with lab.db() as db:
        until(lambda: db.Updates.find_one({"_id": FIRST}), "it is stored")
        bot.signal(signal.SIGKILL)
        bot.wait()
        connection.close()
        lab.active_bot()
        for _ in range(3):
            assert deliver(lab, update)[0] == 200
        until(lambda: db.Updates.find_one({"_id": FIRST, "pending": {"$exists": False}}), "it is done")
        until(lambda: db.Replies.count_documents({}) == 0, "and answered")
        assert db.Updates.count_documents({"_id": FIRST}) == 1
    replies = [line for line in lab.journal("reply") if line["chat_id"] == CHAT]
    assert len(replies) <= 3, "one of /start, one of /todo, and one at the most that was repeated"


def test_who_is_not_telegram_is_refused_and_nothing_is_stored(lab: BotLab) -> None:
    bot = lab.active_bot()
    update = text_update(FIRST, CHAT, "/start")
    refused: list[tuple[int, bytes | Json, Json]] = [
        (403, update, {"secret": ""}),
        (403, update, {"secret": "wrong"}),
        (403, update, {"secret": lab.webhook_secret[:-1]}),
        (403, update, {"secret": "\u00fc"}),
        (404, update, {"path": "/"}),
        (404, update, {"path": HOOK + "/"}),
        (404, update, {"path": "/kappa"}),
        (405, update, {"method": "GET"}),
        (405, update, {"method": "PUT"}),
        (400, update, {"headers": {"Content-Type": "text/plain"}}),
        (400, b"", {}),
        (400, b"{", {}),
        (400, b"\xff\xfe", {}),
        (400, b"[" * 100_000, {}),
        (400, b"[]", {}),
        (400, b"{}", {}),
        (400, b'{"update_id": "1"}', {}),
        (400, b'{"update_id": true}', {}),
        (400, b'{"update_id": -1}', {}),
        (400, b'{"update_id": 9223372036854775808}', {}),
        (400, b'{"update_id": 1e400}', {}),
        (413, {**update, "more": "x" * (1 << 20)}, {}),
    ]
    for status, body, how in refused:
        assert deliver(lab, body, **how)[0] == status, (status, body[:50] if isinstance(body, bytes) else body, how)
    assert stored(lab) == 0
    assert bot.role() == "active"
    lines = [line for line in bot.said().splitlines() if "a delivery was refused" in line]
    assert 0 < len(lines) < len(refused), "one line of a kind"
    assert lab.webhook_secret not in bot.said()
    assert deliver(lab, update)[0] == 200


def test_whoever_sends_slowly_or_nothing_holds_up_nobody(lab: BotLab) -> None:
    bot = lab.active_bot()
    idle = http.client.HTTPConnection("127.0.0.1", lab.ports["bot"])
    idle.connect()
    slow = http.client.HTTPConnection("127.0.0.1", lab.ports["bot"])
    slow.putrequest("POST", HOOK)
    for name, value in (
        ("X-Telegram-Bot-Api-Secret-Token", lab.webhook_secret),
        ("Content-Type", "application/json"),
        ("Content-Length", "1000"),
    ):
        slow.putheader(name, value)
    slow.endheaders(b'{"update_id":')
    lab.answered(CHAT, text="/start")
    bot.signal(signal.SIGTERM)
    assert bot.wait(20) == 0, "a stop does not wait for them either"
    idle.close()
    slow.close()


def test_updates_that_are_no_text_and_strange_ones_are_taken_once(lab: BotLab) -> None:
    lab.active_bot()
    strange: list[Json] = [
        {"update_id": FIRST},
        {"update_id": FIRST + 1, "message": "no object"},
        {"update_id": FIRST + 2, "unknown_kind": {"x": [1, None, {}]}},
        text_update(FIRST + 3, CHAT, "half a pair \ud83d here"),
        text_update(FIRST + 4, CHAT, "nul \x00 here"),
        {"update_id": (1 << 63) - 1},
    ]
    for update in strange:
        assert deliver(lab, update)[0] == 200, update
    with lab.db() as db:
        until(lambda: db.Updates.count_documents({"pending": True}) == 0, "all are done with")
        assert db.Updates.count_documents({}) == len(strange)


def test_chats_come_side_by_side_and_each_in_its_order(lab: BotLab) -> None:
    bot = lab.active_bot()
    bot.signal(signal.SIGSTOP)
    sent = {chat: [lab.do(chat, text=f"text {n}") for n in range(5)] for chat in range(CHAT, CHAT + 20)}
    bot.signal(signal.SIGCONT)
    with lab.db() as db:
        until(lambda: db.Updates.count_documents({"doneAt": {"$exists": True}}) == 100, "all are done", within=60)
        times = {update["_id"]: update["receivedAt"] for update in db.Updates.find()}
    for ids in sent.values():
        assert sorted(ids, key=lambda id_: times[id_]) == ids
    assert lab.lab("GET", "/updates")["held"] == 0


def test_a_foreign_webhook_is_reported_set_back_once_and_then_left_room(lab: BotLab) -> None:
    bot = lab.active_bot()

    def foreign(path: str) -> None:
        url = f"http://127.0.0.1:9/{path}"
        until(lambda: lab.telegram("setWebhook", url=url)[0] == 200, "somebody else sets a webhook")

    foreign("first-secret-path")
    until(lambda: lab.lab("GET", "/webhook")["url"] == lab.webhook("bot")["url"], "it is set back")
    lab.answered(CHAT, text="/start")
    until(lambda: bot.status()["conflicts"] == 0 and bot.role() == "active", "all is well again")
    assert "the webhook is set to 127.0.0.1:9, not to this bot: set back, and not again within 30 s" in bot.said()
    foreign("second-secret-path")
    until(lambda: bot.status()["conflicts"] >= 2, "the second time it is left")
    status = bot.status()
    assert status["reason"] == (
        "the webhook is set to 127.0.0.1:9, not to this bot: another program uses this bot's token"
    )
    assert status["telegram"].startswith("Conflict: ")
    assert lab.lab("GET", "/webhook")["url"].endswith("second-secret-path"), "it does not fight"
    reply = control.ask(bot.socket, "check", wait_s=5)
    assert reply["checked"]["telegram"] == "the webhook is set to 127.0.0.1:9, not to this bot"
    assert "secret-path" not in bot.said() + str(reply)


def test_a_webhook_that_was_deleted_is_set_back(lab: BotLab) -> None:
    bot = lab.active_bot()
    lab.telegram("deleteWebhook")
    until(lambda: "the webhook was deleted: set back" in bot.said(), "it is noticed")
    lab.answered(CHAT, text="/start")


def test_polling_and_webhook_can_follow_each_other_and_nothing_is_lost(lab: BotLab) -> None:
    """An update of one chat is refused for so long that others with higher ids overtake it; then the bot polls."""
    bot = lab.active_bot(receive="polling")
    lab.answered(CHAT, text="/start")
    bot.signal(signal.SIGTERM)
    bot.wait()
    lab.do(CHAT, text="/todo")
    bot = lab.active_bot()
    until(lambda: len(lab.chat(CHAT)) == 2, "what came meanwhile is brought")
    bot.signal(signal.SIGTERM)
    bot.wait()
    late = lab.do(CHAT, text="/todo")
    with lab.db() as db:
        # Another chat's, with a higher id, has been brought and stored before.
        done = {"receivedAt": db.Updates.find_one()["receivedAt"], "epoch": 1, "webhook": True}  # type: ignore[index]
        db.Updates.insert_one({"_id": late + 5, **done, "doneAt": done["receivedAt"]})
        bot = lab.active_bot(receive="polling")
        until(lambda: len(lab.chat(CHAT)) == 3, "the one that was overtaken is not lost")
        assert "a webhook was set for this bot: deleted, this bot polls" in bot.said()
        assert db.Updates.find_one({"_id": late, "webhook": True}) is None
    assert lab.lab("GET", "/webhook")["url"] == ""


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "error", "status": 429, "retry_after": 1, "count": 2},
        {"kind": "error", "status": 502, "count": 3},
        {"kind": "reset", "count": 3},
        {"kind": "reset", "when": "after", "count": 1},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault.get('status', fault.get('when', ''))}",
)
def test_a_webhook_that_cannot_be_set_at_once_is_set_later(lab: BotLab, fault: Json) -> None:
    lab.fault(**fault, methods=["setWebhook"])
    bot = lab.start_bot()
    bot.until_role("active", within=40)
    tries = [line for line in lab.journal("end") if line["method"] == "setWebhook"]
    assert len(tries) > fault["count"], "and again, until it was"
    lab.answered(CHAT, text="/start")


def test_deliveries_that_fail_are_seen_and_said(lab: BotLab) -> None:
    """Telegram cannot get through to the bot (its Nginx is down, say) although the webhook is set as it should be."""
    bot = lab.active_bot(webhook={"url": f"http://127.0.0.1:9{HOOK}"})
    lab.do(CHAT, text="/start")
    until(lambda: "deliveries" in bot.status()["telegram"], "it is noticed")
    until(lambda: bot.status()["last_receive_s"] > 3, "and not taken for service")
    status = bot.status()
    assert status["reason"].startswith("Telegram: deliveries ") and status["conflicts"] == 0


def test_a_port_that_is_taken_is_one_sentence(lab: BotLab) -> None:
    first: Bot = lab.active_bot()
    taken = lab.webhook("bot")["listen"]
    first.order("demote", wait_s=20)
    import socket

    host, port = taken.split(":")
    with socket.create_server((host, int(port))):
        first.order("promote")
        assert first.wait(20) == 3
    last = first.said().splitlines()[-1]
    assert last.startswith(f"kappa-bot: {lab.directory}/bot.toml, line ") and f"cannot listen on {taken}" in last


def test_a_secret_that_telegram_would_not_take_is_one_sentence(lab: BotLab) -> None:
    file = lab.secret("short", "not a secret!")
    bot = lab.start_bot(standby=True, webhook={"secret_file": str(file)})
    assert bot.wait(20) == 3
    assert f"{file} must hold 16 to 256 letters" in bot.said() and "not a secret!" not in bot.said()
