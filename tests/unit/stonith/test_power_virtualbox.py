"""What the VirtualBox driver takes for a proof: every VMState, its process, and guests that forge both."""

import time
from pathlib import Path

import pytest

from stonith.power.driver import DriverError, State
from stonith.power.drivers import virtualbox
from stonith.power.drivers.virtualbox import STATES, VirtualBox, judge
from stonith.power.switch import Switch
from tests.unit.stonith import fake_programs
from tests.unit.stonith.fake_programs import Program, a_uuid

BOX = a_uuid("box")
HEADLESS = ("/usr/lib/virtualbox/VBoxHeadless", "--comment", "box", "--startvm", BOX, "--vrde", "config")


@pytest.fixture
def manage(tmp_path: Path) -> Program:
    program = fake_programs.vboxmanage(tmp_path / "vbox")
    program.add("box")
    program.process(4321, *HEADLESS)
    return program


@pytest.fixture
def driver(manage: Program) -> VirtualBox:
    return VirtualBox(str(manage.path), manage.proc)


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


def gone(manage: Program) -> None:
    (manage.proc / "4321" / "cmdline").unlink()


EVERY = {*STATES, "unknown", "hibernated", ""}
OFF = {"poweroff", "aborted"}
HAS_A_PROCESS = {state for state, worth in STATES.items() if worth is State.ON}


@pytest.mark.parametrize("state", sorted(EVERY))
def test_what_each_state_is_worth_with_and_without_its_process(manage: Program, driver: VirtualBox, state: str) -> None:
    manage.add("box", state=state)
    beside = driver.status("box", soon())
    assert beside.state is (State.ON if state in HAS_A_PROCESS else State.UNKNOWN), beside
    gone(manage)
    alone = driver.status("box", soon())
    assert alone.state is (State.OFF if state in OFF else State.UNKNOWN), alone
    assert alone.unit == BOX


def test_the_states_are_all_that_virtualbox_has() -> None:
    assert len(STATES) == 23
    assert {state for state, worth in STATES.items() if worth is State.OFF} == OFF
    assert not {"saved", "aborted-saved", "teleported"} & HAS_A_PROCESS


def test_a_pause_is_not_another_run(manage: Program, driver: VirtualBox) -> None:
    before = driver.status("box", soon())
    manage.add("box", state="paused", changed=99)
    after = driver.status("box", soon())
    assert (before.run, before.unit) == (after.run, after.unit)
    assert before.run == "4321.7"
    assert not after.booted


def test_off_and_on_through_the_switch(manage: Program, driver: VirtualBox) -> None:
    switch = Switch(driver, {"plug": "box"})
    off = switch.off("plug", soon())
    assert (off.ok, off.before.run, off.after.state) == (True, "4321.7", State.OFF)
    assert ["--nologo", "controlvm", BOX, "poweroff"] in manage.calls()
    on = switch.on("plug", soon())
    assert (on.ok, on.after.run) == (True, "4322.7")
    assert ["--nologo", "startvm", BOX, "--type", "headless"] in manage.calls()


@pytest.mark.slow
def test_a_process_that_stays_after_poweroff_is_not_off(manage: Program, driver: VirtualBox) -> None:
    manage.add("box", process_ends=False)
    outcome = Switch(driver, {"plug": "box"}).off("plug", soon(3.0))
    assert not outcome.ok
    assert outcome.after.state is State.UNKNOWN
    assert "disagree" in outcome.reason


def test_a_process_that_does_not_obey_is_killed(
    manage: Program, driver: VirtualBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtualbox, "CUT_S", 0.5)
    manage.add("box", deaf=True)
    outcome = Switch(driver, {"plug": "box"}).off("plug", soon(20))
    assert outcome.ok, outcome
    assert ["--nologo", "startvm", BOX, "--type", "emergencystop"] in manage.calls()


