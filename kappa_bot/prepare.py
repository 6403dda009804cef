"""`kappa-bot prepare-database`: collections with validators, indexes, the first categories, the bot's role and user.

Idempotent: what is there is brought up to date, no document of anybody's is changed or removed. Works through a router
or a member of the replica set alike. The role lets the bot do what it does, and nothing else: it cannot drop, create,
or change a collection, an index, a role or a user, nor read another database.
"""

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import (
    BulkWriteError,
    CollectionInvalid,
    ConfigurationError,
    DuplicateKeyError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from kappa_bot.catalogue import name_keys
from kappa_bot.config import Config, read_secret, wrong
from kappa_bot.database import (
    AUTHENTICATION_FAILED,
    CATEGORIES,
    LEASE,
    POLLER,
    SUBCATEGORIES,
    one_line,
)
from kappa_bot.exits import Exit, FatalError
from kappa_bot.schema import COLLECTIONS, Collection
from kappa_bot.texts import LANGUAGES

ROLE = "kappaBot"

Document = dict[str, Any]


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
            _fold(database, tell)
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


def _fold(database: Database[Document], tell: Callable[[str], None]) -> None:
    """Bring `folded` up to date where a name was changed, or comes from before there was such a field."""
    for name in (CATEGORIES, SUBCATEGORIES):
        for found in database[name].find().sort([("creationDate", 1), ("_id", 1)]):
            folded = name_keys(str(found.get(f"Name_{language}", "")) for language in LANGUAGES)
            if not folded or found.get("folded") == folded:
                continue
            try:
                database[name].update_one({"_id": found["_id"]}, {"$set": {"folded": folded}})
            except DuplicateKeyError:
                database[name].update_one({"_id": found["_id"]}, {"$unset": {"folded": ""}})
                tell(f"{name}: {found['Name_es']} has the name of another: rename one of the two")


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
