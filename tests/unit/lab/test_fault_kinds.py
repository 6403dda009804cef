"""What the faults of nodes, Telegram and operators do by themselves; that they hit is for the drills to show."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from kappa_lab import cables, disks, faults, lab, power
from kappa_lab.errors import LabError
from kappa_lab.faults import fencing, node, operator, outside, telegram
from kappa_lab.faults.kind import Target
from kappa_lab.telegram.faults import Fault as ServersFault
from kappa_lab.topology import NODES

NODE1, NODE2, NODE3 = NODES


@pytest.mark.parametrize("kind", telegram.KINDS[1:], ids=lambda kind: kind.name)
def test_the_telegram_lab_server_takes_what_it_is_told(kind: faults.Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, str, object]] = []
    monkeypatch.setattr(lab, "telegram", lambda *words: said.append((*words, None)[:3]))
    fault = kind.make(Target((), NODE1), kind.parameters)
    fault.inject()
    fault.heal()
    (post, path, body), (delete, *_) = said
    taken = ServersFault.from_json(body)
    assert (post, path, delete) == ("POST", "/fault", "DELETE")
    assert taken.count == (kind.parameters["count"] or None)


def test_of_the_packet_filter_only_what_was_put_there_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [
        "-P INPUT ACCEPT",
        '-A OUTPUT -d 10.77.0.20/32 -m comment --comment "kappa-lab telegram-unreachable" -j DROP',
        '-A INPUT -i eth1 -m comment --comment "kappa-lab packet-loss" -m statistic --mode random -j DROP',
        "-A INPUT -s 10.0.0.1/32 -j DROP",
    ]
    ran: list[Sequence[str]] = []

    def run(args: Sequence[str], **_: object) -> str:
        ran.append(args)
        return "\n".join(rules) + "\n"

    monkeypatch.setattr(cables, "run", run)
    monkeypatch.setattr(cables, "_within", lambda _node: ["within"])
    cables.mend(NODE1, telegram.UNREACHABLE)
    deleted = [" ".join(args) for args in ran if "-D" in args]
    assert deleted == ["within iptables -w 10 " + " ".join(shlex.split(rules[1].replace("-A", "-D")))]


def test_what_is_undone_is_tried_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def undo() -> None:
        tried.append(1)
        if len(tried) < 3:
            raise LabError("It boots.")

    monkeypatch.setattr(outside, "powered", lambda _node: True)
    outside.insist("done", undo, NODE1)
    assert len(tried) == 3


def test_what_cannot_be_undone_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def undo() -> None:
        raise LabError("No such file.")

    monkeypatch.setattr(outside, "powered", lambda _node: True)
    with pytest.raises(LabError, match=r"node1: after 0 s, still not: done \(No such file\.\)"):
        outside.insist("done", undo, NODE1, 0)


def test_a_node_without_power_has_nothing_left_to_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "powered", lambda _node: False)
    outside.insist("done", lambda: pytest.fail("asked a node without power"), NODE1)


def test_a_kernel_without_netem_refuses_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> str:
        raise LabError("trying netem: tc ended with 2: Error: Specified qdisc kind is unknown.")

    monkeypatch.setattr(node, "run", run)
    kind = faults.KINDS["delay"]
    assert "netem" in kind.possible()
    with pytest.raises(LabError, match="no packet can be delayed here"):
        kind.make(Target((NODE1,), NODE1), kind.parameters).inject()


def test_where_packets_can_be_delayed_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    shaped: list[tuple[str, tuple[str, ...]]] = []
    monkeypatch.setattr(node, "run", lambda *_, **__: "")
    monkeypatch.setattr(cables, "shape", lambda hit, how: shaped.append((hit.name, tuple(how))))
    monkeypatch.setattr(outside, "powered", lambda _node: True)
    fault = faults.KINDS["delay"].make(Target((NODE2,), NODE1), {"milliseconds": 20.0})
    fault.inject()
    fault.heal()
    assert shaped == [("node2", ("netem", "delay", "20ms", "5ms")), ("node2", ())]


def test_a_rolling_restart_takes_the_active_node_last(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(operator, "restart", lambda one: order.append(one.name))
    faults.KINDS["rolling-restart"].make(Target(NODES, NODE2), {}).inject()
    assert order == ["node1", "node3", "node2"]


def test_a_reload_that_restarts_the_bot_is_no_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    pids, told = iter(["70", "71"]), iter([0, 1])
    monkeypatch.setattr(operator, "bot_of", lambda _node: next(pids))
    monkeypatch.setattr(operator, "reloads", lambda _node, _resource: next(told))
    with pytest.raises(LabError, match="process 70 and is 71: a reload has restarted it"):
        operator.unharmed(NODE1, "bot", lambda: None)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the first node's disk would be; nothing is mounted."""
    monkeypatch.setattr(disks, "STATE", tmp_path)
    monkeypatch.setattr(disks, "run", lambda *_, **__: "")
    disks.folder(NODE1).mkdir(parents=True)
    return disks.folder(NODE1)


