"""Inappropriate words: found as whole words however they are written, and nowhere else; the list while it is edited."""

import os
import string
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kappa_bot.catalogue import name_key
from kappa_bot.folding import fold, tokens
from kappa_bot.wordlist import DEFAULT_FILE, MOST_BYTES, WordList, parse

LIST = WordList()
WORDS = sorted("".join(phrase) for phrase in parse(Path(DEFAULT_FILE).read_text("utf-8")) if len(phrase) == 1)
PHRASES = sorted(" ".join(phrase) for phrase in parse(Path(DEFAULT_FILE).read_text("utf-8")))
ACCENTS = "\u0300\u0301\u0302\u0308"
NOT_WORDS = " \t\n.,;:!?¡¿()[]{}<>«»“”'\"/\\|-_*+=#@&%$€~…—"


def written(text: str, draw: st.DataObject) -> str:
    """The same words in another case, with accents where there were none."""
    marks = draw.draw(st.lists(st.sampled_from(["", *ACCENTS]), min_size=len(text), max_size=len(text)))
    upper = draw.draw(st.lists(st.booleans(), min_size=len(text), max_size=len(text)))
    made = "".join(
        (letter.upper() if big else letter) + (mark if letter in "aeiou" else "")
        for letter, big, mark in zip(text, upper, marks, strict=True)
    )
    return draw.draw(st.sampled_from([made, unicodedata.normalize("NFC", made)]))


@given(st.data(), st.sampled_from(PHRASES), st.text(NOT_WORDS, max_size=3), st.text(NOT_WORDS, max_size=3))
def test_a_listed_word_is_found_whatever_its_case_and_accents_and_whatever_is_round_it(
    data: st.DataObject, phrase: str, before: str, after: str
) -> None:
    assert LIST.improper(f"un sitio {before}{written(phrase, data)}{after} cualquiera")
    assert LIST.improper(f"{before}{written(phrase, data)}{after}")
    assert LIST.improper(f"lugar {written(phrase, data)} lugar")


@given(
    st.sampled_from(WORDS),
    st.text(string.ascii_lowercase + "áñ0123456789", min_size=1, max_size=3),
    st.text(string.ascii_lowercase + "áñ0123456789", max_size=3),
)
def test_as_part_of_another_word_it_is_not_found(word: str, before: str, after: str) -> None:
    made = before + word + after
    if fold(made) not in WORDS:
        assert not LIST.improper(f"en {made} mismo")


@given(st.sampled_from([word for word in WORDS if len(word) > 2]), st.text(NOT_WORDS, min_size=1, max_size=2))
def test_letters_set_apart_are_found(word: str, between: str) -> None:
    assert LIST.improper(between.join(word))
    assert LIST.improper(f"uno {between.join(word)} dos")


@given(st.text(max_size=80))
def test_no_text_is_too_odd_to_be_looked_at(text: str) -> None:
    assert LIST.improper(text) in (True, False)
    assert LIST.improper(text) == LIST.improper(text.upper().lower()) or not text.isascii()


@pytest.mark.parametrize(
    "text",
    ["Scunthorpe", "disputa", "Una disputa en la calle", "el cómputo", "Computer shop", "año nuevo", "El ano 2024",
     "cono de tráfico", "Essex", "cockpit", "mandarina", "reputada", "y o a e", "1 2 3 4", "Bache a 3 m", ""],
)  # fmt: skip
def test_everyday_words_pass(text: str) -> None:
    assert not LIST.improper(text)


@pytest.mark.parametrize(
    "text", ["PÚTA", "¡p.u.t.a!", "_puta_", "hijo\nde  PUTA", "coño", "CON\u0303O", "pu\u00adta", "ｐｕｔａ", "F-U-C-K"]
)
def test_these_do_not(text: str) -> None:
    assert LIST.improper(text)


@given(st.text(max_size=40))
def test_folding_twice_is_folding_once_and_a_names_key_does_not_depend_on_its_writing(text: str) -> None:
    assert tokens(" ".join(tokens(text))) == tokens(text)
    assert name_key(f"  {text}\t!") == name_key(text)


def test_the_letter_ene_is_no_accented_n() -> None:
    assert tokens("AÑO an\u0303o ano Ánó") == ["año", "año", "ano", "ano"]


def test_the_file_is_read_again_when_it_changes_and_a_bad_one_keeps_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("kappa_bot.wordlist.log.error", lambda text, *words: said.append(text % words))
    file = tmp_path / "words.txt"
    words = WordList(str(file))
    for _ in range(3):
        words.refresh()
    assert words.improper("puta"), "the list that comes with the bot, while there is no other"
    assert said == [
        f"words.file: cannot read {file}: No such file or directory: the list read last stays in force",
    ]
    file.write_text("# remark\n\nUno\ndos tres # both\n", "utf-8")
    words.refresh()
    assert words.improper("UNO") and words.improper("dos, tres") and not words.improper("dos puta remark both")
    # Of the same length, and within one tick of the clock.
    stamp = file.stat().st_mtime_ns
    other = tmp_path / "other"
    other.write_text("# remark\n\nDos\ndos tres # both\n", "utf-8")
    os.utime(other, ns=(stamp, stamp))
    other.replace(file)
    words.refresh()
    assert words.improper("dos") and not words.improper("uno")
    for spoil in (_a_pipe, _not_text, _too_long, _a_directory):
        said.clear()
        file.unlink()
        spoil(file)
        for _ in range(3):
            words.refresh()
        assert words.improper("dos") and not words.improper("uno"), spoil
        assert len(said) == 1, spoil
    file.rmdir()
    file.write_text("cuatro", "utf-8-sig")
    words.refresh()
    assert words.improper("cuatro") and not words.improper("dos")
    file.write_text("", "utf-8")
    words.refresh()
    assert not words.improper("cuatro"), "an empty list refuses nothing"


def _not_text(file: Path) -> None:
    file.write_bytes(b"uno\n\xff\xfe")


def _too_long(file: Path) -> None:
    file.write_text("uno\n" * (MOST_BYTES // 4 + 1))


def _a_pipe(file: Path) -> None:
    os.mkfifo(file)


def _a_directory(file: Path) -> None:
    file.mkdir()
