"""What has to be read from MongoDB before a turn can be answered, what is found, and the map that shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class OfSubcategory:
    """The newest places of a subcategory."""

    id: str


@dataclass(frozen=True)
class Near:
    """The places nearest to a point."""

    coordinates: tuple[float, float]
    """Longitude, latitude."""


@dataclass(frozen=True)
class OfPlace:
    """One place, of which the user wants to complain."""

    id: str
    sure: bool
    """Asked again, the user has said yes."""


Query = OfSubcategory | Near | OfPlace
"""What has to be read from MongoDB before a turn can be answered."""


@dataclass(frozen=True)
class Found:
    """A place that is shown."""

    id: str
    subcategory: str
    description: str
    date: str
    """The day on which it was registered, YYYY-MM-DD."""
    metres: float | None = None
    """How far away, where that was asked."""
    complained: bool = False
    """By the user whose turn it is."""


@dataclass(frozen=True)
class MapOrder:
    """A map that is drawn when it is sent: what it shows, not the file. A place hidden by then is left out."""

    language: str
    title: str
    places: tuple[str, ...]
    origin: tuple[float, float] | None = None
    """Where the user is, longitude first, if that was asked."""

    def to_document(self) -> Document:
        document: Document = {"language": self.language, "title": self.title, "places": list(self.places)}
        return document if self.origin is None else {**document, "origin": list(self.origin)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "MapOrder":
        origin = document.get("origin")
        return cls(
            language=document["language"],
            title=document["title"],
            places=tuple(document["places"]),
            origin=None if origin is None else (origin[0], origin[1]),
        )
