"""The stock bot does the dialogue that ours does: the lab's people come to its end with it, answered at every step."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mongod import ReplicaSet, replica_set
from tests.unit.kappa_bot.bot_lab import ROOT, BotLab, bot_lab, prepared, until

__all__ = ["replica_set"]
pytestmark = [pytest.mark.mongod, pytest.mark.slow]

BOT = ROOT / "tests" / "bench" / "failover" / "stock" / "bot.py"


@pytest.fixture
def lab(replica_set: ReplicaSet, tmp_path: Path) -> Iterator[BotLab]:
    (tmp_path / "prepare").mkdir()
    with bot_lab(prepared(replica_set, tmp_path / "prepare"), tmp_path / "lab") as found:
        with found.db() as db:
            db.Data.drop_index([("updateId", 1)])
        yield found


@contextmanager
def stock_bot(lab: BotLab) -> "Iterator[subprocess.Popen[bytes]]":
    words = [lab.directory / "token", lab.base_url, lab.mongo.uri, lab.directory / "password", lab.database]
    with (lab.directory / "stock.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, BOT, *map(str, words)], cwd=ROOT, env=lab.env(), stderr=log)
    try:
        until(lambda: lab.lab("GET", "/updates")["poll_waiting"], "it waits for updates")
        yield process
    finally:
        process.kill()
        process.wait(10)


def start_traffic(lab: BotLab) -> None:
    wanted = {"users": 12, "rate_per_s": 40, "languages": ["es", "en"], "searches": 0, "adds": 0}
    lab.lab("POST", "/traffic", wanted)


def test_people_come_to_the_end_of_their_dialogues_and_their_places_are_stored(lab: BotLab) -> None:
    with stock_bot(lab) as process:
        start_traffic(lab)
        until(lambda: lab.lab("GET", "/traffic")["dialogues_finished"] >= 24, "24 places are registered", 60)
        said = lab.traffic_done()
        assert (said["dialogues_failed"], said["complaints"]) == (0, [])
        assert said["updates_answered"] == said["updates_sent"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    markers = {line["marker"] for line in lab.journal("dialogue") if line["state"] == "finished"}
    with lab.db() as db:
        assert {document["properties"]["Popup_es"] for document in db.Data.find()} == markers
        assert db.Data.count_documents({}) == len(markers)


def test_killed_it_forgets_who_was_half_way_and_answers_newcomers(lab: BotLab) -> None:
    """What the bench shows: their next message has no answer."""
    with stock_bot(lab) as process:
        start_traffic(lab)
        until(lambda: lab.lab("GET", "/traffic")["dialogues_half_way"] >= 4, "people are half-way", 60)
        process.kill()
        process.wait(10)
    with stock_bot(lab):
        assert lab.answered(5, text="/start")["reply_markup"]
        said = lab.traffic_done(within=3.0)
        assert said["dialogues_failed"] >= 1
        assert said["updates_answered"] < said["updates_sent"]
