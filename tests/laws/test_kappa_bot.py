"""The bot's laws broken on purpose: each time the tests that guard them go red."""

from pathlib import Path

import pytest

from tests.sabotage import Edit, red

pytestmark = pytest.mark.mongod

TESTS = "tests/unit/kappa_bot"


def test_law_1_a_write_that_does_not_carry_the_epoch(tmp_path: Path) -> None:
    edit = Edit(
        "kappa_bot/writer.py", '{"_id": POLLER, "epoch": self._lease.epoch}, {"$inc"', '{"_id": POLLER}, {"$inc"'
    )
    assert "DID NOT RAISE" in red(tmp_path, [edit], [f"{TESTS}/test_bot_writes.py::test_a_stale_epoch_writes_nothing"])


def test_law_1_a_lease_that_is_not_measured_by_the_bots_own_clock(tmp_path: Path) -> None:
    edit = Edit("kappa_bot/lease.py", "return max(0.0, self._deadline - self._clock())", "return 1.0")
    assert "DID NOT RAISE" in red(
        tmp_path, [edit], [f"{TESTS}/test_bot_lease.py::test_a_frozen_holder_that_wakes_may_do_nothing"]
    )


def test_law_1_a_request_that_is_sent_without_looking_at_the_lease(tmp_path: Path) -> None:
    edit = Edit(
        "kappa_bot/guarded_http.py",
        "        self._guard()\n        try:\n            self._writer.write(held)",
        "        try:\n            self._writer.write(held)",
    )
    assert "test_whenever_the_guard_refuses" in red(tmp_path, [edit], [f"{TESTS}/test_bot_http.py"])


def test_law_1_a_lease_that_is_taken_before_it_has_ended(tmp_path: Path) -> None:
    edit = Edit("kappa_bot/lease.py", "free = holder is None or left_s <= 0 or", "free = True or")
    assert "waiting for the lease" in red(
        tmp_path, [edit], [f"{TESTS}/test_bot_crashes.py::test_a_bot_never_polls_while_another_holds_the_lease"]
    )


def test_law_2_an_update_acknowledged_before_it_is_stored(tmp_path: Path) -> None:
    edit = Edit(
        "kappa_bot/polling.py",
        "await self._store(updates)",
        "self._storing = asyncio.ensure_future(self._store(updates))\n"
        "        self._storing.add_done_callback(lambda _: self.on_received(len(updates)))",
    )
    assert "update not in confirmed" in red(
        tmp_path, [edit], [f"{TESTS}/test_bot_running.py::test_an_update_is_stored_before_it_is_acknowledged"]
    )


def test_law_2_a_delivery_answered_before_it_is_stored(tmp_path: Path) -> None:
    edit = Edit(
        "kappa_bot/listener.py",
        "if not await self._take(update):",
        "self._storing = asyncio.ensure_future(self._take(update))  # type: ignore[arg-type]\n            if False:",
    )
    assert "200 not in answers" in red(
        tmp_path, [edit], [f"{TESTS}/test_bot_webhook.py::test_an_update_is_stored_before_200_is_said"]
    )


def test_law_2_polling_after_a_webhook_with_an_offset_that_skips_what_was_overtaken(tmp_path: Path) -> None:
    edit = Edit("kappa_bot/polling.py", 'if last is None or "webhook" in last else', "if last is None else")
    test = f"{TESTS}/test_bot_writes.py::test_polling_after_a_webhook_begins_without_an_offset"
    assert "assert 500000001 is None" in red(tmp_path, [edit], [test])


def test_law_3_an_update_that_comes_again_is_taken_for_a_new_one(tmp_path: Path) -> None:
    edit = Edit("kappa_bot/receiving.py", '"$setOnInsert": {', '"$set": {')
    assert "nothing is answered a second time" in red(
        tmp_path, [edit], [f"{TESTS}/test_bot_writes.py::test_a_replayed_update_changes_nothing"]
    )


def test_law_3_effects_that_are_not_keyed_by_their_update(tmp_path: Path) -> None:
    edit = Edit("kappa_bot/writer.py", "if marked.matched_count != len(once):", "if False:")
    assert "RefusedError" in red(
        tmp_path, [edit], [f"{TESTS}/test_bot_writes.py::test_a_commit_whose_answer_was_lost_is_not_done_twice"]
    )


def test_law_3_a_complaint_that_is_judged_before_the_one_before_it_is_stored(tmp_path: Path) -> None:
    edit = Edit(
        "kappa_bot/processor.py",
        "if n > 0 and (turn.error is not None or turn.query is not None):",
        "if n > 0 and turn.error is not None:",
    )
    test = f"{TESTS}/test_bot_search_writes.py::test_a_complaint_counts_once_however_often_it_comes"
    assert "AssertionError" in red(tmp_path, [edit], [test])


def test_law_3_a_category_whose_name_may_be_taken_twice(tmp_path: Path) -> None:
    edit = Edit(
        "kappa_bot/schema.py",
        '{"unique": True, "partialFilterExpression": {"folded": {"$exists": True}}}',
        '{"partialFilterExpression": {"folded": {"$exists": True}}}',
    )
    test = f"{TESTS}/test_bot_search_writes.py::test_two_who_add_the_same_category_at_once_have_one"
    assert "too many values to unpack" in red(tmp_path, [edit], [test])


