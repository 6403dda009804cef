"""Logs: one line an event on stderr, `level=… event="…" key=value`, and never a secret or a user's words.

Libraries are not let through at all: httpx writes every URL, token included, at INFO, and python-telegram-bot writes
whole updates when it cannot parse one. What this package logs itself passes a last sieve that blots out every secret
that was read (config.py tells it of each).
"""

import logging
import sys
import traceback
import warnings
from collections.abc import Iterable

log = logging.getLogger("kappa_bot")


_secrets: list[str] = []


def hide(secrets: Iterable[str]) -> None:
    """Blot these out of everything that is written from now on."""
    _secrets.extend(secret for secret in secrets if len(secret) >= 4)


def sieve(text: str) -> str:
    """One line of it, without any secret that was read."""
    text = " ".join(text.split())
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = sieve(record.getMessage()).replace('"', "'")
        return f'level={record.levelname.lower()} event="{event}"'


def set_up(level: int = logging.INFO) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    log.handlers = [handler]
    log.setLevel(level)
    log.propagate = False
    root = logging.getLogger()
    root.handlers = [logging.NullHandler()]
    root.setLevel(logging.CRITICAL + 1)
    logging.lastResort = None
    # Libraries' warnings go to stderr too, and may quote what they warn of.
    warnings.simplefilter("ignore")


def whereabouts(error: BaseException) -> str:
    """What an unforeseen error was and where it rose, without its message: that may quote a user or a URL."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
    own = [frame for frame in frames if "kappa_bot" in frame.filename]
    if own and own[-1] is not frames[-1]:
        where += f" from {own[-1].filename.rsplit('/', 1)[-1]}:{own[-1].lineno}"
    return f"{type(error).__name__}{where}"
