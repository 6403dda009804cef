"""What Prometheus reads of a running bot."""

import http.client
import re
import signal
import socket
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.mongod import free_port
from tests.unit.kappa_bot.bot_lab import BotLab, Json, until

pytestmark = pytest.mark.mongod

CHAT = 9_191_919_191
WORDS = "SecretHoleInTheRoad"


def get(port: int, path: str = "/metrics", method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def read(port: int) -> dict[str, float]:
    """Every sample as it stands, by name and labels."""
    status, text = get(port)
    assert status == 200
    return {
        sample.name + "".join(f",{key}={value}" for key, value in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("receive", ["polling", "webhook"])
def test_a_bot_at_work_shows_in_numbers(lab: BotLab, receive: str) -> None:
    lab.receive = receive
    port = free_port()
    bot = lab.active_bot(metrics={"listen": f"127.0.0.1:{port}"})
    lab.fault(kind="error", status=502, count=2, methods=["sendMessage"])
    lab.answered(CHAT, text="/start")
    lab.answered(CHAT, text=WORDS)
    until(lambda: read(port)["kappa_bot_replies_sent_total"] == 2, "both replies are counted")
    found = read(port)
    assert {key: found[f"kappa_bot_role,role={key}"] for key in ("active", "standby", "starting", "stopping")} == {
        "active": 1,
        "standby": 0,
        "starting": 0,
        "stopping": 0,
    }
    assert found["kappa_bot_epoch"] == 1 and 0 <= found["kappa_bot_last_receive_age_seconds"] < 60
    assert found["kappa_bot_updates_received_total"] == found["kappa_bot_updates_processed_total"] == 2
    assert found["kappa_bot_updates_failed_total"] == 0 and found["kappa_bot_backlog"] == 0
    assert found["kappa_bot_reply_attempts_repeated_total"] == 2 and found["kappa_bot_replies_dropped_total"] == 0
    assert found["kappa_bot_telegram_up"] == found["kappa_bot_router_up"] == 1
    assert found["kappa_bot_store_seconds_count"] > 0 and found["kappa_bot_store_seconds_sum"] > 0
    assert found["kappa_bot_reply_seconds_bucket,le=+Inf"] == found["kappa_bot_reply_seconds_count"] == 2
    assert found["process_resident_memory_bytes"] > 0
    text = get(port)[1]
    for what in (WORDS, str(CHAT), lab.token, lab.password, lab.webhook_secret):
        assert what not in text
    bot.signal(signal.SIGTERM)
    assert bot.wait(20) == 0


def test_trouble_shows_in_numbers(lab: BotLab) -> None:
    lab.lease_ttl = 1.0
    relay, settings = lab.own_router()
    port = free_port()
    bot = lab.active_bot(metrics={"listen": f"127.0.0.1:{port}"}, **settings)
    relay.cut()
    until(lambda: read(port)["kappa_bot_router_up"] == 0, "the router is away")
    until(lambda: read(port)["kappa_bot_lease_renewals_failed_total"] > 0, "the lease is not renewed")
    until(lambda: read(port)["kappa_bot_role,role=starting"] == 1, "and lapses")
    relay.mend()
    bot.until_role("active")
    until(lambda: read(port)["kappa_bot_router_up"] == 1, "it is back")
    lab.answered(CHAT, text="/start")
    lab.lab("POST", f"/people/{CHAT}", {"block": True})
    bot.order("demote", wait_s=20)
    found = read(port)
    assert found["kappa_bot_role,role=standby"] == 1 and "kappa_bot_epoch" not in found
    assert "kappa_bot_last_receive_age_seconds" not in found


def test_nothing_else_is_served_and_nonsense_ends_nothing(lab: BotLab) -> None:
    port = free_port()
    bot = lab.start_bot(standby=True, metrics={"listen": f"127.0.0.1:{port}"})
    bot.until_role("standby")
    assert get(port, "/")[0] == 404 and get(port, "/metricsx")[0] == 404
    assert get(port, "/metrics?name=x")[0] == 200
    assert get(port, method="POST")[0] == 405
    assert get(port, method="HEAD") == (200, "")
    for garbage in (b"\r\n\r\n", b"x" * 100_000, b"GET\r\n\r\n", b"\x00\xff \r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
            link.sendall(garbage)
            link.shutdown(socket.SHUT_WR)
            while link.recv(65536):
                pass
    assert get(port)[0] == 200
    assert "unforeseen" not in bot.said(), bot.said()


def test_a_port_that_is_taken_is_one_sentence(lab: BotLab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        bot = lab.start_bot(metrics={"listen": listen})
        assert bot.wait(30) == 3
    last = bot.said().splitlines()[-1]
    assert re.fullmatch(
        rf"kappa-bot: {lab.directory}/bot\.toml, line \d+: metrics\.listen: cannot listen on {listen}: .*", last
    ), last


def test_who_does_not_want_them_does_not_load_what_they_need(lab: BotLab) -> None:
    config = str(lab.config("light"))
    code = (
        "import sys\nfrom kappa_bot.config import load\nfrom kappa_bot.service import Service\n"
        f"import asyncio\nasync def main(): Service(load({config!r}))\nasyncio.run(main())\n"
        "heavy = {'aiohttp', 'prometheus_client', 'kappa_bot.toml_lines'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=lab.env(), capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr


def test_a_library_that_is_missing_is_one_sentence(lab: BotLab) -> None:
    tables: dict[str, Json] = {
        "aiohttp": {"receive": "webhook"},
        "prometheus_client": {"metrics": {"listen": "127.0.0.1:9464"}},
    }
    for library, changed in tables.items():
        config = str(lab.config("bot", **changed))
        code = f"import sys\nsys.modules[{library!r}] = None\nsys.argv[1:] = ['run', '--config', {config!r}]\n"
        code += "from kappa_bot.cli import main\nmain()\n"
        ran = subprocess.run([sys.executable, "-c", code], env=lab.env(), capture_output=True, text=True, timeout=60)
        assert ran.returncode == 3, ran.stderr
        last = ran.stderr.splitlines()[-1]
        assert last.startswith(f"kappa-bot: {config}") and "which is not installed" in last, ran.stderr
