"""A plan let loose on a lab that exists only here: when faults come, on whom, how they are healed, and what is said."""

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from kappa_lab.cluster import Failure, Status
from kappa_lab.errors import LabError
from kappa_lab.faults.kind import Fault, Kind, Target, Value
from kappa_lab.storm.plan import Plan, Strike
from kappa_lab.storm.play import Blow, Patience, Storm, whom

ALL = frozenset({"node1", "node2", "node3"})


def status(active: str | None = "node1", online: frozenset[str] = ALL, quorum: bool = True, **more: object) -> Status:
    group = {name: frozenset({active} if active else ()) for name in ("vip", "web", "bot")}
    fencing = {"fence-kappa": frozenset({"node2"}), "fence-kappa-2": frozenset({"node3"})}
    return Status("node1", online, quorum, {**group, **fencing, "router": online}, dc="node3", **more)  # type: ignore[arg-type]


WHOLE = status()
QUICK = Patience(fit=0.6, hit=0.2, hold=0.3, heal=0.5, between=0.02, tend=0.2, look=0.01)


def hit(at_s: float, fault: str, on: str = "", heal_after_s: float = 0.02, given: Mapping[str, Value] = {}) -> Strike:
    return Strike(at_s, fault, on, heal_after_s, given)


@dataclass
class World:
    """What was done to it, and what it says of itself."""

    says: Callable[[], Status | None] = lambda: WHOLE
    done: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    avoided: list[frozenset[str]] = field(default_factory=list)
    tended: list[Status] = field(default_factory=list)
    given: list[Mapping[str, Value]] = field(default_factory=list)
    refuse: Callable[[str, str], bool] = lambda _what, _kind: False
    takes_s: float = 0.0

    def see(self, avoid: frozenset[str]) -> Status | None:
        self.avoided.append(avoid)
        return self.says()

    def tend(self, seen: Status) -> None:
        if self.refuse("tend", ""):
            raise LabError("Nobody answers.")
        self.tended.append(seen)

    def say(self, text: str) -> None:
        self.said.append(text)

    def kind(self, name: str, **more: object) -> Kind:
        def make(target: Target, given: Mapping[str, Value]) -> Fault:
            self.given.append(given)

            def do(what: str) -> Callable[[], None]:
                def act() -> None:
                    if self.refuse(what, name):
                        raise LabError(f"{name}: cannot {what}.")
                    if what == "inject":
                        time.sleep(self.takes_s)
                    self.done.append((what, name, tuple(one.name for one in target.nodes)))

                return act

            return Fault(do("inject"), do("heal"))

        return Kind(name, "Nothing at all.", make, **more)  # type: ignore[arg-type]

    def play(self, *strikes: Strike, patience: Patience = QUICK) -> tuple[Storm, str]:
        """The storm, and why it broke off."""
        areas = {
            "bot": (self.kind("bot-killed", parameters={"hard": True, "long_s": 9.0}),),
            "nginx": (self.kind("nginx-killed"),),
            "vip": (self.kind("address-deleted"),),
            "router": (self.kind("router-killed"),),
            "mongodb": (self.kind("primary-killed", on=()),),
            "node": (self.kind("power-cut", on=("active", "passive", "passives"), fences="always", ends_node=True),),
            "operator": (self.kind("standby"),),
        }
        storm = Storm(Plan(1, strikes), areas, self, "node2", patience)
        try:
            storm.play()
        except LabError as error:
            return storm, str(error)
        return storm, ""

    @property
    def injected(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(kind, nodes) for what, kind, nodes in self.done if what == "inject"]


