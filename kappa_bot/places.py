"""Reading what users are shown: the categories, and places that are not hidden."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from kappa_bot.catalogue import Catalogue, Choice
from kappa_bot.database import CATEGORIES, DATA, SUBCATEGORIES, Database
from kappa_bot.queries import Found, MapOrder, Near, OfSubcategory, Query
from kappa_bot.turn import Document

HIDING_COMPLAINTS = 3
"""A place that so many people complain of is shown no more."""

MAPPED = 100
"""The most places on a map: the newest, or the nearest."""

RADIUS_M = 5000
"""What is near: an hour's walk."""

_SHOWN: Document = {"complaints": {"$not": {"$gte": HIDING_COMPLAINTS}}}


@dataclass(frozen=True)
class Mark:
    """A place as a map shows it."""

    id: str
    name: str
    """Of its subcategory."""
    description: str
    longitude: float
    latitude: float


async def read_catalogue(database: Database) -> Catalogue:
    """The categories and subcategories there are, in the order of their names in Spanish."""
    by_name = [("Name_es", 1)]
    categories = await database[CATEGORIES].find().sort(by_name).to_list()
    subcategories: dict[str, list[Choice]] = {}
    for document in await database[SUBCATEGORIES].find().sort(by_name).to_list():
        subcategories.setdefault(str(document["Category"]), []).append(_choice(document))
    return Catalogue(
        tuple(_choice(document) for document in categories),
        {category: tuple(choices) for category, choices in subcategories.items()},
    )


async def find(database: Database, query: Query, user: str, language: str) -> tuple[list[Found], bool]:
    """The places that a query asks for, at most MAPPED, and whether there are more. `user`: keyed hash."""
    places = database[DATA]
    if isinstance(query, OfSubcategory):
        wanted = {"properties.Subcategory": ObjectId(query.id), **_SHOWN}
        cursor = places.find(wanted).sort([("creationDate", -1), ("_id", -1)]).limit(MAPPED + 1)
        documents = await cursor.to_list()
    elif isinstance(query, Near):
        nearest = {
            "near": {"type": "Point", "coordinates": list(query.coordinates)},
            "key": "geometry",
            "distanceField": "metres",
            "maxDistance": RADIUS_M,
            "spherical": True,
            "query": _SHOWN,
        }
        documents = await (await places.aggregate([{"$geoNear": nearest}, {"$limit": MAPPED + 1}])).to_list()
    else:
        documents = await places.find({"_id": ObjectId(query.id), **_SHOWN}).to_list()
    return [_found(document, user, language) for document in documents[:MAPPED]], len(documents) > MAPPED


async def marks(database: Database, order: MapOrder) -> list[Mark]:
    """The places of a map, in its order, without those that have been hidden since it was ordered."""
    wanted = [ObjectId(id_) for id_ in order.places]
    documents = await database[DATA].find({"_id": {"$in": wanted}, **_SHOWN}).to_list()
    by_id = {document["_id"]: document for document in documents}
    names = await _names(database, order.language, [document["properties"]["Subcategory"] for document in documents])
    return [_mark(by_id[id_], names, order.language) for id_ in wanted if id_ in by_id]


async def _names(database: Database, language: str, subcategories: Sequence[Any]) -> dict[Any, str]:
    found = database[SUBCATEGORIES].find({"_id": {"$in": list(set(subcategories))}})
    return {document["_id"]: document[f"Name_{language}"] for document in await found.to_list()}


def _mark(document: Document, names: dict[Any, str], language: str) -> Mark:
    properties = document["properties"]
    longitude, latitude = document["geometry"]["coordinates"]
    return Mark(
        id=str(document["_id"]),
        name=names.get(properties["Subcategory"], ""),
        description=_description(document, language),
        longitude=float(longitude),
        latitude=float(latitude),
    )


def _found(document: Document, user: str, language: str) -> Found:
    created = document["creationDate"]
    return Found(
        id=str(document["_id"]),
        subcategory=str(document["properties"]["Subcategory"]),
        description=_description(document, language),
        date=created.date().isoformat() if isinstance(created, datetime) else "",
        metres=document.get("metres"),
        complained=user in document.get("complaintsUsers", ()),
    )


def _description(document: Document, language: str) -> str:
    """Places from before this bot may have it in one language only."""
    properties = document["properties"]
    return str(properties.get(f"Popup_{language}") or properties.get("Popup_es") or properties.get("Popup_en") or "")


def _choice(document: Document) -> Choice:
    return Choice(str(document["_id"]), {"es": document["Name_es"], "en": document["Name_en"]})
