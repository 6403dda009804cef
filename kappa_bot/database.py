"""MongoDB: the collections, the client, and its errors in an operator's words.

| collection      | `_id`                | holds                                                                   |
|-----------------|----------------------|-------------------------------------------------------------------------|
| `Lease`         | `"poller"`           | epoch, holder, expires: who may poll, send and write                    |
| `Updates`       | update_id            | the inbox. `update` (Telegram's JSON) and `pending` until it is done    |
| `Dialogues`     | keyed hash of a user | language, consent, the place half-way through registration              |
| `Replies`       | `<update_id>:<n>`    | the outbox. Removed once Telegram has accepted the reply                |
| `Data`          | ObjectId             | places, GeoJSON; `updateId` (unique) is the update that stored it;      |
|                 |                      | `complaints` counts, `complaintsUsers` holds keyed hashes               |
| `TelegramUsers` | ObjectId             | idTelegram: keyed hash of a user who accepted the terms                 |
| `Categories`, `Subcategories` | ObjectId | names in both languages; `folded` (unique) tells which are one        |

A raw Telegram id stands in two places only, both transient: in `Updates.update` until the update is done (the same
write removes it) and in `Replies.chat` until the reply is sent (the document goes). What lasts has the keyed hash.
"""

from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError, ConnectionFailure, InvalidURI, OperationFailure, PyMongoError

from kappa_bot.config import Config, wrong
from kappa_bot.exits import Exit, FatalError

LEASE = "Lease"
UPDATES = "Updates"
DIALOGUES = "Dialogues"
REPLIES = "Replies"
DATA = "Data"
USERS = "TelegramUsers"
CATEGORIES = "Categories"
SUBCATEGORIES = "Subcategories"

POLLER = "poller"
"""The `_id` of the one lease."""

OPERATION_LIMIT_S = 5.0
"""The longest that one operation may take before it is tried again."""

AUTHENTICATION_FAILED = 18
UNAUTHORIZED = 13

PASSING_CODES = frozenset(
    {
        *(6, 7, 89, 9001, 202),  # host unreachable, not found, network time-outs
        *(91, 189, 10107, 13435, 13436, 11600, 11602),  # shutting down, stepping down, not the primary (yet)
        *(24, 50, 112, 246, 251, 262, 11601),  # locks, time limits, conflicts, interrupted
        *(133, 134, 64, 100),  # no member to read from, or too few to acknowledge
        # A router that has lost its users' database refuses everybody. At the start these two are final (`hopeless`).
        *(AUTHENTICATION_FAILED, UNAUTHORIZED),
    }
)
"""MongoDB's error codes that say "not now" rather than "not so" (its error_codes.yml)."""

Document = dict[str, Any]
Client = AsyncMongoClient[Document]
Database = AsyncDatabase[Document]


def connect(config: Config) -> Client:
    """The bot's client; connects when first used. Every write waits for a majority and the journal."""
    try:
        return AsyncMongoClient(
            config.mongodb.uri,
            username=config.mongodb.user,
            password=config.password(),
            authSource=config.mongodb.auth_database,
            appname="kappa-bot",
            w="majority",
            journal=True,
            retryWrites=True,
            tz_aware=True,
            connectTimeoutMS=2000,
            serverSelectionTimeoutMS=1000,
            # A router that comes back is seen within a second, not within the driver's usual ten.
            heartbeatFrequencyMS=1000,
        )
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise wrong(f"{config.names('mongodb', 'uri')}: {one_line(error)}") from None


def one_line(error: BaseException) -> str:
    """An error of the driver or of Telegram's in one line that fits a status, without anybody's data."""
    if isinstance(error, OperationFailure):
        # The server's own words may quote the whole command, with what a user wrote.
        codes = [error.code, *(each.get("code") for each in (error.details or {}).get("writeErrors", ()))]
        name = (error.details or {}).get("codeName", "")
        return " ".join(["MongoDB error", *(str(code) for code in codes if code is not None), name]).strip()
    text = " ".join(str(error).split()) or type(error).__name__
    # The driver appends its whole view of the topology.
    text = text.split(", Timeout:")[0].split(", full error:")[0].split(" (configured timeouts:")[0]
    return text if len(text) <= 200 else text[:197] + "..."


def passing(error: PyMongoError) -> bool:
    """Whether trying again may help: the way to the primary is broken or moving, not the request wrong."""
    if isinstance(error, ConnectionFailure) or error.timeout:
        return True
    if any(map(error.has_error_label, ("TransientTransactionError", "UnknownTransactionCommitResult"))):
        return True
    return isinstance(error, OperationFailure) and error.code in PASSING_CODES


def hopeless(error: PyMongoError, config: Config) -> FatalError | None:
    """The sentence for an error that no waiting mends; None where trying again may help."""
    if not isinstance(error, OperationFailure):
        return None
    user = config.mongodb.user
    if error.code == AUTHENTICATION_FAILED:
        return FatalError(
            Exit.DATABASE,
            f"MongoDB refuses the user {user}: check mongodb.user, auth_database and the password in "
            f"{config.mongodb.password_file}, or run kappa-bot prepare-database",
        )
    if error.code == UNAUTHORIZED:
        return unprepared(config, f"the user {user} may not do what the bot needs")
    return None


def unprepared(config: Config, seen: str) -> FatalError:
    return FatalError(
        Exit.DATABASE,
        f"the database {config.mongodb.database} is not prepared: {seen}: run kappa-bot prepare-database",
    )