def test_every_fault_comes_in_its_order_and_is_healed() -> None:
    world = World()
    storm, why = world.play(
        hit(0.0, "bot-killed", "active", 0.3), hit(0.05, "router-killed", "passive", 0.02),
        hit(0.1, "primary-killed", "", 0.02), hit(0.2, "standby", "dc", 0.02),
    )  # fmt: skip
    assert why == ""
    assert world.injected == [
        ("bot-killed", ("node1",)), ("router-killed", ("node2",)), ("primary-killed", ()), ("standby", ("node3",))
    ]  # fmt: skip
    assert sorted(kind for what, kind, _ in world.done if what == "heal") == [
        "bot-killed", "primary-killed", "router-killed", "standby"
    ]  # fmt: skip
    for blow in storm.blows:
        moments = [blow.t, blow.done, blow.healing, blow.healed]
        assert None not in moments
        assert moments == sorted(moments)  # type: ignore[type-var]
    assert storm.missed == []
    assert world.said[1].startswith("fault 2 of 4: router-killed on node2 (passive), ")


def test_faults_overlap() -> None:
    world = World()
    storm, _ = world.play(hit(0.0, "bot-killed", "active", 0.4), hit(0.05, "router-killed", "active", 0.05))
    one, two = storm.blows
    assert two.t < (one.healed or 0)


def test_a_moment_is_waited_for() -> None:
    world = World()
    began = time.time()
    storm, _ = world.play(hit(0.3, "bot-killed", "active", 0.0))
    assert storm.blows[0].t >= began + 0.3


def test_what_the_kind_is_told() -> None:
    world = World()
    world.play(hit(0.0, "bot-killed", "active", 0.0, {"long_s": 2.5}))
    assert world.given == [{"hard": True, "long_s": 2.5}]


def together(storm: Storm, *kinds: str) -> bool:
    one, two = (next(blow for blow in storm.blows if blow.strike.fault == kind) for kind in kinds)
    return two.t < (one.healed or 0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (hit(0.0, "power-cut", "active", 0.2), hit(0.01, "standby", "passive", 0.0)),
        (hit(0.0, "power-cut", "passives", 0.2), hit(0.01, "bot-killed", "active", 0.0)),
    ],
)
def test_what_must_not_stand_together_waits(first: Strike, second: Strike) -> None:
    world = World()
    storm, why = world.play(first, second)
    assert why == ""
    assert not together(storm, first.fault, second.fault)


def test_no_more_than_three_stand_together() -> None:
    world = World()
    storm, _ = world.play(
        hit(0.0, "bot-killed", "active", 0.4), hit(0.0, "nginx-killed", "active", 0.4),
        hit(0.0, "address-deleted", "active", 0.2), hit(0.0, "router-killed", "active", 0.1),
    )  # fmt: skip
    assert together(storm, "bot-killed", "address-deleted")
    assert not together(storm, "address-deleted", "router-killed")
    assert together(storm, "bot-killed", "router-killed")


@pytest.mark.parametrize(
    ("strike", "unfit", "why"),
    [
        (hit(0, "bot-killed", "active"), status(active=None), "no node has the whole group"),
        (hit(0, "bot-killed", "active"), status(quorum=False), "the cluster has no quorum"),
        (hit(0, "bot-killed", "active"), None, "no node answers crm_mon"),
        (hit(0, "bot-killed", "dc"), replace(WHOLE, dc=None), "the cluster has no DC"),
        (hit(0, "bot-killed", "node2"), status(online=ALL - {"node2"}), "not online: node2"),
        (hit(0, "power-cut", "active"), status(online=ALL - {"node2"}), "not back, or without a router: node2"),
        (hit(0, "standby", "passive"), replace(WHOLE, running={**WHOLE.running, "router": ALL - {"node3"}}),
         "not back, or without a router: node3"),
        (hit(0, "power-cut", "active"), replace(WHOLE, running={**WHOLE.running, "fence-kappa-2": frozenset()}),
         "not ready: fence-kappa-2"),
        (hit(0, "power-cut", "passives"), status(active=None), "no node has the whole group"),
        (hit(0, "router-killed", "active"), replace(WHOLE, running={**WHOLE.running, "router": ALL - {"node1"}}),
         "no router on node1"),
    ],
)  # fmt: skip
def test_a_lab_that_is_not_fit_is_waited_for_and_in_the_end_that_is_a_failure(
    strike: Strike, unfit: Status | None, why: str
) -> None:
    patient = World(says=(says := iter([*[unfit] * 5, *[WHOLE] * 50])).__next__)
    assert patient.play(strike)[1] == ""
    assert len(patient.injected) == 1
    del says

    hopeless = World(says=lambda: unfit)
    storm, broke_off = hopeless.play(strike)
    assert hopeless.injected == []
    assert storm.blows == []
    assert "the lab is still not fit for fault 1 of 1, " in broke_off
    assert why in broke_off


