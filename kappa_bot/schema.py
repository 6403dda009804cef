"""What each collection must look like, and what the bot may do there; prepare.py brings the database to it."""

from dataclasses import dataclass, field
from typing import Any

from kappa_bot.database import CATEGORIES, DATA, DIALOGUES, LEASE, REPLIES, SUBCATEGORIES, UPDATES, USERS
from kappa_bot.places import MAPPED
from kappa_bot.texts import LANGUAGES

DONE_KEPT_S = 48 * 3600
"""Telegram offers an update for at most 24 hours; twice as long its id is known as done."""

Document = dict[str, Any]

_INTEGER: Document = {"bsonType": ["int", "long"]}
_HASH: Document = {"bsonType": "string", "pattern": "^[0-9a-f]{64}$"}
_DATE: Document = {"bsonType": "date"}
_TEXT: Document = {"bsonType": "string"}
_NAME: Document = {"bsonType": "string", "minLength": 1}
_ID: Document = {"bsonType": "string", "pattern": "^[0-9a-f]{24}$"}
_FOLDED: Document = {"bsonType": "array", "minItems": 1, "items": _NAME}
_ONCE: Document = {"unique": True, "partialFilterExpression": {"folded": {"$exists": True}}}
"""No two of them have a name in common, in whichever language and however it is written."""


@dataclass(frozen=True)
class Index:
    keys: list[tuple[str, Any]]
    options: Document = field(default_factory=dict)


@dataclass(frozen=True)
class Collection:
    """What a collection must look like, and what the bot may do there."""

    name: str
    may: tuple[str, ...]
    required: tuple[str, ...]
    properties: Document
    indexes: tuple[Index, ...] = ()
    closed: bool = False
    """No other fields than these."""
    holds: Document = field(default_factory=dict)
    """What a schema cannot say: an expression that is true of each document."""

    @property
    def validator(self) -> Document:
        schema: Document = {"bsonType": "object", "required": list(self.required), "properties": self.properties}
        if self.closed:
            schema["properties"] = {"_id": {}, **self.properties}
            schema["additionalProperties"] = False
        return {"$jsonSchema": schema, **({"$expr": self.holds} if self.holds else {})}


_POSITION: Document = {
    "bsonType": "array",
    "minItems": 2,
    "maxItems": 2,
    "items": [
        # Longitude first (RFC 7946): a latitude never exceeds 90, so a pair the other way round is often found out.
        {"bsonType": ["double", "int"], "minimum": -180, "maximum": 180},
        {"bsonType": ["double", "int"], "minimum": -90, "maximum": 90},
    ],
}