def test_law_4_a_dialogue_that_is_kept_in_memory(tmp_path: Path) -> None:
    edits = [
        Edit(
            "kappa_bot/processor.py",
            "ops.append(kept_dialogue(user, dialogue))",
            'self.__dict__.setdefault("memory", {})[user] = dialogue',
        ),
        Edit(
            "kappa_bot/processor.py",
            "dialogues = await self._read_dialogues({each.user for each in pending})",
            'dialogues = self.__dict__.setdefault("memory", {})',
        ),
    ]
    assert "no button" in red(
        tmp_path, edits, [f"{TESTS}/test_bot_crashes.py::test_a_dialogue_survives_the_bot_at_every_step"]
    )


def test_law_5_a_bot_that_calls_itself_active_before_telegram_has_answered(tmp_path: Path) -> None:
    edit = Edit(
        "kappa_bot/service.py",
        "return self.lease.valid and self.receiver.last_receive is not None",
        "return self.lease.valid",
    )
    assert "'active' == 'starting'" in red(
        tmp_path, [edit], [f"{TESTS}/test_bot_running.py::test_a_bot_that_telegram_does_not_answer_is_not_active"]
    )


def test_law_9_a_library_that_logs_the_token(tmp_path: Path) -> None:
    edit = Edit(
        "kappa_bot/logs.py",
        "    root.handlers = [logging.NullHandler()]\n    root.setLevel(logging.CRITICAL + 1)\n",
        "    root.handlers = [logging.StreamHandler(sys.stderr)]\n    root.setLevel(logging.INFO)\n",
    )
    test = f"{TESTS}/test_bot_running.py::test_no_secret_no_words_and_no_user_in_the_log_whatever_happens"
    assert "in bot.said(), what" in red(tmp_path, [edit], [test])


KILLS = f"{TESTS}/test_bot_kills.py::test_killed_at_every_step_nothing_is_lost_and_nothing_happens_twice"
FREEZES = f"{TESTS}/test_bot_kills.py::test_frozen_at_every_step_and_woken_after_another_took_over"


def test_law_2_killed_between_an_early_acknowledgement_and_its_storing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPPA_STEP", "confirm: sent, answer not read")
    edits = [
        Edit(
            "kappa_bot/writer.py",
            "        await waiting.done\n",
            "        if any(collection != UPDATES for collection, _ in work.ops):\n            await waiting.done\n",
        ),
        # As on a slow disk: otherwise it is stored before the acknowledgement has left, more often than not.
        Edit(
            "kappa_bot/writer.py",
            "            await self._transact([waiting",
            "            await asyncio.sleep(0.02)\n            await self._transact([waiting",
        ),
    ]
    assert "confirmed to Telegram but never stored" in red(tmp_path, edits, [KILLS])


def test_law_2_killed_between_a_removal_from_the_outbox_and_its_sending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPPA_STEP", "remove: known to be committed")
    remove = 'await self._writer.commit(Work([(REPLIES, DeleteOne({"_id": document["_id"]}))]))'
    edits = [
        Edit("kappa_bot/sender.py", f"                {remove}\n", ""),
        Edit(
            "kappa_bot/sender.py",
            "                if datetime.now(UTC) - document",
            f"                {remove}\n                if datetime.now(UTC) - document",
        ),
    ]
    assert "removed from the outbox but never sent" in red(tmp_path, edits, [KILLS])


def test_law_3_killed_between_the_effects_of_an_update_and_their_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPPA_STEP", "process: known to be committed")
    edit = Edit(
        "kappa_bot/processor.py",
        "            await self._writer.commit(work)\n",
        # The outbox's own key would stop a reply that is put there twice.
        "            from secrets import token_hex\n"
        "            for name, op in work.ops:\n"
        "                if name == 'Replies':\n"
        "                    op._doc['_id'] = token_hex()\n"
        "            await self._writer.commit(Work(work.ops))\n"
        "            await self._writer.commit(Work((), work.once, work.failed))\n",
    )
    assert "put into the outbox after" in red(tmp_path, [edit], [KILLS])


def test_law_1_frozen_between_the_look_at_the_lease_and_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPPA_STEP", "confirm: before it is sent")
    edit = Edit(
        "kappa_bot/guarded_http.py",
        "        self._guard()\n        try:\n            self._writer.write(held)",
        "        try:\n            self._writer.write(held)",
    )
    assert "it asked Telegram after another had taken over" in red(tmp_path, [edit], [FREEZES])


def test_law_1_frozen_before_a_transaction_that_carries_no_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPPA_STEP", "store: before the transaction")
    edits = [
        Edit("kappa_bot/writer.py", '{"_id": POLLER, "epoch": self._lease.epoch}, {"$inc"', '{"_id": POLLER}, {"$inc"'),
        Edit("kappa_bot/writer.py", "            await self._lease.held()\n", ""),
        # It would hear of the loss at its next renewal, and mostly before it could commit.
        Edit("kappa_bot/lease.py", "if done.matched_count == 0:", "if False:"),
    ]
    assert "it wrote after another had taken over" in red(tmp_path, edits, [FREEZES])
