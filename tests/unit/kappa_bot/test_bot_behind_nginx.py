"""The configuration for the group's Nginx with a real one: TLS before the bot, and nobody but Telegram let through."""

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kappa_bot.texts import say
from tests.mongod import free_port
from tests.unit.kappa_bot.bot_lab import HOOK, ROOT, BotLab, Json, until
from tests.unit.kappa_bot.in_process import text_update

pytestmark = [pytest.mark.mongod, pytest.mark.root]

CHAT = 8_181_818
FIRST = 800_000_000


@dataclass
class Front:
    """Nginx as crm_configs has it, on ports of its own, with Telegram at 127.0.0.1 and nowhere else."""

    lab: BotLab
    directory: Path
    port: int
    status_port: int
    certificate: Path

    @property
    def settings(self) -> Json:
        """The bot's webhook table."""
        return {
            **self.lab.webhook("bot"),
            "url": f"https://127.0.0.1:{self.port}{HOOK}",
            "certificate": str(self.certificate),
            "networks": ["127.0.0.1/32"],
        }

    def deliver(self, update: Json, source: str = "127.0.0.1", **more: str) -> tuple[int, http.client.HTTPMessage]:
        trust = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=40, source_address=(source, 0), context=trust
        )
        headers = {
            "Content-Type": "application/json",
            "X-Telegram-Bot-Api-Secret-Token": self.lab.webhook_secret,
            **more,
        }
        connection.request(headers.pop("method", "POST"), HOOK, json.dumps(update), headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.headers


def changed(text: str, *changes: tuple[str, str]) -> str:
    for before, after in changes:
        assert text.count(before) == 1, f"{before!r} is not there once"
        text = text.replace(before, after)
    return text


@pytest.fixture
def front(lab: BotLab) -> Iterator[Front]:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert nginx, "apt-get install nginx-light"
    lab.receive, lab.poll_timeout = "webhook", 1
    directory = lab.directory / "nginx"
    directory.mkdir()
    key, certificate = directory / "webhook.key", directory / "webhook.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    source = ROOT / "crm_configs" / "nginx"
    found = Front(lab, directory, free_port(), free_port(), certificate)
    (directory / "nginx.conf").write_text(
        changed(
            (source / "nginx.conf").read_text(),
            ("user www-data;", ""),
            ("/run/kappa/nginx.pid", f"{directory}/nginx.pid"),
            ("/var/log/kappa/nginx-error.log", f"{directory}/error.log"),
            ("listen 8443 ssl;\n", f"listen {found.port} ssl;\n"),
            ("/etc/kappa/webhook.pem", str(certificate)),
            ("/etc/kappa/webhook.key", str(key)),
            ("127.0.0.1:8080", f"127.0.0.1:{found.status_port}"),
        )
    )
    (directory / "kappa-webhook.conf").write_text(
        changed((source / "kappa-webhook.conf").read_text(), ("127.0.0.1:8081", str(lab.webhook("bot")["listen"])))
    )
    published = (source / "kappa-webhook-networks.conf").read_text()
    assert "allow 149.154.160.0/20;" in published and "allow 91.108.4.0/22;" in published
    assert published.count("\nallow ") == 2
    (directory / "kappa-webhook-networks.conf").write_text("allow 127.0.0.1;\n")
    for path in (directory, *directory.parents):
        if str(path).startswith("/tmp/") and path.owner() == directory.owner():
            path.chmod(0o755)  # its workers run as another user
    words = [nginx, "-c", str(directory / "nginx.conf"), "-g", "daemon off;"]
    with (directory / "out").open("wb") as out:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        until(lambda: answers(found) or process.poll(), "Nginx answers")
        assert process.poll() is None, (directory / "out").read_text()
        yield found
    finally:
        process.terminate()
        process.wait(20)


def answers(front: Front) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", front.status_port, timeout=5)
    try:
        connection.request("GET", "/kappa/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def stored(lab: BotLab) -> int:
    with lab.db() as db:
        return db.Updates.count_documents({})


def test_telegram_gets_through_to_the_bot_and_is_answered(front: Front) -> None:
    lab = front.lab
    lab.active_bot(webhook=front.settings)
    assert lab.lab("GET", "/webhook")["has_custom_certificate"], "what Telegram is to trust was handed over"
    message = lab.answered(CHAT, text="/start")
    assert lab.tap(CHAT, message, "English")["text"] == say("en", "terms")
    assert stored(lab) == 2
    assert lab.lab("GET", "/updates")["held"] == 0


def test_whoever_is_not_telegram_is_stopped_by_nginx(front: Front) -> None:
    lab = front.lab
    bot = lab.active_bot(webhook=front.settings)
    update = text_update(FIRST, CHAT, "/start")
    assert front.deliver(update, source="127.0.0.2")[0] == 403
    # Nobody can say of themselves where they come from.
    claims = {"X-Real-IP": "127.0.0.1", "X-Forwarded-For": "127.0.0.1"}
    assert front.deliver(update, source="127.0.0.2", **claims)[0] == 403
    assert front.deliver(update, method="GET")[0] == 403
    assert front.deliver({**update, "more": "x" * (1 << 20)})[0] == 413
    assert stored(lab) == 0
    assert "a delivery was refused" not in bot.said(), "nothing of it reached the bot"
    assert front.deliver(update)[0] == 200
    assert stored(lab) == 1


def test_the_bot_looks_once_more_where_it_is_told_to(front: Front) -> None:
    bot = front.lab.active_bot(webhook={**front.settings, "networks": ["127.0.0.3/32", "2001:db8::/32"]})
    assert front.deliver(text_update(FIRST, CHAT, "/start"), **{"X-Real-IP": "127.0.0.3"})[0] == 403
    assert stored(front.lab) == 0
    assert "a delivery was refused: 403, not from a network of webhook.networks" in bot.said()


def test_without_a_bot_telegram_is_asked_to_come_again_soon(front: Front) -> None:
    lab = front.lab
    bot = lab.active_bot(webhook=front.settings)
    bot.order("demote", wait_s=20)
    status, headers = front.deliver(text_update(FIRST, CHAT, "/start"))
    assert (status, headers["Retry-After"]) == (503, "1")
    lab.do(CHAT, text="/start")
    until(lambda: [line for line in lab.journal("webhook") if line.get("status") == 503], "Telegram has tried")
    bot.order("promote", wait_s=20)
    until(lambda: len(lab.chat(CHAT)) == 1, "and comes again")
    assert bot.role() == "active"
