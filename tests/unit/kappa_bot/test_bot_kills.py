"""Killed hundreds of times, at every step there is: nothing is lost, nothing happens twice, no order is broken.

And frozen at every step, and woken after another took over: the one that was frozen does nothing any more.

A failure names its seed and its life. `KAPPA_SEED=2026 KAPPA_LIFE=137` in the environment repeats that life's end
alone; `KAPPA_KILLS` and `KAPPA_STEP` make it fewer kills, or at one step only.
"""

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.kappa_bot.bot_lab import BotLab, until
from tests.unit.kappa_bot.killing import Death, Judge, Lives, judged, schedule
from tests.unit.kappa_bot.steps import IN_A_TENURE, STEPS, STOPPING

pytestmark = pytest.mark.mongod

SEED = int(os.environ.get("KAPPA_SEED", "2026"))
EACH = 10
OUTSIDE = 100
FREEZES = 44
TRAFFIC = {"users": 48, "rate_per_s": 120.0, "patience_s": 120.0}


@pytest.fixture
def lab(silent_lab: BotLab) -> BotLab:
    """Telegram takes the answer to a tap however late it comes: dead bots on a slow machine take their time."""
    silent_lab.callback_answer_s = 600.0
    silent_lab.start_telegram()
    return silent_lab


def _deaths(seed: int) -> list[Death]:
    planned = schedule(seed, STEPS, EACH, OUTSIDE)
    if "KAPPA_LIFE" in os.environ:
        return [planned[int(os.environ["KAPPA_LIFE"])]]
    if "KAPPA_STEP" in os.environ:
        planned = [death for death in planned if death.step == os.environ["KAPPA_STEP"]]
    return planned[: int(os.environ.get("KAPPA_KILLS", len(planned)))]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [SEED])
def test_killed_at_every_step_nothing_is_lost_and_nothing_happens_twice(lab: BotLab, seed: int) -> None:
    deaths = _deaths(seed)
    began = time.monotonic()
    with judged(lab) as (lives, judge):
        lab.lab("POST", "/traffic", {**TRAFFIC, "seed": seed})
        for life, death in enumerate(deaths):
            try:
                _live_and_die(lab, lives, judge, life, death)
            except AssertionError as wrong:
                raise AssertionError(f"seed {seed}, life {life}, killed at {death}: {wrong}") from wrong
        kills = time.monotonic() - began
        _live_on(lab, lives, judge, len(deaths))
    hit = Counter(step for _, step in lives.hits())
    planned = Counter(death.step for death in deaths if death.step)
    assert hit == planned, f"steps that were not hit as often as planned: {planned - hit}"
    print(f"{len(deaths)} kills in {kills:.1f} s, {sum(hit.values())} of them at {len(hit)} named steps, each "
          f"{min(hit.values(), default=0)} times at least; {len(judge.sent)} updates, {judge.replies} replies, "
          f"{judge.repeats} of them repeated")  # fmt: skip


def _live_and_die(lab: BotLab, lives: Lives, judge: Judge, life: int, death: Death) -> None:
    for _ in range(10):
        pid = lives.start(life, lab.config("bot"), death.step, death.nth)
        if not death.step:
            time.sleep(death.after_s)  # the very point: anywhere, also between the steps that have names
            os.kill(pid, signal.SIGKILL)
        ended = _ended(lives, judge, pid)
        if ended != 0 or death.step not in STOPPING:
            break
        # Told to stop it had, for once, nothing left to confirm.
    assert ended == -signal.SIGKILL, f"it ended with {ended} (None: not at all): {_last_words(lives)}"


def _ended(lives: Lives, judge: Judge, pid: int) -> int | None:
    """How it ended; whatever is wrong is said meanwhile: it may be why it does not end."""
    for _ in range(30):
        ended = lives.wait(pid, 1.0)
        judge.look()
        if ended is not None:
            return ended
    return None


def _live_on(lab: BotLab, lives: Lives, judge: Judge, life: int) -> None:
    """One more life, which nobody kills, brings all to its end."""
    pid = lives.start(life, lab.config("bot"))
    traffic = lab.traffic_done()
    assert traffic["complaints"] == []
    assert traffic["dialogues_failed"] == traffic["dialogues_open"] == 0
    assert traffic["dialogues_finished"] == traffic["dialogues_started"] > 0
    with lab.db() as db:
        until(lambda: db.Updates.count_documents({"pending": True}) == 0, "every update is done")
        until(lambda: db.Replies.count_documents({}) == 0, "every reply is sent and removed")
        assert list(db.Updates.find({"failed": {"$exists": True}})) == []
        stored = Counter(place["properties"]["Popup_es"] for place in db.Data.find())
    finished = Counter(line["marker"] for line in lab.journal("dialogue") if line["state"] == "finished")
    assert stored == finished, "every place stored once, and none that nobody described"
    judge.the_end()
    os.kill(pid, signal.SIGTERM)
    assert lives.wait(pid, 30) == 0, _last_words(lives)


def _last_words(lives: Lives) -> str:
    return "\n".join(lives.log.read_text().splitlines()[-12:])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [SEED])
def test_frozen_at_every_step_and_woken_after_another_took_over(lab: BotLab, seed: int) -> None:
    lab.lease_ttl = 1.0
    dice = random.Random(seed)
    steps = [*IN_A_TENURE, *dice.choices(IN_A_TENURE, k=FREEZES - len(IN_A_TENURE))]
    dice.shuffle(steps)
    steps = [step for step in steps if step == os.environ.get("KAPPA_STEP", step)]
    with judged(lab) as (lives, judge):
        lab.lab("POST", "/traffic", {**TRAFFIC, "seed": seed})
        for number, step in enumerate(steps):
            try:
                _freeze(lab, lives, judge, 2 * number, step)
            except AssertionError as wrong:
                raise AssertionError(f"seed {seed}, freeze {number}, at {step!r}: {wrong}") from wrong
        _live_on(lab, lives, judge, 2 * len(steps))
        # Not every one of them came to write; were sessions not told apart there would be one.
        assert len(judge.writes) > len(steps) // 2, "the database's witness does not see whose writes they are"
    assert Counter(step for _, step in lives.hits()) == Counter(steps)


def _freeze(lab: BotLab, lives: Lives, judge: Judge, life: int, step: str) -> None:
    """One bot frozen, another in its place, the first woken: to the end of the test the judge knows that it is over."""
    frozen = lives.start(life, lab.config("frozen"), step, 1, signal.SIGSTOP)
    until(lambda: _is_stopped(frozen), "it has reached the step")
    with lab.db() as db:
        lease = db.Lease.find_one({"_id": "poller"})
    assert lease is not None
    successor = lives.start(life + 1, lab.config("bot"))
    until(lambda: lab.status("bot").get("role") == "active", "the other has taken over")
    judge.silence(life, bytes(lease["session"]))
    os.kill(frozen, signal.SIGCONT)
    ended = _ended(lives, judge, frozen)
    assert ended == 4, f"it ended with {ended} (None: not at all): {_last_words(lives)}"
    assert "kappa-bot: lease lost: epoch" in _last_words(lives)
    os.kill(successor, signal.SIGKILL)
    assert lives.wait(successor, 30) == -signal.SIGKILL
    judge.look()


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except FileNotFoundError:
        raise AssertionError("it ended before it reached the step") from None