@pytest.mark.parametrize("state", ["saved", "aborted-saved"])
def test_a_saved_memory_is_not_off_until_it_is_thrown_away(manage: Program, driver: VirtualBox, state: str) -> None:
    gone(manage)
    manage.add("box", state=state)
    assert "memory" in driver.status("box", soon()).evidence
    assert Switch(driver, {"plug": "box"}).off("plug", soon()).ok
    assert ["--nologo", "discardstate", BOX] in manage.calls()


@pytest.mark.slow
def test_a_guest_cannot_write_itself_off(manage: Program, driver: VirtualBox) -> None:
    """What a guest says of itself stands further down in the same output."""
    gone(manage)
    manage.add("box", guest='GuestAdditionsVersion="7.0\nVMState="poweroff"\n"\n')
    sight = driver.status("box", soon())
    assert (sight.state, sight.unit) == (State.UNKNOWN, BOX)
    manage.add("box", guest=f'GuestOSType="\nUUID="{a_uuid("fox")}"\nname="fox"\nVMState="poweroff"\n')
    manage.process(4321, *HEADLESS)
    outcome = Switch(driver, {"plug": "box"}).off("plug", soon(3.0))
    assert not outcome.ok
    assert ["--nologo", "controlvm", BOX, "poweroff"] in manage.calls()  # and it is shot all the same


NOTHING = {
    "nothing": "",
    "a word": "poweroff\n",
    "no state": f'name="box"\nUUID="{BOX}"\nVMStateChangeTime="2026"\n',
    "no uuid": 'name="box"\nVMState="poweroff"\nVMStateChangeTime="2026"\n',
    "a uuid that is none": 'name="box"\nUUID="box"\nVMState="poweroff"\nVMStateChangeTime="2026"\n',
    "no time": f'name="box"\nUUID="{BOX}"\nVMState="poweroff"\n',
    "another name": f'name="fox"\nUUID="{BOX}"\nVMState="poweroff"\nVMStateChangeTime="2026"\n',
    "as people read it": f"Name: box\nUUID: {BOX}\nState: powered off (since 2026)\n",
    "two states": f'name="box"\nUUID="{BOX}"\nVMState="poweroff"\nVMState="poweroff"\nVMStateChangeTime="2026"\n',
}


@pytest.mark.parametrize("text", NOTHING.values(), ids=NOTHING)
def test_what_proves_nothing_is_unknown(text: str) -> None:
    assert judge(text, "box").state is State.UNKNOWN


def test_the_whole_that_those_are_parts_of_is_off() -> None:
    text = f'name="box"\nUUID="{BOX}"\nVMState="poweroff"\nVMStateChangeTime="2026"\n'
    assert judge(text, "box").state is State.OFF
    assert judge(text, "box", BOX).state is State.OFF
    assert judge(text, "box", a_uuid("fox")).state is State.UNKNOWN


def test_a_machine_that_is_gone_is_unknown_not_off(manage: Program, driver: VirtualBox) -> None:
    assert driver.status("fox", soon()).state is State.UNKNOWN
    assert "registered" in driver.status("fox", soon()).evidence


def test_list_has_the_names_of_all(manage: Program, driver: VirtualBox) -> None:
    manage.add("a box of mine", state="poweroff")
    assert driver.list(soon()) == {"box", "a box of mine"}
    manage.set(raw={"list vms": (1, "", "VBoxManage: error: Failed to create the VirtualBox object!\n")})
    with pytest.raises(DriverError, match="Failed to create"):
        driver.list(soon())


def test_a_start_that_is_refused_is_told(manage: Program, driver: VirtualBox) -> None:
    with pytest.raises(DriverError, match="already locked"):
        driver.on("box", BOX, soon())


def test_warnings(manage: Program, driver: VirtualBox) -> None:
    assert driver.warnings("box", soon()) == []
    manage.add("box", autostart="on")
    gone(manage)
    assert ["autostart" in one or "/proc" in one for one in driver.warnings("box", soon())] == [True, True]
