"""`python -m kappa_lab.mongodb.records`: write down what MongoDB holds, for whoever judges a drill.

Read from the primary with majority read concern, and whole or not at all: a judge must never take half of it for all.
"""

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import InvalidURI, PyMongoError
from pymongo.read_concern import ReadConcern

from kappa_lab.errors import LabError
from kappa_lab.mongodb.initiate import DATABASE, _one_line, password

POLLER = "poller"
WITHIN_S = 30.0

Document = dict[str, Any]


def read(uri: str, user: str, secret: str, auth_database: str = DATABASE, within_s: float = WITHIN_S) -> Document:
    """`places` (of Data), `pending_updates` (of Updates, stored and not done), `unsent_replies` (of Replies), `lease`
    (None when there never was one) and `read_at` (epoch seconds). Raises LabError.
    """
    if not uri.startswith(("mongodb://", "mongodb+srv://")):
        raise LabError(f"MongoDB's address {uri} is not understood: it must begin with mongodb://.")
    try:
        client: MongoClient[Document] = MongoClient(
            uri,
            username=user,
            password=secret,
            authSource=auth_database,
            appname="kappa-lab records",
            serverSelectionTimeoutMS=int(within_s * 1000),
            timeoutMS=int(within_s * 1000),
        )
    except (InvalidURI, PyMongoError, ValueError) as error:
        raise LabError(f"MongoDB's address {uri} is not understood: {_one_line(error)}.") from None
    try:
        with client:
            database = client.get_database(DATABASE, read_concern=ReadConcern("majority"))
            lease = database["Lease"].find_one({"_id": POLLER})
            return {
                "read_at": time.time(),
                "places": [place(document) for document in database["Data"].find().sort("_id", 1)],
                "pending_updates": database["Updates"].count_documents({"pending": True}),
                "unsent_replies": database["Replies"].count_documents({}),
                "lease": {"epoch": lease.get("epoch"), "holder": lease.get("holder")} if lease else None,
            }
    except PyMongoError as error:
        raise LabError(f"What MongoDB holds cannot be read as {user}: {_one_line(error)}.") from None


def place(document: Mapping[str, Any]) -> Document:
    """One place as the judge wants it. `text` is what the user wrote, in whichever language."""
    properties = document.get("properties")
    texts = properties if isinstance(properties, dict) else {}
    return {
        "_id": str(document["_id"]),
        "updateId": document.get("updateId"),
        "text": texts.get("Popup_es") or texts.get("Popup_en") or "",
        "creationDate": epoch(document.get("creationDate")),
    }


def epoch(value: object) -> float | None:
    """Seconds since 1970 of a date as MongoDB or a program may have stored it; None for anything else."""
    if isinstance(value, datetime.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=datetime.UTC)).timestamp()
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def write(held: Mapping[str, Any], out: str) -> None:
    """To standard output for `-`, else to a file that is there whole or not at all. Raises LabError."""
    text = json.dumps(held, ensure_ascii=False, indent=1) + "\n"
    if out == "-":
        sys.stdout.write(text)
        return
    half = Path(f"{out}.{os.getpid()}.half")
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(out)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise LabError(f"{out} cannot be written: {error.strerror}.") from None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m kappa_lab.mongodb.records", description="Write down what MongoDB holds, for a drill's judge."
    )
    parser.add_argument("--uri", required=True, help="without a password")
    parser.add_argument("--user", default="kappa_judge")
    parser.add_argument("--password-file", required=True, type=Path)
    parser.add_argument("--auth-database", default=DATABASE)
    parser.add_argument("--within", type=float, default=WITHIN_S, metavar="S")
    parser.add_argument("--out", default="-", help="a file, or - for standard output")
    given = parser.parse_args(arguments)
    try:
        secret = password(given.password_file)
        write(read(given.uri, given.user, secret, given.auth_database, given.within), given.out)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