def test_a_lab_that_is_not_whole_is_fit_for_what_takes_no_node() -> None:
    world = World(says=lambda: status(online=ALL - {"node2"}))
    _, why = world.play(hit(0, "bot-killed", "active"), hit(0.1, "router-killed", "passive"))
    assert why == ""
    assert world.injected[1] == ("router-killed", ("node3",))


def test_when_it_breaks_off_what_stands_is_healed_at_once() -> None:
    world = World(says=iter([WHOLE, *[None] * 500]).__next__)
    began = time.monotonic()
    _, why = world.play(hit(0, "bot-killed", "active", 60), hit(0, "nginx-killed", "active", 60))
    assert why.endswith("no node answers crm_mon. Not healed yet: bot-killed on node1 (active).")
    assert time.monotonic() - began < 20
    assert ("heal", "bot-killed", ("node1",)) in world.done


FAILED = replace(status(active=None), failures=(Failure("bot", "node1", 0.0),))


def test_a_cluster_that_has_given_up_is_tended_by_its_operator() -> None:
    world = World()
    world.says = lambda: WHOLE if world.tended else FAILED
    storm, why = world.play(hit(0, "bot-killed", "active"))
    assert (why, storm.tended, world.tended) == ("", 1, [FAILED])
    assert "  the operator has the cluster forget its failures" in world.said


@pytest.mark.parametrize(
    ("seen", "before"),
    [
        pytest.param(status(active=None), (), id="there is nothing to forget"),
        pytest.param(FAILED, (hit(0, "primary-killed", "", 60),), id="what failed is not mended yet"),
    ],
)
def test_no_operator_comes_where(seen: Status, before: tuple[Strike, ...]) -> None:
    world = World(says=lambda: seen)
    storm, why = world.play(*before, hit(0, "bot-killed", "active"))
    assert "still not fit" in why
    assert (storm.tended, world.tended) == (0, [])


def test_an_operator_whom_no_node_answers_is_no_failure_of_the_storm() -> None:
    world = World(says=lambda: FAILED, refuse=lambda what, _: what == "tend")
    storm, why = world.play(hit(0, "bot-killed", "active"))
    assert "still not fit" in why
    assert storm.tended == 0


def test_nodes_that_may_be_cut_off_are_asked_last() -> None:
    world = World()
    world.play(hit(0, "power-cut", "active", 0.3), hit(0.01, "bot-killed", "active"), hit(0.02, "nginx-killed", "dc"))
    assert world.avoided[0] == frozenset()
    assert world.avoided[1] == {"node1"}


def test_what_finds_nothing_to_break_is_tried_again() -> None:
    tries = itertools.count()
    world = World(refuse=lambda what, _: what == "inject" and next(tries) < 2)
    storm, why = world.play(hit(0, "bot-killed", "active"))
    assert (why, storm.missed) == ("", [])
    assert len(world.injected) == 1
    assert len(storm.blows) == 1


def test_what_was_half_done_is_undone_before_it_is_tried_again() -> None:
    def refuse(what: str, _kind: str) -> bool:
        if what == "heal" and not world.injected:
            time.sleep(0.1)
        return what == "inject" and ("heal", "bot-killed", ("node1",)) not in world.done

    world = World(refuse=refuse)
    _, why = world.play(hit(0, "bot-killed", "active"))
    assert why == ""
    assert [what for what, _, _ in world.done] == ["heal", "inject", "heal"]


