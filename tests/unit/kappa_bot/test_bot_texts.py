"""The catalogues of texts: complete in both languages."""

import re
import string
from pathlib import Path

import pytest

import kappa_bot
from kappa_bot.texts import LANGUAGES, catalogue, nearest, say


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_language_has_the_same_keys_and_placeholders() -> None:
    spanish = catalogue("es")
    for language in LANGUAGES:
        other = catalogue(language)
        assert other.keys() == spanish.keys()
        for key, text in other.items():
            assert text, f"{language}: {key} is empty"
            assert _placeholders(text) == _placeholders(spanish[key]), f"{language}: {key}"


def test_the_languages_differ_in_every_text() -> None:
    same = [key for key, text in catalogue("es").items() if text == catalogue("en")[key]]
    # Made of placeholders and a mark alone.
    assert same == []


def test_every_key_is_used_and_every_key_used_exists() -> None:
    code = "".join(file.read_text() for file in Path(str(kappa_bot.__file__)).parent.rglob("*.py"))
    used = set(re.findall(r'(?:turn\.text\(|say\(\w+, )"(\w+)"', code))
    # Chosen between before they are asked for.
    used |= set(
        re.findall(r'"(menu_register|menu_continue|map_all|map_newest|map_nearest|name_known|name_added)"', code)
    )
    used |= {f"{what}_empty" for what in ("category", "subcategory") if 'turn.text(f"{what}_empty")' in code}
    assert used == set(catalogue("es"))


def test_no_text_exceeds_a_message() -> None:
    for language in LANGUAGES:
        for key, text in catalogue(language).items():
            assert len(text) < 3000, key


@pytest.mark.parametrize(
    ("code", "language"), [("es-VE", "es"), ("en", "en"), ("EN-us", "en"), ("pt-br", "es"), (None, "es"), ("", "es")]
)
def test_who_has_chosen_none_is_greeted_in_the_nearest_language(code: str | None, language: str) -> None:
    assert nearest(code) == language


def test_placeholders_are_filled() -> None:
    assert "Bache" in say("es", "describe", category="Vías", subcategory="Bache")