COLLECTIONS = (
    Collection(
        LEASE,
        may=("find", "update"),
        required=("epoch", "holder", "expires"),
        properties={
            "epoch": _INTEGER,
            "holder": {"bsonType": ["string", "null"]},
            "expires": _DATE,
            "session": {"bsonType": ["binData", "null"]},
            "writes": _INTEGER,
        },
        closed=True,
    ),
    Collection(
        UPDATES,
        may=("find", "insert", "update"),
        required=("receivedAt", "epoch"),
        properties={
            "_id": _INTEGER,
            "update": _TEXT,
            "pending": {"enum": [True]},
            "receivedAt": _DATE,
            "epoch": _INTEGER,
            "doneAt": _DATE,
            "doneEpoch": _INTEGER,
            "failed": _TEXT,
            "webhook": {"enum": [True]},
        },
        indexes=(
            Index([("pending", 1), ("_id", 1)], {"partialFilterExpression": {"pending": True}}),
            Index([("doneAt", 1)], {"expireAfterSeconds": DONE_KEPT_S}),
        ),
        closed=True,
    ),
    Collection(
        DIALOGUES,
        may=("find", "insert", "update", "remove"),
        required=("accepted", "changed"),
        properties={
            "_id": _HASH,
            "accepted": {"bsonType": "bool"},
            "language": {"enum": list(LANGUAGES)},
            "changed": _DATE,
            "draft": {
                "bsonType": "object",
                "required": ["id"],
                "additionalProperties": False,
                "properties": {
                    "id": _INTEGER,
                    "coordinates": _POSITION,
                    "category": _ID,
                    "subcategory": _ID,
                    "naming": {"enum": ["category", "subcategory"]},
                },
            },
            "expects": {"bsonType": "string", "pattern": "^(near|forget:[0-9]+)$"},
        },
        closed=True,
    ),
    Collection(
        REPLIES,
        may=("find", "insert", "remove"),
        required=("updateId", "n", "chat", "method", "text", "creationDate"),
        properties={
            "_id": _TEXT,
            "updateId": _INTEGER,
            "n": _INTEGER,
            "chat": _INTEGER,
            "method": _TEXT,
            "text": _TEXT,
            "creationDate": _DATE,
            "map": {
                "bsonType": "object",
                "required": ["language", "title", "places"],
                "additionalProperties": False,
                "properties": {
                    "language": {"enum": list(LANGUAGES)},
                    "title": _TEXT,
                    # Ids alone: the file that is made of them is a hundred times as large.
                    "places": {"bsonType": "array", "maxItems": MAPPED, "items": _ID},
                    "origin": _POSITION,
                },
            },
        },
        indexes=(
            Index([("updateId", 1), ("n", 1)]),
            # A user who is to be forgotten.
            Index([("chat", 1)]),
        ),
    ),
    Collection(
        DATA,
        may=("find", "insert", "update"),
        required=("type", "properties", "geometry", "complaints", "complaintsUsers", "creationDate"),
        properties={
            "type": {"enum": ["Feature"]},
            "properties": {
                "bsonType": "object",
                "required": ["Subcategory", "Popup_en", "Popup_es"],
                "properties": {"Subcategory": {"bsonType": "objectId"}, "Popup_en": _TEXT, "Popup_es": _TEXT},
            },
            "geometry": {
                "bsonType": "object",
                "required": ["type", "coordinates"],
                "properties": {"type": {"enum": ["Point"]}, "coordinates": _POSITION},
            },
            "complaints": {**_INTEGER, "minimum": 0},
            "complaintsUsers": {"bsonType": "array", "uniqueItems": True, "items": _HASH},
            "creationDate": _DATE,
            "updateId": _INTEGER,
        },
        indexes=(
            # Places from before this bot have none.
            Index([("updateId", 1)], {"unique": True, "partialFilterExpression": {"updateId": {"$exists": True}}}),
            Index([("geometry", "2dsphere")]),
            Index([("properties.Subcategory", 1), ("creationDate", -1)]),
            Index([("complaintsUsers", 1)]),
        ),
        # Each who complains is counted once. There are fewer of them than complaints where some have been forgotten.
        holds={
            "$cond": [
                {"$isArray": "$complaintsUsers"},
                {"$gte": ["$complaints", {"$size": "$complaintsUsers"}]},
                False,
            ]
        },
    ),
    Collection(
        USERS,
        may=("find", "insert", "update", "remove"),
        required=("idTelegram", "creationDate"),
        properties={"idTelegram": _HASH, "creationDate": _DATE},
        indexes=(Index([("idTelegram", 1)], {"unique": True}),),
    ),
    Collection(
        CATEGORIES,
        may=("find", "insert"),
        required=("Name_en", "Name_es", "creationDate"),
        properties={"Name_en": _NAME, "Name_es": _NAME, "Nickname": _TEXT, "folded": _FOLDED, "creationDate": _DATE},
        indexes=(Index([("Nickname", 1)], {"unique": True}), Index([("folded", 1)], _ONCE)),
    ),
    Collection(
        SUBCATEGORIES,
        may=("find", "insert"),
        required=("Category", "Name_en", "Name_es", "creationDate"),
        properties={
            "Category": {"bsonType": "objectId"},
            "Name_en": _NAME,
            "Name_es": _NAME,
            "Icon": _TEXT,
            "folded": _FOLDED,
            "creationDate": _DATE,
        },
        indexes=(
            Index([("Category", 1), ("Name_en", 1)], {"unique": True}),
            Index([("Category", 1), ("folded", 1)], _ONCE),
        ),
    ),
)
