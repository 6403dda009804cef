"""The brake: it ends a fencing loop, it never hides a state, and it does not keep a machine from being fenced."""

import json
import tempfile
from functools import partial
from pathlib import Path

import pytest

from stonith.power.brake import TAIL_BYTES, Brake, Limits
from stonith.power.driver import State
from stonith.power.switch import Switch
from tests.unit.stonith import broker
from tests.unit.stonith.broker import until
from tests.unit.stonith.test_power_switch import UNKNOWN, Scripted, off, on, soon


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def braked(driver: Scripted, **limits: int) -> tuple[Switch, Clock]:
    clock = Clock()
    return Switch(driver, {"plug": "machine"}, brake=Brake(Limits(**limits), clock)), clock


def cycle(switch: Switch, driver: Scripted, run: str) -> tuple[bool, bool]:
    """Shot, and started again: whether each was done."""
    driver.sights = [on(run), on(run), off(run)]
    cut = switch.off("plug", soon()).ok
    driver.sights = [off(run), off(run), on(run + "'")]
    return cut, switch.on("plug", soon()).ok


def test_a_loop_ends_with_the_machine_off_and_every_shot_done() -> None:
    driver = Scripted([on()])
    switch, _ = braked(driver, starts=3, within_s=60)
    assert [cycle(switch, driver, f"r{number}") for number in range(5)] == [
        (True, True),
        (True, True),
        (True, True),
        (True, False),
        (True, False),
    ]


def test_it_lets_go_when_the_while_is_over() -> None:
    driver = Scripted([on()])
    switch, clock = braked(driver, starts=2, within_s=60)
    for number in range(3):
        cycle(switch, driver, f"r{number}")
    clock.now += 59
    assert "is not started again for 1 s" in switch.start_refused("plug")
    clock.now += 2
    assert switch.start_refused("plug") == ""
    assert cycle(switch, driver, "r9") == (True, True)


def test_it_says_what_is_so_and_refuses_nothing_that_is_so_already() -> None:
    driver = Scripted([on()])
    switch, _ = braked(driver, starts=1, cuts=1, within_s=60)
    cycle(switch, driver, "r1")
    driver.sights = [on("r2")]
    assert switch.status("plug", soon()).after.state is State.ON
    assert switch.on("plug", soon()).ok
    refused = switch.off("plug", soon())
    assert (refused.ok, refused.after.state) == (False, State.ON)
    assert "switched off 1 times within 60 s" in refused.reason
    driver.sights = [off("r2")]
    assert switch.status("plug", soon()).after.state is State.OFF
    assert switch.off("plug", soon()).reason == "was off already"
    refused = switch.on("plug", soon())
    assert (refused.ok, refused.after.state) == (False, State.OFF)
    assert "started 1 times" in refused.reason
    driver.sights = [UNKNOWN]
    assert switch.status("plug", soon()).after.state is State.UNKNOWN


def test_a_shot_that_did_not_take_does_not_count() -> None:
    driver = Scripted([on()])
    switch, _ = braked(driver, cuts=1, within_s=60)
    for _ in range(3):
        assert not switch.off("plug", soon(0.1)).ok
    driver.sights = [on(), on(), off()]
    assert switch.off("plug", soon()).ok


def test_one_machines_loop_does_not_brake_another() -> None:
    brake = Brake(Limits(starts=1), Clock())
    brake.switched("on", "one")
    assert brake.refusal("on", "one")
    assert not brake.refusal("on", "other")
    assert not brake.refusal("off", "one")


def test_by_default_no_shot_is_ever_refused() -> None:
    brake = Brake(Limits(), Clock())
    for _ in range(1000):
        brake.switched("off", "plug")
    assert brake.refusal("off", "plug") == ""


def test_a_clock_that_is_set_back_does_not_brake() -> None:
    clock = Clock()
    brake = Brake(Limits(starts=1, within_s=60), clock)
    brake.switched("on", "plug")
    clock.now -= 500
    assert brake.refusal("on", "plug") == ""


def line(t: float, **told: object) -> str:
    return json.dumps({"t": t, "ms": 500.0, "action": "on", "plug": "plug", "switched": True, **told})


def test_it_remembers_across_a_restart_what_the_audit_log_tells(tmp_path: Path) -> None:
    log, clock = tmp_path / "audit", Clock()
    lines = [
        "half a line that was cut",
        line(100.0),  # long over
        line(990.0),
        line(991.0, switched=False),
        line(992.0, action="status"),
        line(993.0, plug="other"),
        line(994.0, ms="long"),
        "[]",
        "{}",
        '{"t": 1e400, "ms": 0, "action": "on", "plug": "plug", "switched": true}',
        line(995.0),
        "[" * 5000,
    ]
    log.write_text("x" * TAIL_BYTES + "\n" + "\n".join(lines))
    for limit, refused in ((1, True), (2, True), (3, False)):
        brake = Brake(Limits(starts=limit, within_s=60), clock)
        brake.recall(log)
        assert bool(brake.refusal("on", "plug")) is refused
        assert not brake.refusal("off", "plug")


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_an_audit_log_that_cannot_be_read_leaves_the_brake_off(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / "audit").mkdir()
    brake = Brake(Limits(starts=1), Clock())
    brake.recall(tmp_path / "audit")
    assert brake.refusal("on", "plug") == ""


def test_a_refused_start_is_told_to_the_agent_and_in_the_audit_log(tmp_path: Path) -> None:
    """A reboot's off half is done, its on half is refused, and it says so; after a restart of the broker as well."""
    with tempfile.TemporaryDirectory(prefix="kappa-") as short:
        for restarted in (False, True):
            with broker.running(tmp_path, Path(short), starts=2) as power:
                node = power.engine.add("kappa-lab-node2")
                if not restarted:
                    assert [power.fence("reboot", "node2").code for _ in range(2)] == [0, 0]
                    done = partial(lambda power: [line["switched"] for line in power.audit()] == [True] * 4, power)
                    until(done)  # the starts are asked for, and not waited for by the agent
                ran = power.fence("reboot", "node2")
                assert ran.code == 0
                assert "has been started 2 times" in ran.one_line()
                assert node.status == "exited"
                assert "has been started 2 times" in power.fence("on", "node2").one_line()
                last = power.audit()[-1]
                assert (last["action"], last["ok"], last["switched"], last["after"]) == ("on", False, False, "off")
                assert "has been started" in last["reason"]
                assert [power.fence(action, "node2").code for action in ("off", "status")] == [0, 2]
