"""What the bot says: one catalogue a language, the same keys in each (a test sees to that)."""

import tomllib
from functools import cache
from pathlib import Path

LANGUAGES = ("es", "en")
"""Spanish first: it is what a user gets who has not chosen and whose Telegram speaks neither."""


@cache
def catalogue(language: str) -> dict[str, str]:
    document = tomllib.loads((Path(__file__).parent / f"{language}.toml").read_text("utf-8"))
    return {key: str(text).strip() for key, text in document.items()}


def say(language: str, key: str, **values: object) -> str:
    """The text for a key in a language, its placeholders filled."""
    return catalogue(language)[key].format(**values)


def nearest(language_code: str | None) -> str:
    """The language to greet in, from Telegram's IETF tag of a user's client (`es-VE`, `en`, …)."""
    base = (language_code or "").split("-")[0].lower()
    return base if base in LANGUAGES else LANGUAGES[0]
