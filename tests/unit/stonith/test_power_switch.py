"""What switch.py concludes from what a driver sees, above all when that changes between question and action."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from stonith.power.driver import DriverError, Sight, State
from stonith.power.switch import Switch


def on(run: str = "r1", unit: str = "u") -> Sight:
    return Sight(State.ON, "runs", unit, run, booted=True)


def off(run: str = "r1", unit: str = "u") -> Sight:
    return Sight(State.OFF, "exited", unit, run)


UNKNOWN = Sight(State.UNKNOWN, "no answer")


@dataclass
class Scripted:
    """A driver that sees one sight after another (the last one for ever), and notes what it is asked to do."""

    sights: list[Sight]
    refuses: str = ""
    did: list[tuple[str, str]] = field(default_factory=list)
    on_off: Callable[[], None] = lambda: None
    no_new_privileges = True

    def warnings(self, machine: str, deadline: float) -> Sequence[str]:
        return []

    def list(self, deadline: float) -> frozenset[str]:
        return frozenset(("machine",))

    def status(self, machine: str, deadline: float, unit: str = "") -> Sight:
        return self.sights.pop(0) if len(self.sights) > 1 else self.sights[0]

    def off(self, machine: str, unit: str, deadline: float) -> str:
        self.did.append(("off", unit))
        self.on_off()
        if self.refuses:
            raise DriverError(self.refuses)
        return "killed"

    def on(self, machine: str, unit: str, deadline: float) -> str:
        self.did.append(("on", unit))
        if self.refuses:
            raise DriverError(self.refuses)
        return "started"


def switch(driver: Scripted) -> Switch:
    return Switch(driver, {"plug": "machine"})


def soon(seconds: float = 0.3) -> float:
    return time.monotonic() + seconds


def test_off_is_proven_by_a_look_after_the_cut() -> None:
    driver = Scripted([on(), on(), on(), off()])
    outcome = switch(driver).off("plug", soon())
    assert (outcome.ok, outcome.before.state, outcome.after.state) == (True, State.ON, State.OFF)
    assert driver.did == [("off", "u")]


def test_what_the_driver_says_of_its_cut_is_no_proof() -> None:
    driver = Scripted([on()])
    outcome = switch(driver).off("plug", soon())
    assert not outcome.ok
    assert outcome.after.state is State.ON
    assert "killed" in outcome.reason


def test_a_cut_that_is_refused_may_have_been_needless() -> None:
    """The machine died between the look and the cut."""
    driver = Scripted([on(), on(), off()], refuses="409 is not running")
    assert switch(driver).off("plug", soon()).ok


def test_unknown_after_the_cut_is_not_off() -> None:
    outcome = switch(Scripted([on(), on(), UNKNOWN])).off("plug", soon())
    assert not outcome.ok
    assert outcome.after.state is State.UNKNOWN


def test_unknown_for_a_while_does_not_hide_the_proof() -> None:
    assert switch(Scripted([UNKNOWN, UNKNOWN, on(), UNKNOWN, off()])).off("plug", soon()).ok


def test_what_was_never_identified_is_not_cut() -> None:
    driver = Scripted([UNKNOWN])
    assert not switch(driver).off("plug", soon()).ok
    assert driver.did == []


def test_a_machine_started_anew_after_the_request_is_not_cut_again() -> None:
    driver = Scripted([on("r1"), on("r2")])
    outcome = switch(driver).off("plug", soon())
    assert outcome.ok
    assert outcome.after.state is State.ON
    assert "started anew" in outcome.reason
    assert driver.did == []


def test_the_second_of_two_finds_it_done(tick: float = 0.05) -> None:
    """Both saw the same instance; the first cuts it, and it is started again before the second has its turn."""
    driver = Scripted([on("r1")])
    both, cut = switch(driver), threading.Event()

    def cutting() -> None:
        cut.set()
        time.sleep(tick)  # the second has looked by now, and waits for its turn
        driver.sights = [off("r1"), on("r2")]

    driver.on_off = cutting
    first = threading.Thread(target=lambda: both.off("plug", soon(5)))
    first.start()
    assert cut.wait(5)
    outcome = both.off("plug", soon(5))
    first.join()
    assert outcome.ok
    assert driver.did == [("off", "u")]


def test_nothing_is_begun_after_the_deadline() -> None:
    for sights in ([on()], [off()], [UNKNOWN]):
        driver = Scripted(list(sights))
        broker = switch(driver)
        broker.off("plug", soon(-1))
        broker.on("plug", soon(-1))
        assert driver.did == []


def test_nothing_is_begun_when_the_turn_comes_too_late() -> None:
    driver = Scripted([on()])
    broker, release, taken = switch(driver), threading.Event(), threading.Event()

    def hold() -> None:
        taken.set()
        release.wait(5)

    driver.on_off = hold
    holder = threading.Thread(target=lambda: broker.off("plug", soon(0.5)))
    holder.start()
    assert taken.wait(5)
    outcome = broker.off("plug", soon(0.1))
    release.set()
    holder.join()
    assert not outcome.ok
    assert "another request" in outcome.reason


def test_on_starts_once_and_only_what_is_off() -> None:
    driver = Scripted([off(), off(), on("r2")])
    assert switch(driver).on("plug", soon()).ok
    assert driver.did == [("on", "u")]
    driver = Scripted([on()])
    assert switch(driver).on("plug", soon()).ok
    assert driver.did == []
    driver = Scripted([UNKNOWN])
    assert not switch(driver).on("plug", soon(0.1)).ok
    assert driver.did == []
    driver = Scripted([off()])
    assert not switch(driver).on("plug", soon()).ok  # it ended as soon as it was started
    assert driver.did == [("on", "u")]
    assert not switch(Scripted([off()], refuses="no")).on("plug", soon()).ok


# -- whatever a driver sees, in whatever order


def sights() -> st.SearchStrategy[list[Sight]]:
    state = st.sampled_from([State.ON, State.OFF, State.UNKNOWN])
    sight = st.builds(
        Sight, state, st.just("seen"), st.sampled_from(["", "u", "u", "v"]), st.sampled_from(["r1", "r2"])
    )
    return st.lists(sight, min_size=1, max_size=8)


class Clock:
    """Time that passes with every look at it, so that a bounded loop ends without waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.05
        return self.now


