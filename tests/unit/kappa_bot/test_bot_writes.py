"""Writing, receiving and processing against a real mongod, step by step and every step twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pymongo
import pytest
from bson import ObjectId
from pymongo import InsertOne
from pymongo.errors import AutoReconnect, OperationFailure
from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter

from kappa_bot.database import DATA, LEASE, REPLIES, UPDATES
from kappa_bot.exits import Exit, FatalError
from kappa_bot.handlers import App, take_turn
from kappa_bot.lease import Lease, LeaseLostError
from kappa_bot.polling import PROBE_BACK, Polling
from kappa_bot.sender import Sender
from kappa_bot.tasks import AGAIN_S, end
from kappa_bot.texts import say
from kappa_bot.turn import Dialogue
from kappa_bot.writer import RefusedError, Work, Writer
from tests.unit.kappa_bot.bot_lab import BotLab
from tests.unit.kappa_bot.in_process import Json, Parts, location_update, parts, tap_update, text_update

pytestmark = [
    pytest.mark.mongod,
    pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning"),
]

CHAT = 777
FIRST = 500_000_000


class Running:
    """Lease, writer and processor at work."""

    def __init__(self, made: Parts, lease: Lease, writer: Writer) -> None:
        self.made = made
        self.lease = lease
        self.writer = writer
        self.processor = made.processor(writer)
        self.telegram = made.telegram
        self.receiver = self.new_receiver()
        telegram: Any = made.telegram
        self.sender = Sender(telegram, made.database, lease, writer, made.router)

    def new_receiver(self) -> Polling:
        telegram: Any = self.telegram
        return Polling(telegram, self.made.database, self.lease, self.writer, self.made.router, 5, "/etc/token")

    async def count(self, collection: str, **query: Any) -> int:
        return await self.made.database[collection].count_documents(query)

    async def process(self) -> None:
        """Everything that is pending."""
        if not self.processor._application._initialized:
            await self.processor._introduce()
        while await self.processor._round():
            pass

    async def receives(self, *updates: Json) -> None:
        await self.receiver._store(list(updates))

    async def replies(self) -> list[Json]:
        return await self.made.database[REPLIES].find().sort([("updateId", 1), ("n", 1)]).to_list()


@pytest.fixture
async def running(silent_lab: BotLab) -> AsyncIterator[Running]:
    async with parts(silent_lab.config("parts")) as made:
        lease = made.lease()
        await lease.acquire()
        writer = made.writer(lease)
        task = asyncio.create_task(writer.run())
        yield Running(made, lease, writer)
        task.cancel()
        await asyncio.wait({task})


def whole_dialogue(running: Running, category: str, subcategory: str) -> list[Json]:
    return [
        text_update(FIRST, CHAT, "/start"),
        tap_update(FIRST + 1, CHAT, "l:en"),
        tap_update(FIRST + 2, CHAT, "t:y"),
        text_update(FIRST + 3, CHAT, "/register"),
        location_update(FIRST + 4, CHAT, 10.5, -66.9),
        tap_update(FIRST + 5, CHAT, f"c:{FIRST + 3}:{category}"),
        tap_update(FIRST + 6, CHAT, f"s:{FIRST + 3}:{subcategory}"),
        text_update(FIRST + 7, CHAT, "a hole"),
    ]


async def _choice(running: Running) -> tuple[str, str]:
    await running.processor._read_catalogue()
    catalogue = running.processor._catalogue
    category = catalogue.categories[0].id
    return category, catalogue.subcategories[category][0].id


async def test_a_replayed_update_changes_nothing(running: Running) -> None:
    updates = whole_dialogue(running, *await _choice(running))
    await running.receives(*updates)
    await running.receives(*updates)
    await running.process()
    await _send_all(running)
    sent = running.telegram.sent.copy()
    assert await running.count(DATA) == 1
    await running.receives(*updates)
    await running.process()
    assert await running.replies() == [], "nothing is answered a second time"
    assert running.telegram.sent == sent
    assert await running.count(DATA) == 1
    assert await running.count(UPDATES) == len(updates)
    assert await running.count(UPDATES, failed={"$exists": True}) == 0


async def test_one_round_or_many_come_to_the_same(running: Running) -> None:
    for update in whole_dialogue(running, *await _choice(running)):
        await running.receives(update)
        await running.process()
    texts = [reply["text"] for reply in await running.replies() if reply["text"]]
    assert texts[-1] == say("en", "stored")
    place = await running.made.database[DATA].find_one()
    assert place is not None
    assert place["geometry"]["coordinates"] == [-66.9, 10.5], "longitude first"
    assert place["updateId"] == FIRST + 7
    assert place["properties"]["Popup_es"] == place["properties"]["Popup_en"] == "a hole"


async def test_no_telegram_id_stays_once_all_is_done(running: Running) -> None:
    await running.receives(*whole_dialogue(running, *await _choice(running)))
    await running.process()
    await _send_all(running)
    database = running.made.database
    for name in (UPDATES, "Dialogues", "TelegramUsers", DATA, REPLIES):
        async for document in database[name].find():
            assert str(CHAT) not in str({k: v for k, v in document.items() if k not in ("_id", "updateId")}), name
    assert await running.count("TelegramUsers") == 1
    assert await running.count(REPLIES) == 0


async def _send_all(running: Running) -> None:
    task = asyncio.create_task(running.sender.run())
    await asyncio.wait_for(running.sender.drained(), 10)
    task.cancel()
    await asyncio.wait({task})


async def test_polling_after_a_webhook_begins_without_an_offset(running: Running) -> None:
    """One with a lower update_id may still wait to be brought: an offset above it would acknowledge it unseen."""
    receiver = running.new_receiver()
    assert await receiver._stored_offset() is None
    await running.receives(text_update(FIRST - 1, CHAT, "/start"))
    assert await receiver._stored_offset() == FIRST
    running.receiver.by_webhook = True
    await running.receives(text_update(FIRST - 1, CHAT, "/start"))
    assert await receiver._stored_offset() == FIRST, "one that had been polled already"
    await running.receives(text_update(FIRST, CHAT, "/start"))
    assert await receiver._stored_offset() is None
    running.receiver.by_webhook = False
    await running.receives(text_update(FIRST + 7, CHAT, "/start"))
    assert await receiver._stored_offset() == FIRST + 8


async def test_a_stale_epoch_writes_nothing(running: Running) -> None:
    await running.receives(text_update(FIRST, CHAT, "/start"))
    # Another bot takes over behind this one's back, whose own clock still says that all is well.
    await running.made.database["Lease"].update_one({}, [{"$set": {"epoch": {"$add": ["$epoch", 1]}}}])
    assert running.lease.valid
    with pytest.raises(LeaseLostError):
        await running.receives(text_update(FIRST + 1, CHAT, "hello"))
    assert await running.count(UPDATES) == 1
    assert not running.lease.valid
    other = running.made.writer(running.lease)
    with pytest.raises(LeaseLostError):
        await asyncio.wait_for(
            asyncio.gather(other.run(), other.commit(Work([(REPLIES, InsertOne({"_id": "1:0"}))], [FIRST]))), 5
        )
    assert await running.count(REPLIES) == 0
    assert await running.count(UPDATES, pending=True) == 1


async def test_a_commit_whose_answer_was_lost_is_not_done_twice(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await running.receives(text_update(FIRST, CHAT, "/start"))
    session = running.made.session
    commit, lost = session.commit_transaction, [True]

    async def losing() -> None:
        await commit()
        if lost:
            lost.pop()
            raise AutoReconnect("the connection broke before the answer came")

    monkeypatch.setattr(session, "commit_transaction", losing)
    await running.process()
    assert not lost
    assert len(await running.replies()) == 1
    assert await running.count(UPDATES, pending=True) == 0


async def test_a_transaction_that_meets_a_step_down_is_tried_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = running.made.session
    commit = session.commit_transaction
    errors = [
        AutoReconnect("gone"),
        OperationFailure("not primary", 10107),
        OperationFailure("interrupted", 11602),
        OperationFailure("transient", 1, {"errorLabels": ["TransientTransactionError"]}),
    ]

    async def failing() -> None:
        if errors:
            await session.abort_transaction()
            raise errors.pop(0)
        await commit()

    monkeypatch.setattr(session, "commit_transaction", failing)
    await running.receives(text_update(FIRST, CHAT, "/start"))
    assert not errors
    assert await running.count(UPDATES) == 1
    assert running.made.router.state == "ok"


async def test_a_transaction_cut_off_in_the_middle_is_ended_however_often_the_writer_is_cancelled(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, session = running.made, running.made.session
    writer = made.writer(running.lease)
    write, abort, written = writer._write, session.abort_transaction, asyncio.Event()

    async def standing_still(works: Any, session: Any) -> None:
        await write(works, session)
        written.set()
        await asyncio.Event().wait()

    async def slowly() -> None:
        await asyncio.sleep(2.5 * AGAIN_S)  # two more cancellations come meanwhile
        await abort()

    monkeypatch.setattr(writer, "_write", standing_still)
    monkeypatch.setattr(session, "abort_transaction", slowly)
    task = asyncio.create_task(writer.run())
    commit = asyncio.create_task(writer.commit(Work()))
    await asyncio.wait_for(written.wait(), 20)
    await end([task, commit])
    with pymongo.timeout(10):  # its lock would be kept for a minute
        await made.database[LEASE].update_one({}, {"$inc": {"writes": 1}})


async def test_work_that_the_database_refuses_does_not_hold_up_the_rest(running: Running) -> None:
    bad = Work([(REPLIES, InsertOne({"_id": "x", "secret": "what a user wrote"}))])
    good = [Work([(REPLIES, InsertOne(_reply(n)))]) for n in range(3)]
    done = await asyncio.gather(
        *(running.writer.commit(work) for work in [good[0], bad, *good[1:]]), return_exceptions=True
    )
    assert [type(each) for each in done] == [type(None), RefusedError, type(None), type(None)]
    assert "wrote" not in str(done[1])
    assert await running.count(REPLIES) == 3


def _reply(number: int, chat: int = CHAT, **more: Any) -> Json:
    return {
        "_id": f"{number}:0",
        "updateId": number,
        "n": 0,
        "chat": chat,
        "method": "sendMessage",
        "text": f"reply {number}",
        "creationDate": datetime.now(UTC),
        **more,
    }


async def test_an_update_that_cannot_be_answered_is_apologised_for_and_the_next_ones_are_answered(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(application: App, update: Any, before: Dialogue, catalogue: Any, **more: Any) -> Any:
        turn = await take_turn(application, update, before, catalogue, **more)
        if update.update_id == FIRST + 1:
            turn.error = ValueError("a defect")
        return turn

    monkeypatch.setattr("kappa_bot.processor.take_turn", failing)
    await running.receives(*(text_update(FIRST + n, CHAT, "/start") for n in range(3)))
    await running.receives(text_update(FIRST + 3, CHAT + 1, "/start"))
    await running.process()
    texts = [(reply["updateId"] - FIRST, reply["text"]) for reply in await running.replies()]
    greeting = texts[0][1]
    assert texts == [(0, greeting), (1, say("en", "failed")), (2, greeting), (3, greeting)]
    assert await running.count(UPDATES, failed={"$exists": True}) == 1
    assert await running.count(UPDATES, pending=True) == 0


async def test_an_effect_that_the_database_refuses_is_apologised_for(running: Running) -> None:
    category, subcategory = await _choice(running)
    updates = whole_dialogue(running, category, subcategory)
    # Somebody else's document has this update's key: the place cannot be stored.
    await running.receives(*updates)
    with_key = {
        "type": "Feature",
        "complaints": 0,
        "complaintsUsers": [],
        "geometry": {"type": "Point", "coordinates": [0.0, 0.0]},
        "updateId": FIRST + 7,
    }
    properties = {"Subcategory": ObjectId(subcategory), "Popup_en": "", "Popup_es": ""}
    await running.made.database[DATA].insert_one(
        {**with_key, "properties": properties, "creationDate": datetime.now(UTC)}
    )
    await running.process()
    texts = [reply["text"] for reply in await running.replies() if reply["text"]]
    assert texts[-1] == say("en", "failed")
    assert await running.count(UPDATES, failed={"$exists": True}) == 1
    await running.receives(text_update(FIRST + 8, CHAT, "again"))
    await running.process()
    texts = [reply["text"] for reply in await running.replies() if reply["text"]]
    assert texts[-1] == say("en", "stored"), "the dialogue stands where it stood before the update that failed"


async def test_what_nobody_can_answer_is_done_with_silently(running: Running) -> None:
    group = text_update(FIRST, CHAT, "/start")
    group["message"]["chat"] = {"id": -5, "type": "group", "title": "all of us"}
    unreadable = {"update_id": FIRST + 1, "message": {"message_id": "?", "chat": 3}}
    unknown = {"update_id": FIRST + 2, "some_new_kind": {"x": 1}}
    await running.receives(group, unreadable, unknown)
    await running.process()
    assert await running.replies() == []
    assert await running.count(UPDATES, pending=True) == 0


async def _run_until(running: Running, condition: Any) -> None:
    task = asyncio.create_task(running.receiver.run())
    for _ in range(2000):
        if condition() or task.done():
            break
        await asyncio.sleep(0.005)
    if task.done():
        await task
    task.cancel()
    await asyncio.wait({task})


async def test_the_first_poll_is_quick_and_repeats_no_offset_of_the_predecessor(running: Running) -> None:
    telegram = running.telegram
    telegram.batches = [[text_update(FIRST, CHAT, "a"), text_update(FIRST + 1, CHAT, "b")]]
    await _run_until(running, lambda: len(telegram.polls) >= 3)
    assert telegram.polls[0] == (1, 0), "nothing is stored: below all there is, and no repeat of an earlier (None, …)"
    assert telegram.polls[1] == (FIRST + 2, 5)
    first = telegram.polls.copy()
    telegram.polls.clear()
    running.receiver = running.new_receiver()
    await _run_until(running, lambda: len(telegram.polls) >= 2)
    offset, timeout = telegram.polls[0]
    assert timeout == 0 and offset is not None
    assert FIRST + 2 - 2 * PROBE_BACK <= offset <= FIRST + 2 - PROBE_BACK, "it acknowledges nothing new"
    assert offset not in [poll[0] for poll in first]
    assert telegram.polls[1] == (FIRST + 2, 5)


async def test_a_passing_conflict_is_retried_quickly_a_lasting_one_gives_way(running: Running) -> None:
    receiver = running.receiver
    early = [await receiver._trouble(Conflict("terminated by other getUpdates request")) for _ in range(3)]
    assert max(early) <= 0.1
    receiver._began -= 60
    late = [await receiver._trouble(Conflict("terminated by other getUpdates request")) for _ in range(8)]
    assert receiver.conflicts == 11
    assert late[-1] == 15.0
    receiver._served()
    assert receiver.conflicts == 0


async def test_each_of_telegrams_troubles_is_waited_out(running: Running) -> None:
    telegram = running.telegram
    telegram.batches = [
        RetryAfter(1),
        NetworkError("Bad Gateway"),
        InvalidToken("Unauthorized"),
        [text_update(FIRST, CHAT, "/start")],
    ]
    began = asyncio.get_running_loop().time()
    await _run_until(running, lambda: len(telegram.polls) >= 5)
    assert asyncio.get_running_loop().time() - began >= 1.0, "retry_after is obeyed"
    assert await running.count(UPDATES) == 1
    assert running.receiver.telegram.state == "ok"


async def test_a_token_that_telegram_never_knew_ends_the_bot(running: Running) -> None:
    running.telegram.batches = [InvalidToken("Unauthorized")] * 5
    with pytest.raises(FatalError, match="does not know the bot token in /etc/token") as caught:
        await _run_until(running, lambda: False)
    assert caught.value.code == Exit.TOKEN_REFUSED


async def test_replies_go_in_order_per_chat_and_each_leaves_the_outbox_once_sent(running: Running) -> None:
    await asyncio.gather(
        *(running.writer.commit(Work([(REPLIES, InsertOne(_reply(n, CHAT + n % 3)))])) for n in range(30))
    )
    await _send_all(running)
    for chat in range(CHAT, CHAT + 3):
        mine = [reply.text for to, reply in running.telegram.sent if to == chat]
        assert mine == [f"reply {n}" for n in range(30) if CHAT + n % 3 == chat]
    assert await running.count(REPLIES) == 0


@pytest.mark.parametrize(
    "error", [Forbidden("Forbidden: bot was blocked by the user"), BadRequest("Bad Request: chat not found")]
)
async def test_a_reply_that_telegram_will_never_take_is_dropped(running: Running, error: Exception) -> None:
    running.telegram.refusals = [error]
    for n in range(2):
        await running.writer.commit(Work([(REPLIES, InsertOne(_reply(n)))]))
    await _send_all(running)
    assert [reply.text for _, reply in running.telegram.sent] == ["reply 1"]
    assert await running.count(REPLIES) == 0


async def test_an_edit_of_a_message_that_is_gone_is_sent_as_a_new_one(running: Running) -> None:
    edit = _reply(1, method="editMessageText", message_id=5)
    await running.writer.commit(Work([(REPLIES, InsertOne(edit))]))
    running.telegram.refusals = [BadRequest("Bad Request: message to edit not found")]
    await _send_all(running)
    assert [(reply.method, reply.text) for _, reply in running.telegram.sent] == [("sendMessage", "reply 1")]


async def test_an_edit_that_was_made_before_is_made(running: Running) -> None:
    edit = _reply(1, method="editMessageText", message_id=5)
    await running.writer.commit(Work([(REPLIES, InsertOne(edit))]))
    running.telegram.refusals = [BadRequest("Bad Request: message is not modified")]
    await _send_all(running)
    assert running.telegram.sent == []
    assert await running.count(REPLIES) == 0


async def test_trouble_with_sending_is_waited_out_and_loses_nothing(running: Running) -> None:
    running.telegram.refusals = [NetworkError("Bad Gateway"), RetryAfter(1), NetworkError("httpx.ReadError")]
    for n in range(2):
        await running.writer.commit(Work([(REPLIES, InsertOne(_reply(n)))]))
    began = asyncio.get_running_loop().time()
    await _send_all(running)
    assert asyncio.get_running_loop().time() - began >= 1.0, "retry_after is obeyed"
    assert [reply.text for _, reply in running.telegram.sent] == ["reply 0", "reply 1"]


async def test_a_flood_said_of_two_chats_holds_up_all(running: Running) -> None:
    sender = running.sender
    sender._flood(1, 30)
    waiting = asyncio.create_task(sender._obey(3))
    await asyncio.wait_for(waiting, 1)
    sender._flood(2, 30)
    waiting = asyncio.create_task(sender._obey(3))
    done, _ = await asyncio.wait({waiting}, timeout=0.2)
    assert not done
    waiting.cancel()