def test_no_disk_is_left_where_none_was_made(disk: Path) -> None:
    disks.remove()
    disks.empty(NODE1)
    assert list(disk.iterdir()) == []


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> dict[int, bool]:
    """Which level's broker runs; starting, killing and asking go there."""
    running = {broker.level: True for broker in power.BROKERS}
    monkeypatch.setattr(power, "runs", lambda broker: running[broker.level])
    monkeypatch.setattr(power, "kill", lambda broker: running.update({broker.level: False}))
    monkeypatch.setattr(power, "start", lambda _python, *some: running.update({one.level: True for one in some}))
    monkeypatch.setattr(power, "cut", lambda _node: None)
    return running


@pytest.mark.parametrize(
    ("kind", "left"), [("level-1-dead", {1: False, 2: True}), ("all-levels-dead", {1: False, 2: False})]
)
def test_brokers_die_with_the_node_and_come_back(
    kind: str, left: dict[int, bool], brokers: dict[int, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = faults.KINDS[kind].make(Target((NODE1,), NODE1), {})
    fault.inject()
    assert brokers == left
    monkeypatch.setattr(fencing, "powered", lambda _node: True)
    fault.heal()
    assert brokers == {1: True, 2: True}


def test_a_node_that_nobody_shot_is_switched_on_by_hand(
    brokers: dict[int, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed: list[str] = []
    monkeypatch.setattr(fencing, "powered", lambda _node: False)
    monkeypatch.setattr(fencing, "FENCED_S", 0)
    monkeypatch.setattr(fencing, "power_on", lambda node: pressed.append(node.name))
    fault = faults.KINDS["all-levels-dead"].make(Target((NODE3,), NODE3), {})
    fault.inject()
    fault.heal()
    assert pressed == ["node3"]


def test_a_node_whose_corosync_does_not_come_back_is_switched_off_and_on(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(node, "BOOT_S", 0)
    monkeypatch.setattr(node, "powered", lambda _node: True)
    monkeypatch.setattr(node, "_has_corosync", lambda _node: False)
    monkeypatch.setattr(power, "cut", lambda one: done.append(f"{one.name} off"))
    monkeypatch.setattr(node, "power_on", lambda one: done.append(f"{one.name} on"))
    node.with_corosync(NODE2)
    assert done == ["node2 off", "node2 on"]


def test_a_node_that_was_shot_and_boots_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = iter([False, False, True])
    monkeypatch.setattr(node, "powered", lambda _node: True)
    monkeypatch.setattr(node, "_has_corosync", lambda _node: next(asked))
    monkeypatch.setattr(power, "cut", lambda one: pytest.fail(f"{one.name} was switched off while it booted"))
    monkeypatch.setattr(node, "power_on", lambda _node: None)
    node.with_corosync(NODE2)
