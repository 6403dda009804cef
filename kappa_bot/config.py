"""The configuration: one TOML file, and secrets in files of their own.

Every complaint is one sentence that names the file, the line and the key: `FatalError` with Exit.CONFIG.
"""

import os
import re
import stat
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kappa_bot import logs, settings
from kappa_bot.exits import Exit, FatalError
from kappa_bot.settings import Metrics, Webhook
from kappa_bot.wordlist import DEFAULT_FILE

TOKEN = re.compile(r"\d{1,20}:[A-Za-z0-9_-]{8,}")
WEBHOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{16,256}")


@dataclass(frozen=True)
class Telegram:
    token_file: str
    base_url: str
    """python-telegram-bot's: what stands before the token in every URL."""
    poll_timeout_s: int
    """How long one poll waits; by webhook, how often Telegram is asked how deliveries go."""


@dataclass(frozen=True)
class MongoDB:
    uri: str
    database: str
    user: str
    password_file: str
    auth_database: str


@dataclass(frozen=True)
class Map:
    """Where the maps that users get take their tiles from.

    openstreetmap.org's own server answers only pages that say where they come from (`Referer`); a page that is opened
    from a file does not. A tile server of one's own, or one that is bought, has to be named for a service of any size.
    """

    tile_url: str = "https://tile.openstreetmap.org/{z}/{x}/{y}.png"
    """As Leaflet takes it: {z}, {x}, {y}, and perhaps {s} and {r}."""
    attribution: str = '&copy; <a href="https://www.openstreetmap.org/copyright">OpenStreetMap</a> contributors'
    """HTML."""
    max_zoom: int = 19
    """The deepest zoom for which there are tiles."""


@dataclass(frozen=True)
class Config:
    file: str
    telegram: Telegram
    mongodb: MongoDB
    socket: str
    id_key_file: str
    lease_ttl_s: float
    map: Map
    words_file: str
    """The inappropriate words."""
    webhook: Webhook | None = None
    """None: the bot polls."""
    metrics: Metrics | None = None
    log_format: str = "text"

    def names(self, table: str, key: str) -> "Named":
        """For a complaint about a key."""
        return Named(self.file, (table, key))

    def token(self) -> str:
        token = read_secret(self.telegram.token_file, self.names("telegram", "token_file"))
        if TOKEN.fullmatch(token) is None:
            raise wrong(f"{self.telegram.token_file} does not hold a bot token as BotFather gives it (digits:letters)")
        return token

    def password(self) -> str:
        return read_secret(self.mongodb.password_file, self.names("mongodb", "password_file"))

    def id_key(self) -> bytes:
        key = read_secret(self.id_key_file, self.names("bot", "id_key_file"))
        if len(key) < 32:
            raise wrong(f"{self.id_key_file} holds fewer than 32 characters: make one with `openssl rand -hex 32`")
        return key.encode()

    def webhook_secret(self) -> str:
        assert self.webhook is not None
        file = self.webhook.secret_file
        secret = read_secret(file, self.names("webhook", "secret_file"))
        if WEBHOOK_SECRET.fullmatch(secret) is None:
            raise wrong(f"{file} must hold 16 to 256 letters, digits, _ and -: make one with `openssl rand -hex 32`")
        return secret

    def webhook_certificate(self) -> bytes | None:
        assert self.webhook is not None
        path = self.webhook.certificate
        if not path:
            return None
        where = self.names("webhook", "certificate")
        try:
            certificate = Path(path).read_bytes()
        except OSError as error:
            raise wrong(f"{where}: cannot read {path}: {error.strerror}") from None
        if b"-----BEGIN CERTIFICATE-----" not in certificate or b"PRIVATE KEY" in certificate:
            raise wrong(f"{where}: {path} must hold a certificate in PEM, and nothing else: it is sent to Telegram")
        return certificate


class Named:
    """File, line and key, looked for only when they are to be written down. A key that is not in the file, or a file
    that has gone meanwhile, has no line."""

    def __init__(self, file: str, path: tuple[str, ...]) -> None:
        self._file = file
        self._path = path

    def __str__(self) -> str:
        from kappa_bot.toml_lines import line_of

        try:
            line = line_of(Path(self._file).read_text(), self._path)
        except (OSError, ValueError):
            line = None
        return f"{self._file}{f', line {line}' if line else ''}: {'.'.join(self._path)}"


