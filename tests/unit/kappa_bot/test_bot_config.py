"""The configuration and its secret files: every complaint is one sentence that names file and key."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from kappa_bot.config import Config, load
from kappa_bot.describing import in_words
from kappa_bot.exits import Exit, FatalError
from kappa_bot.webhook import same_place

HOOK = "[webhook]\nurl = 'https://x/y'\n"
GOOD = """
[telegram]
token_file = "{dir}/token"
[mongodb]
password_file = "{dir}/password"
[bot]
id_key_file = "{dir}/key"
"""


def _secret(path: Path, content: str, mode: int = 0o600) -> None:
    path.write_text(content)
    path.chmod(mode)


@pytest.fixture
def good(tmp_path: Path) -> Config:
    _secret(tmp_path / "token", "123456:abcdefgh_-12\n")
    _secret(tmp_path / "password", "pass word\n")
    _secret(tmp_path / "key", "k" * 64)
    file = tmp_path / "bot.toml"
    file.write_text(GOOD.format(dir=tmp_path))
    return load(str(file))


def _refusal(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(FatalError) as caught:
        load(str(file))
    assert caught.value.code == Exit.CONFIG
    sentence = str(caught.value)
    assert str(file) in sentence and "\n" not in sentence
    return sentence


def test_what_is_not_said_has_a_default(good: Config) -> None:
    assert good.telegram.base_url == "https://api.telegram.org/bot"
    assert good.telegram.poll_timeout_s == 10
    assert good.lease_ttl_s == 3.0
    assert good.socket == "/run/kappa/telegram-bot.sock"
    assert good.map.tile_url == "https://tile.openstreetmap.org/{z}/{x}/{y}.png" and good.map.max_zoom == 19
    assert "OpenStreetMap" in good.map.attribution
    assert good.words_file.endswith("/kappa_bot/inappropriate.txt")
    assert (good.mongodb.database, good.mongodb.user, good.mongodb.auth_database) == ("kappa", "kappa_bot", "kappa")


def test_secrets_are_read_stripped(good: Config) -> None:
    assert good.token() == "123456:abcdefgh_-12"
    assert good.password() == "pass word"
    assert good.id_key() == b"k" * 64


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[telegram]\ntoken = 'x'", "telegram.token is not a key"),
        ("[telegramm]", "telegramm is not a key"),
        ("telegram = 3", "telegram must be a table"),
        ("[telegram]\ntoken_file = 3", "telegram.token_file must be a text"),
        ("[telegram]\ntoken_file = 'here'", "telegram.token_file must be an absolute path"),
        ("[telegram]\nbase_url = 'ftp://x/bot'", "telegram.base_url must be an http"),
        ("[telegram]\nbase_url = 'https://u:p@x/bot'", "telegram.base_url must hold no user"),
        ("[telegram]\npoll_timeout_s = 0", "telegram.poll_timeout_s must be a whole number of seconds from 1 to 50"),
        ("[telegram]\npoll_timeout_s = 2.5", "telegram.poll_timeout_s must be a whole number"),
        ("[telegram]\npoll_timeout_s = true", "telegram.poll_timeout_s must be a whole number"),
        ("[mongodb]\nuri = 'localhost'", "mongodb.uri must begin with mongodb://"),
        ("[mongodb]\nuri = 'mongodb://u:secret@h/'", "mongodb.uri must hold no user or password"),
        ("[mongodb]\ndatabase = 'a b'", "mongodb.database must be letters"),
        ("[lease]\nttl_s = 0.2", "lease.ttl_s must be a number of seconds from 1 to 60"),
        ("[lease]\nttl_s = 'long'", "lease.ttl_s must be a number"),
        ("[map]\ntile_url = 'tiles/{z}/{x}/{y}.png'", "map.tile_url must be an http or https URL"),
        ("[map]\ntile_url = 'https://tiles.example.org/{z}/{x}.png'", "map.tile_url must hold {z}, {x} and {y}"),
        ("[map]\ntile_url = 'https://u:p@tiles.example.org/{z}/{x}/{y}'", "map.tile_url must hold no user"),
        ("[map]\nattribution = ''", "map.attribution must be a text"),
        ("[map]\nmax_zoom = 30", "map.max_zoom must be a whole number from 1 to 24"),
        ("[words]\nfile = 'words.txt'", "words.file must be an absolute path"),
        ("[bot", "is not TOML"),
        ("[telegram]\nreceive = 'webhooks'", ', line 2: telegram.receive must be "polling" or "webhook"'),
        ("\n[telegram]\n# here\nreceive = 'webhook'", "webhook needs url"),
        ("[webhook]\nlisten = '127.0.0.1:1'", ", line 1: webhook needs url"),
        ("[webhook]\nurl = 'https://x/'", "line 2: webhook.url must have a path of its own"),
        ("[webhook]\nurl = 'http://x/y'", "webhook.url must be an https URL: Telegram brings updates to no other"),
        ("[webhook]\nurl = 'ftp://x/y'", "webhook.url must be an https URL"),
        ("[webhook]\nurl = 'https://x:444/y'", "webhook.url must have one of the ports 443, 80, 88, 8443"),
        ("[webhook]\nurl = 'https://x:port/y'", "webhook.url must be a URL"),
        ("[webhook]\nurl = 'https://x/y?secret=1'", "webhook.url must hold no user, query or fragment"),
        (f"{HOOK}listen = '0.0.0.0:8081'", "line 3: webhook.listen must be a loopback address"),
        (f"{HOOK}listen = '8081'", "webhook.listen must be an address and a port"),
        (f"{HOOK}listen = '::1:8081'", "webhook.listen must be an address and a port"),
        (f"{HOOK}listen = '127.0.0.1:70000'", "webhook.listen must be an address and a port"),
        (f"{HOOK}max_connections = 101", "webhook.max_connections must be a whole number from 1 to 100"),
        (f"{HOOK}networks = '10.0.0.0/8'", "webhook.networks must be a list of texts"),
        (f"{HOOK}networks = [\n  '10.0.0.0/33']", "line 3: webhook.networks must hold networks such as"),
        (f"{HOOK}token = 'x'", "line 3: webhook.token is not a key"),
        (f"{HOOK}certificate = 'here.pem'", "webhook.certificate must be an absolute path"),
        ("[metrics]", ", line 1: metrics needs listen"),
        ("[metrics]\nlisten = 'localhost:9464'", "line 2: metrics.listen must be an address and a port"),
        ("[log]\nformat = 'xml'", 'line 2: log.format must be "text" or "json"'),
        ('[bot]\nsocket = """\n/a\n"""\n[lease]\nttl_s = 0', ", line 6: lease.ttl_s must be a number"),
        ("lease.ttl_s = 0", ", line 1: lease.ttl_s must be a number"),
        ("\n\n[lease]\n'ttl_s' = 0", ", line 4: lease.ttl_s must be a number"),
        ("lease = { ttl_s = 0 }", ", line 1: lease.ttl_s must be a number"),
        ("[[telegram]]", "line 1: telegram must be a table"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(tmp_path: Path, text: str, named: str) -> None:
    sentence = _refusal(tmp_path / "bot.toml", text)
    assert named in sentence
    assert "u:secret" not in sentence


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"cannot read the configuration .*/none\.toml: No such file"):
        load(str(tmp_path / "none.toml"))


def test_a_secret_that_cannot_be_read_is_named_with_the_line_that_names_it(good: Config) -> None:
    Path(good.telegram.token_file).unlink()
    with pytest.raises(FatalError, match=rf"{good.file}, line 3: telegram\.token_file: cannot read .*/token: No such"):
        good.token()
    file = Path(good.file)
    file.write_text("\n")
    bare = replace(load(str(file)), id_key_file="/nonexistent/id.key")
    with pytest.raises(FatalError, match=rf"^{file}: bot\.id_key_file: cannot read /nonexistent/id\.key"):
        bare.id_key()
    file.unlink()
    with pytest.raises(FatalError, match=rf"^{file}: bot\.id_key_file: cannot read"):
        bare.id_key()


def test_a_webhook_as_it_is_meant(good: Config, tmp_path: Path) -> None:
    assert good.webhook is None and good.metrics is None and good.log_format == "text"
    file = Path(good.file)
    text = file.read_text()
    file.write_text(text + HOOK)
    assert load(str(file)).webhook is None, "it is there, and not used"
    _secret(tmp_path / "webhook.secret", "s" * 32)
    (tmp_path / "webhook.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    more = f"secret_file = '{tmp_path}/webhook.secret'\ncertificate = '{tmp_path}/webhook.pem'\nlisten = '[::1]:99'\n"
    more += "[metrics]\nlisten = '127.0.0.1:9464'\n[log]\nformat = 'json'\n"
    file.write_text(text.replace("[telegram]", "[telegram]\nreceive = 'webhook'") + HOOK + more)
    config = load(str(file))
    assert config.webhook is not None and config.metrics is not None
    assert config.webhook.address == ("::1", 99) and config.metrics.address == ("127.0.0.1", 9464)
    assert config.webhook_secret() == "s" * 32 and config.log_format == "json"
    said = list(in_words(config))
    for seen in ("by webhook", "https://x/y", "[::1]:99 at /y", "webhook.pem", "127.0.0.1:9464/metrics", "JSON"):
        assert any(seen in line for line in said), (seen, said)
    assert not any("s" * 32 in line or "abcdefgh" in line or "pass word" in line for line in said)
    (tmp_path / "webhook.pem").write_text("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(FatalError, match=r"line \d+: webhook\.certificate: .* and nothing else: it is sent"):
        list(in_words(config))
    _secret(tmp_path / "webhook.secret", "s" * 32, 0o640)
    with pytest.raises(FatalError, match=r"line \d+: webhook\.secret_file: .* open to group or others"):
        list(in_words(config))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_secret_open_to_others_is_refused(good: Config, mode: int) -> None:
    Path(good.telegram.token_file).chmod(mode)
    with pytest.raises(FatalError, match=r"telegram\.token_file: .*/token is open to group or others \(mode 06\d\d\)"):
        good.token()


def test_a_secret_of_somebody_else_is_refused_but_not_to_root(good: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(good.mongodb.password_file, 12345, 12345)
    assert good.password() == "pass word"
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(FatalError, match=r"mongodb\.password_file: .* belongs to uid 12345"):
        good.password()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert good.password() == "pass word"


def test_a_secret_that_is_a_directory_a_fifo_or_missing_is_refused_at_once(good: Config, tmp_path: Path) -> None:
    token = Path(good.telegram.token_file)
    token.unlink()
    with pytest.raises(FatalError, match=r"telegram\.token_file: cannot read .*: No such file"):
        good.token()
    os.mkfifo(token, 0o600)
    with pytest.raises(FatalError, match="is not a regular file"):
        good.token()
    token.unlink()
    token.mkdir(0o700)
    with pytest.raises(FatalError, match="is not a regular file"):
        good.token()


@pytest.mark.parametrize("content", ["", "  \n", "no token", "12:short", "123456:abc defghijk"])
def test_what_is_no_token_is_refused_without_quoting_it(good: Config, content: str) -> None:
    _secret(Path(good.telegram.token_file), content)
    with pytest.raises(FatalError) as caught:
        good.token()
    assert good.telegram.token_file in str(caught.value)
    if content.strip():
        assert content.strip() not in str(caught.value)


def test_a_short_key_is_refused(good: Config) -> None:
    _secret(Path(good.id_key_file), "k" * 31)
    with pytest.raises(FatalError, match=re.escape("fewer than 32 characters")):
        good.id_key()


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("https://Bot.Example/kappa/telegram", True),
        ("https://bot.example:443/kappa/telegram", True),
        ("https://bot.example:8443/kappa/telegram", False),
        ("http://bot.example/kappa/telegram", False),
        ("https://bot.example/kappa/Telegram", False),
        ("https://bot.example.net/kappa/telegram", False),
        ("https://bot.example:port/kappa/telegram", False),
        ("", False),
    ],
)
def test_a_place_is_the_same_however_it_is_written(one: str, same: bool) -> None:
    assert same_place(one, "https://bot.example/kappa/telegram") is same
