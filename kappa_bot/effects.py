"""What comes of a turn, as operations on MongoDB: committed with the mark that the update is done, or not at all."""

from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne

from kappa_bot.catalogue import NewChoice, name_keys
from kappa_bot.database import CATEGORIES, DATA, DIALOGUES, REPLIES, SUBCATEGORIES, USERS
from kappa_bot.texts import LANGUAGES
from kappa_bot.turn import Dialogue, Document, Turn
from kappa_bot.writer import Op


def effects(turn: Turn, chat: int, user: str) -> list[tuple[str, Op]]:
    """All but the dialogue, which is kept once for several turns. `user`: keyed hash."""
    now = datetime.now(UTC)
    ops: list[tuple[str, Op]] = []
    if turn.forget:
        ops += _forget(turn, chat, user)
    if turn.enrol:
        new = {"$setOnInsert": {"idTelegram": user, "creationDate": now}}
        ops.append((USERS, UpdateOne({"idTelegram": user}, new, upsert=True)))
    if turn.new is not None:
        ops.append(_new_choice(turn.new, now))
    if turn.place is not None:
        ops.append((DATA, InsertOne(_feature(turn, now))))
    if turn.complaint is not None:
        # Who is among them already counts no second time.
        others = {"_id": ObjectId(turn.complaint), "complaintsUsers": {"$ne": user}}
        one_more = {"$inc": {"complaints": 1}, "$push": {"complaintsUsers": user}}
        ops.append((DATA, UpdateOne(others, one_more)))
    return ops + outbox(turn, chat, now)


def _forget(turn: Turn, chat: int, user: str) -> list[tuple[str, Op]]:
    """Remove what is kept of a user but the dialogue. The updates themselves go with being done."""
    return [
        (USERS, DeleteOne({"idTelegram": user})),
        # The count of complaints stays: that people complained is of the place, who did was the user's. So there may be
        # fewer users than complaints, never more; and one who comes back is not known to have complained before.
        (DATA, UpdateMany({"complaintsUsers": user}, {"$pull": {"complaintsUsers": user}})),
        # Answers to what came earlier, not sent yet: they hold the chat's id.
        (REPLIES, DeleteMany({"chat": chat, "updateId": {"$lt": turn.update_id}})),
    ]


def _new_choice(new: NewChoice, now: datetime) -> tuple[str, Op]:
    document: Document = {
        "_id": ObjectId(new.id),
        **{f"Name_{language}": new.name for language in LANGUAGES},
        # Unique: of two users who add the same at the same time, the second finds it there.
        "folded": name_keys([new.name]),
        "creationDate": now,
    }
    if new.category is not None:
        return SUBCATEGORIES, InsertOne({**document, "Category": ObjectId(new.category), "Icon": "place"})
    return CATEGORIES, InsertOne({**document, "Nickname": f"added-{int(new.id, 16)}"})


def _feature(turn: Turn, now: datetime) -> Document:
    place = turn.place
    assert place is not None
    return {
        "type": "Feature",
        "properties": {
            "Subcategory": ObjectId(place.subcategory),
            # Shown as it was written, whichever language the map is read in.
            "Popup_en": place.description,
            "Popup_es": place.description,
        },
        "geometry": {"type": "Point", "coordinates": list(place.coordinates)},
        "complaints": 0,
        "complaintsUsers": [],
        "creationDate": now,
        "updateId": turn.update_id,
    }


def kept_dialogue(user: str, dialogue: Dialogue) -> tuple[str, Op]:
    if dialogue == Dialogue():
        return DIALOGUES, DeleteOne({"_id": user})
    return DIALOGUES, ReplaceOne({"_id": user}, {**dialogue.to_document(), "changed": datetime.now(UTC)}, upsert=True)


def outbox(turn: Turn, chat: int, now: datetime) -> list[tuple[str, Op]]:
    """The turn's replies, to be sent once they are durable."""
    documents: list[dict[str, Any]] = [
        {
            "_id": f"{turn.update_id}:{n}",
            "updateId": turn.update_id,
            "n": n,
            "chat": chat,
            "creationDate": now,
            **reply.to_document(),
        }
        for n, reply in enumerate(turn.replies)
    ]
    return [(REPLIES, InsertOne(document)) for document in documents]
