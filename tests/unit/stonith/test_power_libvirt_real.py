"""The libvirt driver over a real libvirt: its own test driver, which has every state but no hypervisor."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stonith.power.driver import DriverError, State
from stonith.power.drivers.libvirt import Libvirt
from stonith.power.switch import Switch
from tests.unit.stonith import real_virsh
from tests.unit.stonith.real_virsh import Shell

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not real_virsh.INSTALLED, reason="needs virsh (Debian's libvirt-clients)"),
]


@pytest.fixture
def real() -> Iterator[tuple[Libvirt, Shell]]:
    with (
        tempfile.TemporaryDirectory(prefix="kappa-") as folder,
        real_virsh.running(Path(folder)) as (program, shell),
    ):
        yield Libvirt("test:///default", str(program)), shell


def soon(seconds: float = 20.0) -> float:
    return time.monotonic() + seconds


def test_the_whole_way_off_and_on(real: tuple[Libvirt, Shell]) -> None:
    driver, _ = real
    switch = Switch(driver, {"plug": "test"})
    assert driver.list(soon()) == set(real_virsh.MACHINES)
    before = switch.status("plug", soon()).after
    assert (before.state, before.run) == (State.ON, "1")
    off = switch.off("plug", soon())
    assert (off.ok, off.after.state, off.switched) == (True, State.OFF, True)
    assert "shut off (destroyed)" in off.after.evidence
    assert off.after.unit == before.unit
    assert switch.off("plug", soon()).reason == "was off already"
    on = switch.on("plug", soon())
    assert (on.ok, on.after.state, on.after.booted) == (True, State.ON, True)
    assert on.after.run != before.run


STATES = {
    "test": State.ON,
    "idle": State.ON,
    "paused": State.ON,
    "ending": State.ON,
    "crashed": State.ON,
    "asleep": State.ON,
    "passing": State.ON,
    "saved": State.UNKNOWN,
    "resting": State.OFF,
}


def test_every_state_that_libvirt_has(real: tuple[Libvirt, Shell]) -> None:
    driver, _ = real
    assert {name: driver.status(name, soon()).state for name in real_virsh.MACHINES} == STATES


@pytest.mark.parametrize("machine", sorted(STATES))
def test_from_every_state_off_is_proven_or_not_said(real: tuple[Libvirt, Shell], machine: str) -> None:
    driver, shell = real
    outcome = Switch(driver, {"plug": machine}).off("plug", soon(3.0 if machine == "passing" else 20.0))
    if machine == "passing":  # transient: it is gone, and with it what could prove that it is off
        assert (outcome.ok, outcome.after.state) == (False, State.UNKNOWN)
        assert "failed to get domain" in outcome.reason
    else:
        assert (outcome.ok, outcome.after.state) == (True, State.OFF)
        assert "Managed save:   no" in shell.run("dominfo", machine)[1]


def test_the_words_that_the_driver_waits_for_are_virshs_own(real: tuple[Libvirt, Shell]) -> None:
    driver, shell = real
    unit = driver.status("test", soon()).unit
    assert "start" in driver.on("test", unit, soon())  # already active, and not a failure
    assert shell.run("destroy", "test")[0] == 0
    assert "managedsave-remove" in driver.off("test", unit, soon())  # not running, and not a failure
    with pytest.raises(DriverError, match="failed to get domain"):
        driver.off("test", "00000000-0000-0000-0000-000000000000", soon())


def test_a_domain_that_is_undefined_is_unknown(real: tuple[Libvirt, Shell]) -> None:
    driver, shell = real
    unit = driver.status("test", soon()).unit
    assert shell.run("destroy", "test")[0] == 0
    assert shell.run("undefine", "test")[0] == 0
    assert driver.status("test", soon(), unit).state is State.UNKNOWN
    assert driver.status("test", soon()).state is State.UNKNOWN


def test_another_domain_of_that_name_is_not_the_machine(real: tuple[Libvirt, Shell]) -> None:
    driver, shell = real
    unit = driver.status("test", soon()).unit
    about = shell.run("dumpxml", "test")[1]
    assert [shell.run(*command)[0] for command in (("destroy", "test"), ("undefine", "test"))] == [0, 0]
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
        lines = [line for line in about.splitlines() if "<uuid>" not in line]
        file.write("\n".join(lines))
        file.flush()
        assert shell.run("define", file.name) == (0, "\n", "")
    assert driver.status("test", soon()).state is State.OFF  # that one is off, to be sure
    assert driver.status("test", soon(), unit).state is State.UNKNOWN  # and says nothing of the one that was asked for


def test_warnings(real: tuple[Libvirt, Shell]) -> None:
    driver, shell = real
    assert driver.warnings("test", soon()) == []
    assert shell.run("autostart", "test")[0] == 0
    assert ["autostart" in one for one in driver.warnings("test", soon())] == [True]
    assert ["memory" in one for one in driver.warnings("saved", soon())] == [True]
    assert ["transient" in one for one in driver.warnings("passing", soon())] == [True]
