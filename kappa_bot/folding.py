"""Text folded for comparing: case and accents do not count."""

import re
import unicodedata
from functools import lru_cache

_TILDE = "\u0303"
_WORD = re.compile(r"[^\W_]+")


@lru_cache(maxsize=4096)
def fold(text: str) -> str:
    """Lower case, without accents. The ñ stays: it is a letter of its own, and año is another word than ano."""
    letters: list[str] = []
    for letter in unicodedata.normalize("NFKD", text).casefold():
        if letter == _TILDE and letters and letters[-1] == "n":
            letters[-1] = "ñ"
        # Marks on letters, and what cannot be seen: soft hyphens, joiners, directions.
        elif unicodedata.category(letter) not in ("Mn", "Me", "Cf"):
            letters.append(letter)
    return "".join(letters)


def tokens(text: str) -> list[str]:
    """The words of a text, folded."""
    return _WORD.findall(fold(text))
