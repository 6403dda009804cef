"""Logs: one line an event on stderr, `time=… level=… event="…"` or JSON, and never a secret or a user's words.

Libraries are not let through at all: httpx writes every URL, token included, at INFO, and python-telegram-bot writes
whole updates when it cannot parse one. What this package logs itself passes a last sieve that blots out every secret
that was read (config.py tells it of each) and whatever looks like a bot token.
"""

import json
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime

log = logging.getLogger("kappa_bot")


_secrets: list[str] = []
_TOKEN = re.compile(r"\d{6,}:[A-Za-z0-9_-]{20,}")


def hide(secrets: Iterable[str]) -> None:
    """Blot these out of everything that is written from now on."""
    _secrets.extend(secret for secret in secrets if len(secret) >= 4)


def sieve(text: str) -> str:
    """One line of it, without any secret that was read, and without what a terminal would obey."""
    text = "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))
    for secret in _secrets:
        text = text.replace(secret, "***")
    return _TOKEN.sub("***", text)


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = sieve(record.getMessage()).replace('"', "'")
        return f'time={_time(record)} level={record.levelname.lower()} event="{event}"'


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _time(record), "level": record.levelname.lower(), "event": sieve(record.getMessage())}
        return json.dumps(line, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def formatter(form: str) -> logging.Formatter:
    """Of "text" or "json"."""
    return _Json() if form == "json" else _Line()


def set_up(form: str = "text", level: int = logging.INFO) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form))
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