@settings(max_examples=400, deadline=None)
@given(seen=sights())
def test_off_is_never_said_without_proof(seen: list[Sight]) -> None:
    shown: list[Sight] = []
    driver = Scripted(list(seen))
    look = driver.status

    def status(machine: str, deadline: float, unit: str = "") -> Sight:
        shown.append(look(machine, deadline, unit))
        return shown[-1]

    driver.status = status  # type: ignore[method-assign]
    outcome = Switch(driver, {"plug": "machine"}, Clock(), lambda _: None).off("plug", 1.0)
    if outcome.ok:
        runs = {sight.run for sight in shown if sight.unit}
        assert shown[-1].unit
        assert shown[-1].state is State.OFF or (shown[-1].state is State.ON and len(runs) == 2)
        assert outcome.after is shown[-1]


def woken(run: str) -> Sight:
    return Sight(State.ON, "restored", "u", run)


def test_a_memory_that_was_woken_is_the_same_machine_still() -> None:
    """Saved and restored between two looks: another run, and nothing has ended. So it is cut."""
    driver = Scripted([on("r1"), woken("r2"), woken("r2"), off("r2")])
    outcome = switch(driver).off("plug", soon())
    assert (outcome.ok, outcome.after.state) == (True, State.OFF)
    assert driver.did == [("off", "u")]


def test_a_run_that_was_not_seen_at_first_has_not_ended_when_it_is() -> None:
    driver = Scripted([Sight(State.UNKNOWN, "looks away", "u"), on("r1"), on("r1"), off("r1")])
    assert switch(driver).off("plug", soon()).ok
    assert driver.did == [("off", "u")]


def test_what_was_proven_for_another_request_is_proof_if_it_came_later() -> None:
    """A driver that cannot tell a boot from a waking: the second of two still does not shoot what was started since."""
    driver = Scripted([woken("r1")])
    both, cut, finish = switch(driver), threading.Event(), threading.Event()

    def cutting() -> None:
        cut.set()
        assert finish.wait(20)
        driver.sights = [off("r1"), woken("r2")]

    driver.on_off = cutting
    outcomes = []
    first = threading.Thread(target=lambda: outcomes.append(both.off("plug", soon(20))))
    first.start()
    assert cut.wait(20)
    seen = threading.Event()
    look = driver.status

    def status(machine: str, deadline: float, unit: str = "") -> Sight:
        sight = look(machine, deadline, unit)
        seen.set()
        return sight

    driver.status = status  # type: ignore[method-assign]
    second = threading.Thread(target=lambda: outcomes.append(both.off("plug", soon(20))))
    second.start()
    assert seen.wait(20)  # the second has come, and looks, before the first has its proof
    finish.set()
    first.join(20)
    second.join(20)
    assert [outcome.ok for outcome in outcomes] == [True, True]
    assert driver.did == [("off", "u")]
    # and what was off before a request came is no proof for that one
    driver.sights = [woken("r2"), woken("r2"), woken("r2"), off("r2")]
    driver.on_off = lambda: None
    assert both.off("plug", soon(20)).ok
    assert driver.did == [("off", "u")] * 2


def test_a_look_that_ran_out_of_time_does_not_hide_what_was_seen() -> None:
    driver = Scripted([on()])
    look = driver.status

    def status(machine: str, deadline: float, unit: str = "") -> Sight:
        if driver.did:
            time.sleep(max(0.0, deadline - time.monotonic()))
            return Sight(State.UNKNOWN, "did not answer in time")
        return look(machine, deadline, unit)

    driver.status = status  # type: ignore[method-assign]
    outcome = switch(driver).off("plug", soon())
    assert (outcome.ok, outcome.after.state) == (False, State.ON)
    assert "runs" in outcome.reason
