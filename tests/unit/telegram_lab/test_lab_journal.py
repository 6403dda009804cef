"""The journal: whole lines at once, and never the token."""

import asyncio
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from kappa_lab.telegram.journal import Journal
from tests.unit.telegram_lab.labserver import TOKEN, Server


def test_every_line_is_there_when_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, TOKEN)
    journal.write("update", update_id=5)
    start, update = (json.loads(line) for line in path.read_text().splitlines())
    assert start["e"] == "start" and update["update_id"] == 5 and update["t"] >= start["t"] > 1_600_000_000
    journal.close()
    journal.close()
    assert [json.loads(line)["e"] for line in path.read_text().splitlines()] == ["start", "update", "finish"]


@pytest.mark.parametrize("leak", [TOKEN, quote(TOKEN, safe=""), TOKEN.partition(":")[2]])
def test_the_token_is_never_written(tmp_path: Path, leak: str) -> None:
    journal = Journal(tmp_path / "journal.jsonl", TOKEN)
    journal.write("end", error=f"cannot reach http://x/bot{leak}/getMe")
    journal.close()
    assert TOKEN.partition(":")[2] not in (tmp_path / "journal.jsonl").read_text()


async def test_no_request_brings_the_token_or_a_text_into_the_journal(server: Server) -> None:
    await server.say(1, "a private word")
    await server.call("sendMessage", chat_id=1, text="another private word")
    await server.call(TOKEN)
    await server.call("setWebhook", url=f"http://127.0.0.1:1/{TOKEN}")
    async with server.http.get(f"{server.base_url}{quote(TOKEN, safe='')}/getMe") as answer:
        assert answer.status == 200
    text = server.journal.read_text()
    assert TOKEN.partition(":")[2] not in text and "private word" not in text


async def test_every_request_begins_and_ends(server: Server) -> None:
    await server.say(1, "hello")
    await server.call("getUpdates", offset=5, limit=7, timeout=1)
    await server.call("sendMessage", chat_id=99, text="x")
    await server.call("nonsense")
    begins, ends = server.events("begin"), server.events("end")
    assert [event["id"] for event in begins] == [event["id"] for event in ends]
    assert (begins[0]["offset"], begins[0]["limit"], begins[0]["timeout"], begins[0]["node"]) == (5, 7, 1, "node1")
    assert len(ends[0]["handed"]) == 1 and ends[0]["status"] == 200 and ends[0]["error"] is None
    assert begins[1]["chat_id"] == 99
    assert (ends[1]["status"], ends[1]["error"]) == (400, "Bad Request: chat not found")
    assert (ends[2]["method"], ends[2]["status"]) == ("unknown", 404)


async def test_a_segment_ends_whole_and_the_next_knows_what_was_still_open(server: Server) -> None:
    """Each drill of a lab has its own journal: nothing is lost between two, and a poll that waits is in both."""
    await server.say(1, "hello")
    await server.call("getUpdates", offset=0)
    head = server.lab.queue.tail
    poll = asyncio.create_task(server.call("getUpdates", offset=head, timeout=5))
    while not server.lab.polling.is_waiting:
        await asyncio.sleep(0.01)
    answer = await server.control("POST", "/journal/rotate")
    assert answer["journal"] == f"{server.journal.stem}-0001.jsonl"
    await server.say(1, "again")
    assert (await poll)[0] == 200

    ended = [json.loads(line) for line in server.journal.with_name(answer["journal"]).read_text().splitlines()]
    assert (ended[0]["e"], ended[-1]["e"]) == ("start", "finish")
    begun = [event for event in ended if event["e"] == "begin"][-1]
    assert begun["offset"] == head and "carried" not in begun
    now = server.events()
    assert now[0]["e"] == "start" and now[0]["t"] >= ended[-1]["t"]
    assert now[1] == {**begun, "carried": True}
    assert [event["id"] for event in now if event["e"] == "end"] == [begun["id"]]
    assert [event["e"] for event in ended].count("update") == [event["e"] for event in now].count("update") == 1

    # what was answered is carried no further, and each segment has a name of its own
    second = await server.control("POST", "/journal/rotate")
    assert second["journal"] == f"{server.journal.stem}-0002.jsonl"
    assert [event["e"] for event in server.events()] == ["start"]


async def test_a_journal_that_cannot_be_rotated_goes_on(server: Server) -> None:
    server.journal.unlink()
    answer = await server.control("POST", "/journal/rotate")
    assert answer["status_code"] == 409 and "cannot be rotated" in answer["error"]
    await server.say(1, "hello")
    await server.call("getUpdates", offset=0)
    assert [event["e"] for event in server.events("update")] == ["update"]
