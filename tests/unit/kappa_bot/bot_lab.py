"""A small lab for the bot's tests: a database prepared by the bot's own command, the Telegram lab server, bots.

Everything runs as processes of its own, as an operator would run it, and is driven through command, socket and HTTP.
"""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo.database import Database

from kappa_bot import control
from tests.mongod import ADMIN_USER, ReplicaSet, free_port

ROOT = Path(__file__).resolve().parents[3]
Json = dict[str, Any]
HOOK = "/kappa/telegram"


def until(condition: Callable[[], Any], what: str, within: float = 20.0, every: float = 0.01) -> Any:
    """Wait for a condition to become true, and return it."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"not within {within:g} s: {what}")


class Relay:
    """A TCP relay on loopback before one server: its clients come from an address of their own, and can be cut off.

    Cut, it is like a router that was stopped: connections end, new ones are refused.
    """

    def __init__(self, target: tuple[str, int], source: str = "127.0.0.1") -> None:
        self._target = target
        self._source = source
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    @staticmethod
    def _listen(port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        # Without it, closing would leave the accepting thread in its call, and the port open.
        listener.settimeout(0.05)
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, timeout=5, source_address=(self._source, 0))
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            near.settimeout(None)
            self._pairs.add((near, far))
            for one, other in ((near, far), (far, near)):
                other.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self._listener.close()
        for pair in self._pairs.copy():
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._pairs.clear()

    def mend(self) -> None:
        self._listener = self._listen(self.port)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()


@dataclass
class Bot:
    """One bot process."""

    name: str
    socket: str
    log: Path
    process: "subprocess.Popen[bytes]"

    def status(self) -> Json:
        return control.ask(self.socket, "status")

    def role(self) -> str:
        """ "gone" when it does not answer."""
        try:
            return str(self.status()["role"])
        except (OSError, ValueError):
            return "gone"

    def order(self, do: str, wait_s: float = 0.0) -> Json:
        return control.ask(self.socket, do, wait_s=wait_s)

    def until_role(self, role: str, within: float = 15.0) -> None:
        until(lambda: self.role() == role, f"{self.name} is {role}; it is {self.role()}:\n{self.said()}", within)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, within: float = 10.0) -> int:
        return self.process.wait(within)

    def said(self) -> str:
        return self.log.read_text()


@dataclass
class BotLab:
    """The database, the Telegram lab server, and whatever bots a test starts."""

    directory: Path
    mongo: ReplicaSet
    database: str
    token: str
    password: str
    base_url: str = "http://127.0.0.1:9/bot"
    control_url: str = ""
    callback_answer_s: float = 15.0
    """How long Telegram takes the answer to a tap."""
    lease_ttl: float = 2.0
    poll_timeout: int = 5
    receive: str = "polling"
    """How the bots do, unless a test says otherwise of one."""
    root: Path = ROOT
    bots: list[Bot] = field(default_factory=list)
    relays: list[Relay] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    webhook_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _telegram: "subprocess.Popen[bytes] | None" = None

    @property
    def journal_file(self) -> Path:
        return self.directory / "journal.jsonl"

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "kappa_bot", *words]

    def env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": f"{self.root}:{self.root / 'vagrant'}"}

    def secret(self, name: str, content: str) -> Path:
        file = self.directory / name
        file.touch(0o600)
        file.write_text(content)
        return file

    def config(self, name: str, **changed: Any) -> Path:
        """The configuration of a bot of that name. `changed`: keys whose lines stand differently, whole tables."""
        more = {table: content for table, content in changed.items() if isinstance(content, dict)}
        if changed.get("receive", self.receive) == "webhook":
            more["webhook"] = {**self.webhook(name), **more.get("webhook", {})}
        lines = {
            "receive": self.receive,
            "token_file": str(self.directory / "token"),
            "base_url": self.base_url,
            "poll_timeout_s": self.poll_timeout,
            "uri": self.mongo.uri,
            "database": self.database,
            "password_file": str(self.directory / "password"),
            "auth_database": self.database,
            "socket": str(self.directory / f"{name}.sock"),
            "id_key_file": str(self.directory / "id.key"),
            "ttl_s": self.lease_ttl,
            **{key: value for key, value in changed.items() if key not in more},
        }
        tables = {
            "telegram": ("token_file", "base_url", "poll_timeout_s", "receive"),
            "mongodb": ("uri", "database", "password_file", "auth_database"),
            "bot": ("socket", "id_key_file"),
            "lease": ("ttl_s",),
        }
        text = "".join(
            f"[{table}]\n" + "".join(f"{key} = {json.dumps(lines[key])}\n" for key in keys)
            for table, keys in tables.items()
        )
        for table, content in more.items():
            text += f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in content.items())
        file = self.directory / f"{name}.toml"
        file.write_text(text)
        return file

    def webhook(self, name: str) -> Json:
        """Where a bot of that name listens: always the same place."""
        if name not in self.ports:
            self.ports[name] = free_port()
        place = f"127.0.0.1:{self.ports[name]}"
        secret_file = str(self.directory / "webhook.secret")
        return {"url": f"http://{place}{HOOK}", "listen": place, "secret_file": secret_file}

    def set_up(self) -> None:
        self.secret("webhook.secret", self.webhook_secret)
        self.secret("token", self.token)
        self.secret("password", self.password)
        self.secret("id.key", secrets.token_hex(32))
        self.secret("admin", self.mongo.password)

    def empty(self) -> None:
        """The database as it is right after it was prepared."""
        with self.db() as db:
            # Bots that were killed leave transactions open, with their locks.
            db.client.admin.command("killAllSessions", [{"user": "kappa_bot", "db": self.database}])
            for name in ("Updates", "Replies", "Dialogues", "Data", "TelegramUsers"):
                db[name].delete_many({})
            # What users added is told by its id: it follows from an update's.
            for name in ("Categories", "Subcategories"):
                db[name].delete_many({"_id": {"$lt": ObjectId("01" + "00" * 11)}})
            nobody = {"epoch": 0, "holder": None, "expires": datetime.fromtimestamp(0, UTC)}
            db.Lease.replace_one({"_id": "poller"}, nobody, upsert=True)

    def prepare(self) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(
                *("prepare-database", "--config", str(self.config("prepare")), "--admin-user", ADMIN_USER),
                *("--admin-password-file", str(self.directory / "admin")),
            ),
            env=self.env(),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def start_telegram(self) -> None:
        names = [f"--name=127.0.0.{n}=node{n}" for n in range(1, 5)]
        self._telegram = subprocess.Popen(
            [
                *(sys.executable, "-m", "kappa_lab.telegram", "--bind", "127.0.0.1:0", "--control", "127.0.0.1:0"),
                *("--token-file", str(self.directory / "token"), "--journal", str(self.journal_file), *names),
                f"--callback-answer-s={self.callback_answer_s}",
            ],
            env=self.env(),
            stdout=subprocess.PIPE,
        )
        assert self._telegram.stdout is not None
        # "telegram lab: bot api on HOST:PORT, control on HOST:PORT"
        words = self._telegram.stdout.readline().decode().replace(",", "").split()
        self.base_url, self.control_url = f"http://{words[5]}/bot", f"http://{words[8]}"

    def start_bot(self, name: str = "bot", standby: bool = False, **changed: Any) -> Bot:
        log = self.directory / f"{name}.log"
        words = self.command("run", "--config", str(self.config(name, **changed)), *(["--standby"] if standby else []))
        process = subprocess.Popen(words, env=self.env(), stdin=subprocess.DEVNULL, stderr=log.open("ab"))
        bot = Bot(name, str(self.directory / f"{name}.sock"), log, process)
        self.bots.append(bot)
        return bot

    def status(self, name: str) -> Json:
        """What the bot of that name says of itself; nothing when it does not answer."""
        try:
            return control.ask(str(self.directory / f"{name}.sock"), "status")
        except (OSError, ValueError):
            return {}

    def active_bot(self, name: str = "bot", **changed: Any) -> Bot:
        bot = self.start_bot(name, **changed)
        bot.until_role("active")
        return bot

    def own_way(self, number: int) -> Json:
        """Settings for a bot that comes to Telegram from 127.0.0.<number>: the journal calls it node<number>."""
        host, port = self.base_url.split("/")[2].split(":")
        self.relays.append(Relay((host, int(port)), f"127.0.0.{number}"))
        return {"base_url": f"http://127.0.0.1:{self.relays[-1].port}/bot"}

    def own_router(self) -> tuple[Relay, Json]:
        """A way to MongoDB that can be cut, and the settings for a bot that takes it."""
        relay = Relay(("127.0.0.1", self.mongo.members[0].port))
        self.relays.append(relay)
        return relay, {"uri": f"mongodb://127.0.0.1:{relay.port}/?directConnection=true"}

    # The Telegram lab server

    def lab(self, method: str, path: str, body: Json | None = None) -> Json:
        request = urllib.request.Request(
            self.control_url + path, method=method, data=json.dumps(body).encode() if body is not None else None
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: Json = json.loads(answer.read())
            return found

    def telegram(self, method: str, **body: Any) -> tuple[int, Json]:
        """One call of the Bot API, with the bot's token, by somebody else."""
        host = self.base_url.split("/")[2]
        connection = http.client.HTTPConnection(host, timeout=30)
        with suppress(OSError):
            connection.request(
                "POST", f"/bot{self.token}/{method}", json.dumps(body), {"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        return 0, {}

    def fault(self, **fault: Any) -> None:
        self.lab("POST", "/fault", fault)

    def journal(self, event: str = "") -> list[Json]:
        lines = [json.loads(line) for line in self.journal_file.read_text().splitlines() if line.endswith("}")]
        return [line for line in lines if not event or line["e"] == event]

    def do(self, chat: int, **what: Any) -> int:
        """One thing that a user does; returns the update_id."""
        return int(self.lab("POST", f"/people/{chat}", what)["update_id"])

    def chat(self, chat: int) -> list[Json]:
        """The bot's messages in that chat as they now stand."""
        found = self.lab("GET", f"/people/{chat}")["messages"]
        return [message for message in found if message["from"]["is_bot"]]

    def answered(self, chat: int, **what: Any) -> Json:
        """A user does something; the first message that is new or changed after it."""
        before = {message["message_id"]: message for message in self.chat(chat)}
        self.do(chat, **what)

        def new() -> list[Json]:
            return [message for message in self.chat(chat) if before.get(message["message_id"]) != message]

        found: Json = until(new, f"an answer to {what}")[-1]
        return found

    def tap(self, chat: int, message: Json, label: str, **more: Any) -> Json:
        """A user taps the button of that label; the answer."""
        return self.answered(chat, tap=data_of(message, label), message_id=message["message_id"], **more)

    def traffic_done(self, within: float = 60.0) -> Json:
        """Stop the traffic, wait for its open dialogues, and return how it went."""
        self.lab("POST", "/traffic/stop", {"timeout_s": within})
        until(lambda: not self.lab("GET", "/traffic")["running"], "the traffic ends", within + 5)
        return self.lab("GET", "/traffic")

    # MongoDB

    @contextmanager
    def db(self) -> "Iterator[Database[Json]]":
        """The database, as the administrator."""
        with self.mongo.client(tz_aware=True) as client:
            yield client[self.database]

    def close(self) -> None:
        for bot in self.bots:
            if bot.process.poll() is None:
                bot.signal(signal.SIGCONT)
                bot.process.kill()
                bot.process.wait(10)
        for relay in self.relays:
            relay.cut()
        if self._telegram is not None:
            self._telegram.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._telegram.wait(5)
            self._telegram.kill()
            self._telegram.wait(5)
            assert self._telegram.stdout is not None
            self._telegram.stdout.close()


def data_of(message: Json, label: str) -> str:
    """The callback data of the button of that label."""
    found = {button["text"]: button["callback_data"] for row in rows(message) for button in row}
    assert label in found, f"no button {label!r} among {sorted(found)}"
    return str(found[label])


def rows(message: Json) -> list[list[Json]]:
    keyboard: list[list[Json]] = message.get("reply_markup", {}).get("inline_keyboard", [])
    return keyboard


@dataclass(frozen=True)
class Prepared:
    """A database made ready by the bot's own command; tests empty it and use it one after the other."""

    mongo: ReplicaSet
    database: str
    password: str


def prepared(mongo: ReplicaSet, directory: Path) -> Prepared:
    found = Prepared(mongo, f"kappa_{secrets.token_hex(4)}", secrets.token_hex(8))
    lab = BotLab(directory, mongo, found.database, "123456:only-for-preparing", found.password)
    lab.set_up()
    ran = lab.prepare()
    assert ran.returncode == 0, ran.stderr
    return found


@contextmanager
def bot_lab(ready: Prepared, directory: Path, telegram: bool = True) -> Iterator[BotLab]:
    directory.mkdir(parents=True, exist_ok=True)
    token = f"123456:{secrets.token_urlsafe(24)}"
    lab = BotLab(directory, ready.mongo, ready.database, token, ready.password)
    try:
        lab.set_up()
        lab.empty()
        if telegram:
            lab.start_telegram()
        yield lab
    finally:
        lab.close()
