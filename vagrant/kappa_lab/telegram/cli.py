"""The command line of the Telegram lab server."""

import asyncio
import signal
import sys
from pathlib import Path

import click

from kappa_lab.telegram.server import Address, AddressError, Settings, TelegramLab


class AddressType(click.ParamType[Address]):
    name = "HOST:PORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        try:
            return Address.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def read_token(path: Path) -> str:
    """The token in a file. Raises click.ClickException, naming the file and never its content."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise click.ClickException(f"cannot read the token file {path}: {reason}") from None
    number, colon, secret = token.partition(":")
    if not colon or not number.isdigit() or not secret or "/" in token or any(c.isspace() for c in token):
        raise click.ClickException(f"the token file {path} holds no bot token: one looks like 123456:ABC-DEF")
    return token


def read_names(pairs: tuple[str, ...]) -> dict[str, str]:
    """ADDRESS=NODE pairs. Raises click.BadParameter."""
    names = {}
    for pair in pairs:
        address, equals, node = pair.partition("=")
        if not (address and equals and node):
            raise click.BadParameter(f"{pair!r} is not ADDRESS=NODE", param_hint="--name")
        names[address] = node
    return names


@click.command()
@click.option("--bind", type=AddressType(), required=True, help="Where the Bot API is served.")
@click.option("--control", type=AddressType(), required=True, help="Where the lab controls it: traffic and faults.")
@click.option("--token-file", type=click.Path(path_type=Path), required=True, help="The bot's token.")
@click.option("--journal", type=click.Path(path_type=Path), required=True, help="JSON lines; appended to.")
@click.option("--name", "names", multiple=True, metavar="ADDRESS=NODE", help="How the journal calls a client.")
@click.option("--callback-answer-s", default=15.0, show_default=True, help="How long a tap may be answered.")
def main(
    bind: Address, control: Address, token_file: Path, journal: Path, names: tuple[str, ...], callback_answer_s: float
) -> None:
    """Serve the Telegram Bot API for the lab until SIGTERM or SIGINT."""
    token, named = read_token(token_file), read_names(names)
    try:
        asyncio.run(_serve(Settings(bind, control, token, journal, named, callback_answer_s)))
    except AddressError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"cannot write the journal {journal}: {error.strerror or error}") from None


async def _serve(settings: Settings) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, over.set)
    async with TelegramLab(settings) as lab:
        # Whoever started it waits for this line.
        click.echo(f"telegram lab: bot api on {lab.bind}, control on {lab.control}")
        sys.stdout.flush()
        await over.wait()
