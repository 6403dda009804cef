"""`kappa-bot prepare-database`: collections with validators, indexes, the first categories, the bot's role and user.

Idempotent: what is there is brought up to date, no document of anybody's is changed or removed. Works through a router
or a member of the replica set alike. The role lets the bot do what it does, and nothing else: it cannot drop, create,
or change a collection, an index, a role or a user, nor read another database.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import (
    BulkWriteError,
    CollectionInvalid,
    ConfigurationError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from kappa_bot.config import Config, read_secret, wrong
from kappa_bot.database import (
    AUTHENTICATION_FAILED,
    CATEGORIES,
    DATA,
    DIALOGUES,
    LEASE,
    POLLER,
    REPLIES,
    SUBCATEGORIES,
    UPDATES,
    USERS,
    one_line,
)
from kappa_bot.exits import Exit, FatalError
from kappa_bot.texts import LANGUAGES

ROLE = "kappaBot"

DONE_KEPT_S = 48 * 3600
"""Telegram offers an update for at most 24 hours; twice as long its id is known as done."""

Document = dict[str, Any]

_INTEGER: Document = {"bsonType": ["int", "long"]}
_HASH: Document = {"bsonType": "string", "pattern": "^[0-9a-f]{64}$"}
_DATE: Document = {"bsonType": "date"}
_TEXT: Document = {"bsonType": "string"}
_NAME: Document = {"bsonType": "string", "minLength": 1}


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

    @property
    def validator(self) -> Document:
        schema: Document = {"bsonType": "object", "required": list(self.required), "properties": self.properties}
        if self.closed:
            schema["properties"] = {"_id": {}, **self.properties}
            schema["additionalProperties"] = False
        return {"$jsonSchema": schema}


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
                "properties": {"id": _INTEGER, "coordinates": _POSITION, "category": _TEXT, "subcategory": _TEXT},
            },
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
        },
        indexes=(Index([("updateId", 1), ("n", 1)]),),
    ),
    Collection(
        DATA,
        may=("find", "insert"),
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
            "complaints": _INTEGER,
            "complaintsUsers": {"bsonType": "array"},
            "creationDate": _DATE,
            "updateId": _INTEGER,
        },
        indexes=(
            # Places from before this bot have none.
            Index([("updateId", 1)], {"unique": True, "partialFilterExpression": {"updateId": {"$exists": True}}}),
            Index([("geometry", "2dsphere")]),
            Index([("properties.Subcategory", 1)]),
        ),
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
        may=("find",),
        required=("Name_en", "Name_es", "creationDate"),
        properties={"Name_en": _NAME, "Name_es": _NAME, "Nickname": _TEXT, "creationDate": _DATE},
        indexes=(Index([("Nickname", 1)], {"unique": True}),),
    ),
    Collection(
        SUBCATEGORIES,
        may=("find",),
        required=("Category", "Name_en", "Name_es", "creationDate"),
        properties={
            "Category": {"bsonType": "objectId"},
            "Name_en": _NAME,
            "Name_es": _NAME,
            "Icon": _TEXT,
            "creationDate": _DATE,
        },
        indexes=(Index([("Category", 1), ("Name_en", 1)], {"unique": True}),),
    ),
)


def prepare(
    config: Config, admin_user: str, admin_password_file: str, uri: str | None, tell: Callable[[str], None]
) -> None:
    """Bring the database to what this version needs. FatalError with one sentence where it cannot."""
    admin_password = read_secret(admin_password_file, "--admin-password-file")
    password = config.password()
    try:
        client: MongoClient[Document] = MongoClient(
            uri or config.mongodb.uri,
            username=admin_user,
            password=admin_password,
            authSource="admin",
            appname="kappa-bot prepare-database",
            serverSelectionTimeoutMS=5000,
            w="majority",
            journal=True,
        )
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise wrong(f"the MongoDB URI is wrong: {one_line(error)}") from None
    with client:
        doing = "connecting"
        try:
            database = client[config.mongodb.database]
            for wanted in COLLECTIONS:
                doing = f"preparing the collection {wanted.name}"
                _prepare_collection(database, wanted)
            tell(f"{len(COLLECTIONS)} collections with validators and indexes")
            doing = "writing the first documents"
            _lease(database)
            tell(f"{_categories(database)} new categories and subcategories")
            doing = f"preparing the role {ROLE} and the user {config.mongodb.user}"
            _role(database)
            _user(client[config.mongodb.auth_database], config, password)
            tell(f"the role {ROLE} and the user {config.mongodb.user}")
        except PyMongoError as error:
            raise FatalError(Exit.DATABASE, _sentence(error, doing, admin_user)) from None


def _sentence(error: PyMongoError, doing: str, admin_user: str) -> str:
    if isinstance(error, ServerSelectionTimeoutError):
        return f"MongoDB does not answer: {one_line(error)}"
    if isinstance(error, OperationFailure) and error.code == AUTHENTICATION_FAILED:
        return f"MongoDB refuses the administrator {admin_user}: check the name and the password file"
    if isinstance(error, OperationFailure) and not isinstance(error, BulkWriteError):
        # Here the server's words quote no user; they name the index, or the document that hinders it.
        return f"MongoDB refused while {doing}: {' '.join(str(error).split(', full error:')[0].split())[:300]}"
    return f"MongoDB refused while {doing}: {one_line(error)}"


def _prepare_collection(database: Database[Document], wanted: Collection) -> None:
    try:
        database.create_collection(wanted.name, validator=wanted.validator, validationLevel="moderate")
    except CollectionInvalid:
        database.command("collMod", wanted.name, validator=wanted.validator, validationLevel="moderate")
    for index in wanted.indexes:
        database[wanted.name].create_index(index.keys, **index.options)


def _lease(database: Database[Document]) -> None:
    nobody = {"epoch": 0, "holder": None, "expires": datetime.fromtimestamp(0, UTC)}
    database[LEASE].update_one({"_id": POLLER}, {"$setOnInsert": nobody}, upsert=True)


def _categories(database: Database[Document]) -> int:
    """Add the categories that are missing; returns how many were. Names that an operator changed stay."""
    added = 0
    now = datetime.now(UTC)
    for category in tomllib.loads((Path(__file__).parent / "places.toml").read_text("utf-8"))["category"]:
        key: Document = {"Nickname": category["nickname"]}
        names = {"Name_es": category["es"], "Name_en": category["en"], "creationDate": now}
        added += database[CATEGORIES].update_one(key, {"$setOnInsert": names}, upsert=True).upserted_id is not None
        found = database[CATEGORIES].find_one(key)
        assert found is not None
        for sub in category["subcategories"]:
            sub_key: Document = {"Category": found["_id"], "Name_en": sub["en"]}
            rest = {"Name_es": sub["es"], "Icon": sub["icon"], "creationDate": now}
            done = database[SUBCATEGORIES].update_one(sub_key, {"$setOnInsert": rest}, upsert=True)
            added += done.upserted_id is not None
    return added


def _role(database: Database[Document]) -> None:
    privileges = [
        {"resource": {"db": database.name, "collection": wanted.name}, "actions": list(wanted.may)}
        for wanted in COLLECTIONS
    ]
    known = database.command("rolesInfo", ROLE)["roles"]
    database.command("updateRole" if known else "createRole", ROLE, privileges=privileges, roles=[])


def _user(database: Database[Document], config: Config, password: str) -> None:
    roles = [{"role": ROLE, "db": config.mongodb.database}]
    known = database.command("usersInfo", config.mongodb.user)["users"]
    database.command("updateUser" if known else "createUser", config.mongodb.user, pwd=password, roles=roles)
