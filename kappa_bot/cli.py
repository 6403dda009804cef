"""`kappa-bot`: run, status, check-config, prepare-database. What a command does not need it does not import."""

import sys
from collections.abc import Callable
from typing import NoReturn

import click

from kappa_bot.exits import Exit, FatalError

DEFAULT_CONFIG = "/etc/kappa/bot.toml"
DEFAULT_SOCKET = "/run/kappa/telegram-bot.sock"

config_option = click.option(
    "--config", "file", default=DEFAULT_CONFIG, show_default=True, metavar="FILE", help="The configuration, TOML."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Kappa's Telegram bot."""


@commands.command()
@config_option
@click.option("--standby", is_flag=True, help="Start connected but silent; wait to be promoted on the control socket.")
def run(file: str, standby: bool) -> None:
    """Run in the foreground until SIGTERM; logs go to stderr."""
    from kappa_bot import logs
    from kappa_bot.config import load

    logs.set_up()
    config = load(file)
    logs.set_up(config.log_format)
    from kappa_bot import service

    service.run(config, standby)


@commands.command()
@click.option("--socket", "path", default=DEFAULT_SOCKET, show_default=True, metavar="PATH", help="The control socket.")
@click.option("--check", is_flag=True, help="Have it ask Telegram and MongoDB now, instead of going by their last use.")
def status(path: str, check: bool) -> None:
    """Ask a running bot how it is. Exit 0 if it is active or a standby in order, 1 if not, 7 if none answers."""
    from kappa_bot.control import ask

    try:
        reply = ask(path, "check", wait_s=5.0) if check else ask(path, "status")
    except (OSError, ValueError) as error:
        raise FatalError(Exit.CONTROL, f"no bot answers at {path}: {error}") from None
    if not reply.get("ok"):
        raise FatalError(Exit.CONTROL, f"the bot at {path} answers: {reply.get('error')}")
    received = reply.get("last_receive_s")
    rows = (
        ("role", reply.get("role")),
        ("pid", reply.get("pid")),
        ("epoch", reply.get("epoch")),
        ("last receive", "never" if received is None else f"{received} s ago"),
        ("backlog", reply.get("backlog")),
        ("conflicts", reply.get("conflicts")),
        ("Telegram", reply.get("telegram")),
        ("router", reply.get("router")),
        ("reason", reply.get("reason") or "-"),
    )
    checked = reply.get("checked", {})
    now = [
        (f"{name} now", checked[key], checked[f"{key}_ms"])
        for name, key in (("Telegram", "telegram"), ("router", "router"))
        if key in checked
    ]
    for name, value in (*rows, *((name, said if ms is None else f"{said}, {ms:g} ms") for name, said, ms in now)):
        click.echo(f"{name:13}{'-' if value is None else value}")
    answered = all(said == "ok" or ms is None for _, said, ms in now)
    well = reply.get("role") in ("active", "standby") and not reply.get("reason") and answered
    sys.exit(Exit.OK if well else Exit.FAILED)


@commands.command("check-config")
@config_option
def check_config(file: str) -> None:
    """Judge the configuration and its secret files, and say what the bot would do. Connects to nothing."""
    from kappa_bot.config import load
    from kappa_bot.describing import in_words

    lines = list(in_words(load(file)))
    click.echo(f"{file} is in order. The bot would")
    for line in lines:
        click.echo(f"  {line}")


@commands.command("prepare-database")
@config_option
@click.option("--admin-user", required=True, help="A MongoDB user who may create collections, roles and users.")
@click.option("--admin-password-file", required=True, metavar="FILE", help="The file with that user's password.")
@click.option("--uri", metavar="URI", help="Where to reach MongoDB, if not as the configuration says.")
def prepare_database(file: str, admin_user: str, admin_password_file: str, uri: str | None) -> None:
    """Create or update collections, indexes, first categories, and the bot's role and user. As often as you like."""
    from kappa_bot.config import load
    from kappa_bot.prepare import prepare

    config = load(file)
    prepare(config, admin_user, admin_password_file, uri, lambda done: click.echo(f"ready: {done}"))


def main() -> NoReturn:
    sys.exit(guarded(commands))


def guarded(command: Callable[[], object]) -> int:
    """Run; whatever happens becomes one sentence on stderr and an exit code, never a traceback."""
    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except FatalError as error:
        _say(str(error))
        return error.code
    except KeyboardInterrupt:
        return 130
    except BaseException as error:
        from kappa_bot.logs import whereabouts

        _say(f"ended by an error that was not foreseen: {whereabouts(error)}")
        return Exit.FAILED
    return Exit.OK


def _say(sentence: str) -> None:
    from kappa_bot.logs import sieve

    print(f"kappa-bot: {sieve(sentence)}", file=sys.stderr)
