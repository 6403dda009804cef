"""Inappropriate words, in a file that operators edit: one a line, or a phrase; what follows a `#` is a remark.

A word is found as a whole word, with case and accents folded, and also where its letters stand apart (`w.o.r.d`); as
part of another word it is not. The file is read again when it has changed. One that cannot be read changes nothing.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from kappa_bot.folding import tokens
from kappa_bot.logs import log

DEFAULT_FILE = str(Path(__file__).parent / "inappropriate.txt")
"""The list that comes with the bot; the last good one for as long as there is no other."""

MOST_BYTES = 1 << 20

Phrase = tuple[str, ...]


class UnreadableError(Exception):
    """The file cannot be used; the message says why."""


class WordList:
    """`refresh` now and then, then ask whether a text is `improper`."""

    def __init__(self, file: str = DEFAULT_FILE) -> None:
        self.file = file
        self._seen: tuple[int, ...] | None = None
        self._complaint = ""
        self._phrases: set[Phrase] = set()
        self._longest = 0
        self._take(parse(Path(DEFAULT_FILE).read_text("utf-8")))

    def refresh(self) -> None:
        """Read the file if it is another than the one read last."""
        try:
            found = Path(self.file).stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen == self._seen:
                return
            self._seen = seen
            self._take(_read(self.file, found))
        except (OSError, UnreadableError) as error:
            complaint = (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
            if complaint != self._complaint:
                log.error("words.file: cannot read %s: %s: the list read last stays in force", self.file, complaint)
            # Looked at again every time: a file that is put right may look as it did.
            self._complaint, self._seen = complaint, None
        else:
            self._complaint = ""

    def _take(self, phrases: Iterable[Phrase]) -> None:
        self._phrases = set(phrases)
        self._longest = max(map(len, self._phrases), default=0)

    def improper(self, text: str) -> bool:
        """Whether one of the words stands in a text."""
        words = tokens(text)
        for start in range(len(words)):
            for length in range(1, min(self._longest, len(words) - start) + 1):
                if tuple(words[start : start + length]) in self._phrases:
                    return True
        return any(self._spelt(run) for run in _single_letters(words))

    def _spelt(self, letters: str) -> bool:
        """Whether a run of letters that stand alone spells one of the words, whatever is spelt before and after."""
        return any("".join(phrase) in letters for phrase in self._phrases)


def parse(text: str) -> set[Phrase]:
    lines = (line.partition("#")[0] for line in text.splitlines())
    return {phrase for line in lines if (phrase := tuple(tokens(line)))}


def _read(file: str, found: os.stat_result) -> set[Phrase]:
    # A pipe or a device in its place would hold up everything.
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableError("it is not a regular file")
    if found.st_size > MOST_BYTES:
        raise UnreadableError(f"it has {found.st_size} bytes, more than {MOST_BYTES}")
    try:
        return parse(Path(file).read_text("utf-8-sig"))
    except UnicodeDecodeError:
        raise UnreadableError("it is not UTF-8 text") from None


def _single_letters(words: list[str]) -> list[str]:
    """The runs of words of one letter each, joined; a run of one is just a letter."""
    runs: list[str] = []
    run = ""
    for word in [*words, ""]:
        if len(word) == 1:
            run += word
            continue
        if len(run) > 1:
            runs.append(run)
        run = ""
    return runs