def test_what_found_nothing_to_break_comes_again_when_all_others_have_come() -> None:
    world = World()
    after = ("inject", "nginx-killed", ("node1",))
    world.refuse = lambda what, kind: (what, kind) == ("inject", "bot-killed") and after not in world.done
    storm, why = world.play(hit(0.0, "bot-killed", "active"), hit(0.1, "nginx-killed", "active"))
    assert (why, storm.missed) == ("", [])
    assert world.injected == [("nginx-killed", ("node1",)), ("bot-killed", ("node1",))]
    assert [blow.number for blow in storm.blows if blow.hit] == [2, 1]


def test_what_takes_its_time_to_find_nothing_is_missed_too() -> None:
    def refuse(what: str, kind: str) -> bool:
        if (what, kind) != ("inject", "bot-killed"):
            return False
        time.sleep(1.5 * QUICK.hold)
        return True

    world = World(refuse=refuse)
    storm, why = world.play(hit(0.0, "bot-killed", "active"), hit(0.1, "nginx-killed", "active"))
    assert (why, storm.missed) == ("", ["fault 1 of 2: bot-killed on node1 (active): bot-killed: cannot inject."])
    # it may have done half of its work, each time: the judge is to know of it
    assert [blow.number for blow in storm.blows] == [1, 2, 1]


def test_what_never_finds_anything_to_break_is_missed_and_said() -> None:
    world = World(refuse=lambda what, kind: (what, kind) == ("inject", "bot-killed"))
    storm, why = world.play(hit(0, "bot-killed", "active"), hit(0.05, "nginx-killed", "active"))
    assert why == ""
    assert storm.missed == ["fault 1 of 2: bot-killed on node1 (active): bot-killed: cannot inject."]
    assert "fault 1 of 2: bot-killed on node1 (active): missed. bot-killed: cannot inject." in world.said
    assert [blow.strike.fault for blow in storm.blows] == ["nginx-killed"]
    assert ("heal", "bot-killed", ("node1",)) in world.done  # it may have been half done


def test_healing_is_tried_again() -> None:
    tries = itertools.count()
    world = World(refuse=lambda what, _: what == "heal" and next(tries) < 3)
    storm, why = world.play(hit(0, "bot-killed", "active"))
    assert why == ""
    assert storm.blows[0].healed is not None


def test_what_cannot_be_healed_is_a_failure() -> None:
    world = World(refuse=lambda what, kind: (what, kind) == ("heal", "standby"))
    _, why = world.play(hit(0, "standby", "passive"), hit(0, "bot-killed", "active"))
    assert why == "fault 1 of 2: standby on node3 (passive) could not be healed: standby: cannot heal."
    assert ("heal", "bot-killed", ("node1",)) in world.done


def test_one_that_takes_long_to_happen_does_not_hold_the_next_up() -> None:
    world = World(takes_s=1.0)
    storm, why = world.play(hit(0, "bot-killed", "active", 0.0), hit(0, "nginx-killed", "active", 0.0))
    assert why == ""
    one, two = storm.blows
    assert two.t < (one.done or 0)


def test_no_thread_stays() -> None:
    World().play(hit(0, "bot-killed", "active", 0.05), hit(0, "nginx-killed", "active", 0.05))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fault-")]


def test_each_passive_node_has_its_turn_and_one_that_is_not_there_has_none() -> None:
    assert {whom("passive", WHOLE, "node1", number) for number in range(4)} == {("node2",), ("node3",)}
    there = status(online=ALL - {"node2"})
    assert {whom("passive", there, "node1", number) for number in range(4)} == {("node3",)}
    assert whom("passives", there, "node3", 1) == ("node1", "node2")
    assert whom("dc", WHOLE, "node1", 1) == ("node3",)
    assert whom("all", WHOLE, "node1", 1) == ("node1", "node2", "node3")
    assert whom("node2", WHOLE, "node1", 1) == ("node2",)
    assert whom("", WHOLE, "node1", 1) == ()


def test_a_blow_is_only_itself() -> None:
    assert Blow.__eq__ is object.__eq__
