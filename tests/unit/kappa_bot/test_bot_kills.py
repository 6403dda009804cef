"""Killed hundreds of times, at every step there is: nothing is lost, nothing happens twice, no order is broken.

A failure names its seed and its life. `KAPPA_SEED=2026 KAPPA_LIFE=137` in the environment repeats that life's end alone;
`KAPPA_KILLS` and `KAPPA_STEP` make it fewer kills, or at one step only.
"""

import os
import signal
import time
from collections import Counter

import pytest

from tests.unit.kappa_bot.bot_lab import BotLab, until
from tests.unit.kappa_bot.killing import Death, Judge, Lives, judged, schedule
from tests.unit.kappa_bot.steps import STEPS, STOPPING

pytestmark = pytest.mark.mongod

SEED = int(os.environ.get("KAPPA_SEED", "2026"))
EACH = 10
OUTSIDE = 100
TRAFFIC = {"users": 48, "rate_per_s": 120.0, "patience_s": 120.0}


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
                _live_and_die(lab, lives, life, death)
                judge.look()
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


def _live_and_die(lab: BotLab, lives: Lives, life: int, death: Death) -> None:
    for _ in range(10):
        pid = lives.start(life, lab.config("bot"), death.step, death.nth)
        if not death.step:
            time.sleep(death.after_s)  # the very point: anywhere, also between the steps that have names
            os.kill(pid, signal.SIGKILL)
        ended = lives.wait(pid, 30)
        if ended != 0 or death.step not in STOPPING:
            break
        # Told to stop it had, for once, nothing left to confirm.
    assert ended == -signal.SIGKILL, f"it ended with {ended} (None: not at all): {_last_words(lives)}"


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
    return "\n".join(lives.log.read_text().splitlines()[-5:])
