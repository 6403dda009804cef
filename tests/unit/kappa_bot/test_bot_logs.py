"""What is logged, and what never is."""

import json
import logging
import signal
import sys
from datetime import datetime
from typing import Any

import pytest

from kappa_bot import logs
from tests.unit.kappa_bot.bot_lab import BotLab, Json, until
from tests.unit.kappa_bot.in_process import text_update
from tests.unit.kappa_bot.test_bot_webhook import deliver

CHAT = 7_271_727_172
HOSTILE = [
    'level=error event="forged" SecretWords',
    "SecretWords\nlevel=error event=forged\r\n\x1b[2J\x07\u2028next",
    '{"time": "x", "level": "error", "event": "SecretWords"}',
    "%s %d %(message)s {0} SecretWords",
    "/start SecretWords",
    "SecretWords" * 370,
    "\u202eSecretWords\x00",
    "$(reboot) `SecretWords` '; DROP",
]


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Any:
    before = logs.log.handlers, logs.log.propagate

    def lines() -> list[str]:
        return capsys.readouterr().err.splitlines()

    yield lines
    logs.log.handlers, logs.log.propagate = before


def set_up(form: str) -> None:
    """As the bot does, but for what is the whole process's."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logs.formatter(form))
    logs.log.handlers, logs.log.propagate = [handler], False
    logs.log.setLevel(logging.INFO)


def test_a_line_of_text_has_its_time_its_level_and_what_happened(logged: Any) -> None:
    set_up("text")
    logs.log.warning("the router: %s", 'gone "away"\nlevel=error event="forged"\x1b[2J')
    (line,) = logged()
    time, rest = line.split(" ", 1)
    assert datetime.fromisoformat(time.removeprefix("time=")).tzinfo is not None
    assert rest == "level=warning event=\"the router: gone 'away' level=error event='forged'?[2J\""


def test_a_line_of_json_is_one_object(logged: Any) -> None:
    set_up("json")
    logs.log.warning("the router: %s", 'gone "away"\n{"level": "x"}\u2028')
    (line,) = logged()
    found = json.loads(line)
    assert list(found) == ["time", "level", "event"]
    assert (found["level"], found["event"]) == ("warning", 'the router: gone "away" {"level": "x"}')


def test_secrets_that_were_read_and_whatever_looks_like_a_token_are_blotted_out(logged: Any) -> None:
    set_up("text")
    logs.hide(["a secret that was read"])
    logs.log.info("with a secret that was read and https://x/bot123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr/getMe")
    (line,) = logged()
    assert line.endswith('event="with *** and https://x/bot***/getMe"')


@pytest.mark.mongod
@pytest.mark.parametrize(("receive", "form"), [("polling", "json"), ("webhook", "text")])
def test_whatever_users_send_nothing_of_it_is_logged(lab: BotLab, receive: str, form: str) -> None:
    lab.receive = receive
    relay, settings = lab.own_router()
    bot = lab.active_bot(log={"format": form}, **settings)
    for words in HOSTILE:
        lab.do(CHAT, text=words)
    for method in ("sendMessage", "getUpdates", "getWebhookInfo", "getMe"):
        lab.fault(kind="error", status=400, count=1, methods=[method])
        lab.do(CHAT, text=HOSTILE[0])
    if receive == "webhook":
        body = text_update(1, CHAT, "SecretWords")
        for garbage, secret in (
            (b"SecretWords", None),
            ({**body, "update_id": "SecretWords"}, None),
            (body, "SecretWords"),
        ):
            assert deliver(lab, garbage, secret)[0] in (400, 403)
        strange: Json = {
            "update_id": 2,
            "message": {"text": "SecretWords", "chat": {"id": CHAT}, "from": "SecretWords"},
        }
        assert deliver(lab, strange)[0] == 200
    with lab.db() as db:
        until(lambda: db.Updates.count_documents({"pending": True}) == 0, "all are done with", within=60)
    relay.cut()
    until(lambda: "router" in bot.said(), "trouble is logged")
    relay.mend()
    bot.until_role("active")
    bot.signal(signal.SIGTERM)
    assert bot.wait(20) == 0
    said = bot.said()
    lines = said.splitlines()
    assert len(lines) > 5, "there is something to look through"
    for line in lines:
        if form == "json":
            assert set(json.loads(line)) == {"time", "level", "event"}, line
        else:
            assert line.startswith("time=") and line.count(" level=") == line.count(" event=") == 1, line
    for what in (lab.token, lab.token.split(":")[1], lab.password, lab.webhook_secret, "SecretWords", str(CHAT)):
        assert what not in said, what
    assert "Traceback" not in said and "\x1b" not in said
