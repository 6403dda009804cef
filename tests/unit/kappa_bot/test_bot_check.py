"""`check`: the bot asks Telegram and the router now, and says what they answered."""

import signal
import subprocess
import time

import pytest

from kappa_bot import control
from tests.unit.kappa_bot.bot_lab import Bot, BotLab, Json, until

pytestmark = pytest.mark.mongod


def check(bot: Bot, wait_s: float = 10.0) -> Json:
    reply = control.ask(bot.socket, "check", timeout=20.0, wait_s=wait_s)
    assert reply["ok"] is True, reply
    return reply


def asked(lab: BotLab, method: str) -> int:
    return sum(line["method"] == method for line in lab.journal("begin"))


def test_both_sides_are_asked_at_this_moment(lab: BotLab) -> None:
    bot = lab.active_bot()
    until(lambda: asked(lab, "getMe") == 1, "the bot has learnt its name")
    reply = check(bot)
    assert asked(lab, "getMe") == 2
    checked = reply.pop("checked")
    assert set(reply) == set(bot.status()), "everything that a status says, and no more"
    assert (checked["telegram"], checked["router"]) == ("ok", "ok")
    assert checked["telegram_ms"] > 0 and checked["router_ms"] > 0
    # A bot whose polls are answered, while nothing else is.
    for fault, seen in (
        ({"kind": "error", "status": 502}, "Bad Gateway"),
        ({"kind": "error", "status": 429, "retry_after": 7}, "429 Too Many Requests"),
        ({"kind": "error", "status": 401}, "401 Unauthorized"),
        ({"kind": "reset"}, ""),
    ):
        lab.fault(**fault, methods=["getMe"])
        reply = check(bot)
        assert reply["checked"]["telegram"] != "ok" and seen in reply["checked"]["telegram"], reply
        assert reply["telegram"] == "ok", "how it received is another thing"
        assert lab.token not in str(reply)
        lab.lab("DELETE", "/fault")
    assert check(bot)["checked"]["telegram"] == "ok"


def test_a_side_that_hangs_does_not_hold_up_the_other(lab: BotLab) -> None:
    bot = lab.active_bot()
    lab.fault(kind="hang", methods=["getMe"])
    began = time.monotonic()
    checked = check(bot, wait_s=0.5)["checked"]
    assert time.monotonic() - began < 15
    assert checked["telegram"] == "no answer within 0.5 s" and checked["telegram_ms"] >= 500
    assert checked["router"] == "ok"
    lab.lab("DELETE", "/fault")
    process = lab.mongo.members[0].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        checked = check(bot, wait_s=0.5)["checked"]
        assert checked["router"] != "ok", checked
        # It may have lost its lease by now; whether Telegram was asked or not, nobody waited for it.
        assert checked["telegram"] == "ok" or checked["telegram"].startswith("not asked"), checked
    finally:
        process.send_signal(signal.SIGCONT)


def test_a_standby_asks_the_router_alone(lab: BotLab) -> None:
    relay, settings = lab.own_router()
    bot = lab.start_bot(standby=True, **settings)
    bot.until_role("standby")
    until(lambda: check(bot)["checked"]["router"] == "ok", "the router answers")
    checked = check(bot)["checked"]
    assert (checked["telegram"], checked["telegram_ms"]) == ("not asked: standby", None)
    relay.cut()
    assert check(bot, wait_s=1.0)["checked"]["router"] != "ok"
    assert lab.journal("begin") == [], "a standby asks Telegram for nothing"


def test_a_bot_that_waits_for_the_lease_does_not_ask_telegram(lab: BotLab) -> None:
    lab.active_bot("first", **lab.own_way(1))
    second = lab.start_bot("second", **lab.own_way(2))
    until(lambda: second.role() == "starting" and second.status()["reason"], "it waits for the lease")
    checked = check(second)["checked"]
    assert checked["telegram"].startswith("not asked: waiting for the lease") and checked["router"] == "ok"
    assert [line for line in lab.journal("begin") if line["node"] == "node2"] == []


def test_people_can_have_it_checked_as_well(lab: BotLab) -> None:
    bot = lab.active_bot()
    words = lab.command("status", "--check", "--socket", bot.socket)
    shown = subprocess.run(words, env=lab.env(), capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert any(line.startswith("Telegram now ok, ") for line in lines), lines
    assert any(line.startswith("router now   ok, ") for line in lines), lines
    lab.fault(kind="error", status=500, methods=["getMe"])
    shown = subprocess.run(words, env=lab.env(), capture_output=True, text=True, timeout=60)
    assert shown.returncode == 1, "the bot is active, and Telegram does not answer it now"
