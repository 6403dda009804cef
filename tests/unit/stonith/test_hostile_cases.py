"""fence_kappa before tens of thousands of brokers that lie: a success comes of a true and proven reply, and of nothing
else; whatever comes, it ends in time and in one reason.

Each case is made from a seed, which a failure names: `case(lies, random.Random(SEED))` makes it again.
"""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stonith import wire
from stonith.agent.actions import FAILED, OFF, OK, ActionError, run
from stonith.agent.options import Settings
from tests.unit.stonith.liar import KEY, STATES, Liar, Lies, Plan, lying

pytestmark = pytest.mark.slow

ACTIONS = ("off", "reboot", "status", "on", "monitor", "list", "list-status")
ROW = {"plug": "node2", "machine": "vm-2", "state": "on", "instance": "x@1"}
PATIENT_S, HASTY_S = 30.0, 0.1


def truth(chance: random.Random) -> dict[str, dict[str, Any]]:
    """What is so, for each verb: any state, any instance, from a broker that does not lie about it."""

    def seen() -> dict[str, Any]:
        instance = f"{chance.randrange(3)}@{chance.randrange(3)}"
        return {"state": chance.choice((*STATES, "off", "on")), "instance": instance, "evidence": "as seen"}

    rows = [ROW] if chance.random() < 0.7 else chance.choice(([], [{**ROW, "plug": "no de"}], "node2", [None], None))
    return {
        "off": seen(),
        "on": seen(),
        "status": seen(),
        "list": {"plugs": rows, "driver": chance.choice(("", "", "gone", None))},
    }


def plan(lies: Lies, chance: random.Random, hasty: bool) -> Plan:
    """One connection. A hasty one may also be slow, or end never; the agent's own time-out must end it."""
    honest_greeting = chance.random() < 0.85
    honest_reply = chance.random() < 0.35
    return Plan(
        wire.challenge if honest_greeting else lies.greeting(),
        (lambda _, line: line) if honest_reply else lies.reply(),
        truth(chance),
        slow=hasty and chance.random() < 0.5,
        stays=hasty,
    )


def wanted(action: str, said: list[dict[str, Any]], power_wait: bool) -> int:
    """The code that the true replies are worth, by the contract; FAILED where they prove nothing."""
    of = {do: [one for one in said if one["do"] == do] for do in wire.ACTIONS}
    states = {do: [one["state"] for one in of[do]] for do in ("off", "on", "status")}
    if action == "status":
        return {"on": OK, "off": OFF}.get((states["status"] or [""])[0], FAILED)
    if action in ("off", "on"):
        seen = states[action][:1] + (states["status"][:1] if power_wait else [])
        return OK if seen == [action] * (1 + power_wait) else FAILED
    if action == "reboot":  # the off half decides, whatever comes of the on
        return OK if states["off"][:1] in (["off"], ["on"]) else FAILED
    listed = of["list"][:1]
    good = bool(listed) and listed[0]["plugs"] in ([ROW], [])
    return OK if good and (action != "monitor" or (listed[0]["plugs"] and listed[0]["driver"] == "")) else FAILED


def settings(action: str, ports: list[int], key_file: Path, timeout_s: float, power_wait: bool) -> Settings:
    return Settings({
        "action": action, "server": ",".join(f"127.0.0.1:{port}" for port in ports), "client": "node1",
        "key_file": str(key_file), "timeout": str(timeout_s), "power_wait": "0.001" if power_wait else "0",
        **({} if action in ("monitor", "list", "list-status") else {"plug": "node2"}),
    })  # fmt: skip


def case(lies: Lies, chance: random.Random, liars: list[Liar], key_file: Path) -> tuple[int, int, str]:
    """The code that came of it, the one that should have, and what it was."""
    action, power_wait = chance.choice(ACTIONS), chance.random() < 0.2
    hasty = chance.random() < 0.01
    used = liars[: chance.choice((1, 1, 1, 2))]
    for liar in used:
        liar.expect([plan(lies, chance, hasty) for _ in range(3)])
    about = f"{action} power_wait={power_wait} hasty={hasty} brokers={len(used)}"
    given = settings(action, [liar.port for liar in used], key_file, HASTY_S if hasty else PATIENT_S, power_wait)
    began = time.monotonic()
    try:
        code = run(given)
    except ActionError as error:
        assert str(error), about
        code = FAILED
    took = time.monotonic() - began
    for liar in used:
        liar.over.set()
    assert took < (10 if hasty else PATIENT_S - 5), f"{about} took {took:.1f} s"
    said = [one for liar in used for one in liar.said]
    for liar in used:
        for line in liar.lines:
            lies.remember(line)
    best = wanted(action, said, power_wait)
    return code, (FAILED if hasty and code == FAILED else best), f"{about}: {said}"


@contextmanager
def silence() -> Iterator[None]:
    """What the agent prints, straight to its file descriptors, for as long as tens of thousands of them run."""
    kept = [(handle, os.dup(handle)) for handle in (1, 2)]
    nothing = os.open("/dev/null", os.O_WRONLY)
    try:
        for handle, _ in kept:
            os.dup2(nothing, handle)
        yield
    finally:
        for handle, copy in kept:
            os.dup2(copy, handle)
            os.close(copy)
        os.close(nothing)


@pytest.mark.parametrize("cases", [50_000])
def test_only_a_true_and_proven_reply_makes_a_success(tmp_path: Path, cases: int) -> None:
    key_file = tmp_path / "fence.key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(KEY)
    first = int(os.environ.get("KAPPA_SEED") or random.SystemRandom().randrange(10**9))
    seen = {OK: 0, OFF: 0, FAILED: 0}
    wrong = ""
    with lying() as one, lying() as other, silence():
        lies = Lies(random.Random(first))
        for seed in range(first, first + cases):
            code, right, about = case(lies, random.Random(seed), [one, other], key_file)
            seen[code] += 1
            if code != right:
                wrong = f"seed {seed} (KAPPA_SEED={first}): {code}, not {right}; {about}"
                break
    assert not wrong, wrong
    assert all(count > cases / 100 for count in seen.values()), f"the cases are too much alike: {seen}"
