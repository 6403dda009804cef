"""The kinds of fault: what every one of them must have, and what those of bot, router, data tier, Nginx and address do
where no lab stands."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping

import pytest

from kappa_lab import faults, scenario
from kappa_lab.errors import LabError
from kappa_lab.faults import ROLES, Fault, Kind, Target, Value, bot, inside, mongodb, router
from kappa_lab.mongodb import wire
from kappa_lab.predict.faults import KINDS as PREDICTED
from kappa_lab.scenario import Inject
from kappa_lab.topology import NODES

OURS = ("bot", "mongodb", "nginx", "router", "vip")
DRILLS = [scenario.load(name) for name in scenario.names()]


def made(kind: Kind, on: str = "") -> Fault:
    nodes = {"": (), "active": NODES[:1]}.get(on, NODES[1:2])
    return kind.make(Target(nodes, NODES[0]), kind.parameters)


@pytest.mark.parametrize("kind", faults.KINDS.values(), ids=str)
def test_every_kind_says_where_it_can_hit_and_what_answers_it(kind: Kind) -> None:
    assert set(kind.on) <= set(ROLES)
    assert kind.purpose.endswith(".")
    assert kind.fences in ("never", "maybe", "always")
    assert kind.predicted in ("", *PREDICTED)


@pytest.mark.parametrize("kind", faults.KINDS.values(), ids=str)
def test_a_kind_is_made_anew_for_each_fault(kind: Kind) -> None:
    on = kind.on[0] if kind.on else ""
    first, second = made(kind, on), made(kind, on)
    assert first.inject is not second.inject, "a fault that keeps something keeps its own"


@pytest.mark.parametrize("area", OURS)
def test_each_kind_of_an_area_has_a_drill(area: str) -> None:
    kinds = {kind.name for kind in getattr(faults, area).KINDS}
    used = {step.fault for drill in DRILLS for step in drill.steps if isinstance(step, Inject)}
    assert kinds
    assert kinds <= used


def test_a_drill_predicts_what_its_fault_is_predicted_to_do() -> None:
    for drill in DRILLS:
        first = next(step for step in drill.steps if isinstance(step, Inject))
        if drill.expect.predicted and first.on == "active":
            assert faults.KINDS[first.fault].predicted == drill.expect.predicted, drill.name


def test_what_ends_no_node_asks_for_nobody_to_be_shot() -> None:
    for drill in DRILLS:
        hit = [faults.KINDS[step.fault] for step in drill.steps if isinstance(step, Inject)]
        if all(kind.fences == "never" for kind in hit):
            assert drill.expect.fenced == (), drill.name


class Node:
    """What would be run in a node, and what it would answer."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.says: Callable[[tuple[str, ...]], str] = lambda words: ""

    def docker(self, *words: str, doing: str, stdin: str | None = None, **_more: object) -> str:
        self.ran.append(words)
        return self.says(words)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    recorded = Node()
    for module in (inside, faults.nginx, mongodb):
        monkeypatch.setattr(module, "docker", recorded.docker)
    return recorded


HEALS = [
    (kind, on)
    for area in OURS
    for kind in getattr(faults, area).KINDS
    for on in (kind.on[:1] or ("",))
    if kind.name not in ("bot-deaf", "primary-killed", "primary-steps-down", "majority-lost")
]


@pytest.mark.parametrize(("kind", "on"), HEALS, ids=str)
def test_a_heal_bears_that_the_node_is_off_and_comes_back(
    kind: Kind, on: str, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0

    def says(words: tuple[str, ...]) -> str:
        nonlocal looked
        if words[0] == "inspect":
            looked += 1
            return "exited" if looked < 3 else "running"
        if looked < 3 and "crm_resource" not in words:
            raise LabError("the container is not running")
        return "[]" if "-json" in words else ""

    def gone(*_words: str, doing: str) -> str:
        raise LabError("there is nothing to take away")

    node.says = says
    monkeypatch.setattr(faults.vip, "in_network", gone)
    fault = made(kind, on)
    if kind.name == "foreign-poller":
        fault.heal()  # of one that never began
        return
    fault.heal()


def test_a_heal_that_cannot_be_done_is_not_hidden(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "BACK_S", 0.2)
    node.says = lambda words: "exited"
    with pytest.raises(LabError, match="still not: node1 runs"):
        made(faults.KINDS["bot-never-starts"], "active").heal()


def test_no_process_to_hit_is_an_error(node: Node) -> None:
    def says(words: tuple[str, ...]) -> str:
        raise LabError("pkill ended with 1")

    node.says = says
    for name in ("bot-killed", "bot-frozen", "router-killed", "nginx-killed"):
        with pytest.raises(LabError):
            made(faults.KINDS[name], "active").inject()


@pytest.mark.parametrize(("name", "line"), [("bot-frozen", bot.BOT), ("router-frozen", router.ROUTER)])
def test_what_is_frozen_is_thawed_or_has_been_ended_meanwhile(name: str, line: str, node: Node) -> None:
    fault = made(faults.KINDS[name], "active")
    fault.inject()
    fault.heal()
    assert [words[-3:] for words in node.ran] == [("-STOP", "-f", line), ("-CONT", "-f", line)]

    def gone(words: tuple[str, ...]) -> str:
        raise LabError("pkill ended with 1")

    node.says = gone
    fault.heal()


@pytest.fixture
def member() -> Iterator[Callable[[Mapping[str, Value]], tuple[str, int]]]:
    """A member of a replica set that says what it is told to."""
    servers = []

    def serve(said: Mapping[str, Value]) -> tuple[str, int]:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def answer() -> None:
            link, _ = server.accept()
            with link:
                whole = wire.reply(said, link.recv(4096))
                link.sendall(whole[:7])
                link.sendall(whole[7:])

        threading.Thread(target=answer, daemon=True).start()
        return server.getsockname()[0], server.getsockname()[1]

    yield serve
    for server in servers:
        server.close()


def test_a_member_is_asked_for_its_role(
    member: Callable[[Mapping[str, Value]], tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    host, port = member({"isWritablePrimary": True, "ok": 1.0})
    monkeypatch.setattr(mongodb, "PORT", port)
    assert mongodb.hello(host)["isWritablePrimary"] is True


def test_a_member_that_does_not_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(mongodb, "PORT", port)
    assert mongodb.hello("127.0.0.1") == {}
    monkeypatch.setattr(mongodb, "MEMBERS", ("127.0.0.1",))
    assert not mongodb.whole()
    with pytest.raises(LabError, match="No member of the replica set is its primary"):
        mongodb.known_primary()


def test_the_bots_process_is_told_from_the_agents() -> None:
    assert bot.BOT in "/opt/kappa/bin/python /usr/bin/kappa-bot run --config /etc/kappa/bot.toml"
    assert bot.BOT not in "/usr/bin/python3 /usr/lib/ocf/resource.d/kappa/telegram-bot monitor"
