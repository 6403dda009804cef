"""An older database brought up to date: nothing is lost, what two names have in common is told, the rules hold."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, OperationFailure

from kappa_bot.database import CATEGORIES, DATA, DIALOGUES, REPLIES, SUBCATEGORIES
from kappa_bot.schema import COLLECTIONS
from tests.mongod import ReplicaSet
from tests.unit.kappa_bot.bot_lab import BotLab, Json

pytestmark = pytest.mark.mongod

HASH = "a" * 64
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def fresh(replica_set: ReplicaSet, tmp_path: Path) -> Iterator[BotLab]:
    """A database of one's own that nobody has prepared."""
    lab = BotLab(tmp_path, replica_set, f"kappa_{secrets.token_hex(4)}", "123456:only-for-preparing", "password")
    lab.set_up()
    yield lab
    with replica_set.client() as client:
        client.drop_database(lab.database)


def prepare(lab: BotLab) -> list[str]:
    ran = lab.prepare()
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines() + ran.stderr.splitlines()


def place(**change: Any) -> Json:
    return {
        "type": "Feature",
        "properties": {"Subcategory": ObjectId(), "Popup_en": "x", "Popup_es": "x"},
        "geometry": {"type": "Point", "coordinates": [-66.9, 10.5]},
        "complaints": 0,
        "complaintsUsers": [],
        "creationDate": NOW,
        **change,
    }


def category(es: str, en: str, nickname: str) -> Json:
    return {"Name_es": es, "Name_en": en, "Nickname": nickname, "creationDate": NOW}


def test_an_older_database_is_brought_up_to_date_and_keeps_what_it_has(fresh: BotLab) -> None:
    with fresh.db() as db:
        # As an earlier version left it: other validators, no `folded`, who complained by other ids.
        db.create_collection(CATEGORIES, validator={"$jsonSchema": {"required": ["Name_en"]}})
        db[CATEGORIES].create_index([("Nickname", 1)], unique=True)
        mine = category("Deporte", "Sport", "sport")
        db[CATEGORIES].insert_many(
            [mine, category("DEPORTE", "Sports", "sport2"), category("Salud", "Health", "health")]
        )
        old = place(complaints=2, complaintsUsers=[ObjectId(), ObjectId()])
        db[DATA].insert_many([old, place(properties={"Subcategory": ObjectId(), "Popup_es": "solo uno"})])
        documents = {name: list(db[name].find()) for name in (CATEGORIES, DATA)}
        said = prepare(fresh)
        assert any("Categories: DEPORTE has the name of another: rename one of the two" in line for line in said), said
        for name, before in documents.items():
            for document in before:
                after = db[name].find_one({"_id": document["_id"]})
                assert after is not None
                assert {key: value for key, value in after.items() if key != "folded"} == document
        assert db[CATEGORIES].find_one({"folded": "deporte"}) == {**mine, "folded": ["deporte", "sport"]}
        assert all("folded" in each for each in db[SUBCATEGORIES].find())
        db[CATEGORIES].update_one({"Nickname": "sport2"}, {"$set": {"Name_es": "Juegos", "Name_en": "Games"}})
        assert not any("has the name of another" in line for line in prepare(fresh))
        assert db[CATEGORIES].count_documents({"folded": "juegos"}) == 1
        before_again = _all(db)
        prepare(fresh)
        assert _all(db) == before_again, "as often as one likes"
        _the_rules_hold(db)


def _all(db: "Database[Json]") -> Json:
    return {
        **{each.name: list(db[each.name].find().sort("_id", 1)) for each in COLLECTIONS},
        **{f"indexes of {each.name}": db[each.name].index_information() for each in COLLECTIONS},
        "options": sorted(db.list_collections(), key=lambda each: str(each["name"])),
    }


def _the_rules_hold(db: "Database[Json]") -> None:
    # A place of an earlier version may be complained of; who did so is not held to the new form.
    old = db[DATA].find_one({"complaints": 2})
    assert old is not None
    db[DATA].update_one({"_id": old["_id"]}, {"$inc": {"complaints": 1}, "$push": {"complaintsUsers": HASH}})
    refused: list[tuple[str, Json]] = [
        (DATA, place(complaintsUsers=[HASH])),
        (DATA, place(complaints=2, complaintsUsers=[HASH, HASH])),
        (DATA, place(complaints=1, complaintsUsers=["12345"])),
        (DATA, place(geometry={"type": "Point", "coordinates": [10.5, -166.9]})),
        (CATEGORIES, {"Name_en": "x"}),
        (CATEGORIES, {**category("x", "x", "x"), "folded": []}),
        (SUBCATEGORIES, {**category("x", "x", "x"), "Category": "health"}),
        (DIALOGUES, {"_id": HASH, "accepted": True, "changed": NOW, "expects": "money"}),
        (DIALOGUES, {"_id": HASH, "accepted": True, "changed": NOW, "draft": {"id": 1, "telegram": 5}}),
        (REPLIES, _reply({"language": "en", "title": "x", "places": ["1"]})),
        (REPLIES, _reply({"language": "fr", "title": "x", "places": []})),
    ]
    for name, document in refused:
        with pytest.raises(OperationFailure) as caught:
            db[name].insert_one(document)
        assert caught.value.code == 121, (name, document)
    db[DATA].insert_one(place(complaints=3, complaintsUsers=[HASH]))
    new = {**category("Juegos", "x", "added-1"), "folded": ["juegos"]}
    with pytest.raises(DuplicateKeyError):
        db[CATEGORIES].insert_one(new)
    parent = ObjectId()
    kind = {"Name_es": "Parque", "Name_en": "Park", "folded": ["parque", "park"], "creationDate": NOW}
    db[SUBCATEGORIES].insert_one({**kind, "Category": parent})
    db[SUBCATEGORIES].insert_one({**kind, "Category": ObjectId()})
    with pytest.raises(DuplicateKeyError):
        db[SUBCATEGORIES].insert_one(
            {**kind, "_id": ObjectId(), "Category": parent, "Name_en": "x", "folded": ["park"]}
        )


def _reply(order: Json) -> Json:
    return {
        "_id": "1:0",
        "updateId": 1,
        "n": 0,
        "chat": 1,
        "method": "sendDocument",
        "text": "x",
        "creationDate": NOW,
        "map": order,
    }


def test_the_near_and_the_subcategory_query_use_an_index(fresh: BotLab) -> None:
    prepare(fresh)
    with fresh.db() as db:
        for query in (
            {"properties.Subcategory": ObjectId(), "complaints": {"$not": {"$gte": 3}}},
            {"complaintsUsers": HASH},
        ):
            plan = db[DATA].find(query).sort("creationDate", -1).explain()["queryPlanner"]["winningPlan"]
            assert "IXSCAN" in str(plan) and "COLLSCAN" not in str(plan), plan