def wrong(sentence: str) -> FatalError:
    return FatalError(Exit.CONFIG, sentence)


def read_secret(path: str, named_by: object) -> str:
    """The content of a secret file, stripped. It must be regular, of root or this user, and closed to all others.

    Root itself may read anyone's: whoever prepares the database as root reads files of the user that the bot runs as.
    """
    try:
        # Not blocking, so that a FIFO left in its place cannot hold up a start.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise wrong(f"{named_by}: cannot read {path}: {error.strerror}") from None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise wrong(f"{named_by}: {path} is not a regular file")
        if os.geteuid() not in (0, found.st_uid) and found.st_uid != 0:
            raise wrong(f"{named_by}: {path} belongs to uid {found.st_uid}: it must be root's or the bot's own")
        if found.st_mode & 0o077:
            mode = f"{found.st_mode & 0o777:04o}"
            raise wrong(f"{named_by}: {path} is open to group or others (mode {mode}): chmod 600 it")
        secret = os.read(fd, 65536).decode().strip()
    except UnicodeDecodeError:
        raise wrong(f"{named_by}: {path} is not text") from None
    finally:
        os.close(fd)
    if not secret:
        raise wrong(f"{named_by}: {path} is empty")
    logs.hide([secret])
    return secret


def load(file: str) -> Config:
    """Read and judge the configuration; the secret files are only read when asked for."""
    try:
        document = tomllib.loads(Path(file).read_text())
    except OSError as error:
        raise wrong(f"cannot read the configuration {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise wrong(f"{file} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise wrong(f"{file} is not TOML: {error}") from None
    top = _Table(file, "", document)
    telegram = top.table("telegram")
    mongodb = top.table("mongodb")
    bot = top.table("bot")
    lease = top.table("lease")
    map_ = top.table("map")
    words = top.table("words")
    webhook = top.table("webhook")
    metrics = top.table("metrics")
    logging = top.table("log")
    receive = telegram.choice("receive", ("polling", "webhook"))
    config = Config(
        file=file,
        telegram=Telegram(
            token_file=telegram.path("token_file", "/etc/kappa/telegram.token"),
            base_url=telegram.text("base_url", "https://api.telegram.org/bot", _base_url),
            poll_timeout_s=int(telegram.number("poll_timeout_s", 10, 1, 50, whole=True)),
        ),
        mongodb=MongoDB(
            uri=mongodb.text("uri", "mongodb://127.0.0.1:27017/", _mongodb_uri),
            database=mongodb.text("database", "kappa", _database),
            user=mongodb.text("user", "kappa_bot"),
            password_file=mongodb.path("password_file", "/etc/kappa/mongodb.password"),
            auth_database=mongodb.text("auth_database", "kappa", _database),
        ),
        socket=bot.path("socket", "/run/kappa/telegram-bot.sock"),
        id_key_file=bot.path("id_key_file", "/etc/kappa/id.key"),
        lease_ttl_s=lease.number("ttl_s", 3.0, 1.0, 60.0),
        map=Map(
            tile_url=map_.text("tile_url", Map.tile_url, _tile_url),
            attribution=map_.text("attribution", Map.attribution),
            max_zoom=int(map_.number("max_zoom", Map.max_zoom, 1, 24, whole=True, unit="")),
        ),
        words_file=words.path("file", DEFAULT_FILE),
        log_format=logging.choice("format", ("text", "json")),
    )
    # A table that is there is judged, whether it is used or not.
    if "webhook" in top or receive == "webhook":
        brought = _webhook(webhook, config.telegram.base_url)
        config = replace(config, webhook=brought if receive == "webhook" else None)
    if "metrics" in top:
        config = replace(config, metrics=Metrics(metrics.needed("listen", settings.listen_address)))
    for table in (telegram, mongodb, bot, lease, map_, words, webhook, metrics, logging, top):
        table.nothing_left()
    return config


def _webhook(table: "_Table", base_url: str) -> Webhook:
    certificate = table.path("certificate", "/none")
    return Webhook(
        url=table.needed("url", lambda value: settings.webhook_url(value, base_url)),
        listen=table.text("listen", "127.0.0.1:8081", settings.loopback_address),
        secret_file=table.path("secret_file", "/etc/kappa/webhook.secret"),
        certificate=certificate if "certificate" in table else "",
        max_connections=int(table.number("max_connections", 40, 1, 100, whole=True, unit="")),
        networks=table.texts("networks", settings.network),
    )


def _base_url(value: str) -> str | None:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must be an http or https URL"
    return None if parts.username is None else "must hold no user or password"


def _tile_url(value: str) -> str | None:
    complaint = _base_url(value.replace("{s}", "a"))
    if complaint is None and not all(part in value for part in ("{z}", "{x}", "{y}")):
        return "must hold {z}, {x} and {y}"
    return complaint


def _mongodb_uri(value: str) -> str | None:
    if not value.startswith(("mongodb://", "mongodb+srv://")):
        return "must begin with mongodb://"
    if "@" in value.split("://", 1)[1].split("/", 1)[0]:
        return "must hold no user or password: name them in mongodb.user and mongodb.password_file"
    return None


def _database(value: str) -> str | None:
    return None if re.fullmatch(r"[A-Za-z0-9_-]{1,38}", value) else "must be letters, digits, _ and -, at most 38"


class _Table:
    """One table of the file; remembers what was asked for, so that what is left over can be named."""

    def __init__(self, file: str, name: str, content: dict[str, Any]) -> None:
        self._file = file
        self._name = name
        self._content = content
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def _key(self, key: str) -> Named:
        return Named(self._file, (self._name, key) if self._name else (key,))

    def table(self, key: str) -> "_Table":
        self._known.append(key)
        content = self._content.get(key, {})
        if not isinstance(content, dict):
            raise wrong(f"{self._key(key)} must be a table, [{key}]")
        return _Table(self._file, key, content)

    def text(self, key: str, default: str, judge: Callable[[str], str | None] = lambda value: None) -> str:
        self._known.append(key)
        value = self._content.get(key, default)
        if not isinstance(value, str) or not value:
            raise wrong(f"{self._key(key)} must be a text")
        complaint = judge(value)
        if complaint is not None:
            raise wrong(f"{self._key(key)} {complaint}")
        return value

    def needed(self, key: str, judge: Callable[[str], str | None]) -> str:
        if key not in self._content:
            raise wrong(f"{Named(self._file, (self._name,))} needs {key}")
        return self.text(key, "", judge)

    def choice(self, key: str, known: tuple[str, ...]) -> str:
        """One of the texts that are known, the first where nothing is said."""
        words = " or ".join(f'"{each}"' for each in known)
        return self.text(key, known[0], lambda value: None if value in known else f"must be {words}")

    def texts(self, key: str, judge: Callable[[str], str | None]) -> tuple[str, ...]:
        self._known.append(key)
        values = self._content.get(key, [])
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise wrong(f"{self._key(key)} must be a list of texts")
        for complaint in filter(None, map(judge, values)):
            raise wrong(f"{self._key(key)} {complaint}")
        return tuple(values)

    def path(self, key: str, default: str) -> str:
        return self.text(key, default, lambda value: None if value.startswith("/") else "must be an absolute path")

    def number(
        self, key: str, default: float, least: float, most: float, whole: bool = False, unit: str = " of seconds"
    ) -> float:
        self._known.append(key)
        value = self._content.get(key, default)
        fits = isinstance(value, int) or (isinstance(value, float) and not whole)
        if isinstance(value, bool) or not fits or not least <= value <= most:
            kind = "a whole number" if whole else "a number"
            raise wrong(f"{self._key(key)} must be {kind}{unit} from {least:g} to {most:g}")
        return float(value)

    def nothing_left(self) -> None:
        for key in self._content:
            if key not in self._known:
                raise wrong(
                    f"{self._key(key)} is not a key of this configuration: known here are {', '.join(self._known)}"
                )
