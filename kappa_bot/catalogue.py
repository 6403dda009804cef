"""The categories and subcategories that places are sorted into, as a user sees them."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from kappa_bot.folding import tokens

NAME_CHARACTERS = 40
"""The most that a name may have: two of them stand side by side on a phone's screen."""


@dataclass(frozen=True)
class Choice:
    """A category or subcategory as a user sees it."""

    id: str
    names: Mapping[str, str]
    """By language."""

    def name(self, language: str) -> str:
        return self.names[language]


@dataclass(frozen=True)
class NewChoice:
    """A category, or a subcategory of one, that a user adds."""

    id: str
    name: str
    category: str | None
    """Of a subcategory: the category that it belongs to."""


@dataclass(frozen=True)
class Catalogue:
    """The categories there are, and each one's subcategories."""

    categories: tuple[Choice, ...] = ()
    subcategories: Mapping[str, tuple[Choice, ...]] = field(default_factory=dict)
    """By category id."""

    def category(self, id_: str | None) -> Choice | None:
        return next((choice for choice in self.categories if choice.id == id_), None)

    def subcategory(self, category: str | None, id_: str | None) -> Choice | None:
        return next((choice for choice in self.subcategories.get(category or "", ()) if choice.id == id_), None)

    def path(self, subcategory: str) -> tuple[Choice, Choice] | None:
        """A subcategory, after the category that it belongs to."""
        for category in self.categories:
            found = self.subcategory(category.id, subcategory)
            if found is not None:
                return category, found
        return None

    def searchable(self) -> tuple[Choice, ...]:
        """The categories in which there can be a place."""
        return tuple(choice for choice in self.categories if self.subcategories.get(choice.id))

    def named(self, name: str, category: str | None) -> Choice | None:
        """The category of that name, or the subcategory of `category`: in either language, however it is written."""
        among = self.categories if category is None else self.subcategories.get(category, ())
        key = name_key(name)
        return next((choice for choice in among if key in name_keys(choice.names.values())), None)

    def plus(self, new: NewChoice, languages: tuple[str, ...]) -> "Catalogue":
        choice = Choice(new.id, dict.fromkeys(languages, new.name))
        if new.category is None:
            return replace(self, categories=(*self.categories, choice))
        among = (*self.subcategories.get(new.category, ()), choice)
        return replace(self, subcategories={**self.subcategories, new.category: among})


def tidy(name: str) -> str:
    """A name as it is shown: on one line, without what cannot be seen (which might turn the words around it)."""
    seen = "".join(letter for letter in name if letter.isspace() or unicodedata.category(letter) not in ("Cc", "Cf"))
    return " ".join(seen.split())


def name_key(name: str) -> str:
    """What is the same for two names that are one: case, accents and punctuation do not tell names apart."""
    return " ".join(tokens(name))


def name_keys(names: Iterable[str]) -> list[str]:
    """The keys of a choice's names, each once; MongoDB keeps them unique (`folded`)."""
    return sorted({name_key(name) for name in names} - {""})
