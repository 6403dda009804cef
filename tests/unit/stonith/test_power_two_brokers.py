"""Two brokers over one hypervisor, as two levels of fencing: neither is in the other's way."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.unit.stonith import fake_engine, fake_programs
from tests.unit.stonith.broker import Broker, powerd, until, write_config
from tests.unit.stonith.fake_engine import Engine

ROUNDS = 12


@contextmanager
def served(config: Path, engine: Engine) -> Iterator[Broker]:
    """A broker with that configuration."""
    process = powerd("--config", str(config))
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "listening on" in line, line
        yield Broker(config.parent, engine, process, int(line.partition("127.0.0.1:")[2].partition(";")[0]))
    finally:
        process.terminate()
        process.communicate(timeout=15)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Broker, Broker]]:
    with tempfile.TemporaryDirectory(prefix="kappa-") as short, ExitStack() as stack:
        engine = stack.enter_context(fake_engine.running(Path(short) / "s"))
        folders = [tmp_path / name for name in ("one", "two")]
        for folder in folders:
            folder.mkdir()
        one, other = (stack.enter_context(served(write_config(folder, engine.path), engine)) for folder in folders)
        yield one, other


def both(two: tuple[Broker, Broker], action: str) -> list[int]:
    """Ask both for the same at the same time; their agents' exit codes."""
    codes: list[int] = []
    jobs = [
        threading.Thread(target=lambda power=power: codes.append(power.fence(action, "node2").code)) for power in two
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    return codes


def test_both_asked_for_the_same_at_once(two: tuple[Broker, Broker]) -> None:
    engine = two[0].engine
    for _ in range(ROUNDS):
        node = engine.add("kappa-lab-node2")
        assert both(two, "off") == [0, 0]
        assert (node.status, node.starts) == ("exited", 1)
    for power in two:
        assert [(line["ok"], line["after"]) for line in power.audit()] == [(True, "off")] * ROUNDS


def test_both_asked_to_reboot_at_once_shoot_once_each_at_most(two: tuple[Broker, Broker]) -> None:
    """Each may well start what it found off; what the other has started since is not shot for the old request."""
    engine = two[0].engine
    for _ in range(ROUNDS):
        node = engine.add("kappa-lab-node2")
        engine.calls.clear()
        assert both(two, "reboot") == [0, 0]
        until(node.running)
        kills = sum("kill" in call for call in engine.switching())
        assert 1 <= kills <= 2


def test_one_that_hangs_does_not_hold_up_the_other(two: tuple[Broker, Broker]) -> None:
    """The second level is asked when the first one's time is up; here while the first still waits."""
    one, other = two
    engine = one.engine
    engine.add("kappa-lab-node2")
    assert [power.fence("status", "node2").code for power in two] == [0, 0]
    one.process.send_signal(19)  # SIGSTOP
    try:
        assert one.fence("off", "node2", timeout=1).code == 1
        assert other.fence("off", "node2").code == 0
    finally:
        one.process.send_signal(18)
    until(lambda: one.fence("status", "node2").code == 2)


@pytest.mark.slow
def test_a_broker_over_libvirt_notices_that_its_daemon_went_and_came(tmp_path: Path) -> None:
    virsh = fake_programs.virsh(tmp_path / "virsh")
    virsh.add("kappa-lab-node2")
    path = write_config(tmp_path, Path("/unused"))
    driver = f'kind = "libvirt"\nuri = "qemu:///system"\nvirsh = "{virsh.path}"'
    path.write_text(path.read_text().replace('kind = "docker"\nsocket = "/unused"', driver))
    with tempfile.TemporaryDirectory(prefix="kappa-") as short, served(path, Engine(Path(short))) as power:
        assert power.fence("status", "node2", timeout=20).code == 0
        virsh.set(away=True)
        for action, plug in (("status", "node2"), ("monitor", ""), ("off", "node2")):
            ran = power.fence(action, plug, timeout=3)
            assert ran.code == 1
            assert "failed to connect" in ran.one_line()
        virsh.set(away=False)
        assert power.fence("off", "node2", timeout=20).code == 0
        assert power.fence("status", "node2", timeout=20).code == 2
        assert power.fence("on", "node2", timeout=20).code == 0
